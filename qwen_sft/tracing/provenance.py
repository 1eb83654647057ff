"""Text that remembers who wrote each piece of it: a `str` that templates cannot tell from a plain one.

A mark says who wrote a run of characters: a path into the request for data (`("messages", 3, "content")`, the longest
common one where several values were printed as one, such as JSON), the index of a message for text that the template
wrote while it printed that message (-1: while it printed none), or None for the template's text of unknown occasion.
A plain `str` is the template's own. Slices, joins, trims and splits are exact; what maps text in another way (`format`,
`|tojson`, `|title`) makes one run of all that went in.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Any, SupportsIndex, cast

from qwen_sft.sample import Path

Mark = Path | int | None
"""Who wrote a run of characters: see above."""

Runs = tuple[tuple[int, Mark], ...]
"""Lengths, of which none is 0, and marks; neighbours differ."""


class Tagged(str):
    """Text with the marks of its runs.

    Attributes:
        runs: lengths and marks; the lengths add up to the text's.
    """

    __slots__ = ("runs",)
    runs: Runs

    def __str__(self) -> str:
        return self  # else `str(value)`, which filters begin with, would forget

    def __add__(self, other: str) -> str:
        return add(self, other) if _is_text(other) else NotImplemented

    def __radd__(self, other: str) -> str:
        return add(other, self) if _is_text(other) else NotImplemented

    def __mul__(self, times: SupportsIndex) -> str:
        return concat([self] * index(times))

    def __rmul__(self, times: SupportsIndex) -> str:
        return concat([self] * index(times))

    def __mod__(self, values: Any) -> str:
        return blend(str.__mod__(self, values), (self, values))

    def __rmod__(self, form: str) -> str:
        return blend(str.__mod__(form, self), self)

    def __iter__(self) -> Iterator[str]:
        at = 0
        for n, mark in self.runs:
            for character in str.__getitem__(self, slice(at, at + n)):
                yield tagged(character, mark)
            at += n

    def __getitem__(self, key: SupportsIndex | slice) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step == 1:
                return cut(self, start, stop)
            return concat([self[at] for at in range(start, stop, step)])
        at = index(key)  # raises what a plain text raises
        if not -len(self) <= at < len(self):
            raise IndexError("string index out of range")
        return cut(self, at % len(self), at % len(self) + 1)

    def lstrip(self, chars: str | None = None, /) -> str:
        return cut(self, len(self) - len(str.lstrip(self, chars)), len(self))

    def rstrip(self, chars: str | None = None, /) -> str:
        return cut(self, 0, len(str.rstrip(self, chars)))

    def strip(self, chars: str | None = None, /) -> str:
        start = len(self) - len(str.lstrip(self, chars))
        return cut(self, start, start + len(str.strip(self, chars)))

    def removeprefix(self, prefix: str, /) -> str:
        return cut(self, len(prefix), len(self)) if self.startswith(prefix) else self

    def removesuffix(self, suffix: str, /) -> str:
        return cut(self, 0, len(self) - len(suffix)) if suffix and self.endswith(suffix) else self

    def split(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return _located(self, str.split(self, sep, maxsplit), len(sep or ""))

    def rsplit(self, sep: str | None = None, maxsplit: SupportsIndex = -1) -> list[str]:
        return _located(self, str.rsplit(self, sep, maxsplit), len(sep or ""))

    def splitlines(self, keepends: bool = False) -> list[str]:
        lines = _located(self, str.splitlines(self, keepends=True))
        return lines if keepends else [line[: len(str.splitlines(line)[0])] for line in lines]

    def partition(self, sep: str, /) -> tuple[str, str, str]:
        return cast("tuple[str, str, str]", tuple(_located(self, str.partition(self, sep))))

    def rpartition(self, sep: str, /) -> tuple[str, str, str]:
        return cast("tuple[str, str, str]", tuple(_located(self, str.rpartition(self, sep))))

    def replace(self, old: str, new: str, count: SupportsIndex = -1, /) -> str:
        if not old:
            return blend(str.replace(self, old, new, count), (self, new))
        return join(new, self.split(old, count)) if old in self else self

    def join(self, iterable: Iterable[str], /) -> str:
        return join(self, iterable)

    def lower(self) -> str:
        return _mapped(self, str.lower(self))

    def upper(self) -> str:
        return _mapped(self, str.upper(self))

    def casefold(self) -> str:
        return _mapped(self, str.casefold(self))

    def capitalize(self) -> str:
        return _mapped(self, str.capitalize(self))

    def swapcase(self) -> str:
        return _mapped(self, str.swapcase(self))

    def title(self) -> str:
        return _mapped(self, str.title(self))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)  # templates are not typed


def tagged(text: str, mark: Mark) -> Tagged:
    """A text that one source wrote."""
    made = str.__new__(Tagged, text)
    made.runs = ((len(made), mark),) if made else ()
    return made


def of_runs(text: str, runs: list[tuple[int, Mark]]) -> Tagged:
    """A text of given runs."""
    made = str.__new__(Tagged, text)
    made.runs = tuple(runs)
    return made


def concat(parts: Iterable[str], mark: Mark = None) -> Tagged:
    """Texts one behind the other.

    Args:
        mark: of the plain ones.
    """
    runs: list[tuple[int, Mark]] = []
    texts: list[str] = []
    for part in parts:
        if not part:
            continue
        texts.append(part)
        for n, one in part.runs if type(part) is Tagged else ((len(part), mark),):
            if runs and runs[-1][1] == one:
                runs[-1] = (runs[-1][0] + n, one)
            else:
                runs.append((n, one))
    return of_runs("".join(texts), runs)


def add(left: str, right: str, mark: Mark = None) -> Tagged:
    """`left + right`, as `concat`; templates add most of all."""
    runs = left.runs if type(left) is Tagged else ((len(left), mark),) if left else ()
    more = right.runs if type(right) is Tagged else ((len(right), mark),) if right else ()
    if runs and more and runs[-1][1] == more[0][1]:
        runs = (*runs[:-1], (runs[-1][0] + more[0][0], more[0][1]), *more[1:])
    else:
        runs = runs + more
    made = str.__new__(Tagged, str.__add__(left, right))
    made.runs = runs
    return made


def join(between: str, parts: Iterable[str]) -> Tagged:
    """`between.join(parts)`."""
    pieces = [*parts]
    whole: list[str] = []
    for part in pieces:
        if not _is_text(part):
            str.join("", pieces)  # raises what a plain text raises
        whole += (between, part)
    return concat(whole[1:])


def cut(text: Tagged, start: int, stop: int) -> Tagged:
    """`text[start:stop]`, for 0 <= start."""
    piece = str.__getitem__(text, slice(start, stop))
    if len(text.runs) == 1:
        return tagged(piece, text.runs[0][1])
    runs: list[tuple[int, Mark]] = []
    at = 0
    for n, mark in text.runs:
        inside = min(at + n, stop) - max(at, start)
        if inside > 0:
            runs.append((inside, mark))
        at += n
    return of_runs(piece, runs)


def blend(text: str, sources: Any) -> str:
    """A text in which all data of the sources is one run; a plain one if there was none."""
    path = common_path(sources)
    return text if path is None else tagged(text, path)


def common_path(value: Any) -> Path | None:
    """The longest path that all data in a value shares; () if the data lies apart, None if there is none."""
    path: Path | None = None
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if type(one) is Tagged:
            for _, mark in one.runs:
                if isinstance(mark, tuple):
                    path = mark if path is None or path is mark else _shared(path, mark)
        elif isinstance(one, dict):
            waiting += cast("dict[Any, Any]", one)
            waiting += cast("dict[Any, Any]", one).values()
        elif isinstance(one, list | tuple):
            waiting += cast("list[Any]", one)
        if path == ():
            break
    return path


def tag(value: Any, path: Path) -> Any:
    """A copy of a JSON value in which each string, keys too, carries its path; a key carries its value's."""
    if isinstance(value, str):
        return tagged(value, path)
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {tagged(key, (*path, key)): tag(one, (*path, key)) for key, one in fields.items()}
    if isinstance(value, list | tuple):
        return [tag(one, (*path, at)) for at, one in enumerate(cast("list[Any]", value))]
    return value


def _shared(left: Path, right: Path) -> Path:
    n = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        n += 1
    return left[:n]


def _located(text: Tagged, pieces: Iterable[str], n_between: int = 0) -> list[str]:
    """Pieces that stand in the text in this order, cut from it; white space or so many characters part them."""
    found: list[str] = []
    at = 0
    for piece in pieces:
        at = str.find(text, piece, at)
        found.append(cut(text, at, at + len(piece)))
        at += len(piece) + n_between
    return found


def _mapped(text: Tagged, mapped: str) -> str:
    """A text of which each character became another."""
    return of_runs(mapped, list(text.runs)) if len(mapped) == len(text) else blend(mapped, text)
