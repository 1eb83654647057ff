"""Texts and values, before anyone knows what they mean: spellings, quotes, marks, what a terminal may be shown."""
