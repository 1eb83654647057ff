"""The verdict on a batch of rows: which tokens are trained and should not be, and which are not and should be."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qwen_sft.auditing.batch import Batch, Bools, Ints
from qwen_sft.auditing.grammar import ASSISTANT, BLOCKS, SYSTEM, Grammar
from qwen_sft.auditing.keys import Hasher, Keys
from qwen_sft.auditing.parts import (
    EVERYTHING_TRAINED,
    FAULTS,
    FOREIGN_LABEL,
    MISSING_STOP,
    NO_TURNS,
    NOTHING_TRAINED,
    NUMBER,
    SHIFTED,
    TRAINED_WRONGLY,
    UNKNOWN_ID,
    UNSERVED_ANSWER,
    UNTRAINED_WRONGLY,
    Part,
)
from qwen_sft.auditing.turns import Turns, recover

FINE = -1
"""Of a token: nothing is wrong with its training."""

RIGHT, NEEDLESS, LEFT_OUT, MISSED, PASSED_OVER = range(5)
"""What became of a token: trained and should be; trained and should not; not trained and should not; not trained and
should be; not trained as its whole answer is not."""


@dataclass(slots=True)
class Verdict:
    """What is wrong in a batch, and what it holds.

    Attributes:
        faults: for each token the number of its fault in FAULTS, or FINE.
        counts: for each row and each kind of fault how many tokens have it (rows by kinds).
        judged: for each row whether its turns were looked at.
        confusion: for each part and each outcome how many tokens of judged rows (parts by 5).
        asked: for each of the grammar's prompts how many trained answers stand behind it.
        passed: for each answer that is not trained at all, but could be: its turn.
        passed_rows: the rows of these.
        passed_keys: their keys.
        trained_keys: the keys of answers that are trained.
        n_history: answers not trained at all, as may be: the template has changed them as history, or nobody asks for
            them.
        n_cut: trained answers at which a row or a conversation ends before their stop token.
        n_rewritten: trained answers behind turns that show another think block than the template prints there.
        n_unjudged: trained tokens in front of a row's first turn.
    """

    batch: Batch
    turns: Turns
    faults: npt.NDArray[np.int8]
    counts: Ints
    judged: Bools
    confusion: Ints
    asked: Ints
    passed: Ints
    passed_rows: Ints
    passed_keys: Keys
    trained_keys: Keys
    n_history: int
    n_cut: int
    n_rewritten: int
    n_unjudged: int


_WRONG = np.full((len(Part), 2), FINE, dtype=np.int8)
"""The fault of a token of each part that is trained (1), or not (0), against the definition."""
for _part, _fault in UNTRAINED_WRONGLY.items():
    _WRONG[_part, 0] = NUMBER[_fault.name]
    _WRONG[_part, 1] = NUMBER[UNSERVED_ANSWER.name]
for _part, _fault in TRAINED_WRONGLY.items():
    _WRONG[_part, 1] = NUMBER[_fault.name]


def judge(batch: Batch, grammar: Grammar, hasher: Hasher) -> Verdict:
    """The verdict on a batch."""
    row_of = batch.row_of
    known = (batch.ids >= 0) & (batch.ids < grammar.n_ids)
    known[known] = grammar.known[batch.ids[known]]
    ids = batch.ids if known.all() else np.where(known, batch.ids, 0)
    given = batch if ids is batch.ids else replace(batch, ids=ids)
    turns = recover(given, grammar)
    row = row_of[turns.start]
    passed_over, wrong = _wrong(given, turns)
    faults = np.where(wrong, _WRONG[turns.parts, batch.trained.astype(np.int8)], np.int8(FINE))

    n_rows = batch.n_rows
    n_trained = _per_row(batch.trained, batch)
    marks = np.zeros(n_rows, dtype=np.int64)  # the one fault that a row has as a whole, its number and 1
    n_needless = _per_row(batch.trained & wrong & (turns.parts != Part.BEFORE), batch)
    left = _per_row(~batch.trained & (turns.parts != Part.OUTSIDE), batch)
    _mark(marks, (left == 0) & (n_needless > 0), NUMBER[EVERYTHING_TRAINED.name])
    _mark(marks, n_trained == 0, NUMBER[NOTHING_TRAINED.name])
    foreign = _foreign(batch)
    for at in _suspects(faults, given, grammar):
        _mark(marks, at, NUMBER[SHIFTED.name])
    _mark(marks, _moved(batch, foreign), NUMBER[SHIFTED.name])
    _mark(marks, np.bincount(row, minlength=n_rows) == 0, NUMBER[NO_TURNS.name])
    _mark(marks, _per_row(~known, batch) > 0, NUMBER[UNKNOWN_ID.name])

    whole = marks[row_of]
    faults[foreign & (whole == 0)] = NUMBER[FOREIGN_LABEL.name]
    differs = (batch.trained != turns.expected) & (whole != NUMBER[UNKNOWN_ID.name] + 1)
    faults = np.where(whole == 0, faults, np.where(differs, (whole - 1).astype(np.int8), np.int8(FINE)))
    faults[~known] = NUMBER[UNKNOWN_ID.name]
    judged = ~np.isin(marks, [1 + NUMBER[one.name] for one in (UNKNOWN_ID, NO_TURNS, SHIFTED)])

    answers = turns.role == ASSISTANT
    reached = answers & (marks[row] == 0)
    trained = reached & ~passed_over & (_within(batch.trained, turns.said, turns.done) > 0)
    ends = np.append(batch.offsets[1:], batch.documents if batch.documents is not None else [])
    cut = trained & ~turns.stopped & np.isin(turns.end, ends)
    unended = trained & ~turns.stopped & ~cut
    at = turns.end[unended] - 1
    faults[at] = np.where(faults[at] == FINE, np.int8(NUMBER[MISSING_STOP.name]), faults[at])

    bad = faults != FINE
    counts = np.bincount(row_of[bad] * len(FAULTS) + faults[bad], minlength=n_rows * len(FAULTS))
    counts = counts.reshape(n_rows, len(FAULTS))
    marked = np.flatnonzero(marks)
    counts[marked, marks[marked] - 1] = np.maximum(counts[marked, marks[marked] - 1], 1)

    left_out = reached & passed_over
    faded = left_out & (
        ~turns.served | _unprompted(turns, grammar) | (_asked_again(turns) & grammar.drops_reasoning & _bare(turns))
    )
    passed = np.flatnonzero(left_out & ~faded)
    keys = hasher.keys(ids, turns)
    seen = judged[row_of]
    outcome = np.where(
        batch.trained,
        np.where(turns.expected, RIGHT, NEEDLESS),
        np.where(turns.expected, np.where(wrong, MISSED, PASSED_OVER), LEFT_OUT),
    )
    confusion = np.bincount(turns.parts[seen].astype(np.int64) * 5 + outcome[seen], minlength=len(Part) * 5)
    return Verdict(
        batch, turns, faults, counts, judged,
        confusion=confusion.reshape(len(Part), 5),
        asked=np.bincount(turns.prompt[trained & turns.served], minlength=len(grammar.prompts)),
        passed=passed,
        passed_rows=row[passed],
        passed_keys=keys[passed],
        trained_keys=keys[trained],
        n_history=int(faded.sum()),
        n_cut=int(cut.sum()),
        n_rewritten=int((trained & turns.served & _rewritten(turns, grammar)).sum()),
        n_unjudged=int((batch.trained & seen & (turns.parts == Part.BEFORE) & (whole == 0)).sum()),
    )  # fmt: skip


def _mark(marks: Ints, rows: Bools, fault: int) -> None:
    """Rows that have this fault as a whole; the last word counts."""
    marks[rows] = fault + 1


def _per_row(tokens: Bools, batch: Batch) -> Ints:
    """How many tokens of each row are such."""
    return _within(tokens, batch.offsets[:-1], batch.offsets[1:])


def _within(tokens: Bools, start: Ints, end: Ints) -> Ints:
    """How many tokens of each range are such."""
    total = np.append(0, np.cumsum(tokens))
    return total[end] - total[start]


def _wrong(batch: Batch, turns: Turns) -> tuple[Bools, Bools]:
    """The answers of which no token is trained, and the tokens that are wrong, but for those of such answers."""
    passed_over = (turns.role == ASSISTANT) & (turns.said < turns.done)
    passed_over &= _within(batch.trained, turns.said, turns.done) == 0
    change = np.zeros(len(batch.ids) + 1, dtype=np.int64)
    change[turns.said[passed_over]] += 1
    change[turns.done[passed_over]] -= 1
    spared = np.cumsum(change[:-1]) > 0
    wrong = (batch.trained != turns.expected) & ~spared & (turns.parts != Part.BEFORE)
    return passed_over, wrong


# -- masks that are moved by a token -----------------------------------------------------------------------------------


def _foreign(batch: Batch) -> Bools:
    """The tokens whose label is neither -100 nor their own."""
    if batch.labels is None:
        return np.zeros(len(batch.ids), dtype=np.bool_)
    return batch.trained & (batch.labels != batch.ids)


def _moved(batch: Batch, foreign: Bools) -> Bools:
    """The rows whose labels are those of a neighbour, the same one for all tokens."""
    moved = np.zeros(batch.n_rows, dtype=np.bool_)
    n_foreign = _per_row(foreign, batch)
    for row in np.flatnonzero(2 * n_foreign > _per_row(batch.trained, batch)):
        assert batch.labels is not None
        here = slice(int(batch.offsets[row]), int(batch.offsets[row + 1]))
        ids, labels, trained = batch.ids[here], batch.labels[here], batch.trained[here]
        for mine, other in ((slice(None, -1), slice(1, None)), (slice(1, None), slice(None, -1))):
            fits = labels[mine] == ids[other]
            if bool(trained[mine].any()) and bool(fits[trained[mine]].all()):
                moved[row] = True
    return moved


_EARLY = (Part.HEADER, Part.HEADER_NEWLINE, Part.PREFILL, Part.BOUNDARY)
_BEGINS = (Part.REASONING, Part.CONTENT, Part.CALL)


def _suspects(faults: npt.NDArray[np.int8], batch: Batch, grammar: Grammar) -> list[Bools]:
    """The rows in which nothing is wrong once their mask is moved by a token to one side, for each side."""

    def having(faulty: list[str]) -> Bools:
        return _per_row(np.isin(faults, [NUMBER[name] for name in faulty]), batch) > 0

    early = having([TRAINED_WRONGLY[part].name for part in _EARLY]) & having([UNTRAINED_WRONGLY[Part.STOP].name])
    late = having([TRAINED_WRONGLY[Part.TRAILING_NEWLINE].name])
    late &= having([UNTRAINED_WRONGLY[part].name for part in _BEGINS])
    found: list[Bools] = []
    for suspects, step in ((early, 1), (late, -1)):
        rows = np.flatnonzero(suspects)
        if len(rows):
            moved = np.roll(batch.trained, step)
            moved[batch.offsets[:-1][np.diff(batch.offsets) > 0] if step > 0 else batch.offsets[1:] - 1] = False
            part = batch.chosen(rows, moved)
            _, wrong = _wrong(part, recover(part, grammar))
            suspects[rows] = _per_row(wrong, part) == 0
            found.append(suspects)
    return found


# -- history -----------------------------------------------------------------------------------------------------------


def _bare(turns: Turns) -> Bools:
    """The turns that show no reasoning."""
    return turns.block != BLOCKS.index("full")


def _first(turns: Turns) -> Ints:
    """The first turn of each turn's conversation."""
    return np.searchsorted(turns.document, turns.document, side="left")


