"""A training set on disk: shards, journal, manifest and card."""
