"""What an audit has found so far: counts, and the rows that show each fault best; memory grows by 8 bytes an answer."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qwen_sft.auditing.batch import Broken, Ints
from qwen_sft.auditing.judge import Verdict
from qwen_sft.auditing.parts import FAULTS, NUMBER, UNTRAINED_ANSWER, Fault, Part

_UNTRAINED = NUMBER[UNTRAINED_ANSWER.name]
_MOST_HELD = 24


@dataclass(slots=True)
class Exhibit:
    """A row with faults, kept to be shown.

    Attributes:
        line: its place in the file.
        ids, trained, parts, faults: its tokens, as in Verdict.
        counts: for each kind of fault how many tokens have it.
        passed: its answers that are not trained: their keys, and where the model's own tokens begin and end.
    """

    file: str
    line: int
    ids: Ints
    trained: npt.NDArray[np.bool_]
    parts: npt.NDArray[np.int8]
    faults: npt.NDArray[np.int8]
    counts: Ints
    passed: list[tuple[int, int, int]]

    @property
    def n_wrong(self) -> int:
        """How many tokens have a fault."""
        return int(self.counts.sum())


@dataclass(frozen=True, slots=True)
class Count:
    """How often a kind of fault was found.

    Attributes:
        n_tokens: tokens with it; for rows that cannot be judged, as many as there are such rows.
    """

    fault: Fault
    n_rows: int
    n_tokens: int


@dataclass(slots=True)
class Tally:
    """The sums of an audit.

    Attributes:
        n_prompts: how many prompts the model's grammar has.
        columns: how many rows were judged by each column.
        n_unjudged_rows: rows without the columns that are needed, by file and what they lack.
        told: the first rows that could not be read, with what was said.
    """

    n_prompts: int
    n_rows: int = 0
    n_tokens: int = 0
    n_trained: int = 0
    columns: Counter[str] = field(default_factory=Counter[str])
    n_unjudged_rows: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    told: list[tuple[str, Broken]] = field(default_factory=list[tuple[str, Broken]])
    confusion: Ints = field(default_factory=lambda: np.zeros((len(Part), 5), dtype=np.int64))
    asked: Ints = field(init=False)
    n_history: int = 0
    n_cut: int = 0
    n_rewritten: int = 0
    n_unjudged: int = 0
    _rows: Ints = field(default_factory=lambda: np.zeros(len(FAULTS), dtype=np.int64))
    _tokens: Ints = field(default_factory=lambda: np.zeros(len(FAULTS), dtype=np.int64))
    _worst: dict[int, list[Exhibit]] = field(default_factory=dict[int, list[Exhibit]])
    _trained: "array[int]" = field(default_factory=lambda: array("Q"))
    _passed: "array[int]" = field(default_factory=lambda: array("Q"))
    _passed_rows: "array[int]" = field(default_factory=lambda: array("Q"))
    _passed_tokens: "array[int]" = field(default_factory=lambda: array("Q"))

    def __post_init__(self) -> None:
        self.asked = np.zeros(self.n_prompts, dtype=np.int64)

    def add(self, verdict: Verdict) -> None:
        """Takes in a batch."""
        batch = verdict.batch
        for broken in batch.broken:
            if not broken.fault:
                self.n_unjudged_rows[batch.file, broken.says] += 1
                continue
            self.n_rows += 1
            self._rows[NUMBER[broken.fault]] += 1
            self._tokens[NUMBER[broken.fault]] += 1
            if len(self.told) < _MOST_HELD:
                self.told.append((batch.file, broken))
        self._passed.extend(verdict.passed_keys.tolist())
        self._passed_rows.extend((self.n_rows + verdict.passed_rows).tolist())
        turns = verdict.turns
        self._passed_tokens.extend((turns.done - turns.said)[verdict.passed].tolist())
        self._trained.extend(verdict.trained_keys.tolist())
        self.n_rows += batch.n_rows
        self.n_tokens += len(batch.ids)
        self.n_trained += int(batch.trained.sum())
        if batch.n_rows:
            self.columns[batch.column] += batch.n_rows
        self.confusion += verdict.confusion
        self.asked += verdict.asked
        self.n_history += verdict.n_history
        self.n_cut += verdict.n_cut
        self.n_rewritten += verdict.n_rewritten
        self.n_unjudged += verdict.n_unjudged
        self._rows += (verdict.counts > 0).sum(axis=0)
        self._tokens += verdict.counts.sum(axis=0)
        self._keep(verdict)

    # -- rows to show --------------------------------------------------------------------------------------------------

    def _keep(self, verdict: Verdict) -> None:
        """Keeps the rows of a batch that show a fault better than those that are kept."""
        counts = verdict.counts
        for fault in np.flatnonzero(counts.any(axis=0)):
            worst = np.argsort(-counts[:, fault], kind="stable")[:_MOST_HELD]
            for row in worst:
                if not counts[row, fault] or not self._offer(int(fault), verdict, int(row), int(counts[row, fault])):
                    break
        open_ones = ~np.isin(verdict.passed_keys, verdict.trained_keys)
        sizes = (verdict.turns.done - verdict.turns.said)[verdict.passed]
        rows, where = np.unique(verdict.passed_rows[open_ones], return_inverse=True)
        missed = np.bincount(where, weights=sizes[open_ones], minlength=len(rows)).astype(np.int64)
        for i in np.argsort(-missed, kind="stable")[:_MOST_HELD]:
            if not self._offer(_UNTRAINED, verdict, int(rows[i]), int(missed[i])):
                break

    def _offer(self, fault: int, verdict: Verdict, row: int, n_tokens: int) -> bool:
        """Keeps a row for a fault if it has more tokens of it than the least of those kept; False if not."""
        held = self._worst.setdefault(fault, [])
        if len(held) >= _MOST_HELD and n_tokens <= _size(held[-1], fault):
            return False
        held.append(_exhibit(verdict, row))
        held.sort(key=lambda one: -_size(one, fault))
        del held[_MOST_HELD:]
        return True

    # -- the end -------------------------------------------------------------------------------------------------------

    def _open(self) -> Ints:
        """Which of the answers that are not trained in their row are so in no row."""
        return np.flatnonzero(~np.isin(_array(self._passed), _array(self._trained)))

    @property
    def n_trained_answers(self) -> int:
        """Answers of which a token is trained, in rows whose turns were judged."""
        return len(self._trained)

    @property
    def n_trained_elsewhere(self) -> int:
        """Answers that are not trained in one row, as another trains them."""
        return len(self._passed) - len(self._open())

    @property
    def n_untrained_answers(self) -> int:
        """Answers that no row trains."""
        return len(self._open())

    def counts(self) -> list[Count]:
        """The kinds of fault that were found, in the order of FAULTS."""
        rows, tokens = self._rows.copy(), self._tokens.copy()
        found = self._open()
        if len(found):
            rows[_UNTRAINED] = len(set(_array(self._passed_rows)[found].tolist()))
            tokens[_UNTRAINED] = int(_array(self._passed_tokens)[found].sum())
        return [Count(fault, int(rows[i]), int(tokens[i])) for i, fault in enumerate(FAULTS) if rows[i]]

    def worst(self, n_rows: int) -> list[Exhibit]:
        """The rows to show: one for each kind of fault, commonest kinds first, then those with most wrong tokens."""
        keys = {key for ones in self._worst.values() for one in ones for key, _, _ in one.passed}
        open_keys = keys - set(np.intersect1d(np.array(sorted(keys), dtype=np.uint64), _array(self._trained)).tolist())
        held = {fault: [_settled(one, open_keys) for one in ones] for fault, ones in self._worst.items()}
        chosen: dict[tuple[str, int], Exhibit] = {}
        for count in sorted(self.counts(), key=lambda count: -count.n_rows):
            number = NUMBER[count.fault.name]
            if not any(one.counts[number] for one in chosen.values()):
                _choose(chosen, _ranked(held.get(number, []), lambda one, number=number: int(one.counts[number]))[:1])
        _choose(chosen, _ranked((one for ones in held.values() for one in ones), lambda one: one.n_wrong))
        return list(chosen.values())[:n_rows]


def _array(numbers: "array[int]") -> npt.NDArray[np.uint64]:
    return np.frombuffer(numbers, dtype=np.uint64) if numbers else np.zeros(0, dtype=np.uint64)


def _ranked(held: Iterable[Exhibit], size: Callable[[Exhibit], int]) -> list[Exhibit]:
    """Rows by how many tokens of theirs are wrong, those with none left out."""
    return sorted((one for one in held if size(one)), key=lambda one: (-size(one), one.file, one.line))


def _choose(chosen: dict[tuple[str, int], Exhibit], held: Iterable[Exhibit]) -> None:
    for one in held:
        chosen.setdefault((one.file, one.line), one)


def _size(one: Exhibit, fault: int) -> int:
    if fault == _UNTRAINED and not one.counts[fault]:
        return sum(end - start for _, start, end in one.passed)
    return int(one.counts[fault])


def _exhibit(verdict: Verdict, row: int) -> Exhibit:
    batch, turns = verdict.batch, verdict.turns
    start, end = int(batch.offsets[row]), int(batch.offsets[row + 1])
    here = slice(start, end)
    passed = [
        (int(verdict.passed_keys[i]), int(turns.said[turn]) - start, int(turns.done[turn]) - start)
        for i, turn in enumerate(verdict.passed)
        if verdict.passed_rows[i] == row
    ]
    return Exhibit(
        batch.file,
        int(batch.lines[row]),
        batch.ids[here].copy(),
        batch.trained[here].copy(),
        turns.parts[here].copy(),
        verdict.faults[here].copy(),
        verdict.counts[row].copy(),
        passed,
    )


def _settled(one: Exhibit, open_keys: set[int]) -> Exhibit:
    """A row whose untrained answers are faults, if no row trains them."""
    faults, counts = one.faults.copy(), one.counts.copy()
    counts[_UNTRAINED] = 0
    for key, start, end in one.passed:
        if key in open_keys:
            faults[start:end] = _UNTRAINED
            counts[_UNTRAINED] += end - start
    return Exhibit(one.file, one.line, one.ids, one.trained, one.parts, faults, counts, one.passed)