def _asked_again(turns: Turns) -> Bools:
    """The turns behind which the user asks once more in the same conversation."""
    last = np.searchsorted(turns.document, turns.document, side="right")
    asked = np.append(0, np.cumsum(turns.asks))
    return asked[last] > asked[1:]


def _unprompted(turns: Turns, grammar: Grammar) -> Bools:
    """The turns before which no user and no tool has said anything in their conversation: nobody asks for them.

    Where the template refuses a conversation without a user, what a tool says is no prompt either.
    """
    prompts = turns.asks if grammar.needs_query else (turns.role != ASSISTANT) & (turns.role != SYSTEM)
    heard = np.append(0, np.cumsum(prompts))
    return heard[:-1] == heard[_first(turns)]


def _rewritten(turns: Turns, grammar: Grammar) -> Bools:
    """The turns behind others that show another think block than the template prints there by then."""
    n = len(turns.start)
    answers = turns.role == ASSISTANT
    first = _first(turns)
    query = np.maximum.accumulate(np.where(turns.asks, np.arange(n), -1)) if n else np.zeros(0, dtype=np.int64)
    asked = query >= first
    query = np.where(asked, query, first)
    odd_old = np.append(0, np.cumsum(answers & ~np.isin(turns.block, sorted(grammar.old))))
    odd_recent = np.append(0, np.cumsum(answers & ~np.isin(turns.block, sorted(grammar.recent))))
    # The turn right before stands last in the prompt, where templates may print another block than in a turn that
    # others follow.
    before = np.maximum(np.arange(n) - 1, query)
    odd = odd_old[query] - odd_old[first] + odd_recent[before] - odd_recent[query]
    return asked & (odd > 0)
