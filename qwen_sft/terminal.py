"""What goes to a terminal: hostile text made harmless, colour only where somebody looks at it."""

import os
import re
from typing import TextIO

_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Text without control, direction and tag characters: each is written as its escape, such as \\x1b.

    Newline and tab stay. A trace may hold escape sequences that recolour, overwrite or retitle a terminal.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def one_line(text: str) -> str:
    """`printable` text of one line: a newline in a file's name or a key must not pass for the end of a finding."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def in_colour(stream: TextIO) -> bool:
    """True if a stream is a terminal whose user has not set NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


_STYLES = {"error": "1;31", "warning": "1;33", "info": "1;36", "code": "1", "dim": "2", "fix": "32", "ok": "1;32"}


def styled(text: str, style: str, colour: bool) -> str:
    """Text in one of our styles, or as it is."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour else text
