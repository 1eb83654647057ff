"""Sample to sample, between reading and rendering: what settings ask for, and nothing is lost."""
