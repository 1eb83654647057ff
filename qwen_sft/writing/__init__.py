"""What writers share: shards under temporary names, Arrow columns, JSON text that comes back as it was."""
