"""What settings make of the samples that passed, record by record: left out, put into a split, repeated, counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from qwen_sft.curating.draw import Draw
from qwen_sft.curating.mix import Source, source_in
from qwen_sft.curating.split import splits_of
from qwen_sft.curating.twins import Twins
from qwen_sft.encoding.shorten import PLACEHOLDER
from qwen_sft.inspecting.keys import Keys
from qwen_sft.inspecting.near import ALIKE
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.record import Where
from qwen_sft.writer import TRAIN


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What becomes of a sample.

    Attributes:
        split: where it goes.
        copies: how often it stands there.
        left: why it is left out, in words that many samples share; "" if it is not.
        says: the same of this sample: which twin it has, say.
    """

    split: str
    copies: int = 1
    left: str = ""
    says: str = ""


class Curation:
    """The curation of one set.

    Args:
        pipeline: whose outcomes it gets.
        sources: those of a mix, by the names of their files.
    """

    def __init__(self, pipeline: Pipeline, sources: Mapping[str, Source]) -> None:
        settings = pipeline.settings
        self._pipeline, self._settings, self._sources = pipeline, settings, sources
        self._draw = None if settings.sample is None else Draw(settings.sample, settings.seed)
        self._twins = self._no_twins()
        self._left = Counter[str]()
        self._of_splits = {name: Counter[str]() for name in settings.split}
        self._of_sources = {source.name: Counter[str]() for source in sources.values()}
        self._too_long = Counter[str]()
        self._calls, self._depths = Counter[int](), Counter[int]()

    def _no_twins(self) -> Twins | None:
        wanted = self._settings.dedup
        return None if wanted == "none" else Twins(ALIKE if wanted == "near" else None)

    # -- before -------------------------------------------------------------------------------------------------------

    @property
    def sees_twice(self) -> bool:
        """True if `survey` must see all outcomes, in order, before `apply` sees them."""
        return self._draw is not None and self._draw.is_number

    def survey(self, outcome: Outcome) -> None:
        """Looks at a record, and changes nothing."""
        if self._draw is not None:
            for _, keys, verdict in self._judged(outcome):
                if not verdict.left:
                    self._draw.see(keys.content)

    def begin(self) -> None:
        """All records were surveyed."""
        self._twins = self._no_twins()
        if self._draw is not None:
            self._draw.rewind()

    # -- to go on later -----------------------------------------------------------------------------------------------

    def news(self) -> list[tuple[bytes, bytes, Where]]:
        """The samples that were kept for their later twins since this was last asked."""
        return [] if self._twins is None else self._twins.news()

    def state(self) -> dict[str, Any]:
        """All else that it knows, for `restore`."""
        books = {name: getattr(self, name) for name in _BOOKS}
        return {**books, "draw": None if self._draw is None else self._draw.state()}

    def learn(self, news: Iterable[tuple[bytes, bytes, Where]]) -> None:
        """Keeps samples as another one has, which told them as its news."""
        if self._twins is not None:
            self._twins.learn(news)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where another one was."""
        for name in _BOOKS:
            setattr(self, name, state[name])
        if self._draw is not None:
            self._draw.restore(state["draw"])

    # -- record by record ---------------------------------------------------------------------------------------------

    def apply(self, outcome: Outcome) -> None:
        """Takes out of a record what is left out of the set, and gives its rows their split and their copies."""
        if outcome.rejected:
            return
        if outcome.keys:
            verdicts: dict[int, _Verdict] = {}
            for number, keys, found in self._judged(outcome):
                drawn = bool(found.left) or self._draw is None or self._draw.takes(keys.content)
                verdicts[number] = found if drawn else replace(found, left=_NOT_DRAWN, says=_NOT_DRAWN)
            self._count_samples(outcome.record.where, verdicts)
            rows = [(outcome.numbers[row.sample], row) for row in outcome.rows]
            self._pipeline.leave_out(outcome, {n: (one.left, one.says) for n, one in verdicts.items() if one.left})
            outcome.rows = [
                replace(row, split=verdict.split, copy=copy)
                for number, verdict in verdicts.items()
                for copy in range(0 if verdict.left else verdict.copies)
                for owner, row in rows
                if owner == number
            ]
        self._count_rows(outcome)

    def _judged(self, outcome: Outcome) -> Iterator[tuple[int, Keys, _Verdict]]:
        """The number and keys of each sample that gives rows, and its verdict but for the draw."""
        passing = {outcome.numbers[row.sample] for row in outcome.rows}
        settings, where = self._settings, outcome.record.where
        source = source_in(self._sources, where.file)
        splits = [TRAIN] * len(outcome.keys)
        if settings.split and passing:
            splits = splits_of(list(outcome.keys.values()), settings.split, settings.seed)
        for (number, keys), split in zip(outcome.keys.items(), splits, strict=True):
            if number in passing:
                yield number, keys, self._verdict(keys, split, source, where)

    def _verdict(self, keys: Keys, split: str, source: Source | None, where: Where) -> _Verdict:
        copies = 1 if source is None else source.copies(keys.content, self._settings.seed)
        if source is not None and not copies:
            says = f"it is not drawn: source {source.name!r} weighs {source.weight:g} (--mix)"
            return _Verdict(split, left="not drawn (--mix)", says=says)
        twin = None if self._twins is None else self._twins.earlier(keys, where)
        if twin is not None:
            how = "word for word the same as" if self._settings.dedup == "exact" else "nearly the same as"
            flag = f"(--dedup {self._settings.dedup})"
            return _Verdict(split, left=f"has an earlier twin {flag}", says=f"it is {how} a sample of {twin} {flag}")
        return _Verdict(split, copies)

    # -- the account --------------------------------------------------------------------------------------------------

    def _count_samples(self, where: Where, verdicts: Mapping[int, _Verdict]) -> None:
        source = source_in(self._sources, where.file)
        for one in verdicts.values():
            if one.left:
                self._left[one.left] += 1
            elif self._settings.split:
                self._of_splits[one.split]["n_samples"] += one.copies
            if source is not None:
                self._of_sources[source.name]["n_samples"] += 1
                self._of_sources[source.name]["n_samples_written"] += 0 if one.left else one.copies

    def _count_rows(self, outcome: Outcome) -> None:
        source = source_in(self._sources, outcome.record.where.file)
        for row in outcome.rows:
            n_calls, depth = row.calls
            self._calls[n_calls] += 1
            self._depths[depth] += 1
            books = [self._of_splits[row.split]] if row.split in self._of_splits else []
            for book in [*books, *([self._of_sources[source.name]] if source is not None else [])]:
                book["n_rows"] += 1
                book["n_tokens"] += len(row.tokens.input_ids)
                book["n_trained_tokens"] += row.tokens.n_trained_tokens
        for one in outcome.encoded or ():
            if one.shortened is not None:
                self._too_long["n_samples"] += 1
                self._too_long["n_samples_made"] += one.shortened.n_samples
                self._too_long["n_results_replaced"] += one.shortened.n_results
                self._too_long["n_turns_left_out"] += one.shortened.n_turns
            elif one.too_long:
                self._too_long["n_samples"] += 1
                self._too_long["n_samples_made"] += 1
                self._too_long["n_turns_left_out"] += sum(n_dropped for _, _, n_dropped in one.too_long)

    def account(self, packs: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What was counted, for the manifest.

        Args:
            packs: what was counted of packed rows; None where none were packed.
        """
        weights = {source.name: source.weight for source in self._sources.values()}
        rows = ("n_rows", "n_tokens", "n_trained_tokens")
        return {
            "left_out": dict(sorted(self._left.items())),
            "splits": {name: _numbers(book, "n_samples", *rows) for name, book in self._of_splits.items()},
            "sources": {
                name: {"weight": weights[name], **_numbers(book, "n_samples", "n_samples_written", *rows)}
                for name, book in self._of_sources.items()
            },
            "too_long": _numbers(
                self._too_long, "n_samples", "n_samples_made", "n_results_replaced", "n_turns_left_out"
            ),
            "packs": None if packs is None else dict(packs),
            "n_rows_by_n_calls": {str(n): self._calls[n] for n in sorted(self._calls)},
            "n_rows_by_depth": {str(n): self._depths[n] for n in sorted(self._depths)},
            "remarks": [*self._remarks()],
        }

    def _remarks(self) -> Iterator[str]:
        """What people have to know of the set, in sentences without an end."""
        for reason, n_samples in sorted(self._left.items()):
            yield f"{_some(n_samples, 'sample')} left out: {reason}"
        wanted = self._settings.sample
        n_drawn = 0 if self._draw is None else self._draw.n_taken
        if self._draw is not None and self._draw.is_number and n_drawn < (wanted or 0):
            yield f"{wanted:,} samples are wanted, and no more than {n_drawn:,} passed (--sample)"
        for source in {one.name: one for one in self._sources.values()}.values():
            if source.weight > 1:
                least = int(source.weight)
                times = f"{least} times" if source.weight == least else f"{least} or {least + 1} times"
                yield f"source {source.name!r} weighs {source.weight:g}: its samples stand in the set {times} (--mix)"
        long, made = self._too_long["n_samples"], self._too_long["n_samples_made"]
        policy = self._settings.on_too_long
        if long and policy == "split-at-user":
            became = f"{_some(long, 'sample')} with rows that are too long became {made:,}"
            yield f"{became}; what was said before a part's first turn is not shown in it (--on-too-long {policy})"
        if self._too_long["n_results_replaced"]:
            became = f"{_some(long, 'sample')} with rows that are too long became {made:,}"
            results = _some(self._too_long["n_results_replaced"], "result")
            shown = f"the model is shown {PLACEHOLDER!r} in place of {results}"
            yield f"{became}, in which {shown}: serve it by a harness that does the same (--on-too-long {policy})"
        if self._too_long["n_turns_left_out"]:
            turns = _some(self._too_long["n_turns_left_out"], "turn")
            yield f"{turns} of samples that are too long left out: no row has room (--on-too-long {policy})"
        if self._settings.pack is not None:
            yield PACKED


_BOOKS = ("_left", "_of_splits", "_of_sources", "_too_long", "_calls", "_depths")


PACKED = (
    "rows are packed: TRL keeps the samples of one apart by `seq_lengths`, and only with padding_free=True and a flash "
    "attention; a trainer that reads neither `seq_lengths` nor `position_ids` lets them see each other (--pack)"
)
"""What people have to know of packed rows; who honours what was read in TRL 1.16."""


_NOT_DRAWN = "not drawn (--sample)"


def _some(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n:,} {what}s"


def _numbers(book: Mapping[str, int], *names: str) -> dict[str, int]:
    return {name: book.get(name, 0) for name in names}
