# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportUnknownArgumentType=false, reportMissingTypeStubs=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""Training rows and conversations as Arrow columns, and Parquet files of them."""

import json
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qwen_sft.tokens import IGNORE, Kind, Tokens
from qwen_sft.writer import Column, Row, Talk
from qwen_sft.writing.shards import Extras, Shards, no_extras, shard_name
from qwen_sft.writing.spelling import datasets_text, json_text

LEGEND = {str(kind.value): kind.name.lower() for kind in Kind}
"""What the numbers in `kinds` stand for; also in the file's metadata under `qwen_sft.kinds`."""

HONOURED_BY = "no trainer by itself: multiply each token's loss by it; labels are -100 where it is 0"
"""Who looks at the column `weights`; also in that field's metadata."""

_PROVENANCE: list[Any] = [
    ("sample_id", pa.string()),
    ("sample", pa.int32()),
    ("source_file", pa.string()),
    ("source_line", pa.int64()),
    ("source_item", pa.int64()),
]

SCHEMA: Any = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int64())),
        ("kinds", pa.list_(pa.int8())),
        pa.field("weights", pa.list_(pa.float32()), metadata={"honoured_by": HONOURED_BY}),
        ("n_tokens", pa.int32()),
        ("n_trained_tokens", pa.int32()),
        ("n_calls", pa.int32()),
        ("depth", pa.int32()),
        ("turns", pa.list_(pa.int32())),
        ("boundary", pa.string()),
        *_PROVENANCE,
    ],
    metadata={"qwen_sft.kinds": json.dumps(LEGEND)},
)
"""A training row: all that is known of its tokens, and where it came from."""

PROVENANCE: tuple[Column, ...] = (
    Column("sample_id", "string", "the trace's own id"),
    Column("sample", "int32", "which sample of the record"),
    Column("source_file", "string", "the file that it came from"),
    Column("source_line", "int64", "its line"),
    Column("source_item", "int64", "its place in a list or Parquet file, else null"),
)
"""Where a row came from: columns that every writer gives."""

_CALLS = (
    Column("n_calls", "int32", "how many calls it shows"),
    Column("depth", "int32", "the most turns with calls behind each other, with no user's turn between"),
)

TOKEN_COLUMNS: tuple[Column, ...] = (
    Column("input_ids", "list of int32", "the tokens"),
    Column("labels", "list of int64", "the same, -100 where a token is not trained"),
    Column("kinds", "list of int8", "what each token is; the file's metadata names the numbers"),
    Column("weights", "list of float", "how much each token counts; no trainer looks at it by itself"),
    Column("n_tokens", "int32", "how many tokens"),
    Column("n_trained_tokens", "int32", "how many of them are trained"),
    *_CALLS,
    Column("turns", "list of int32", "the messages that this row trains"),
    Column("boundary", "string", "`clean`, or how a turn that would straddle its prompt is encoded"),
    *PROVENANCE,
)
"""The columns of SCHEMA, in words."""

Batch = Callable[[Sequence[Any]], Any]
"""What makes a record batch of some rows or conversations."""


def token_bytes(row: Row) -> int:
    """Bytes of row data: ids, labels, kinds and weights; next to them the other columns are nothing."""
    return len(row.tokens.input_ids) * (4 + 8 + 1 + 4)


# -- Parquet -----------------------------------------------------------------------------------------------------------

_REPEATING = ("labels", "kinds", "weights", "turns", "source_files")
_FEW = ("boundary", "source_file")


class ParquetSink:
    """One Parquet file, a row group for each call of `write`.

    Zstandard, and what makes reading fast (1.2 million tokens of real traces, 2026-11-21: 25% smaller than by default,
    and read in 0.03 s in place of 0.05): a dictionary only for values that repeat, such as a label of -100, and none
    for token ids, whose dictionary would be given up half way; statistics only for columns of single values, so that a
    filter on `n_tokens` passes over whole row groups, while the least and greatest id of a list serves nobody.
    """

    def __init__(self, path: Path, schema: Any, batch: Batch) -> None:
        lists = {field.name for field in schema if pa.types.is_list(field.type)}
        self._batch, self._schema = batch, schema
        writer: Any = pq.ParquetWriter
        self._file = writer(
            path,
            schema,
            compression="zstd",
            use_dictionary=[
                f"{name}.list.element" if name in lists else name
                for name in (*_REPEATING, *_FEW)
                if name in schema.names
            ],
            write_statistics=[field.name for field in schema if field.name not in lists and not _is_long(field)],
        )

        self._writing = ThreadPoolExecutor(1, "parquet")
        self._last: Future[None] | None = None

    def write(self, rows: Sequence[Any]) -> None:
        """Appends a row group, when the one before it is written; Arrow needs no lock of Python's for it."""
        batch = self._batch(rows)
        self._end_last()
        self._last = self._writing.submit(self._file.write_batch, batch)

    def close(self) -> None:
        """Ends the file."""
        try:
            self._end_last()
        finally:
            self._writing.shutdown()
            self._file.close()

    def _end_last(self) -> None:
        """Waits for what is being written.

        Raises:
            OSError: it could not be.
        """
        last, self._last = self._last, None
        if last is not None:
            last.result()


