"""What goes to a terminal: hostile text made harmless, colour only where somebody looks at it."""

import os
import re
import shutil
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


_COMMAND = re.compile(r"##\[|^(\s*)::", re.MULTILINE)


def inert(text: str) -> str:
    """Text for a log in which CI systems look for commands: one that a trace holds is told, and not obeyed.

    GitHub's runner takes a line that begins with `::`, behind any white space, and `##[` anywhere in one.
    """
    return _COMMAND.sub(lambda match: "##\\x5b" if match[1] is None else f"{match[1]}\\x3a:", text)


def columns(stream: TextIO) -> int:
    """How wide a line may be: as wide as the terminal, and 100 where the stream is none, so that files are alike."""
    return max(40, shutil.get_terminal_size((100, 24)).columns) if stream.isatty() else 100


def cells(text: str) -> int:
    """How many columns of a terminal a text of one line takes: two for a CJK character, none for a lone accent."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


_STYLE = re.compile(r"\x1b\[[\d;]*m")


def fitted(text: str, stream: TextIO) -> str:
    """Text whose lines end between words where a terminal does, and go on below their first word, four columns in.

    A word that is longer stays whole: a path can be copied. For what is no terminal, text is as it is.
    """
    if not stream.isatty():
        return text
    width = columns(stream)
    return "\n".join(_broken(line, width) for line in text.split("\n"))


def _broken(line: str, width: int) -> str:
    if cells(_STYLE.sub("", line)) <= width:
        return line
    words = line.lstrip(" ").split(" ")
    indent = " " * (len(line) - len(line.lstrip(" ")))
    made, n = indent, len(indent)
    for k, word in enumerate(words):
        wide = cells(_STYLE.sub("", word))
        if k and n + 1 + wide > width:
            made, n = f"{made}\n{indent}    {word}", len(indent) + 4 + wide
        else:
            made, n = (f"{made} {word}", n + 1 + wide) if k else (made + word, n + wide)
    return made


def in_colour(stream: TextIO) -> bool:
    """True if a stream is a terminal whose user has not set NO_COLOR."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


_STYLES = {"error": "1;31", "warning": "1;33", "info": "1;36", "code": "1", "dim": "2", "fix": "32", "ok": "1;32"}


def styled(text: str, style: str, colour: bool) -> str:
    """Text in one of our styles, or as it is."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if colour else text
