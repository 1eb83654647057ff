# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""Tokenized rows of files to batches: Parquet and Arrow column by column, everything else record by record."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_sft.auditing.batch import Batch, Broken, Ints
from qwen_sft.auditing.parts import MISALIGNED, NOTHING_TRAINED, UNREADABLE
from qwen_sft.errors import InputError
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.sample import is_list, is_object
from qwen_sft.tokens import IGNORE

MASKS = ("labels", "assistant_masks", "assistant_mask", "completion_mask", "loss_mask")
"""Columns that say what is trained; of several in one row the first of them is judged, as trainers take `labels`."""

PACKING = ("seq_lengths", "position_ids", "attention_mask")
"""Columns that tell where conversations begin in a packed row; the first of them that a row has is read.

An attention mask tells it where it counts them: 1, 1, 2, 2, 2.
"""

_MOST_ROWS = 256
_MOST_TOKENS = 1 << 18


def batches(source: Input, mask: str | None) -> Iterator[Batch]:
    """The rows of a file, some at a time.

    Args:
        mask: the column that says what is trained; None for the first of MASKS that is there.

    Raises:
        InputError: the file cannot be read.
    """
    name = source.name.lower()
    local = source.path is not None
    if local and name.endswith((".parquet", ".arrow", ".feather")):
        found = _rows(_batches(source, mask), mask)
    else:
        found = _of_records(source, mask)
    held: list[_Row] = []
    broken: list[Broken] = []
    n_tokens = 0
    for row in found:
        if isinstance(row, Broken):
            broken.append(row)
        elif held and held[0].kind != row.kind:
            yield _batch(source.name, held, broken)
            held, broken, n_tokens = [row], [], len(row.ids)
        else:
            held.append(row)
            n_tokens += len(row.ids)
        if len(held) + len(broken) >= _MOST_ROWS or n_tokens >= _MOST_TOKENS:
            yield _batch(source.name, held, broken)
            held, broken, n_tokens = [], [], 0
    if held or broken:
        yield _batch(source.name, held, broken)


class _Row:
    """A row: its arrays, and `kind`, in which rows of one batch must not differ."""

    __slots__ = ("documents", "ids", "kind", "line", "mask")

    def __init__(self, line: int, column: str, ids: Ints, mask: Ints, documents: Ints | None) -> None:
        self.line, self.ids, self.mask, self.documents = line, ids, mask, documents
        self.kind = (column, documents is None)


def _batch(file: str, rows: list[_Row], broken: list[Broken]) -> Batch:
    column, unpacked = rows[0].kind if rows else ("", True)
    sizes = [len(row.ids) for row in rows]
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    ids = _joined([row.ids for row in rows])
    mask = _joined([row.mask for row in rows])
    documents = None
    if not unpacked:
        starts = zip(rows, offsets[:-1], strict=True)
        documents = _joined([row.documents + start for row, start in starts if row.documents is not None])
    is_labels = column == "labels"
    lines = np.array([row.line for row in rows], dtype=np.int64)
    trained = mask != (IGNORE if is_labels else 0)
    return Batch(file, column, lines, ids, offsets, trained, mask if is_labels else None, documents, broken)


