"""What formats and APIs are made of: the books that they keep, and readers of what several of them hold."""
