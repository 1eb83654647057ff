# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false, reportOptionalMemberAccess=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""Training rows as Parquet: what TRL, axolotl and `datasets` read without another step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qwen_sft.tokens import Kind
from qwen_sft.writer import Row, Writer

LEGEND = {str(kind.value): kind.name.lower() for kind in Kind}
"""What the numbers in `kinds` stand for; also in the file's metadata under `qwen_sft.kinds`."""

HONOURED_BY = "no trainer by itself: multiply each token's loss by it; labels are -100 where it is 0"
"""Who looks at the column `weights`; also in that field's metadata."""

SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int64())),
        ("kinds", pa.list_(pa.int8())),
        pa.field("weights", pa.list_(pa.float32()), metadata={"honoured_by": HONOURED_BY}),
        ("n_tokens", pa.int32()),
        ("n_trained_tokens", pa.int32()),
        ("turns", pa.list_(pa.int32())),
        ("boundary", pa.string()),
        ("sample_id", pa.string()),
        ("sample", pa.int32()),
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("source_item", pa.int64()),
    ],
    metadata={"qwen_sft.kinds": json.dumps(LEGEND)},
)


_TOKEN_BYTES = 4 + 8 + 1 + 4  # input_ids, labels, kinds and weights: next to them the other columns are nothing


class _ParquetWriter:
    """Shards under temporary names until `close` knows how many there are."""

    def __init__(self, folder: Path, shard_size: int) -> None:
        self._folder = folder
        self._shard_size = shard_size
        self._shards: list[Path] = []
        self._open: Any = None  # pq.ParquetWriter, which has no types
        self._size = 0
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, rows: list[Row]) -> None:
        """Appends rows as row groups; a new shard starts behind the row that passed the size."""
        group: list[Row] = []
        for row in rows:
            if self._open is not None and self._size >= self._shard_size:
                self._append(group)
                self._finish()
                group = []
            if self._open is None:
                self._start()
            group.append(row)
            self._size += len(row.tokens.input_ids) * _TOKEN_BYTES
        self._append(group)

    def _append(self, group: list[Row]) -> None:
        if group:
            self._open.write_batch(_batch(group))

    def _start(self) -> None:
        path = self._folder / f".train-{len(self._shards):05d}.part"
        self._shards.append(path)
        self._open = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._size = 0

    def _finish(self) -> None:
        self._open.close()
        self._open = None

    def close(self) -> list[Path]:
        """Names the shards; without any row there is one, empty, so that readers find the columns."""
        if not self._shards:
            self._start()
        if self._open is not None:
            self._finish()
        for number, shard in enumerate(self._shards):
            name = self._folder / f"train-{number:05d}-of-{len(self._shards):05d}.parquet"
            self._shards[number] = shard.rename(name)
        return list(self._shards)

    def abort(self) -> None:
        """Takes the shards away, finished or not."""
        if self._open is not None:
            self._finish()
        for shard in self._shards:
            shard.unlink(missing_ok=True)


def _lists(arrays: list[Any], dtype: Any) -> pa.ListArray:
    offsets = np.zeros(len(arrays) + 1, dtype=np.int32)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    values = np.concatenate(arrays) if arrays else np.empty(0)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.astype(dtype, copy=False)))


def _batch(rows: list[Row]) -> pa.RecordBatch:
    tokens = [row.tokens for row in rows]
    return pa.RecordBatch.from_arrays(
        [
            _lists([t.input_ids for t in tokens], np.int32),
            _lists([t.labels for t in tokens], np.int64),
            _lists([t.kinds for t in tokens], np.int8),
            _lists([t.loss_mask if t.weights is None else t.weights for t in tokens], np.float32),
            pa.array([len(t.input_ids) for t in tokens], pa.int32()),
            pa.array([t.n_trained_tokens for t in tokens], pa.int32()),
            _lists([np.array(t.turns) for t in tokens], np.int32),
            pa.array([t.boundary for t in tokens], pa.string()),
            pa.array([row.sample_id for row in rows], pa.string()),
            pa.array([row.sample for row in rows], pa.int32()),
            pa.array([row.where.file for row in rows], pa.string()),
            pa.array([row.where.line for row in rows], pa.int64()),
            pa.array([row.where.item for row in rows], pa.int64()),
        ],
        schema=SCHEMA,
    )


def read(folder: Path) -> list[dict[str, Any]]:
    """All rows of a folder, in order."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("train-*.parquet"))]
    return pa.concat_tables(tables).to_pylist() if tables else []


WRITER = Writer("parquet", "Parquet with input_ids, labels, kinds and provenance", _ParquetWriter, read)
