"""Records of traces, or those that a build rejected, as a collection: read once from end to end while others look.

Memory holds some 200 bytes of a record: where it stands, what it has, its first words. To show one, it is read again.
"""

import re
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from threading import Condition, Lock, Thread
from typing import Any

from msgspec import structs

from qwen_sft.decoding.jsontext import parse
from qwen_sft.errors import InputError, QwenSftError
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.record import Record, Where
from qwen_sft.sample import Path, is_list, is_object, value_at
from qwen_sft.shaping.redact import redacted
from qwen_sft.viewing.collection import KINDS, Filters, Hit, Hits, folder_of, gathered
from qwen_sft.viewing.record import sheet_of
from qwen_sft.viewing.sheet import Sheet

PATIENCE = 0.7
"""Seconds that a page waits for more, or looks for a text."""

_BATCH = 16
_N_WORDS = 90
_MOST_WALKED = 5_000  # records that are passed over rather than to begin a file again
_MOST_CHOICES = 300

Judge = Callable[[Sequence[Record]], list[Outcome]]


class Traces:
    """The records of some inputs, or of a rejects file, as a `Collection`.

    Args:
        rejects: the input is what a build kept of rejected records, with their findings.
    """

    columns: Sequence[str] = ("record", "verdict", "size", "turns", "findings", "says")
    filters: Sequence[str] = ("q", "code", "tool", "source", "kind", "least", "most")

    def __init__(self, inputs: Sequence[Input], pipeline: Pipeline, *, rejects: bool = False) -> None:
        self.name, self.title = ("rejected", "Rejected records") if rejects else ("records", "Records")
        self.unit = "tokens" if pipeline.settings.model is not None else "characters"
        self._inputs, self._pipeline = inputs, pipeline
        self._rejects = rejects
        self._folder = "" if rejects else folder_of([source.name for source in inputs])
        self._at_work = Lock()  # the pipeline serves one at a time
        self._at_file = Lock()
        self._walk: tuple[int, int, Iterator[Record]] | None = None  # input, ordinal of what comes next, what comes
        self._grown = Condition()
        self.is_whole = False
        self.failure = ""
        self._source, self._line, self._item = array("i"), array("q"), array("q")
        self._ordinal, self._byte, self._n_bytes = array("q"), array("q"), array("q")
        self._size, self._turns, self._has, self._is_rejected = array("q"), array("i"), array("H"), array("b")
        self._codes: list[tuple[str, ...]] = []
        self._tools: list[tuple[str, ...]] = []
        self._words: list[str] = []
        self._files: list[str] = []
        self._file_of = array("i")
        self._same: dict[Any, Any] = {}  # tuples that many records share are held once
        self._by: dict[str, Counter[str]] = {"code": Counter(), "tool": Counter(), "source": Counter()}
        self._by["kind"] = Counter()

    def start(self) -> None:
        """Begins to read, beside everything else."""
        Thread(target=self._read, daemon=True).start()

    # -- reading ------------------------------------------------------------------------------------------------------

    def _read(self) -> None:
        try:
            for number, source in enumerate(self._inputs):
                self._read_input(number, source)
        except QwenSftError as error:
            self.failure = str(error)
        except Exception as error:
            self.failure = f"{error!r} while reading; see the terminal"
            raise
        finally:
            with self._grown:
                self.is_whole = True
                self._grown.notify_all()

    def _read_input(self, number: int, source: Input) -> None:
        ordinal = 0
        found = self._records(source)
        while batch := list(islice(found, _BATCH)):
            with self._at_work:
                outcomes = self._judged(batch)
            with self._grown:
                for record, outcome in zip(batch, outcomes, strict=True):
                    self._add(number, ordinal, source, record, outcome)
                    ordinal += 1
                self._grown.notify_all()
            time.sleep(0)  # somebody may be waiting to have a record shown

    def _records(self, source: Input) -> Iterator[Record]:
        found = records(replace(source))
        return found if self._rejects else self._pipeline.whole(found)

    def _judged(self, batch: Sequence[Record]) -> list[Outcome]:
        if self._rejects:
            return [_kept(record, self._pipeline) for record in batch]
        return self._pipeline.process(batch)

    def _add(self, number: int, ordinal: int, source: Input, record: Record, outcome: Outcome) -> None:
        where = outcome.record.where
        self._source.append(number)
        self._ordinal.append(ordinal)
        self._line.append(where.line)
        self._item.append(-1 if where.item is None else where.item)
        direct = source.is_text and not record.parts and not record.cut and record.where.item is None
        direct = direct and not self._pipeline.settings.dedup_prefixes and record.fault is None
        direct = direct and record.where.file == source.name
        self._byte.append(record.where.byte if direct else -1)
        self._n_bytes.append(len(record.raw))
        read = outcome.conversations or (outcome.reading.conversations if outcome.reading else [])
        n_tokens = sum(len(row.tokens.input_ids) for row in outcome.rows)
        self._size.append(n_tokens if self.unit == "tokens" else len(outcome.record.raw))
        self._turns.append(sum(len(_messages(one)) for one in read))
        kinds = {kind for one in read for kind in _kinds(one)}
        self._has.append(sum(1 << n for n, kind in enumerate(KINDS) if kind in kinds))
        self._is_rejected.append(outcome.rejected)
        codes = tuple(dict.fromkeys(one.code for one in outcome.diagnostics))
        tools = tuple(dict.fromkeys(name for one in read for name in _called(one)))
        self._codes.append(self._same.setdefault(codes, codes))
        self._tools.append(self._same.setdefault(tools, tools))
        self._words.append(_words(read, outcome))
        if not self._files or self._files[-1] != where.file:
            self._files.append(where.file)
        self._file_of.append(len(self._files) - 1)
        for key, values in (("code", codes), ("tool", tools), ("source", (where.file,)), ("kind", kinds)):
            self._by[key].update(values)

    # -- listing ------------------------------------------------------------------------------------------------------

    @property
    def n(self) -> int:
        """How many records were read so far."""
        return len(self._file_of)

    def choices(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """As `Collection` says, of what was read so far."""
        with self._grown:
            return {key: counts.most_common(_MOST_CHOICES) for key, counts in self._by.items()}

    def hits(self, filters: Filters, start: int, n: int, *, back: bool = False) -> Hits:
        """As `Collection` says. Where the reader has not come so far, it waits a little."""
        until = time.monotonic() + PATIENCE

        def numbers() -> Iterator[int]:
            if back:
                yield from range(min(start, self.n), 0, -1)
                return
            number = start
            while True:
                with self._grown:
                    while number > self.n and not self.is_whole and (left := until - time.monotonic()) > 0:
                        self._grown.wait(left)
                if number > self.n:
                    return
                yield number
                number += 1

        found = gathered(
            numbers(), lambda number: self._passes(number - 1, filters), self._hit, n, lambda: time.monotonic() > until
        )
        if found.stopped is None and not back and not self.is_whole and len(found.hits) < n:
            return replace(found, stopped=self.n + 1)
        return found

    def _passes(self, i: int, asked: Filters) -> bool:
        if asked.code and asked.code not in self._codes[i]:
            return False
        if asked.tool and asked.tool not in self._tools[i]:
            return False
        if asked.source and asked.source not in self._files[self._file_of[i]]:
            return False
        if asked.kind and not (asked.kind in KINDS and self._has[i] >> KINDS.index(asked.kind) & 1):
            return False
        if asked.least is not None and self._size[i] < asked.least:
            return False
        if asked.most is not None and self._size[i] > asked.most:
            return False
        return not asked.q or self._holds(i, asked.q)

    def _holds(self, i: int, text: str) -> bool:
        record = self._record(i)
        if record is None:
            return False
        if record.fault is not None:
            return text.casefold() in record.raw.decode("utf-8", "replace").casefold()
        return any(text.casefold() in one.casefold() for one in _texts(record.data))

    def _hit(self, number: int) -> Hit:
        i = number - 1
        verdict = "✗ rejected" if self._is_rejected[i] else "✓ passes"
        file = self._files[self._file_of[i]].removeprefix(self._folder)
        place = f"{file}:{self._line[i]}"
        codes = " ".join(self._codes[i])
        return Hit(number, (place, verdict, f"{self._size[i]:,}", f"{self._turns[i]:,}", codes, self._words[i]))

    # -- showing ------------------------------------------------------------------------------------------------------

    def sheet(self, number: int) -> Sheet | None:
        """As `Collection` says."""
        record = self._record(number - 1) if 0 < number <= self.n else None
        if record is None:
            return None
        with self._at_work:
            (outcome,) = self._judged([record])
            return sheet_of(outcome, self._pipeline)

    def _record(self, i: int) -> Record | None:
        """A record, read again: at its place where its file has places, else from the beginning of its file."""
        source = self._inputs[self._source[i]]
        if self._byte[i] >= 0 and source.path is not None:
            try:
                with source.path.open("rb") as file:
                    file.seek(self._byte[i])
                    raw = file.read(self._n_bytes[i])
            except OSError as error:
                raise InputError(f"cannot read {source.name!r} again: {error.strerror}") from error
            where = Where(source.name, self._line[i] if not self._rejects else self._ordinal[i] + 1, self._byte[i])
            return parse(raw, where)
        with self._at_file:
            return self._walked_to(i, source)

    def _walked_to(self, i: int, source: Input) -> Record | None:
        """A record of a file without places: the one before was often asked for just now, and reading goes on there."""
        number, ordinal = self._source[i], self._ordinal[i]
        at = self._walk
        if at is None or at[0] != number or not 0 <= ordinal - at[1] <= _MOST_WALKED:
            if source.path is not None and source.name.lower().endswith(".parquet"):
                self._walk = (number, ordinal, _parquet_rows(source, ordinal))
            else:
                self._walk = (number, 0, self._records(source))
            at = self._walk
        record = next(islice(at[2], ordinal - at[1], None), None)
        self._walk = None if record is None else (number, ordinal + 1, at[2])
        return record


def _parquet_rows(source: Input, first: int) -> Iterator[Record]:
    """The rows of a Parquet file from one on, by its number from 0; row groups before it are not read."""
    import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]

    from qwen_sft.decoding.columnar import opened, rows

    path: Any = source.path
    reader: Any = pq.ParquetFile
    number = 0
    with opened(source.name, "Parquet", lambda: reader(path)) as file:
        for group in range(file.num_row_groups):
            n_rows = file.metadata.row_group(group).num_rows
            if first < number + n_rows:
                batches = file.read_row_group(group).slice(max(0, first - number)).to_batches()
                for k, record in enumerate(rows(source.name, file.schema_arrow, batches), start=max(first, number)):
                    yield structs.replace(record, where=Where(source.name, k + 1))
            number += n_rows


