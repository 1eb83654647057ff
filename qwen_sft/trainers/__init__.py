"""A shelf: every file here is one trainer, and what it does with files that are handed to it."""
