"""A number for each answer and all that was said before it, to find in which rows of a set it stands.

Traces that need several rows show the answers of one as history in the next. Such an answer is trained in one row and
not in the others, its reasoning may be gone, and its place is another; its words, and what users and tools have said
before it, are the same.
"""

import numpy as np
import numpy.typing as npt

from qwen_sft.auditing.batch import Ints
from qwen_sft.auditing.grammar import ASSISTANT, SYSTEM
from qwen_sft.auditing.turns import Turns

Keys = npt.NDArray[np.uint64]

_BASE = np.uint64(0x9E3779B97F4A7C15)
_INVERSE = np.uint64(pow(int(_BASE), -1, 1 << 64))


class Hasher:
    """Hashes ranges of tokens, as polynomials over 2^64 of random numbers that stand for the ids.

    Two different answers have the same key about once in 2^64 pairs; nobody has to defend against made-up ones, since
    whoever makes the rows has easier ways to hide an answer.
    """

    def __init__(self, n_ids: int) -> None:
        self._numbers: Keys = np.random.default_rng(0).integers(1, 1 << 64, size=n_ids, dtype=np.uint64)
        self._powers: Keys = np.ones(1, dtype=np.uint64)
        self._inverses: Keys = np.ones(1, dtype=np.uint64)

    def keys(self, ids: Ints, turns: Turns) -> Keys:
        """The key of each turn: of its words and of all turns before it but the system's and the assistant's."""
        self._reach(len(ids) + len(turns.start) + 1)
        answers = turns.role == ASSISTANT
        own = self._ranges(self._numbers[ids], np.where(answers, turns.words, turns.body), turns.stop)
        heard = ~answers & (turns.role != SYSTEM)
        number = np.cumsum(heard)  # how many were heard up to each turn, it included
        first = np.searchsorted(turns.document, turns.document, side="left")
        before = number - heard
        said = self._ranges(_mixed(own[heard]), before[first] if len(first) else before, before)
        return _mixed(own) ^ said

    def _ranges(self, numbers: Keys, start: Ints, end: Ints) -> Keys:
        """The hash of each range of some numbers, the same wherever the range stands."""
        total = np.append(np.uint64(0), np.cumsum(numbers * self._powers[: len(numbers)], dtype=np.uint64))
        return (total[end] - total[start]) * self._inverses[start]

    def _reach(self, size: int) -> None:
        if len(self._powers) < size:
            self._powers = _powers(_BASE, 2 * size)
            self._inverses = _powers(_INVERSE, 2 * size)


def _powers(base: np.uint64, size: int) -> Keys:
    factors = np.full(size, base, dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _mixed(keys: Keys) -> Keys:
    """Keys whose low bits depend on all of theirs."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
