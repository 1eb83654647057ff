"""Bytes to records: compressed streams, JSON text, event streams, Arrow tables."""
