# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""Parquet rows to records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from qwen_sft.errors import InputError
from qwen_sft.record import Record, Where

_BATCH = 256


def rows(name: str, path: Path) -> Iterator[Record]:
    """The rows of a file as records, their raw bytes being the row as JSON; `data` is left for the caller to parse.

    By way of JSON a format sees what it would see in a JSON file, and no date, bytes or tuple.

    Raises:
        InputError: it is no Parquet file, or is damaged.
    """
    try:
        opened = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{name!r} is no Parquet file: {error}") from error
    number = 0
    with opened:
        batches = opened.iter_batches(batch_size=_BATCH)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, pa.ArrowException) as error:
                raise InputError(f"{name!r} is damaged behind row {number}: {error}") from error
            if batch is None:
                return
            for i in range(batch.num_rows):
                number += 1
                yield _record(batch.slice(i, 1), Where(name, number))


def _record(row: Any, where: Where) -> Record:
    try:
        (data,) = row.to_pylist()
        return Record(where, None, msgspec.json.encode(data))
    except (ValueError, TypeError, RecursionError) as error:  # text that is no UTF-8; a nanosecond that Python drops
        return Record(where, None, b"", f"the row has no JSON form: {error}")