def _kept(record: Record, pipeline: Pipeline) -> Outcome:
    """A rejected record as its build has judged it."""
    kept: Any = record.data if is_object(record.data) else {}
    line: Any = kept.get("line")
    item: Any = kept.get("item")
    where = Where(
        str(kept.get("file")), line if isinstance(line, int) else 0, 0, item if isinstance(item, int) else None
    )
    if "record" in kept:
        (outcome,) = pipeline.process([Record(where, kept["record"], record.raw)])
    else:
        outcome = Outcome(Record(where, None, str(kept.get("text", "")).encode("utf-8", "replace"), "no JSON"))
    told: Any = kept.get("findings")
    outcome.diagnostics = [_finding(one, where) for one in (told if is_list(told) else ()) if is_object(one)]
    return outcome


def _finding(told: Mapping[str, Any], where: Where) -> Diagnostic:
    """A finding as a rejects file has it."""
    text = {
        key: str(told.get(key, "")) for key in ("code", "name", "says", "fix", "path", "sample_path", "fingerprint")
    }
    path = path_of(text["path"])
    if where.item is not None and path[:1] == (where.item,):
        path = path[1:]
    known = [one for one in Severity if one.value == told.get("severity")]
    ident = told.get("sample_id")
    return Diagnostic(
        *(text["code"], text["name"], known[0] if known else Severity.ERROR, where, path, path_of(text["sample_path"])),
        *(text["says"], text["fix"], text["fingerprint"], ident if isinstance(ident, str) else None),
    )


