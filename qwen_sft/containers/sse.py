"""Server-sent events as they were sent: the data of each event is a record, and [DONE] is none.

Source: HTML Living Standard, section 9.2. Lines may end in CR alone there too, which is read, but not streamed.
"""

import re
from collections.abc import Iterator

from qwen_sft.container import Container, File, text_start
from qwen_sft.decoding.jsontext import MOST_RECORD_BYTES, limited, parse, too_long
from qwen_sft.decoding.sse import DONE
from qwen_sft.record import Record, Where

_FIELD = re.compile(rb"(?:data|event|id|retry):[^\r\n]*[\r\n]|:[^\r\n]*[\r\n]+(?:data|event|id|retry):")
_LINE = re.compile(rb"([^\r\n]*)(\r\n|\n|\r|\Z)")
_DONE = DONE.encode()
_BOM = b"\xef\xbb\xbf"


def _begins(first: bytes) -> bool:
    return _FIELD.match(text_start(first)) is not None


def _records(file: File) -> Iterator[Record]:
    data: list[bytes] = []
    size = 0
    where = Where(file.name, 1)
    for line, content, at, whole in _lines(file):
        if content:
            field, _, value = content.partition(b":")
            if field != b"data":
                continue
            n_before = len(content) - len(value) + value.startswith(b" ")
            if not data:
                where = Where(file.name, line, at + n_before)
            size += len(value)
            if whole and size <= MOST_RECORD_BYTES:
                data.append(value.removeprefix(b" "))
            else:
                data, size = data[:1] or [value], MOST_RECORD_BYTES + 1
        elif data:
            yield from _event(data, where, size)
            data, size = [], 0
    if data:
        yield from _event(data, where, size)


def _event(data: list[bytes], where: Where, size: int) -> Iterator[Record]:
    text = b"\n".join(data)
    if size > MOST_RECORD_BYTES:
        yield too_long(text, where)
    elif text.strip() not in (b"", _DONE):
        yield parse(text, where)


def _lines(file: File) -> Iterator[tuple[int, bytes, int, bool]]:
    """Each line: its number, what it holds, its first byte's place, and whether it was held whole."""
    number = at = 0
    for piece, n_bytes in limited(file.stream):
        skip = len(_BOM) if not at and piece.startswith(_BOM) else 0
        for found in _LINE.finditer(piece, skip):
            if found[0]:
                number += 1
                yield number, found[1], at + found.start(), n_bytes == len(piece)
        at += n_bytes


CONTAINER = Container(
    name="sse",
    title="server-sent events: the data of each event is a record",
    suffixes=(".sse",),
    begins=_begins,
    records=_records,
)
