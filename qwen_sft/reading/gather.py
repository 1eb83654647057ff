"""Lines that are pieces of one record, such as those of a session log or a stream, become that record."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.format import Candidates, Format
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.glance import ONE_RECORD

MOST_BYTES = 256_000_000
"""A record of more bytes is not gathered: where it would go on, reading begins another, with a fault."""

MOST_FOREIGN = 100
"""Lines of another kind, one behind the other, that a record may go on behind; so many are held until it does."""

_MOST_FOREIGN_BYTES = 1_000_000


@dataclass(slots=True)
class _Group:
    """The lines of one record while they are gathered.

    Attributes:
        format: that joins them.
        lines: so far.
        values: theirs.
        size: their bytes.
        holes: places between them that could not be parsed.
        unread: the same behind the last of them: holes, if the record goes on.
        foreign: lines of another kind behind the last of them, which come out behind the record, unless it goes on.
    """

    format: Format
    lines: list[Record]
    values: list[Any]
    size: int
    holes: list[Where] = field(default_factory=list[Where])
    unread: list[Where] = field(default_factory=list[Where])
    foreign: list[Record] = field(default_factory=list[Record])

    @classmethod
    def begin(cls, format: Format, line: Record) -> "_Group":
        return cls(format, [line], [line.data], len(line.raw))

    def joins(self, line: Record) -> bool:
        """True if a line goes on with the record; of an archive's files each is apart."""
        joins, file = self.format.joins, self.lines[0].where.file
        return joins is not None and file == line.where.file and joins(self.values, line.data)

    def fits(self, line: Record) -> bool:
        """True if the record may have this line too."""
        return self.size + len(line.raw) <= MOST_BYTES

    def add(self, line: Record) -> None:
        self.lines.append(line)
        self.values.append(line.data)
        self.size += len(line.raw)
        self.holes += self.unread
        self.unread, self.foreign = [], []

    def passes(self, line: Record) -> bool:
        """True if a line that neither goes on with the record nor begins one says nothing about where it ends.

        It has no field of the first or the last line: a program that wrote into the same file, a line of another log.
        """
        if self.lines[0].where.file != line.where.file or len(self.foreign) >= MOST_FOREIGN:
            return False
        if sum(len(one.raw) for one in self.foreign) + len(line.raw) > _MOST_FOREIGN_BYTES:
            return False
        ends = (self.values[0], self.values[-1])
        return all(is_object(one) and (is_list(line.data) or one.keys().isdisjoint(line.data)) for one in ends)

    def end(self, fault: str | None = None) -> Iterator[Record]:
        """The record, and what stands behind it."""
        first = self.lines[0]
        if len(self.lines) == 1:
            yield first
        else:
            raw = b"[" + b",".join(line.raw for line in self.lines) + b"]"
            parts = tuple(line.where for line in self.lines)
            data: Any = None if fault else self.values
            yield Record(first.where, data, raw, fault, parts, structs=first.structs, holes=tuple(self.holes))
        yield from self.foreign


def gathered(records: Iterable[Record], joining: Sequence[Format]) -> Iterator[Record]:
    """The records of one file, those that formats join put together; memory holds one of them.

    A line that cannot be parsed, or is no list and no object, comes out at once: the lines around it are joined all the
    same, and so are those around lines of another kind. What could not be parsed is a hole in the record around it
    (`Record.holes`).

    Args:
        joining: the formats that have `joins`.
    """
    candidates = Candidates(joining)
    group: _Group | None = None
    for record in records:
        if record.fault is not None or not (is_object(record.data) or is_list(record.data)):
            if group and record.fault is not None:
                group.unread.append(record.where)
            yield record
            continue
        if group and group.joins(record):
            if group.fits(record):
                yield from group.foreign
                group.add(record)
                continue
            yield from group.end(f"its lines come to more than {MOST_BYTES:,} bytes; what follows is read apart")
            group = _Group.begin(group.format, record)
            continue
        format = _beginning(candidates.of(record.data), record.data)
        if group and format is None and group.passes(record):
            group.foreign.append(record)
            continue
        if group:
            yield from group.end()
        group = None if format is None else _Group.begin(format, record)
        if group is None:
            yield record
    if group:
        yield from group.end()


def apart(joining: Sequence[Format], values: Sequence[Any], following: Any) -> bool:
    """True where the next line's value goes on with no record that the values of the lines before it could be of."""
    with ONE_RECORD:
        return not any(one.joins is not None and one.joins(values, following) for one in joining)


def _beginning(joining: Sequence[Format], value: Any) -> Format | None:
    """The one format whose record may begin with a line; None where none or several may."""
    with ONE_RECORD:
        found = [format for format in joining if format.joins is not None and format.joins((), value)]
    return found[0] if len(found) == 1 else None
