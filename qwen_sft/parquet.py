# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
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


def rows(name: str, path: Path) -> Iterator[Record]:
    """The rows of a file as records, their raw bytes being the row as JSON.

    Raises:
        InputError: it is no Parquet file.
    """
    try:
        opened = pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{name!r} is no Parquet file: {error}") from error
    number = 0
    for batch in opened.iter_batches(batch_size=256):
        data: dict[str, Any]
        for data in batch.to_pylist():
            number += 1
            yield Record(Where(name, number), data, msgspec.json.encode(data))
