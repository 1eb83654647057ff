"""A whole run: many processes, one gate, and files that are whole or not there."""
