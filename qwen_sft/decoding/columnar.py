# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""Rows of Arrow tables to records: by way of JSON, so that a format sees what it would see in a JSON file."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from qwen_sft.decoding.jsontext import parse
from qwen_sft.decoding.streams import CHUNK
from qwen_sft.errors import InputError
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.normalize import decode_json

LISTS = ("messages", "conversations", "conversation", "trajectory", "traj", "history", "steps", "events", "tools")
"""Columns that some datasets keep as JSON text, because their values have no one type; no other text is looked into."""

Decode = Callable[[Any], Any]


@contextmanager
def opened(name: str, kind: str, make: Callable[[], Any]) -> Generator[Any, None, None]:
    """A reader of pyarrow's, while its rows are read.

    Raises:
        InputError: the file is none of its kind.
    """
    try:
        reader = make()
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{name!r} is no {kind} file: {error}") from error
    with reader:
        yield reader


ARROW_FILE = b"ARROW1"
"""What an Arrow file begins with; a stream does not."""


@contextmanager
def parquet(
    name: str, source: Any, size: int, keep: Callable[[str], bool] | None = None
) -> Generator[tuple[Any, Iterator[Any]], None, None]:
    """The schema of a Parquet file, and its rows as record batches of at most that many.

    Args:
        source: a path, or what pyarrow can seek in.
        keep: tells the columns to read; None for all. Where it keeps none there is the first, for rows to be counted.

    Raises:
        InputError: it is no Parquet file.
    """
    import pyarrow.parquet as pq

    # By default it holds a whole row group, which may be the whole file.
    with opened(name, "Parquet", lambda: pq.ParquetFile(source, buffer_size=CHUNK, pre_buffer=False)) as file:
        names = file.schema_arrow.names
        columns = None if keep is None else [one for one in names if keep(one)] or names[:1]
        yield file.schema_arrow, file.iter_batches(batch_size=size, columns=columns)


@contextmanager
def arrow(name: str, source: Any, size: int, *, is_file: bool) -> Generator[tuple[Any, Iterator[Any]], None, None]:
    """The schema of an Arrow file or stream, and its rows as record batches of at most that many.

    Args:
        source: what pyarrow can read, and seek in if `is_file`.
        is_file: whether it begins with ARROW_FILE.

    Raises:
        InputError: it is neither.
    """
    with opened(name, "Arrow", lambda: (pa.ipc.open_file if is_file else pa.ipc.open_stream)(source)) as reader:
        batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
        yield reader.schema, (batch.slice(at, size) for batch in batches for at in range(0, batch.num_rows, size))


@contextmanager
def tables(
    name: str, path: Path, size: int, keep: Callable[[str], bool] | None = None
) -> Generator[tuple[Any, Iterator[Any]], None, None]:
    """The same of a file on disk, whichever it is by its suffix: Parquet (.parquet) or else Arrow.

    Args:
        keep: of Parquet, tells the columns to read.

    Raises:
        InputError: it is not what its name says.
    """
    if name.lower().endswith(".parquet"):
        with parquet(name, path, size, keep) as found:
            yield found
        return
    with path.open("rb") as file:
        is_file = file.read(len(ARROW_FILE)) == ARROW_FILE
    # Not memory-mapped: what has passed would stay in the memory that the process holds.
    with arrow(name, pa.OSFile(str(path)), size, is_file=is_file) as found:
        yield found


def n_rows(path: Path) -> int | None:
    """How many rows a Parquet or Arrow file has, as it says itself; None where it does not, as a stream."""
    import pyarrow.parquet as pq

    try:
        if path.name.lower().endswith(".parquet"):
            return pq.read_metadata(path).num_rows
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as file:
            return sum(file.get_batch(k).num_rows for k in range(file.num_record_batches))
    except (OSError, pa.ArrowException):  # whoever reads it will say why
        return None


def rows(name: str, schema: Any, batches: Iterable[Any]) -> Iterator[Record]:
    """The rows of some batches as records, their raw bytes being the row as JSON.

    Text of the type JSON (Arrow's arrow.json, the `Json` feature of `datasets`) becomes its value.

    Raises:
        InputError: the file is damaged.
    """
    structs = frozenset(_structs(schema))
    features = _features(schema)
    decoders = {field.name: decode for field in schema if (decode := _decoder(field.type, features.get(field.name)))}
    texts = [f.name for f in schema if f.name in LISTS and _is_text(f.type) and f.name not in decoders]
    number = 0
    remaining = iter(batches)
    while True:
        try:
            batch = next(remaining, None)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{name!r} is damaged behind row {number}: {error}") from error
        if batch is None:
            return
        found = [_row(batch.slice(i, 1), decoders) for i in range(batch.num_rows)]
        for column in texts:
            _decode_texts(found, column)
        for row in found:
            number += 1
            yield _record(row, Where(name, number), structs)


