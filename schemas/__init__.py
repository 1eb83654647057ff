"""The published contract: JSON Schema 2020-12 files, usable without Python."""
