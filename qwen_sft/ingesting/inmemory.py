"""Records that a program already holds: dictionaries, or a data set of the library `datasets`.

They become records by way of JSON, so that what is checked is what a file of them would say. The line of a record is
its number, from 1.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import Any, cast

from qwen_sft.errors import UsageError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_object

RECORDS = "<records>"
"""What messages call records that stand in no file."""

_BATCH = 256

Held = dict[str, Callable[[], Iterator[Record]]]
"""Records in memory, by the name that messages call them."""


def held(given: Any) -> tuple[list[str], Held]:
    """What a program hands over: the paths that it names, or else its records.

    A string or a path is a path, an iterable of them several. A mapping is one record, an iterable of others several; a
    `Dataset` or `IterableDataset` gives its rows, a `DatasetDict` those of each split.

    Raises:
        UsageError: it is none of these, or mixes paths with records.
    """
    if isinstance(given, (str, os.PathLike)):
        return [_path(cast("object", given))], {}
    if is_object(given) and given and all(_is_dataset(split) for split in given.values()):
        return [], {f"<{name}>": _lazily(f"<{name}>", split) for name, split in given.items()}
    if _is_dataset(given):
        return [], {RECORDS: _lazily(RECORDS, given)}
    if isinstance(given, Mapping):
        return [], {RECORDS: lambda: _records(iter([cast("object", given)]))}
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Iterable):
        raise UsageError(
            f"cannot check a value of the type {type(given).__name__!r}; give a path, several, records, or a Dataset"
        )
    items = iter(cast("Iterable[Any]", given))
    first = list(islice(items, 1))
    if not first or isinstance(first[0], (str, os.PathLike)):
        return [_path(item) for item in chain(first, items)], {}
    return [], {RECORDS: lambda: _records(chain(first, items))}


def reader(given: Held) -> Callable[[Input], Iterator[Record]]:
    """What reads the records of an input whose name is one of those, and counts and hashes their text meanwhile."""

    def read(source: Input) -> Iterator[Record]:
        digest = hashlib.sha256()
        for record in given[source.name]():
            source.n_records += 1
            source.n_bytes += len(record.raw)
            digest.update(record.raw)
            digest.update(b"\n")
            yield record
        source.sha256 = digest.hexdigest()

    return read


def _path(item: Any) -> str:
    if not isinstance(item, (str, os.PathLike)):
        raise UsageError(f"cannot check a value of the type {type(item).__name__!r} beside paths; give only one kind")
    return os.fsdecode(cast("str | os.PathLike[Any]", item))


def _is_dataset(value: Any) -> bool:
    """True for a data set of `datasets`, without importing it: where nobody has, there is none."""
    library = sys.modules.get("datasets")
    return library is not None and isinstance(value, (library.Dataset, library.IterableDataset))


def _lazily(name: str, dataset: Any) -> Callable[[], Iterator[Record]]:
    return lambda: _rows(name, dataset)


def _rows(name: str, dataset: Any) -> Iterator[Record]:
    """The rows of a data set as its Parquet files would give them: what fillers of Arrow are is known."""
    if dataset.features is None:  # a stream of rows whose types nobody knows
        yield from _records(iter(dataset), name)
        return
    from qwen_sft.decoding.columnar import rows  # pyarrow: 0.15 s

    yield from rows(name, dataset.features.arrow_schema, dataset.with_format("arrow").iter(batch_size=_BATCH))


def _records(items: Iterator[Any], name: str = RECORDS) -> Iterator[Record]:
    from qwen_sft.decoding.jsontext import parse

    for number, item in enumerate(items, start=1):
        where = Where(name, number)
        try:
            text = json.dumps(item, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            yield Record(where, None, b"", f"the record has no JSON form: {error}")
        else:
            yield parse(text, where)
