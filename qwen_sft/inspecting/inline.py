"""What a record says about its own checks: `"qwen_sft": {"ignore": ["TOL020"]}`, at its top or in its `metadata`."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.record import Record
from qwen_sft.sample import Path, is_list, is_object

FIELD = "qwen_sft"


def marks(record: Record) -> Iterator[tuple[Path, Any]]:
    """The values of the field in a record, with their places; of each line where several make up the record."""
    lines: list[tuple[Path, Any]] = [((), record.data)]
    if record.parts and is_list(record.data):
        lines = [((i,), line) for i, line in enumerate(record.data)]
    for place, line in lines:
        if not is_object(line):
            continue
        if FIELD in line:
            yield (*place, FIELD), line[FIELD]
        metadata: Any = line.get("metadata")
        if is_object(metadata) and FIELD in metadata:
            yield (*place, "metadata", FIELD), metadata[FIELD]


def ignored(record: Record) -> tuple[str, ...]:
    """The codes, letters of codes and names of rules that a record asks not to be held to."""
    found: list[str] = []
    for _, mark in marks(record):
        listed: Any = mark.get("ignore") if is_object(mark) else None
        found += [one for one in (listed if is_list(listed) else ()) if isinstance(one, str) and one]
    return tuple(found)
