"""What formats see of a record at first sight: questions that many of them ask, each answered once for one record.

Some fifty formats are shown a record, and most of them ask the same of it: which turns it holds, which keys these have.
Outside of `ONE_RECORD` nothing is remembered, so that no answer outlives what it was asked about.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

T = TypeVar("T")

_answers: list[dict[int, tuple[Any, Any]]] = []


class _OneRecord:
    """While formats are asked about one record, which nobody changes meanwhile."""

    n_open = 0

    def __enter__(self) -> None:
        self.n_open += 1

    def __exit__(self, *_: object) -> None:
        self.n_open -= 1
        if not self.n_open:
            for known in _answers:
                known.clear()


ONE_RECORD = _OneRecord()


def shared(find: Callable[[Any], T]) -> Callable[[Any], T]:
    """The same question, answered once for each value of one record; it must not change the value, nor the answer."""
    known: dict[int, tuple[Any, T]] = {}
    _answers.append(known)

    def asked(value: Any) -> T:
        if not ONE_RECORD.n_open:
            return find(value)
        told = known.get(id(value))
        if told is None:  # the value is kept too: while it is there, nothing else has its id
            told = known[id(value)] = (value, find(value))
        return told[1]

    return update_wrapper(asked, find)
