"""Inputs: files, folders, URLs, stdin and records in memory, whole or in stretches."""
