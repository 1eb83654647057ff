"""A shelf: every file here is one of the package's families."""
