"""What no build can leave out, and nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import ours
import pyarrow as pa
from timing import Spent, spent

from qwen_sft.writing.arrow import ParquetSink

SCHEMA: Any = pa.schema([("input_ids", pa.list_(pa.int32())), ("labels", pa.list_(pa.int64()))])


def floor(rows: Path, texts: list[str], out: Path) -> Spent:
    """The least that a build could do: parse each line, encode the texts flat, write ids and labels as Parquet.

    What the texts are is known before: nothing is recognised, checked, rendered, masked or counted. The tokenizer is
    loaded before, and is the one of a build; the columns are written as a build writes them.
    """
    tokenizer = ours.load().encoder.model.tokenizer

    def work() -> None:
        with rows.open("rb") as file:
            for line in file:
                orjson.loads(line)
        sink = ParquetSink(out, SCHEMA, _flat)
        for first in range(0, len(texts), 512):
            sink.write([tokenizer.encode_batch(texts[first : first + 512])])
        sink.close()

    with ours.collector():
        return spent(work)


def _flat(encoded: Sequence[Any]) -> Any:
    ((ids, offsets),) = encoded
    columns = [
        pa.ListArray.from_arrays(offsets.astype(np.int32), ids.astype(kind, copy=False))
        for kind in (np.int32, np.int64)
    ]
    return pa.record_batch(columns, names=["input_ids", "labels"])
