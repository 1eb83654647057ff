"""A value as a finding quotes it: in Python's spelling, and short."""

from typing import Any


def quoted(value: Any, most: int = 60) -> str:
    """A value in `!r`, cut to about `most` characters; one that Python cannot print is named by its kind."""
    if isinstance(value, str):
        return repr(value) if len(value) <= most else f"{value[:most]!r}…"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; a value that nests too deep
        return f"a {type(value).__name__}"
    return text if len(text) <= most else f"{text[:most]}…"
