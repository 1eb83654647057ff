"""Turns recovered from tokens alone: where each begins, whose it is, and which part of it each token is."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qwen_sft.auditing.batch import Batch, Bools, Ints
from qwen_sft.auditing.grammar import ASSISTANT, BLOCKS, NO_ID, ROLE_OF, SYSTEM, TOOL, USER, Grammar
from qwen_sft.auditing.parts import GENERATED, Part

_LONGEST_ROLE = 8
_FAR = 1 << 40
_BODY = np.array([Part.USER, Part.SYSTEM, Part.USER, Part.CONTENT, Part.RESULT], dtype=np.int8)
"""What the words of a turn are, by its role."""


@dataclass(slots=True)
class Turns:
    """The turns of a batch, in order; each attribute has one entry a turn, but for the last two.

    Attributes:
        start: where `<|im_start|>` stands.
        end: where the turn ends at the latest: the next one's start, or the end of the conversation.
        role: number of ROLES.
        body: where its words begin.
        melted: its header's newline is the beginning of a longer token.
        stop: where the stop token stands; `end` if there is none.
        stopped: whether there is one.
        document: which conversation it belongs to.
        asks: whether it is a query of the user, and no result.
        block: the think block that it shows: number of BLOCKS.
        served: it begins as a prompt does that a server could send; only of the assistant.
        prompt: which of the grammar's prompts it is read behind.
        said: where the model's own tokens begin.
        words: where its words begin, behind a think block and white space.
        parts: the Part of each token (n tokens).
        expected: whether each token should be trained (n tokens).
    """

    start: Ints
    end: Ints
    role: npt.NDArray[np.int8]
    body: Ints
    melted: Bools
    stop: Ints
    stopped: Bools
    document: Ints
    asks: Bools
    block: npt.NDArray[np.int8]
    served: Bools
    prompt: Ints
    said: Ints
    words: Ints
    parts: npt.NDArray[np.int8]
    expected: Bools

    @property
    def done(self) -> Ints:
        """Where the model's own tokens end: behind the stop token."""
        return self.stop + self.stopped


def recover(batch: Batch, grammar: Grammar) -> Turns:
    """The turns of a batch, and the mask that their tokens ask for.

    Which of several prompts an answer stood behind, thinking on or off, the tokens do not always say: of those that fit
    the tokens, the one is taken that the given mask contradicts least.
    """
    ids = batch.ids
    n = len(ids)
    start = np.flatnonzero(ids == grammar.start)
    documents = batch.offsets[:-1] if batch.documents is None else batch.documents
    following = np.append(documents, n)[np.searchsorted(documents, start, side="right")]
    end = np.minimum(np.append(start[1:], n), following)
    role, body, melted = _headers(ids, start, end, grammar)
    stops = np.append(np.flatnonzero(ids == grammar.stop), _FAR)
    stop = stops[np.searchsorted(stops, body)]
    stopped = stop < end
    stop = np.where(stopped, stop, end)
    role = np.where((role == USER) & _begin(ids, body, stop, grammar.result), np.int8(TOOL), role)
    document = np.searchsorted(documents, start, side="right")
    if batch.documents is None and len(start):
        # Rows that say nothing of packing: a system turn behind an answer begins another conversation.
        fresh = (role[1:] == SYSTEM) & (role[:-1] == ASSISTANT)
        document = np.cumsum(np.append(1, fresh | (np.diff(document) > 0)))
    answers = role == ASSISTANT
    closes = _next(ids, grammar.closes, body)
    block, block_end = _blocks(ids, body, stop, closes, answers, grammar)
    served, prompt, said, straddles = _behind(batch, body, melted, stop + stopped, answers, grammar)
    words = np.maximum(block_end, said)
    dark = np.append(np.flatnonzero(~grammar.blank[ids]), _FAR)
    made = Turns(
        start, end, role, body, melted, stop, stopped, document,
        asks=role == USER,
        block=block,
        served=served,
        prompt=prompt,
        said=said,
        words=np.minimum(dark[np.searchsorted(dark, np.maximum(block_end, body))], stop),
        parts=np.zeros(n, dtype=np.int8),
        expected=np.zeros(n, dtype=np.bool_),
    )  # fmt: skip
    _fill(made, ids, straddles, words, grammar)
    return made


