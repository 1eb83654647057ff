"""One pass over a text tells which of many marks stand in it, so that most closer looks at it can be spared.

A mark is a name with a regular expression, or a plain text. Small inputs are passed through `re`; an automaton
(Vectorscan) takes over when more has come than it costs to make one.
"""

import re
from collections.abc import Callable, Collection, Iterable
from functools import cache

Mark = tuple[str, str]
"""A name, which several marks may share, and a regular expression without lookaround.

It is asked of compact JSON in UTF-8, in which only quotes, backslashes and control characters are escaped.
"""

Sieve = Callable[[bytes], Collection[str]]
"""The names of the marks that stand in a text; may be asked from one thread at a time."""

_FIRST_BYTES = 400_000


def by_expressions(marks: Iterable[Mark]) -> Sieve:
    """A sieve that asks `re`."""
    compiled = [(name, re.compile(mark.encode(), re.DOTALL)) for name, mark in marks]

    def sieve(data: bytes) -> Collection[str]:
        return {name for name, mark in compiled if mark.search(data)}

    return sieve


def by_automaton(marks: Iterable[Mark]) -> Sieve:
    """A sieve that asks an automaton (Vectorscan)."""
    import hyperscan  # 0.05 to 0.15 s to load it and to build the automaton

    names: list[str] = []
    expressions: list[bytes] = []
    for name, mark in marks:
        names.append(name)
        expressions.append(mark.encode())
    database = hyperscan.Database()
    database.compile(
        expressions=expressions,
        ids=list(range(len(names))),
        elements=len(names),
        flags=[hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_DOTALL] * len(names),
    )

    def sieve(data: bytes) -> Collection[str]:
        hits: set[str] = set()

        def hit(mark: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            hits.add(names[mark])

        database.scan(data, match_event_handler=hit)
        return hits

    return sieve


@cache
def sieving(wanted: tuple[Mark, ...]) -> Sieve:
    """A sieve by `re` for its first bytes, then by the automaton: a small file need not pay for making that."""
    current: Sieve | None = None
    n_left = _FIRST_BYTES

    def sieve(data: bytes) -> Collection[str]:
        nonlocal current, n_left
        if current is None or 0 <= n_left < len(data):
            current = by_expressions(wanted) if n_left > len(data) else by_automaton(wanted)
        n_left -= len(data)
        return current(data)

    return sieve
