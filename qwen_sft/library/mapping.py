"""Traces to training rows inside a program: `qwen_sft.Encoder`, alone or in `Dataset.map`."""

import json
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
from msgspec import structs

from qwen_sft.decoding.jsontext import parse
from qwen_sft.errors import RejectedError, UsageError
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.ingesting.inmemory import RECORDS, held
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.record import Record, Where
from qwen_sft.settings import settings_of
from qwen_sft.text.quote import quoted
from qwen_sft.tokens import Tokens

OnRejected = Literal["raise", "drop", "mark"]
"""What becomes of a record that gives no row: an exception; nothing, but a warning; or a row without tokens."""

COLUMNS = ("input_ids", "labels", "kinds", "weights", "n_tokens", "n_trained_tokens", "turns", "sample")
"""What a row can hold, under the names that `qwen-sft build` writes."""

REJECTED = "rejected"
"""The column that `on_rejected="mark"` adds: why there are no tokens; "" where there are some."""

_log = logging.getLogger("qwen_sft")


@dataclass(frozen=True, slots=True)
class Encoding:
    """What one record came to. It is true if it gives rows.

    Attributes:
        rows: the training rows; none where the record is rejected. Several where it holds several samples, or where the
            template rewrites earlier turns.
        findings: what the rules found.
    """

    rows: tuple[Tokens, ...]
    findings: tuple[Diagnostic, ...]

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def why(self) -> str:
        """Why there are no rows, in a line; "" where there are some."""
        if self.rows:
            return ""
        errors = [one for one in self.findings if one.severity is Severity.ERROR] or list(self.findings)
        if not errors:
            return "nothing in it is to be trained"
        more = f" (and {len(errors) - 1} more)" if errors[1:] else ""
        return f"{errors[0].code} {errors[0].json_path} {errors[0].says}{more}"


class Encoder:
    """Training rows of traces for one model, exactly as `qwen-sft build` makes them.

    The checks run too: a record with an error gives no row. An encoder can be pickled, and `datasets` caches by its
    settings, so `num_proc` and the cache of `Dataset.map` work.

        >>> import qwen_sft
        >>> encoder = qwen_sft.Encoder("qwen3")
        >>> asked = {"role": "user", "content": "Hi"}
        >>> batch = encoder({"messages": [[asked, {"role": "assistant", "content": "Hello!"}]]})
        >>> batch["labels"][0].tolist()[-4:]
        [9707, 0, 151645, -100]

    Args:
        model: family name, folder or hub id.
        columns: what a row holds, of COLUMNS. A trainer needs the first two.
        on_rejected: what becomes of a record that gives no row. `raise`: a RejectedError stops the work. `drop`: it is
            left out, and the logger `qwen_sft` warns how many of a batch were, and why the first one was. `mark`:
            it becomes a row without tokens, and the column `rejected` says why, or holds "".
        config: the settings file; by default `qwen-sft.toml` or `[tool.qwen-sft]` in `pyproject.toml`, here.
        settings: as those of `qwen_sft.validate`.

    Raises:
        UsageError: a setting or a column that does not exist.
        ModelError: the model cannot be loaded.
    """

    def __init__(
        self,
        model: "str | PathLike[str]",
        *,
        columns: Sequence[str] = ("input_ids", "labels"),
        on_rejected: OnRejected = "raise",
        config: "str | PathLike[str] | None" = None,
        **settings: Any,
    ) -> None:
        if on_rejected not in get_args(OnRejected):
            raise UsageError(f"on_rejected is {on_rejected!r}; it can be {', '.join(get_args(OnRejected))}")
        strange = [name for name in columns if name not in COLUMNS]
        if strange or isinstance(columns, str) or not columns:
            raise UsageError(f"columns are {quoted(columns)}; they can be a list of {', '.join(COLUMNS)}")
        self.settings = settings_of({**settings, "model": model}, config, "Encoder()")
        self.columns = tuple(columns)
        self.on_rejected: OnRejected = on_rejected
        self._pipeline = Pipeline(self.settings)

    def __getstate__(self) -> dict[str, Any]:
        """What tells encoders apart, for a pickle and for the cache of `datasets`; not what they hold in memory."""
        return {"settings": self.settings, "columns": self.columns, "on_rejected": self.on_rejected}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._pipeline = Pipeline(self.settings)

    def encode(self, data: Any) -> Iterator[Encoding]:
        """The rows and the findings of records, in order, whatever `on_rejected` says.

        Args:
            data: one record, an iterable of them, or what `datasets` has loaded.

        Raises:
            UsageError: it names files; those are for `qwen_sft.build`.
        """
        paths, given = held(data)
        if paths:
            raise UsageError(f"{quoted(paths[0])} is no record; qwen_sft.build reads files")
        for records in given.values():
            for outcome in _processed(self._pipeline, records()):
                yield _encoding(outcome)

    def __call__(self, batch: Any, indices: Sequence[int] | None = None) -> Any:
        """A batch of records to a batch of rows, for `Dataset.map(batched=True)` and for streams.

        The number of rows may differ from that of records, so `map` has to be told to take the other columns out:
        `remove_columns=dataset.column_names`; the method `map` does.

        Args:
            batch: a mapping of column names to lists, or an Arrow table. Only of a table, or of what `Dataset.map`
                hands over, it is known which nulls Arrow has filled in where other rows have a value.
            indices: the numbers of the records in the data set, from 0, for messages (`with_indices=True`).

        Returns:
            The columns by name; as a table if the batch is one.

        Raises:
            RejectedError: a record gives no row, and `on_rejected` is `raise`.
        """
        outcomes = list(_processed(self._pipeline, _renumbered(_records(batch), indices)))
        made = [_encoding(one) for one in outcomes]
        gone = [(outcome.record, one.why) for outcome, one in zip(outcomes, made, strict=True) if not one]
        if gone and self.on_rejected == "raise":
            record, why = gone[0]
            raise RejectedError(
                f"record {record.where.line - 1} gives no row: {why}; mend it, take it out, or choose "
                "on_rejected='drop' or 'mark'"
            )
        if gone and self.on_rejected == "drop":
            record, why = gone[0]
            _log.warning(
                "%d of %d records give no row; the first is record %d: %s",
                *(len(gone), len(made), record.where.line - 1, why),
            )
        result: dict[str, list[Any]] = {name: [] for name in self.columns}
        if self.on_rejected == "mark":
            result[REJECTED] = []
        for outcome, one in zip(outcomes, made, strict=True):
            for row in outcome.rows:
                for name in self.columns:
                    result[name].append(_value(name, row.tokens, row.sample))
            if self.on_rejected == "mark":
                if not one:
                    for name in self.columns:
                        result[name].append(_value(name, _NO_TOKENS, 0))
                result[REJECTED] += [one.why] * max(1, len(one.rows))
        return _table(result) if _is_table(batch) else result

    def map(self, dataset: Any, **options: Any) -> Any:
        """The rows of what `datasets` has loaded: a Dataset, a DatasetDict, or a stream of either kind.

        All columns of the traces are taken out. Nulls that Arrow has filled into calls are known here.

        Args:
            options: for the `map` of `datasets`, such as `num_proc` or `batch_size`.
        """
        columns = dataset.column_names
        if isinstance(columns, dict):  # a DatasetDict: columns by split
            return type(dataset)({name: self.map(split, **options) for name, split in dataset.items()})
        if columns is None:
            dataset = dataset._resolve_features()  # a stream that was not looked into yet
            columns = dataset.column_names
        mapped = dataset.with_format("arrow").map(
            self, batched=True, with_indices=True, remove_columns=columns, features=self.features, **options
        )
        return mapped.with_format(None)

    @property
    def features(self) -> Any:
        """The types of the columns, as `datasets.Features`: those of `qwen-sft build`."""
        from datasets import (  # pyright: ignore[reportMissingTypeStubs]  # 1 s, and whoever asks has imported it
            Features,
            List,
            Value,
        )

        of = {name: (List(Value(kind)) if many else Value(kind)) for name, (kind, many) in _TYPES.items()}
        marks = {REJECTED: Value("string")} if self.on_rejected == "mark" else {}
        return Features({**{name: of[name] for name in self.columns}, **marks})


