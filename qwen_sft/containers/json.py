"""JSON text: Lines, one value, a list, or values one after another."""

import re
from collections.abc import Iterator

from qwen_sft.container import Container, File, text_start
from qwen_sft.decoding.jsontext import documents, is_lines, lines
from qwen_sft.decoding.streams import bare
from qwen_sft.record import Record

_BOM = b"\xef\xbb\xbf"
_LINES = (".jsonl", ".ndjson")
_BEGINNING = re.compile(rb'\{\s*["}]|\[\s*[\[{"\]]')  # no "[INFO]" and no "{name}", which open lines of other logs


def _begins(first: bytes) -> bool:
    return _BEGINNING.match(text_start(first)) is not None and text_start(first)[:3].rstrip() != b"{}"


def _records(file: File) -> Iterator[Record]:
    stream = file.stream
    start = len(stream.read(3)) if stream.peek(3)[:3] == _BOM else 0
    name = bare(file.name)
    by_line = name.endswith(_LINES) or (not name.endswith(".json") and is_lines(stream))
    return (lines if by_line else documents)(file.name, stream, start)


CONTAINER = Container(
    name="json",
    title="JSON and JSON Lines: a value in each line, one value, a list of them, or several one after another",
    suffixes=(".json", *_LINES, ".traj", ".har"),
    begins=_begins,
    records=_records,
)
