"""Lines that are pieces of one record, such as those of a session log or a stream, become that record."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from qwen_sft.format import Candidates, Format
from qwen_sft.glance import ONE_RECORD
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_list, is_object

MOST_BYTES = 256_000_000
"""A record of more bytes is not gathered: where it would go on, reading begins another, with a fault."""


def gathered(records: Iterable[Record], joining: Sequence[Format]) -> Iterator[Record]:
    """The records of one file, those that formats join put together; memory holds one of them.

    A line that cannot be parsed, is no list and no object, or has nothing in common with the lines around it, comes out
    at once: those are joined all the same. One that cannot be parsed is a hole in their record (`Record.holes`).

    Args:
        joining: the formats that have `joins`.
    """
    candidates = Candidates(joining)
    group: list[Record] = []
    values: list[Any] = []
    size = 0
    format: Format | None = None
    holes: list[Where] = []
    unread: list[Where] = []  # lines behind the last one of the group that could not be parsed: holes, if it goes on
    for record in records:
        if record.fault is not None or not (is_object(record.data) or is_list(record.data)):
            if record.fault is not None:
                unread.append(record.where)
            yield record
            continue
        same_file = bool(group) and group[0].where.file == record.where.file  # an archive's files are several
        if same_file and format is not None and format.joins is not None and format.joins(values, record.data):
            if size + len(record.raw) <= MOST_BYTES:
                group.append(record)
                values.append(record.data)
                size += len(record.raw)
                if unread:
                    holes, unread = [*holes, *unread], []
                continue
            yield _whole(group, holes, f"its lines come to more than {MOST_BYTES:,} bytes; what follows is read apart")
            group, values, size = [record], [record.data], len(record.raw)
            holes, unread = [], []
            continue
        begun = _beginning(candidates.of(record.data), record.data)
        if begun is None and same_file and _is_foreign(values, record.data):
            yield record
            continue
        if group:
            yield _whole(group, holes)
        format, holes, unread = begun, [], []
        if format is None:
            group, values, size = [], [], 0
            yield record
        else:
            group, values, size = [record], [record.data], len(record.raw)
    if group:
        yield _whole(group, holes)


def _beginning(joining: Sequence[Format], value: Any) -> Format | None:
    """The one format whose record may begin with a line; None where none or several may."""
    with ONE_RECORD:
        found = [format for format in joining if format.joins is not None and format.joins((), value)]
    return found[0] if len(found) == 1 else None


def _is_foreign(values: Sequence[Any], line: Any) -> bool:
    """True if a line that does not go on with some lines has no field of the first or the last of them.

    Such a line says nothing about where they end: a program that wrote into the same file, a line of another log.
    """
    ends = (values[0], values[-1])
    return all(is_object(one) and (is_list(line) or one.keys().isdisjoint(line)) for one in ends)


def _whole(group: Sequence[Record], holes: Sequence[Where], fault: str | None = None) -> Record:
    if len(group) == 1:
        return group[0]
    raw = b"[" + b",".join(record.raw for record in group) + b"]"
    parts = tuple(record.where for record in group)
    data: Any = [record.data for record in group]
    first = group[0]
    return Record(first.where, None if fault else data, raw, fault, parts, structs=first.structs, holes=tuple(holes))