_TYPES = {
    "input_ids": ("int32", True),
    "labels": ("int64", True),
    "kinds": ("int8", True),
    "weights": ("float32", True),
    "n_tokens": ("int32", False),
    "n_trained_tokens": ("int32", False),
    "turns": ("int32", True),
    "sample": ("int32", False),
}

_NO_TOKENS = Tokens(
    input_ids=np.zeros(0, np.int32),
    loss_mask=np.zeros(0, np.bool_),
    kinds=np.zeros(0, np.int8),
    messages=np.zeros(0, np.int32),
    turns=(),
    n_messages=0,
    regions=(),
)


def _value(name: str, tokens: Tokens, sample: int) -> "npt.NDArray[Any] | int":
    if name == "weights":
        return tokens.loss_mask.astype(np.float32) if tokens.weights is None else tokens.weights
    if name == "n_tokens":
        return len(tokens.input_ids)
    if name == "turns":
        return np.array(tokens.turns, np.int32)
    return sample if name == "sample" else getattr(tokens, name)


def _is_table(batch: Any) -> bool:
    """True for an Arrow table, without importing pyarrow: where nobody has, there is none."""
    library = sys.modules.get("pyarrow")
    return library is not None and isinstance(batch, library.Table)


def _table(columns: Mapping[str, list[Any]]) -> Any:
    from qwen_sft.decoding.columnar import table

    return table(columns, {name: _TYPES.get(name, ("string", False)) for name in columns})


_BATCH = 256


def _encoding(outcome: Outcome) -> Encoding:
    """What became of a record, which it holds on to no longer."""
    return Encoding(tuple(row.tokens for row in outcome.rows), tuple(one.settled() for one in outcome.diagnostics))


def _processed(pipeline: Pipeline, records: Iterator[Record]) -> Iterator[Outcome]:
    waiting: list[Record] = []
    for record in records:
        waiting.append(record)
        if len(waiting) == _BATCH:
            yield from pipeline.process(waiting)
            waiting = []
    yield from pipeline.process(waiting)


def _records(batch: Any) -> Iterator[Record]:
    table = getattr(batch, "pa_table", batch)  # what Dataset.map hands over keeps the table that it came from
    if hasattr(table, "schema"):
        from qwen_sft.decoding.columnar import rows

        yield from rows(RECORDS, table.schema, table.to_batches())
        return
    if not isinstance(batch, Mapping):
        raise UsageError(f"a batch is a mapping of columns, not a {type(batch).__name__!r}; call encode for records")
    columns = cast("Mapping[str, Sequence[Any]]", batch)
    names = list(columns)
    for number, row in enumerate(zip(*(columns[name] for name in names), strict=True), start=1):
        where = Where(RECORDS, number)
        try:
            text = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, TypeError, RecursionError) as error:
            yield Record(where, None, b"", f"the record has no JSON form: {error}")
        else:
            yield parse(text, where)


def _renumbered(records: Iterator[Record], indices: Sequence[int] | None) -> Iterator[Record]:
    if indices is None:
        yield from records
        return
    for index, record in zip(indices, records, strict=True):
        yield structs.replace(record, where=Where(record.where.file, index + 1))
