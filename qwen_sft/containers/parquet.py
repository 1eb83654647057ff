"""Parquet: a row is a record."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyarrow has no types; what leaves this file is typed by its functions.
from collections.abc import Iterator

from qwen_sft.container import Container, File
from qwen_sft.record import Record
from qwen_sft.streams import CHUNK

_BATCH = 256


def _records(file: File) -> Iterator[Record]:
    import pyarrow.parquet as pq  # 0.15 s

    from qwen_sft.columnar import opened, rows

    source = file.path or file.whole()
    # By default it holds a whole row group, which may be the whole file.
    with opened(file.name, "Parquet", lambda: pq.ParquetFile(source, buffer_size=CHUNK, pre_buffer=False)) as parquet:
        yield from rows(file.name, parquet.schema_arrow, parquet.iter_batches(batch_size=_BATCH))


CONTAINER = Container(
    name="parquet",
    title="Parquet: a row is a record",
    suffixes=(".parquet",),
    begins=lambda first: first.startswith(b"PAR1"),
    records=_records,
)