_STEP = re.compile(r"\[(\d+)\]|\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]", re.DOTALL)


def path_of(text: str) -> Path:
    """The place that `qwen_sft.sample.json_path` has spelled."""
    found = _STEP.finditer(text)
    return tuple(
        int(one[1]) if one[1] else one[2] if one[2] is not None else re.sub(r"\\(.)", r"\1", one[3]) for one in found
    )


# -- what a record has -------------------------------------------------------------------------------------------------


def _messages(one: Conversation) -> list[dict[str, Any]]:
    found: Any = one.sample.get("messages")
    return [message for message in (found if is_list(found) else ()) if is_object(message)]


_HAS = {"system": "system", "user": "user", "tool": "result"}


def _kinds(one: Conversation) -> Iterator[str]:
    """Those of KINDS that a conversation has."""
    if one.sample.get("tools"):
        yield "tools"
    for message in _messages(one):
        role: Any = message.get("role")
        if role == "assistant":
            if message.get("content"):
                yield "content"
            if message.get("reasoning_content"):
                yield "reasoning"
            if message.get("tool_calls"):
                yield "call"
        elif isinstance(role, str) and role in _HAS:
            yield _HAS[role]


def _called(one: Conversation) -> Iterator[str]:
    for message in _messages(one):
        made: Any = message.get("tool_calls")
        for call in made if is_list(made) else ():
            name = value_at(call, ("function", "name"))
            if isinstance(name, str):
                yield name


def _words(read: Sequence[Conversation], outcome: Outcome) -> str:
    """The first words of the first user, else of the first message; of what could not be read, its beginning."""
    record = outcome.record
    if outcome.hushed is not None:
        read, record = [redacted(one) for one in read], outcome.hushed.record
    said = [message for one in read for message in _messages(one)]
    first = next((message for message in said if message.get("role") == "user"), said[0] if said else None)
    text: Any = first.get("content") if first is not None else record.raw[: _N_WORDS * 4].decode("utf-8", "replace")
    text = text if isinstance(text, str) else ""
    return " ".join(text[: _N_WORDS * 3].split())[:_N_WORDS]


def _texts(data: Any) -> Iterator[str]:
    """All texts in a value, the names of fields too."""
    rest = [data]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif is_object(item):
            yield from item
            rest += item.values()
        elif is_list(item):
            rest += item
