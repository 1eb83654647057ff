"""Arrow's IPC file and stream, as `datasets` saves them and Feather is: a row is a record."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyarrow has no types; what leaves this file is typed by its functions.
from collections.abc import Iterator
from typing import Any

from qwen_sft.container import Container, File
from qwen_sft.record import Record

_MAGIC = b"ARROW1"
_BATCH = 256


def _records(file: File) -> Iterator[Record]:
    import pyarrow as pa  # 0.15 s

    from qwen_sft.decoding.columnar import arrow, rows

    is_file = file.stream.peek(len(_MAGIC)).startswith(_MAGIC)
    # Not memory-mapped: what has passed would stay in the memory that the process holds.
    source: Any = pa.OSFile(str(file.path)) if file.path else file.whole() if is_file else file.stream
    with arrow(file.name, source, _BATCH, is_file=is_file) as (schema, batches):
        yield from rows(file.name, schema, batches)


CONTAINER = Container(
    name="arrow",
    title="Arrow files and streams, Feather, datasets that `datasets` saved: a row is a record",
    suffixes=(".arrow", ".feather"),
    # A stream begins with the length of its schema, a few kilobytes.
    begins=lambda first: first.startswith((_MAGIC, b"\xff\xff\xff\xff")) and first[6:8] == b"\0\0",
    records=_records,
)
