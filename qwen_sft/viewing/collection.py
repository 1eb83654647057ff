"""What a viewer lists: samples by number, found by filters, some at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from os.path import commonprefix
from typing import Protocol

from qwen_sft.viewing.sheet import Sheet

KINDS = ("system", "tools", "user", "result", "reasoning", "content", "call")
"""What a sample may have, by the kinds of its tokens."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked for; "" and None let everything through.

    Attributes:
        q: a text that it holds, whatever the case of its letters.
        code: of a finding.
        tool: that is called.
        source: a part of the name of the file that it came from.
        kind: one of KINDS that it has.
        least, most: of its length.
    """

    q: str = ""
    code: str = ""
    tool: str = ""
    source: str = ""
    kind: str = ""
    least: int | None = None
    most: int | None = None

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "Filters":
        """The filters of a query; what is no number is no bound."""

        def text(key: str) -> str:
            return asked.get(key, "").strip()

        def number(key: str) -> int | None:
            given = text(key)
            return int(given[:18]) if given.isascii() and given.isdecimal() else None

        return cls(text("q"), text("code"), text("tool"), text("source"), text("kind"), number("least"), number("most"))

    def query(self) -> dict[str, str]:
        """Those that are set, as a query has them."""
        return {one.name: str(value) for one in fields(self) if (value := getattr(self, one.name)) not in ("", None)}


@dataclass(frozen=True, slots=True)
class Hit:
    """A sample in a list: its number, from 1, and what each column says of it."""

    number: int
    cells: Sequence[str]


@dataclass(frozen=True, slots=True)
class Hits:
    """A page of a list.

    Attributes:
        hits: in order.
        n_asked: how many samples were looked at for it.
        stopped: the number at which looking stopped because it took too long; None where it did not.
    """

    hits: list[Hit]
    n_asked: int
    stopped: int | None = None


class Collection(Protocol):
    """Samples that can be listed and shown. Its functions may be called by several threads.

    Attributes:
        name: in addresses.
        title: for people.
        columns: of its list, besides the number; the first names where a sample stands.
        unit: what `Filters.least` and `most` count.
        filters: the names of those that it knows.
    """

    name: str
    title: str
    columns: Sequence[str]
    unit: str
    filters: Sequence[str]

    @property
    def n(self) -> int:
        """How many samples are known so far."""
        ...

    @property
    def is_whole(self) -> bool:
        """False while more may come."""
        ...

    def choices(self) -> Mapping[str, Sequence[tuple[str, int]]]:
        """For filters the values that there are, and how many samples have each; 0 where that is not known."""
        ...

    def hits(self, filters: Filters, start: int, n: int, *, back: bool = False) -> Hits:
        """At most so many samples that pass, from one number on, or back from it; in order in either case."""
        ...

    def sheet(self, number: int) -> Sheet | None:
        """What is shown of a sample; None where there is no such number."""
        ...


def gathered(
    numbers: Iterator[int],
    passes: Callable[[int], bool],
    hit: Callable[[int], Hit],
    n: int,
    is_late: Callable[[], bool],
) -> Hits:
    """Asks one sample after the other, until there are enough or time is over."""
    found: list[Hit] = []
    n_asked = 0
    for number in numbers:
        if n_asked and is_late():
            return Hits(sorted(found, key=lambda one: one.number), n_asked, number)
        n_asked += 1
        if passes(number):
            found.append(hit(number))
            if len(found) == n:
                break
    return Hits(sorted(found, key=lambda one: one.number), n_asked)


def folder_of(files: Sequence[str]) -> str:
    """The folder that files have in common, with its slash: lists leave it out."""
    whole = commonprefix([file.rpartition("/")[0] + "/" for file in files if "/" in file]) if files else ""  # noqa: RUF071  # cut back to a slash below
    return whole[: whole.rfind("/") + 1] if all("/" in file for file in files) else ""
