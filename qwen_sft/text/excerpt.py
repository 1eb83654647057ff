"""The line of a record that a finding is about, with the piece in it that the finding quotes."""

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from qwen_sft.record import Record
from qwen_sft.sample import Path, is_list, is_object

_AROUND = 240  # characters on either side: more than a terminal shows
_LONGEST = 120  # characters of the quoted piece
_READ = 20_000  # characters of an object or a list in which the piece is looked for
_SMALL = 50_000  # bytes of a record that is spelled at once
_SAID = 2_000  # characters of a finding in which quotes are looked for
_QUOTE = re.compile(r"""(?<!\w)(['"])((?:(?!\1)[^\\]|\\.)*)\1(?!\w)(…?)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "'": "'", '"': '"'}
_COLUMN = re.compile(r"\bat column (\d+)")


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A line around a place of a record, as its JSON spells it: what stands before the culprit, the culprit, the rest.

    `culprit` is "" where the finding quotes nothing that stands there. A cut is told by `…`.
    """

    before: str
    culprit: str
    after: str


def excerpt(record: Record, path: Path, says: str) -> Excerpt | None:
    """What stands at a place, or at the nearest one above it that is there; None where that would show nothing.

    The whole record is shown only where the finding quotes something in it: of a long line, the beginning says nothing.

    Args:
        path: the place in `record.data`.
        says: the words of the finding, with its quotes in Python's spelling.
    """
    if record.fault is not None:
        return _unread(record, says)
    value, reached = record.data, 0
    for step in path:
        if isinstance(step, int):
            if not is_list(value) or not -1 < step < len(value):
                break
            value = value[step]
        else:
            if not is_object(value) or step not in value:
                break
            value = value[step]
        reached += 1
    last = path[reached - 1] if reached else None
    label = f"{_spelled(last)}: " if isinstance(last, str) else ""
    wanted = list(_quotes(says))
    if isinstance(value, str):
        at, n = _found(value, [text for text, _ in wanted])
        return _around(value, at, n, f'{label}"', '"', escape=True)
    text = _json(value, record, _READ if wanted else _AROUND + 1)
    at, n = _found(text, [_spelled(quote)[: -1 if cut else None] for quote, cut in wanted])
    if not n and not reached:
        return None
    return _around(text, at, n, label, "", escape=False)


def _unread(record: Record, says: str) -> Excerpt | None:
    """The place of a record that is no JSON at which reading stopped."""
    column = _COLUMN.search(says)
    text = record.raw.decode("utf-8", "replace")
    if column is None or "\n" in text or not 0 < int(column[1]) <= len(text):
        return None
    return _around(text, int(column[1]) - 1, 1, "", "", escape=False)


def _quotes(says: str) -> Iterator[tuple[str, bool]]:
    """The texts that a finding quotes, and whether each is only the beginning of a longer one."""
    for match in islice(_QUOTE.finditer(says[:_SAID]), 8):
        if match[2]:
            yield _ESCAPE.sub(_character, match[2]), bool(match[3])


def _character(match: re.Match[str]) -> str:
    """The character that an escape of `repr` stands for; what is none of those stays."""
    mark = match[1]
    if len(mark) > 1:
        code = int(mark[1:], 16)
        return chr(code) if code <= sys.maxunicode else match[0]
    return _ESCAPED.get(mark, match[0])


def _found(text: str, wanted: list[str]) -> tuple[int, int]:
    """Where the first of some pieces stands in a text, and how long it is; (0, 0) if none does."""
    return next(((at, len(piece)) for piece in wanted if (at := text.find(piece)) >= 0), (0, 0))


def _around(text: str, at: int, n: int, before: str, after: str, *, escape: bool) -> Excerpt:
    """A window of a text around n characters of it, between the marks that open and close it."""
    begin, stop, end = max(0, at - _AROUND), at + min(n, _LONGEST), at + n + _AROUND
    spell = _inside if escape else str
    return Excerpt(
        (before if not begin else "…") + spell(text[begin:at]),
        spell(text[at:stop]) + ("…" if stop < at + n else ""),
        spell(text[at + n : end]) + (after if end >= len(text) else "…"),
    )


def _json(value: Any, record: Record, most: int) -> str:
    """The beginning of a value's JSON.

    All of it is made where the record is small, by the encoder in C; of a large one no more than is looked at.
    """
    whole = most == _READ and len(record.raw) <= _SMALL
    encoder = json.JSONEncoder(ensure_ascii=False)
    parts: list[str] = []
    size = 0
    try:
        for part in (encoder.encode(value),) if whole else encoder.iterencode(value):
            parts.append(part)
            size += len(part)
            if size > most:
                break
    except (RecursionError, ValueError):  # nests too deep; an integer of more than 4,300 digits
        parts.append("…")
    return "".join(parts)[: most + 1]


def _spelled(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _inside(text: str) -> str:
    return _spelled(text)[1:-1]