def _joined(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.zeros(0, dtype=np.int64)


# -- one row -----------------------------------------------------------------------------------------------------------


def _row(line: int, get: Callable[[str], Ints | str | None], mask: str | None) -> _Row | Broken:
    """A row of its columns.

    Args:
        get: the numbers of a column; None where the row has none, text where they are no numbers, saying why.
    """
    ids = get("input_ids")
    if ids is None:
        return Broken(line, "", "no input_ids")
    column, given = _first(get, MASKS if mask is None else (mask,))
    if given is None:
        wanted = mask or f"any of {', '.join(MASKS)}"
        return Broken(line, "", f"input_ids without {wanted}")
    if isinstance(ids, str) or isinstance(given, str):
        return Broken(line, UNREADABLE.name, ids if isinstance(ids, str) else str(given))
    if len(ids) != len(given):
        return Broken(line, MISALIGNED.name, f"{len(ids):,} input_ids and {len(given):,} in {column}")
    if not len(ids):
        return Broken(line, NOTHING_TRAINED.name, "the row has no tokens")
    packing, told = _first(get, PACKING)
    if isinstance(told, str):
        return Broken(line, UNREADABLE.name, told)
    if told is None or (packing == "attention_mask" and bool((told <= 1).all())):
        return _Row(line, column, ids, given, None)
    documents = _documents(packing, told, len(ids))
    if documents is None:
        return Broken(line, MISALIGNED.name, f"{packing} does not fit {len(ids):,} input_ids")
    return _Row(line, column, ids, given, documents)


def _first(get: Callable[[str], Ints | str | None], names: Iterable[str]) -> tuple[str, Ints | str | None]:
    """The first of some columns that the row has."""
    for name in names:
        found = get(name)
        if found is not None:
            return name, found
    return "", None


def _documents(packing: str, told: Ints, n_tokens: int) -> Ints | None:
    """Where conversations begin in a row; None where what is told does not fit it."""
    if packing == "seq_lengths":
        return np.append(0, np.cumsum(told)[:-1]) if int(told.sum()) == n_tokens and bool((told > 0).all()) else None
    if len(told) != n_tokens:
        return None
    begins = told == 0 if packing == "position_ids" else np.append(True, (told[1:] != told[:-1]) & (told[1:] > 0))
    begins[0] = True
    return np.flatnonzero(begins)


# -- Parquet and Arrow -------------------------------------------------------------------------------------------------


def _batches(source: Input, mask: str | None) -> Iterator[Any]:
    from qwen_sft.decoding.columnar import tables

    assert source.path is not None
    names = ("input_ids", *((mask,) if mask else MASKS), *PACKING)
    with tables(source.name, source.path, _MOST_ROWS, lambda name: name in names) as (_, found):
        yield from found


def _rows(tables: Iterable[Any], mask: str | None) -> Iterator[_Row | Broken]:
    """The rows of record batches."""
    import pyarrow as pa

    line = 0
    names = frozenset(("input_ids", *((mask,) if mask else MASKS), *PACKING))
    remaining = iter(tables)
    while True:
        try:
            table = next(remaining, None)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"it is damaged behind row {line}: {error}") from error
        if table is None:
            return
        columns = {name: _column(table.column(name), name) for name in table.schema.names if name in names}

        for row in range(table.num_rows):
            line += 1

            def get(name: str, columns: dict[str, Any] = columns, row: int = row) -> Ints | str | None:
                return columns[name](row) if name in columns else None

            yield _row(line, get, mask)


def _column(array: Any, name: str) -> Callable[[int], Ints | str | None]:
    """What gives the numbers of a row of a column."""
    import pyarrow as pa

    if pa.types.is_null(array.type):
        return lambda _row: None
    is_list_type = (pa.types.is_list, pa.types.is_large_list)
    if pa.types.is_fixed_size_list(array.type):
        array = array.cast(pa.list_(array.type.value_type))
    if not any(test(array.type) for test in is_list_type) or not _is_number(array.type.value_type):
        says = f"{name} is a column of {array.type}, and should be one of lists of integers"
        return lambda _row: says
    offsets = array.offsets.to_numpy()
    first, last = int(offsets[0]), int(offsets[-1])
    flat = array.values.slice(first, last - first)
    missing = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if flat.null_count:
        holes = flat.is_null().to_numpy(zero_copy_only=False)
        values: npt.NDArray[Any] = flat.fill_null(0).to_numpy(zero_copy_only=False)
    else:
        holes = None
        values = flat.to_numpy(zero_copy_only=False)
    values = _integers(values)
    offsets = offsets - first

    def get(row: int) -> Ints | str | None:
        if missing is not None and missing[row]:
            return None
        here = slice(int(offsets[row]), int(offsets[row + 1]))
        return f"{name} holds nulls" if holes is not None and holes[here].any() else values[here]

    return get


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)


# -- everything else ---------------------------------------------------------------------------------------------------


def _of_records(source: Input, mask: str | None) -> Iterator[_Row | Broken]:
    for record in records(source):
        data: Any = record.data
        if record.fault is not None:
            yield Broken(record.where.line, UNREADABLE.name, record.fault)
        elif is_object(data):

            def get(name: str, data: dict[str, Any] = data) -> Ints | str | None:
                return _numbers(data.get(name), name)

            yield _row(record.where.line, get, mask)
        else:
            yield Broken(record.where.line, "", "no input_ids")


def _numbers(value: Any, name: str) -> Ints | str | None:
    """A JSON list of integers (of 0, 1 and such for a mask)."""
    if value is None:
        return None
    if not is_list(value):
        return f"{name} is no list"
    try:
        found = np.array(value)
    except (ValueError, OverflowError):
        return f"{name} is no list of integers"
    if not len(value):
        return np.zeros(0, dtype=np.int64)
    if found.ndim != 1 or found.dtype.kind not in "ifb":
        return f"{name} is no list of integers"
    return _integers(found)


def _integers(values: npt.NDArray[Any]) -> Ints:
    """Numbers as integers; a weight between them as 1, since it trains its token."""
    if values.dtype.kind == "f":
        values = np.where(values == np.trunc(values), values, 1)
    return values.astype(np.int64, copy=False)