def parquet_shards(
    schema: Any,
    batch: Batch,
    *,
    items: Callable[[Sequence[Row]], Iterable[tuple[str, Any]]],
    size: Callable[[Any], int],
    extras: Extras = no_extras,
) -> Callable[[Path, int], Shards]:
    """How a writer of Parquet starts: from a folder and the bytes of row data in a shard (see `Shards`).

    Args:
        schema: of each file.
        batch: makes a record batch of some items.
        items, size, extras: as in `Shards`.
    """
    return partial(
        Shards,
        items=items,
        size=size,
        open_sink=lambda path: ParquetSink(path, schema, batch),
        name=shard_name("parquet"),
        extras=extras,
    )


def _is_long(field: Any) -> bool:
    """True for text whose least and greatest value would be whole conversations."""
    return field.name in ("messages", "tools", "metadata", "prompt", "completion")


def read_parquet(folder: Path) -> list[dict[str, Any]]:
    """All rows of a folder's Parquet files, in order."""
    tables = [pq.read_table(path) for path in sorted(folder.glob("*.parquet"))]
    return [row for table in tables for row in table.to_pylist()]


# -- Arrow streams -----------------------------------------------------------------------------------------------------


class StreamSink:
    """One file of Arrow's stream format, not compressed: `datasets` maps it into memory as it is."""

    def __init__(self, path: Path, schema: Any, batch: Batch) -> None:
        told = {"huggingface": json.dumps({"info": {"features": datasets_features(schema)}})}
        self._schema = schema.with_metadata({**(schema.metadata or {}), **told})
        self._batch = batch
        self._out = path.open("wb")
        self._file = pa.ipc.new_stream(self._out, self._schema)

    def write(self, rows: Sequence[Any]) -> None:
        """Appends a batch."""
        self._file.write_batch(self._batch(rows).replace_schema_metadata(self._schema.metadata))

    def close(self) -> None:
        """Ends the file."""
        self._file.close()
        self._out.close()


def read_stream(path: Path) -> list[dict[str, Any]]:
    """All rows of a file of Arrow's stream format, in order."""
    with path.open("rb") as file, pa.ipc.open_stream(file) as stream:
        return stream.read_all().to_pylist()


def datasets_features(schema: Any) -> dict[str, Any]:
    """The columns as `datasets` describes them, in the words that its versions from 3 on read."""

    def feature(kind: Any) -> dict[str, Any]:
        if pa.types.is_list(kind):
            return {"feature": feature(kind.value_type), "length": -1, "_type": "Sequence"}
        return {"dtype": "float32" if pa.types.is_float32(kind) else str(kind), "_type": "Value"}

    return {field.name: feature(field.type) for field in schema}


# -- tokens ------------------------------------------------------------------------------------------------------------


def token_batch(rows: Sequence[Row]) -> Any:
    """Training rows with all columns of SCHEMA."""
    tokens = [row.tokens for row in rows]
    return pa.RecordBatch.from_arrays(
        [
            _lists([t.input_ids for t in tokens], np.int32),
            _labels(tokens),
            _lists([t.kinds for t in tokens], np.int8),
            _lists([t.loss_mask if t.weights is None else t.weights for t in tokens], np.float32),
            _numbers((len(t.input_ids) for t in tokens), np.int32),
            _numbers((t.n_trained_tokens for t in tokens), np.int32),
            *_calls(rows),
            _lists([np.array(t.turns) for t in tokens], np.int32),
            _texts(t.boundary for t in tokens),
            *_provenance(rows),
        ],
        schema=SCHEMA,
    )


def _calls(rows: Sequence[Row]) -> list[Any]:
    each = [row.calls for row in rows]
    return [_numbers((one[place] for one in each), np.int32) for place in (0, 1)]


