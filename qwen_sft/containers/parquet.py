"""Parquet: a row is a record."""

from collections.abc import Iterator

from qwen_sft.container import Container, File
from qwen_sft.record import Record

_BATCH = 256


def _records(file: File) -> Iterator[Record]:
    from qwen_sft.decoding.columnar import parquet, rows  # pyarrow: 0.15 s

    with parquet(file.name, file.path or file.whole(), _BATCH) as (schema, batches):
        yield from rows(file.name, schema, batches)


CONTAINER = Container(
    name="parquet",
    title="Parquet: a row is a record",
    suffixes=(".parquet",),
    begins=lambda first: first.startswith(b"PAR1"),
    records=_records,
)
