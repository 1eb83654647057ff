"""JSON Lines of rows that say the same to a reader that infers types, in each part of a file.

`datasets` reads 10 MB at a time and takes the types of the first part for all: null in every row of it would be a
column of nulls, and ids such as 2026-05-03 a column of times. So each value is there in every line, and no id stands by
itself.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from qwen_sft.writer import Column, Row, Talk
from qwen_sft.writing.shards import Extras, Shards, as_talks, no_extras, shard_name
from qwen_sft.writing.spelling import json_text


class LinesSink:
    """One file of JSON Lines.

    Args:
        line: the object of a row or conversation.
    """

    def __init__(self, path: Path, line: Callable[[Any], dict[str, Any]]) -> None:
        self._file = path.open("wb")
        self._line = line

    def write(self, rows: Sequence[Any]) -> None:
        """Appends lines."""
        self._file.writelines(json_text(self._line(row)).encode() + b"\n" for row in rows)

    def close(self) -> None:
        """Ends the file."""
        self._file.close()


def read_lines(folder: Path, pattern: str = "*.jsonl") -> list[dict[str, Any]]:
    """All lines of a folder's files, in order."""
    paths = sorted(folder.glob(pattern))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


PROVENANCE = Column(
    "provenance",
    "string",
    "where it came from, as JSON text: sample_id, sample, source_file, source_line, source_item",
)
"""Where a row came from: one column, so that no value of it is taken for something else."""


def provenance(row: Row) -> dict[str, str]:
    """The column PROVENANCE of a row."""
    where = row.where
    place = {"source_file": where.file, "source_line": where.line, "source_item": where.item}
    return {PROVENANCE.name: json_text({"sample_id": row.sample_id, "sample": row.sample, **place})}


def talk_bytes(talk: Talk) -> int:
    """Bytes of row data of a conversation, as JSON."""
    sample = talk.sample
    return len(json_text([sample.get("messages"), sample.get("tools")]))


def talk_lines(line: Callable[[Talk], dict[str, Any]], extras: Extras = no_extras) -> Callable[[Path, int], Shards]:
    """How a writer of a line for each conversation starts: from a folder and the bytes of row data in a shard.

    Args:
        line: the object of a conversation.
        extras: as in `Shards`.
    """
    return partial(
        Shards,
        items=as_talks,
        size=talk_bytes,
        open_sink=lambda path: LinesSink(path, line),
        name=shard_name("jsonl"),
        extras=extras,
    )
