"""What can be asked for: the small languages of settings, and the request that a turn is the answer to."""
