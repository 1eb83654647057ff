"""Samples to training rows for one model, and what is lost on the way."""
