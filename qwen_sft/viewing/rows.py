# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
# pyarrow has no types; what leaves this file is typed by its functions.
"""Rows of a set of tokens as a collection: only the row groups that a page needs are read, and of them some columns.

What a filter asks of numbers (length, source) is answered from columns of one value a row, held once somebody asks; a
text or a tool is looked for row by row, for a moment at a time.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_sft.decoding.columnar import opened
from qwen_sft.errors import InputError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.tokens import IGNORE, Kind
from qwen_sft.viewing.collection import KINDS, Filters, Hit, Hits, folder_of, gathered
from qwen_sft.viewing.row import BuiltRow, Reader, declared, row_sheet
from qwen_sft.viewing.sheet import Sheet

PATIENCE = 1.0
"""Seconds for which a text or a tool is looked for before a page says how far it came."""

_N_WORDS = 90
_SLICE = 1024  # rows of which tokens are held at a time
_LIGHT = ("n_tokens", "n_trained_tokens", "n_calls", "source_file", "source_line", "sample_id")
_HEAVY = ("input_ids", "kinds", "labels")
_NEEDED = (*_HEAVY, "n_tokens")


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: its file, its number in it, its first row in the set (from 0)."""

    file: int
    group: int
    start: int


class Rows:
    """The rows of some Parquet files that hold tokens and their kinds, as a `Collection`.

    Args:
        splits: for each file the part of the set that it belongs to.
        sources: the files that the set was made of.

    Raises:
        InputError: a file is no Parquet file, or has no such columns.
    """

    name = "rows"
    title = "Rows"
    columns: Sequence[str] = ("row", "tokens", "trained", "calls", "says")
    filters: Sequence[str] = ("q", "tool", "source", "kind", "least", "most")
    unit = "tokens"
    is_whole = True
    failure = ""

    def __init__(self, inputs: Sequence[Input], splits: Sequence[str], sources: Sequence[str], reader: Reader) -> None:
        import pyarrow.parquet as pq

        self._reader, self._splits, self._given = reader, splits, sources
        self._folder = folder_of(sources)
        self._lock = RLock()
        self._names = [source.name for source in inputs]
        self._paths = [source.path for source in inputs]
        self._groups: list[_Group] = []
        self._named: list[str] = []
        self._held: tuple[int, int, dict[str, Any]] | None = None
        self.n = 0
        for number, source in enumerate(inputs):
            with opened(source.name, "Parquet", lambda source=source: pq.ParquetFile(source.path)) as file:
                self._named = ["source_file"] if "source_file" in file.schema_arrow.names else []
                missing = sorted({*_NEEDED} - set(file.schema_arrow.names))
                if missing:
                    raise InputError(f"{source.name!r} has no column {missing[0]!r}, as --writer parquet has")
                for group in range(file.num_row_groups):
                    self._groups.append(_Group(number, group, self.n))
                    self.n += file.metadata.row_group(group).num_rows
        self._starts = [one.start for one in self._groups]

    # -- reading ------------------------------------------------------------------------------------------------------

    def _table(self, number: int, columns: Sequence[str] | None = None) -> Any:
        """A row group, by its number in the set."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        one = self._groups[number]
        name = self._names[one.file]
        try:
            with opened(name, "Parquet", lambda: pq.ParquetFile(self._paths[one.file])) as file:
                wanted = None if columns is None else [c for c in columns if c in file.schema_arrow.names]
                return file.read_row_group(one.group, columns=wanted)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"{name!r} is damaged: {error}; build again") from error

    def _near(self, row: int) -> tuple[int, dict[str, Any]]:
        """Some rows around one, by columns, and the first of them."""
        with self._lock:
            if self._held is not None and self._held[0] <= row < self._held[1]:
                return self._held[0], self._held[2]
            group = bisect_right(self._starts, row) - 1
            start = self._starts[group]
            table = self._table(group, (*_LIGHT, *_HEAVY))
            offset = (row - start) // _SLICE * _SLICE
            part = table.slice(offset, _SLICE)
            columns = {name: part.column(name).combine_chunks() for name in part.column_names}
            self._held = (start + offset, start + offset + part.num_rows, columns)
            return start + offset, columns

    def _tokens(self, row: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Ids and kinds of a row."""
        start, columns = self._near(row)
        ids, kinds = (_list(columns[name], row - start) for name in ("input_ids", "kinds"))
        return ids, kinds

    @cached_property
    def _light(self) -> dict[str, npt.NDArray[Any]]:
        """For each row its length, and the number of its source; read once somebody filters."""
        import pyarrow.parquet as pq

        sizes: list[npt.NDArray[Any]] = []
        sources: list[npt.NDArray[Any]] = []
        known: dict[str, int] = {}
        for path in self._paths:
            table = pq.read_table(path, columns=["n_tokens", *self._named])
            sizes += map(_numbers, table.column("n_tokens").chunks)
            if not self._named:  # packed rows come from several
                sources.append(np.zeros(table.num_rows, dtype=np.int32))
                continue
            for chunk in table.column("source_file").chunks:
                coded = chunk.dictionary_encode()
                names = coded.dictionary.to_pylist()
                numbers = np.array([known.setdefault(str(name), len(known)) for name in names] or [0], dtype=np.int32)
                sources.append(numbers[_numbers(coded.indices)])
        self._sources = known
        none = np.zeros(0, dtype=np.int32)
        return {"size": np.concatenate([*sizes, none]), "source": np.concatenate([*sources, none])}

    # -- listing ------------------------------------------------------------------------------------------------------

    def choices(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """As `Collection` says."""
        return {"source": [(one, 0) for one in self._given], "kind": [(one, 0) for one in KINDS]}

    def hits(self, filters: Filters, start: int, n: int, *, back: bool = False) -> Hits:
        """As `Collection` says."""
        until = time.monotonic() + PATIENCE
        with self._lock:
            mask = self._mask(filters)
            return gathered(
                (row + 1 for row in self._order(mask, start - 1, back)),
                lambda number: self._passes(number - 1, filters),
                self._hit,
                n,
                lambda: bool(filters.q or filters.tool or filters.kind) and time.monotonic() > until,
            )

    def _mask(self, asked: Filters) -> npt.NDArray[np.bool_] | None:
        """The rows that pass what is asked of numbers; None where nothing is."""
        if not asked.source and asked.least is None and asked.most is None:
            return None
        mask = np.ones(self.n, dtype=np.bool_)
        if asked.least is not None:
            mask &= self._light["size"] >= asked.least
        if asked.most is not None:
            mask &= self._light["size"] <= asked.most
        if asked.source:
            light = self._light["source"]
            mask &= np.isin(light, [number for name, number in self._sources.items() if asked.source in name])
        return mask

    def _order(self, mask: npt.NDArray[np.bool_] | None, start: int, back: bool) -> Iterator[int]:
        if mask is None:
            yield from range(min(start, self.n - 1), -1, -1) if back else range(start, self.n)
        else:
            passing = np.flatnonzero(mask)
            at = int(np.searchsorted(passing, start, side="right" if back else "left"))
            yield from reversed(passing[:at].tolist()) if back else passing[at:].tolist()

    def _passes(self, row: int, asked: Filters) -> bool:
        if not (asked.q or asked.tool or asked.kind):
            return True
        ids, kinds = self._tokens(row)
        if asked.kind and not (asked.kind in KINDS and (kinds == Kind[asked.kind.upper()]).any()):
            return False
        decode = self._reader.model.tokenizer.decode
        if asked.q and asked.q.casefold() not in decode(ids).casefold():
            return False
        return not asked.tool or self._calls(ids, kinds, asked.tool)

    def _calls(self, ids: npt.NDArray[Any], kinds: npt.NDArray[Any], name: str) -> bool:
        """True if a row calls a tool."""
        decode, parser = self._reader.model.tokenizer.decode, self._reader.parser
        text = decode(ids[kinds == Kind.CALL])
        if parser is None or name not in text:
            return False
        tools = [{"type": "function", "function": one} for one in declared(decode(ids[kinds == Kind.TOOLS]))]
        return any(called == name for called, _ in parser.read(text, tools, thinking=None).calls)

    def _hit(self, number: int) -> Hit:
        row = number - 1
        start, columns = self._near(row)
        at = row - start
        told = {name: columns[name][at].as_py() for name in _LIGHT if name in columns}
        ids, kinds = self._tokens(row)
        words = _words(ids, kinds, self._reader)
        numbers = (told.get("n_tokens", len(ids)), told.get("n_trained_tokens"), told.get("n_calls"))
        cells = ("–" if one is None else f"{one:,}" for one in numbers)
        place = _place(told, number).removeprefix(self._folder)
        return Hit(number, (place, *cells, words))

    # -- showing ------------------------------------------------------------------------------------------------------

    def sheet(self, number: int) -> Sheet | None:
        """As `Collection` says."""
        if not 0 < number <= self.n:
            return None
        with self._lock:
            group = bisect_right(self._starts, number - 1) - 1
            at = number - 1 - self._starts[group]
            table = self._table(group).slice(at, 1)
            row = {name: table.column(name).combine_chunks() for name in table.column_names}
            told = {name: row[name][0].as_py() for name in row if name not in (*_HEAVY, "weights")}
            ids, kinds, labels = (_list(row[name], 0) for name in _HEAVY)
            facts = [f"split {self._splits[self._groups[group].file]}"]
            facts += [f"{told['n_calls']:,} calls"] if told.get("n_calls") is not None else []
            facts += [f"id {told['sample_id']}"] if told.get("sample_id") else []
            made = BuiltRow(
                _place(told, number),
                facts,
                ids,
                kinds,
                labels != IGNORE,
                _list(row["weights"], 0) if "weights" in row else None,
                told.get("turns"),
            )
            sheet = row_sheet(made, self._reader)
            record = {name: value for name, value in told.items() if name != "turns"}
            facts = [f"row {number:,}", *sheet.facts]
            return replace(sheet, facts=facts, record=record, about="the other columns of the row")


def _list(column: Any, row: int) -> npt.NDArray[Any]:
    """A cell of a column of lists."""
    return _numbers(column[row].values)


def _numbers(values: Any) -> npt.NDArray[Any]:
    """An array of pyarrow's as numpy's, without a copy; its own `to_numpy` would first import pandas: half a second."""
    return np.from_dlpack(values)


def _place(told: Mapping[str, Any], number: int) -> str:
    file = told.get("source_file")
    return f"row {number:,}" if file is None else f"{file}:{told.get('source_line')}"


def _words(ids: npt.NDArray[Any], kinds: npt.NDArray[Any], reader: Reader) -> str:
    """The first words of the first user."""
    theirs = ids[kinds == Kind.USER][: _N_WORDS * 2]
    return " ".join(reader.model.tokenizer.decode(theirs).split())[:_N_WORDS]