def _record(row: Any, where: Where, structs: frozenset[tuple[str, frozenset[str]]]) -> Record:
    if isinstance(row, Exception):
        return Record(where, None, b"", f"the row has no JSON form: {row}")
    try:
        read = parse(msgspec.json.encode(row), where)
    except (ValueError, TypeError, RecursionError) as error:
        return Record(where, None, b"", f"the row has no JSON form: {error}")
    return Record(where, read.data, read.raw, read.fault, structs=structs)


def _row(one: Any, decoders: dict[str, Decode]) -> Any:
    """A row as a dict; the exception where a value has no Python form: text that is no UTF-8, a nanosecond."""
    try:
        (row,) = one.to_pylist()
    except (ValueError, TypeError, RecursionError) as error:
        return error
    for column, decode in decoders.items():
        row[column] = decode(row[column])
    return row


def _decode_texts(found: list[Any], column: str) -> None:
    """Reads a column of JSON text if each value of a batch is a list or an object."""
    read: list[tuple[Any, Any]] = []
    for row in found:
        if is_object(row) and row[column] is not None:
            value = _value(row[column])
            if not is_list(value) and not is_object(value):
                return
            read.append((row, value))
    for row, value in read:
        row[column] = value


def _value(text: Any) -> Any:
    """The value of a JSON text; what is none stays as it is."""
    try:
        return decode_json(text) if isinstance(text, str) else text
    except ValueError:
        return text


def table(columns: Mapping[str, list[Any]], types: Mapping[str, tuple[str, bool]]) -> Any:
    """An Arrow table of some columns.

    Args:
        types: of each column, Arrow's name of the type of a value, and whether each cell is a list of them.
    """
    kinds = {name: (pa.type_for_alias(kind), many) for name, (kind, many) in types.items()}
    schema = pa.schema([(name, pa.list_(kind) if many else kind) for name, (kind, many) in kinds.items()])
    return pa.table(dict(columns), schema=schema)


# -- types -------------------------------------------------------------------------------------------------------------


def _structs(schema: Any) -> Iterator[tuple[str, frozenset[str]]]:
    """The row itself and each struct type in it: the name that it stands under, and those of its fields."""
    yield "", frozenset(schema.names)
    types = list(zip(schema.names, schema.types, strict=True))
    while types:
        name, one = types.pop()
        if pa.types.is_struct(one):
            fields = [one.field(i) for i in range(one.num_fields)]
            yield name, frozenset(field.name for field in fields)
            types += [(field.name, field.type) for field in fields]
        elif _is_list(one):
            types.append((name, one.value_type))


def _is_list(one: Any) -> bool:
    return pa.types.is_list(one) or pa.types.is_large_list(one) or pa.types.is_fixed_size_list(one)


def _is_text(one: Any) -> bool:
    return pa.types.is_string(one) or pa.types.is_large_string(one)


def _features(schema: Any) -> dict[str, Any]:
    """What `datasets` says of the columns, in the metadata of the schema."""
    told = _value((schema.metadata or {}).get(b"huggingface", b"").decode(errors="replace"))
    info = told.get("info") if is_object(told) else None
    features = info.get("features") if is_object(info) else None
    return features if is_object(features) else {}


def _decoder(one: Any, feature: Any) -> Decode | None:
    """What turns the JSON texts in a value of a type into their values; None if it holds none."""
    if getattr(one, "extension_name", "") == "arrow.json" or (is_object(feature) and feature.get("_type") == "Json"):
        return _value
    if _is_list(one):
        inner = feature.get("feature") if is_object(feature) else feature[0] if is_list(feature) and feature else None
        item = _decoder(one.value_type, inner)
        return item and (lambda value: value if value is None else [item(each) for each in value])
    if pa.types.is_struct(one):
        named = feature if is_object(feature) else {}
        fields = {one.field(i).name: one.field(i).type for i in range(one.num_fields)}
        found = {name: decode for name, kind in fields.items() if (decode := _decoder(kind, named.get(name)))}
        if found:
            return lambda value: value and {k: found[k](v) if k in found else v for k, v in value.items()}
    return None
