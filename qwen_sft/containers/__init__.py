"""A shelf: every file here is one kind of file that holds records."""
