"""The server's side, the second opinion: what it would have sent, and what it reads in what a model generated."""
