"""Lines that are pieces of one record, such as those of a session log or a stream, become that record."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qwen_sft.format import Candidates, Format
from qwen_sft.glance import ONE_RECORD
from qwen_sft.record import Record
from qwen_sft.sample import is_list, is_object

MOST_BYTES = 256_000_000
"""A record of more bytes is not gathered: where it would go on, reading begins another, with a fault."""


def gathered(records: Iterable[Record], joining: Sequence[Format]) -> Iterator[Record]:
    """The records of one file, those that formats join put together; memory holds one of them.

    A line that cannot be parsed, or is no list and no object, comes out at once: the lines around it are joined all the
    same.

    Args:
        joining: the formats that have `joins`.
    """
    candidates = Candidates(joining)
    group: list[Record] = []
    values: list[Any] = []
    size = 0
    format: Format | None = None
    for record in records:
        if record.fault is not None or not (is_object(record.data) or is_list(record.data)):
            yield record
            continue
        same_file = bool(group) and group[0].where.file == record.where.file  # an archive's files are several
        if same_file and format is not None and format.joins is not None and format.joins(values, record.data):
            if size + len(record.raw) <= MOST_BYTES:
                group.append(record)
                values.append(record.data)
                size += len(record.raw)
                continue
            yield _whole(group, f"its lines come to more than {MOST_BYTES:,} bytes; what follows is read apart")
            group, values, size = [record], [record.data], len(record.raw)
            continue
        if group:
            yield _whole(group)
        format = _beginning(candidates.of(record.data), record.data)
        if format is None:
            group, values, size = [], [], 0
            yield record
        else:
            group, values, size = [record], [record.data], len(record.raw)
    if group:
        yield _whole(group)


def _beginning(joining: Sequence[Format], value: Any) -> Format | None:
    """The one format whose record may begin with a line; None where none or several may."""
    with ONE_RECORD:
        found = [format for format in joining if format.joins is not None and format.joins((), value)]
    return found[0] if len(found) == 1 else None


def _whole(group: Sequence[Record], fault: str | None = None) -> Record:
    if len(group) == 1:
        return group[0]
    raw = b"[" + b",".join(record.raw for record in group) + b"]"
    parts = tuple(record.where for record in group)
    data: Any = [record.data for record in group]
    return Record(group[0].where, None if fault else data, raw, fault, parts, structs=group[0].structs)
