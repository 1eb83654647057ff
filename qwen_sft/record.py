"""One record of an input: what was read, and the place that every later message names."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Where:
    """The place of a record: file as the user named it, line (1-based), byte offset of its first byte.

    `item` is the record's index where one JSON file is a list of records; None elsewhere. For Parquet, `line` is the
    row's number, from 1, and `byte` is 0.
    """

    file: str
    line: int
    byte: int = 0
    item: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it stands in its file.

    Attributes:
        where: its place.
        data: the parsed JSON value; None where it could not be parsed.
        raw: the bytes in the file: a line, or a slice of a JSON array; for a Parquet row, that row as JSON.
        fault: why it could not be parsed, with the column; None where it could.
        parts: where it was put together from several lines (a session log, a stream), the place of each: `data` is the
            list of their values, `raw` that list as JSON.
    """

    where: Where
    data: Any
    raw: bytes
    fault: str | None = None
    parts: tuple[Where, ...] = ()