def _headers(ids: Ints, start: Ints, end: Ints, grammar: Grammar) -> tuple[npt.NDArray[np.int8], Ints, Bools]:
    """Role, beginning of the words and whether the header's newline is part of a longer token, of each turn."""
    last = max(len(ids) - 1, 0)
    named, line = ids[np.minimum(start + 1, last)], ids[np.minimum(start + 2, last)]
    role = np.where(start + 1 < end, grammar.roles[named], 0).astype(np.int8)
    plain = (start + 2 < end) & (role > 0) & grammar.begins_line[line]
    body = np.minimum(start + 3, end)
    melted = plain & (line != grammar.newline)
    cut = (start + 2 >= end) & ((role > 0) | (start + 1 >= end))
    for turn in np.flatnonzero(~plain & ~cut):  # a role of several tokens, or none that we know
        first, behind = int(start[turn]) + 1, min(int(end[turn]), int(start[turn]) + 1 + _LONGEST_ROLE)
        lines = np.flatnonzero(grammar.begins_line[ids[first:behind]])
        if len(lines):
            name = grammar.tokenizer.decode(ids[first : first + int(lines[0])].tolist())
            role[turn], body[turn] = ROLE_OF.get(name.strip(), 0), first + int(lines[0]) + 1
            melted[turn] = ids[first + int(lines[0])] != grammar.newline
        else:
            role[turn], body[turn] = 0, first
    return role, body, melted


def _begin(ids: Ints, at: Ints, end: Ints, piece: tuple[int, ...]) -> Bools:
    """Whether tokens stand at these places, each before its end."""
    found = at + len(piece) <= end
    for place, token in enumerate(piece):
        found &= ids[np.minimum(at + place, len(ids) - 1)] == token
    return found


def _next(ids: Ints, token: int, at: Ints) -> Ints:
    """Where a token stands first, from each place on; _FAR if nowhere."""
    places = np.append(np.flatnonzero(ids == token) if token != NO_ID else [], _FAR).astype(np.int64)
    return places[np.searchsorted(places, at)]


def _blocks(
    ids: Ints, body: Ints, stop: Ints, closes: Ints, answers: Bools, grammar: Grammar
) -> tuple[npt.NDArray[np.int8], Ints]:
    """The think block that each turn begins with, and where it and the white space behind it end (`body` for none)."""
    last = max(len(ids) - 1, 0)
    opened = answers & (body < stop) & (grammar.opens != NO_ID) & (ids[np.minimum(body, last)] == grammar.opens)
    closed = opened & (closes < stop)
    dark = np.append(np.flatnonzero(~grammar.blank[ids]), _FAR)
    empty = closed & (dark[np.searchsorted(dark, body + 1)] == closes)
    kinds = [BLOCKS.index("empty"), BLOCKS.index("full")]
    block = np.select([empty, opened], kinds, BLOCKS.index("none")).astype(np.int8)
    behind = np.minimum(closes + 1, last)
    spaced = closed & (closes + 1 < stop) & grammar.blank[ids[behind]]
    return block, np.where(closed, closes + 1 + spaced, body)