PACKED_SCHEMA: Any = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int64())),
        ("seq_lengths", pa.list_(pa.int32())),
        ("position_ids", pa.list_(pa.int32())),
        ("kinds", pa.list_(pa.int8())),
        pa.field("weights", pa.list_(pa.float32()), metadata={"honoured_by": HONOURED_BY}),
        ("n_tokens", pa.int32()),
        ("n_trained_tokens", pa.int32()),
        ("n_calls", pa.int32()),
        ("depth", pa.int32()),
        ("sample_ids", pa.list_(pa.string())),
        ("samples", pa.list_(pa.int32())),
        ("source_files", pa.list_(pa.string())),
        ("source_lines", pa.list_(pa.int64())),
        ("source_items", pa.list_(pa.int64())),
    ],
    metadata={"qwen_sft.kinds": json.dumps(LEGEND)},
)
"""Training rows that are packed: the lists of provenance have a value for each of them."""

PACKED_COLUMNS: tuple[Column, ...] = (
    Column("input_ids", "list of int32", "the tokens of several training rows, one behind the other"),
    Column("labels", "list of int64", "the same, -100 where a token is not trained, and where a row begins"),
    Column("seq_lengths", "list of int32", "how many tokens each of the rows has"),
    Column("position_ids", "list of int32", "the number of each token in its row, from 0"),
    Column("kinds", "list of int8", "what each token is; the file's metadata names the numbers"),
    Column("weights", "list of float", "how much each token counts; no trainer looks at it by itself"),
    Column("n_tokens", "int32", "how many tokens"),
    Column("n_trained_tokens", "int32", "how many of them are trained"),
    *_CALLS,
    Column("sample_ids", "list of string", "of each row: the trace's own id"),
    Column("samples", "list of int32", "of each row: which sample of the record"),
    Column("source_files", "list of string", "of each row: the file that it came from"),
    Column("source_lines", "list of int64", "of each row: its line"),
    Column("source_items", "list of int64", "of each row: its place in a list or Parquet file, else null"),
)
"""The columns of PACKED_SCHEMA, in words."""


def packed_batch(rows: Sequence[Row]) -> Any:
    """Packed training rows with all columns of PACKED_SCHEMA."""
    tokens = [row.tokens for row in rows]
    lengths = [[len(piece.tokens.input_ids) for piece in row.pieces] for row in rows]
    return pa.RecordBatch.from_arrays(
        [
            _lists([t.input_ids for t in tokens], np.int32),
            _labels(tokens),
            _lists([np.array(each) for each in lengths], np.int32),
            _lists([np.concatenate([np.arange(n) for n in each]) for each in lengths], np.int32),
            _lists([t.kinds for t in tokens], np.int8),
            _lists([t.loss_mask if t.weights is None else t.weights for t in tokens], np.float32),
            _numbers((len(t.input_ids) for t in tokens), np.int32),
            _numbers((t.n_trained_tokens for t in tokens), np.int32),
            *_calls(rows),
            pa.array([[piece.sample_id for piece in row.pieces] for row in rows], pa.list_(pa.string())),
            pa.array([[piece.sample for piece in row.pieces] for row in rows], pa.list_(pa.int32())),
            pa.array([[piece.where.file for piece in row.pieces] for row in rows], pa.list_(pa.string())),
            pa.array([[piece.where.line for piece in row.pieces] for row in rows], pa.list_(pa.int64())),
            pa.array([[piece.where.item for piece in row.pieces] for row in rows], pa.list_(pa.int64())),
        ],
        schema=PACKED_SCHEMA,
    )


BARE: Any = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("attention_mask", pa.list_(pa.int8())),
        ("labels", pa.list_(pa.int64())),
        ("n_tokens", pa.int32()),
        *_PROVENANCE,
    ]
)
"""A training row with an attention mask, for trainers that tell by it that there is nothing left to tokenize."""


def bare_batch(rows: Sequence[Row]) -> Any:
    """Training rows with the columns of BARE."""
    tokens = [row.tokens for row in rows]
    return pa.RecordBatch.from_arrays(
        [
            _lists([t.input_ids for t in tokens], np.int32),
            _lists([np.ones(len(t.input_ids)) for t in tokens], np.int8),
            _labels(tokens),
            _numbers((len(t.input_ids) for t in tokens), np.int32),
            *_provenance(rows),
        ],
        schema=BARE,
    )


