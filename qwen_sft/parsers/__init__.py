"""A shelf: every file here is one of the servers' tool-call parsers, as it reads in some range of versions."""