def _behind(
    batch: Batch, body: Ints, melted: Bools, done: Ints, answers: Bools, grammar: Grammar
) -> tuple[Bools, Ints, Ints, Bools]:
    """Behind which prompt each answer stands: whether there is one, its number, where it ends, and whether its last
    token goes on in the answer."""
    ids, n = batch.ids, len(batch.ids)
    n_trained = np.append(0, np.cumsum(batch.trained))
    best = np.full(len(body), _FAR * 4, dtype=np.int64)
    prompt = np.zeros(len(body), dtype=np.int64)
    said = body.copy()
    straddles = melted & answers
    for number, one in enumerate(grammar.prompts):
        size = len(one.ids)
        fits = answers.copy()
        longer = melted.copy() if not size else np.zeros(len(body), dtype=np.bool_)
        for place, token in enumerate(one.ids):
            at = body + place
            there = ids[np.minimum(at, max(n - 1, 0))]
            same = (at >= done) | (there == token)
            if place == size - 1:
                longer = ~same & one.longer[there]
                same |= longer
            fits &= same & (~melted | (at >= done))
        begins = np.minimum(body + size, done)
        wrong = n_trained[begins] - n_trained[body] + (done - begins) - (n_trained[done] - n_trained[begins])
        cost = np.where(fits, wrong + longer * _FAR, _FAR * 4)
        better = cost < best
        best = np.where(better, cost, best)
        prompt = np.where(better, number, prompt)
        said = np.where(better, begins, said)
        straddles = np.where(better, longer, straddles)
    return best < _FAR * 4, prompt, said, straddles & answers


_EXPECTED = np.isin(np.arange(len(Part)), GENERATED)


def _fill(turns: Turns, ids: Ints, straddles: Bools, words: Ints, grammar: Grammar) -> None:
    """Sets the part of each token, and whether it should be trained: stretch after stretch of each turn."""
    answers = turns.role == ASSISTANT
    n, last = len(ids), max(len(ids) - 1, 0)
    body, stop, done = turns.body, turns.stop, turns.done
    words = np.where(answers, np.minimum(words, stop), body)
    said = np.where(answers, np.minimum(turns.said, stop), body)
    calls = np.minimum(np.where(answers, _next(ids, grammar.call, words), stop), stop)
    ends = np.append(-1, np.flatnonzero(ids == grammar.call_end))
    called = ends[np.searchsorted(ends, stop) - 1] + 1
    called = np.where(called > calls, called, stop)
    lined = turns.stopped & (done < turns.end) & grammar.begins_line[ids[np.minimum(done, last)]]
    line = np.maximum(body - 1, turns.start)
    prefilled = straddles & (said > body)
    melted = straddles & (said == body)
    header = np.where(answers, Part.HEADER, Part.SCAFFOLD)
    newline = np.where(melted, Part.BOUNDARY, np.where(answers, Part.HEADER_NEWLINE, Part.SCAFFOLD))
    inside = np.where(answers, Part.CONTENT, _BODY[turns.role])
    stretches: list[tuple[Ints, npt.NDArray[np.int64] | Part]] = [
        (turns.start, header),
        (line, newline),
        (body, np.where(answers, Part.PREFILL, inside)),
        (np.where(prefilled, said - 1, said), Part.BOUNDARY),
        (said, np.where(answers, Part.REASONING, inside)),
        (words, inside),
        (calls, np.where(answers, Part.CALL, inside)),
        (called, inside),
        (stop, np.where(answers, Part.STOP, Part.SCAFFOLD)),
        (done, np.where(answers, Part.TRAILING_NEWLINE, Part.SCAFFOLD)),
        (done + lined, np.full(len(stop), Part.OUTSIDE)),
        (turns.end, np.full(len(stop), Part.BEFORE)),
    ]
    edges = np.stack([edge for edge, _ in stretches], axis=1)
    kinds = np.stack([np.broadcast_to(kind, edges[:, 0].shape) for _, kind in stretches], axis=1).astype(np.int8)
    expected = _EXPECTED[kinds] & (turns.served & answers)[:, None]
    flat = np.append(0, edges.ravel())
    sizes = np.diff(flat, append=n)
    turns.parts = np.repeat(np.append(np.int8(Part.BEFORE), kinds.ravel()), sizes)
    turns.expected = np.repeat(np.append(False, expected.ravel()), sizes)