def _labels(tokens: Sequence[Tokens]) -> Any:
    """The labels of all rows, as `Tokens.labels` has them, in one pass."""
    if not tokens:
        return _lists([], np.int64)
    ids = np.concatenate([t.input_ids for t in tokens])
    mask = np.concatenate([t.loss_mask for t in tokens])
    labels = np.full(len(ids), IGNORE, dtype=np.int64)
    np.copyto(labels, ids, where=mask)
    return pa.ListArray.from_arrays(_offsets([t.input_ids for t in tokens]), _array(labels))


def _lists(arrays: Sequence[Any], dtype: Any) -> Any:
    values = np.concatenate(arrays) if arrays else np.empty(0)
    return pa.ListArray.from_arrays(_offsets(arrays), _array(values.astype(dtype, copy=False)))


def _offsets(arrays: Sequence[Any]) -> Any:
    offsets = np.zeros(len(arrays) + 1, dtype=np.int32)
    np.cumsum([len(array) for array in arrays], out=offsets[1:])
    return _array(offsets)


# `pa.array` loads pandas where it is installed, which takes 0.4 s: the columns of a build of tokens do without.


def _array(values: Any) -> Any:
    """An array of numpy's, not copied."""
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _numbers(values: Iterable[int], dtype: Any) -> Any:
    return _array(np.array(list(values), dtype=dtype))


def _places(values: Sequence[int | None]) -> Any:
    """int64, where None is null."""
    known = np.packbits([value is not None for value in values], bitorder="little")
    numbers = np.array([value or 0 for value in values], dtype=np.int64)
    return pa.Array.from_buffers(pa.int64(), len(values), [pa.py_buffer(known), pa.py_buffer(numbers)])


def _texts(values: Iterable[str]) -> Any:
    texts = [value.encode() for value in values]
    offsets = np.zeros(len(texts) + 1, dtype=np.int32)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    return pa.Array.from_buffers(pa.string(), len(texts), [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(texts))])


def _provenance(rows: Sequence[Row]) -> list[Any]:
    return [
        _texts(row.sample_id for row in rows),
        _numbers((row.sample for row in rows), np.int32),
        _texts(row.where.file for row in rows),
        _numbers((row.where.line for row in rows), np.int64),
        _places([row.where.item for row in rows]),
    ]


# -- conversations -----------------------------------------------------------------------------------------------------


def json_texts(values: Sequence[Any]) -> Any:
    """A column of JSON text; None stays null."""
    return pa.array([None if value is None else json_text(value) for value in values], pa.string())


def json_values(values: Sequence[Any]) -> Any:
    """A column that `datasets` reads as `Json`: objects of any shape, none of them filled up with nulls."""
    return _as_json(pa.array([None if value is None else datasets_text(value) for value in values], pa.string()))


def json_lists(values: Sequence[list[Any] | None]) -> Any:
    """A column that `datasets` reads as `List(Json)`."""
    texts = [None if value is None else [datasets_text(item) for item in value] for value in values]
    listed = pa.array(texts, pa.list_(pa.string()))
    mask = pa.array([value is None for value in values]) if any(value is None for value in values) else None
    return pa.ListArray.from_arrays(listed.offsets, _as_json(listed.values), mask=mask)


def _as_json(texts: Any) -> Any:
    return pa.ExtensionArray.from_storage(pa.json_(pa.string()), texts)


def talk_provenance(talks: Sequence[Talk]) -> list[Any]:
    """The columns of PROVENANCE for conversations."""
    return _provenance([talk.rows[0] for talk in talks])


def talk_schema(*columns: Any, features: dict[str, Any] | None = None) -> Any:
    """Some columns and those of PROVENANCE.

    Args:
        features: what `datasets` is to make of the columns, where it could not tell by their types.
    """
    told = None if features is None else {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema([*columns, *_PROVENANCE], metadata=told)


def column(values: Sequence[Any], kind: Any) -> Any:
    """A column of single values, or of lists of them."""
    return pa.array(values, kind)


def record_batch(columns: Sequence[Any], schema: Any) -> Any:
    """Columns as a record batch."""
    return pa.RecordBatch.from_arrays(columns, schema=schema)


TEXT: Any = pa.string()
BOOL: Any = pa.bool_()
INT: Any = pa.int32()
INTS: Any = pa.list_(pa.int32())
JSON: Any = pa.json_(pa.string())
"""The Arrow type that `datasets` reads as `Json`."""

JSON_LIST: Any = pa.list_(JSON)
"""The Arrow type that `datasets` reads as `List(Json)`."""
