"""The labels that come out of a trainer's own preparation, beside ours, token by token."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from qwen_sft.encoding.model import Model
from qwen_sft.errors import UsageError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.library.mapping import Encoder
from qwen_sft.sample import is_list, is_object
from qwen_sft.tokens import IGNORE
from qwen_sft.trainer import Facts, Prepared, Request, Setup, Trainer
from qwen_sft.verifying.facts import rows_of

_BEFORE, _BEHIND = 3, 12

Row = tuple[Sequence[int], Sequence[int]]
"""Ids and labels, of one length."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Where a row first differs.

    Attributes:
        place: the row.
        start: the first token that differs.
        ours: tokens around it as text, and whether each is trained.
        theirs: the same of the trainer's row.
    """

    place: str
    start: int
    ours: tuple[tuple[str, bool], ...]
    theirs: tuple[tuple[str, bool], ...]


@dataclass(slots=True)
class Comparison:
    """What became of the rows.

    Attributes:
        n_rows: how many were prepared.
        n_left: how many stand behind them and were not.
        n_same: rows with exactly our ids and labels.
        n_labels: rows with our ids and other labels.
        n_text: rows with other ids.
        n_dropped: rows that do not come out.
        n_rejected: conversations of which we make no row, so that there is nothing to compare.
        n_more: tokens that are trained, and not by us, in rows with our ids.
        n_fewer: tokens that are trained by us only, in rows with our ids.
        first: the first stretch that differs.
    """

    n_rows: int = 0
    n_left: int = 0
    n_same: int = 0
    n_labels: int = 0
    n_text: int = 0
    n_dropped: int = 0
    n_rejected: int = 0
    n_more: int = 0
    n_fewer: int = 0
    first: Stretch | None = field(default=None)

    @property
    def same(self) -> bool:
        """True if all rows have exactly our labels."""
        return not (self.n_labels or self.n_text or self.n_dropped)


def compare(
    trainer: Trainer, facts: Facts, inputs: Sequence[Input], setup: Setup, model: Model, n_rows: int
) -> Comparison:
    """Runs a trainer's own preparation on the first rows of a folder.

    Raises:
        UsageError: it cannot be run, or the rows are no files on this machine of one kind.
    """
    assert trainer.prepare is not None
    files = [source.path for source in inputs if source.path is not None]
    suffixes = {path.suffix for path in files}
    if len(files) < len(inputs) or len(suffixes) != 1:
        raise UsageError("--run needs files of one kind: Parquet, Arrow or JSON Lines, not compressed")
    made = Comparison(n_rows=min(n_rows, facts.n_rows), n_left=max(0, facts.n_rows - n_rows))
    with tempfile.TemporaryDirectory(prefix="qwen-sft-verify-") as scratch:
        request = Request(
            files,
            made.n_rows,
            model.tokenizer.path,
            None if model.template is None else model.template.source,
            model.template_sha256,
            Path(scratch),
            setup,
        )
        theirs = {one.row: one for one in trainer.prepare(request)}
    for number, ours in enumerate(islice(_ours(facts, inputs, model), made.n_rows)):
        _judge(made, facts.place(number), ours, theirs.get(number), model)
    return made


def _ours(facts: Facts, inputs: Sequence[Input], model: Model) -> Iterator[Row | None]:
    """The ids and labels of each row as they were proven; None where there are none."""
    if facts.kind == "tokens":
        for row in rows_of(inputs):
            labels: Any = row.get("labels") if is_object(row) else None
            yield None if labels is None else ([int(i) for i in row["input_ids"]], [int(i) for i in labels])
        return
    encoder = Encoder(model.name, verify="none", trailing_calls="keep")
    for row in rows_of(inputs):
        found = next(encoder.encode(_sample(row)), None) if is_object(row) else None
        if not found:
            yield None
            continue
        last = found.rows[-1]
        yield last.input_ids.tolist(), last.labels.tolist()


def _sample(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of conversation as a record; of a prompt and its completion only the latter is trained."""
    messages: Any = row.get("messages")
    if not is_list(messages):
        prompt: Any = row.get("prompt") or []
        completion: Any = row.get("completion") or []
        heard = [{**one, "train": False} if one.get("role") == "assistant" else one for one in prompt]
        messages = [*heard, *completion]
    tools: Any = row.get("tools")
    return {"messages": messages, **({"tools": tools} if tools else {})}


def _judge(made: Comparison, place: str, ours: Row | None, theirs: Prepared | None, model: Model) -> None:
    if ours is None:
        made.n_rejected += 1
        return
    if theirs is None:
        made.n_dropped += 1
        return
    other = (theirs.input_ids, theirs.labels)
    if list(ours[0]) == list(other[0]):
        more = sum(a == IGNORE != b for a, b in zip(ours[1], other[1], strict=True))
        fewer = sum(b == IGNORE != a for a, b in zip(ours[1], other[1], strict=True))
        if list(ours[1]) == list(other[1]):
            made.n_same += 1
            return
        made.n_labels += 1
        made.n_more += more
        made.n_fewer += fewer
    else:
        made.n_text += 1
    if made.first is None:
        start = _first_difference(ours, other)
        made.first = Stretch(place, start, _shown(ours, start, model), _shown(other, start, model))


def _first_difference(ours: Row, theirs: Row) -> int:
    pairs = zip(*ours, *theirs, strict=False)
    end = min(len(ours[0]), len(theirs[0]))
    return next((i for i, (a, b, c, d) in enumerate(pairs) if a != c or b != d), end)


def _shown(row: Row, start: int, model: Model) -> tuple[tuple[str, bool], ...]:
    """The tokens around a place, as text."""
    ids, labels = row
    window = slice(max(0, start - _BEFORE), start + _BEHIND)
    return tuple(
        (model.tokenizer.decode([token]), label != IGNORE)
        for token, label in zip(ids[window], labels[window], strict=True)
    )
