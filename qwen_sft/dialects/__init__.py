"""The shelf of dialects: a file is one way in which calls and results stand as text in a turn."""
