"""How whole numbers are spread: exact, in memory that grows with how many different ones there are, not with all."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""The percentiles that are told, by nearest rank."""


class Bin(NamedTuple):
    """How many of the numbers are at least `start` and less than `end`."""

    start: int
    end: int
    n: int


@dataclass(slots=True)
class Spread:
    """Whole numbers of 0 or more, such as the tokens of each row.

    Attributes:
        counts: how often each number was seen.
    """

    counts: Counter[int] = field(default_factory=Counter[int])

    def see(self, number: int) -> None:
        """Adds one number."""
        self.counts[number] += 1

    def see_all(self, numbers: Iterable[int]) -> None:
        """Adds some."""
        self.counts.update(numbers)

    @property
    def n(self) -> int:
        """How many there are."""
        return self.counts.total()

    @property
    def total(self) -> int:
        """Their sum."""
        return sum(number * n for number, n in self.counts.items())

    @property
    def most(self) -> int:
        """The largest; 0 if there are none."""
        return max(self.counts, default=0)

    def above(self, limit: int) -> int:
        """How many are larger than that."""
        return sum(n for number, n in self.counts.items() if number > limit)

    def at(self, share: float) -> int:
        """The number that this share of them does not exceed, by nearest rank; 0 if there are none."""
        rank = max(1, math.ceil(self.n * share))
        for number in sorted(self.counts):
            rank -= self.counts[number]
            if rank <= 0:
                return number
        return 0

    def bins(self, most: int) -> list[Bin]:
        """At most so many bins of one round width (1, 2 or 5 times a power of ten), from the first that holds any."""
        if not self.counts:
            return []
        least = min(self.counts)
        width = next(one for one in _widths() if self.most // one - least // one < most)
        found = Counter[int]()
        for number, n in self.counts.items():
            found[number // width] += n
        return [Bin(k * width, (k + 1) * width, found[k]) for k in range(least // width, self.most // width + 1)]

    def as_json(self) -> dict[str, Any]:
        """The numbers that tell of it, for programs."""
        at = {f"p{share * 100:g}": self.at(share) for share in SHARES}
        bins = [one._asdict() for one in self.bins(30)]
        return {"n": self.n, "total": self.total, "min": min(self.counts, default=0), **at, "max": self.most} | {
            "bins": bins
        }


def _widths() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10
