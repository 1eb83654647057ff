"""Training rows as people look at them: in the terminal, and as a page."""
