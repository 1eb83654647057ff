"""`--dedup exact|near`: of samples that are alike the first one stays."""

from array import array
from collections.abc import Iterable

from qwen_sft.keys import Keys
from qwen_sft.near import Index
from qwen_sft.record import Where


class Twins:
    """The samples that were kept, among which it finds the earlier twin of another.

    It holds about 170 bytes of each, 410 for near duplicates (measured over 300,000).

    Args:
        threshold: the share of common runs of words from which two samples are near duplicates; None to find only those
            that are alike word for word.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self._places = _Places()
        self._exact: dict[bytes, int] = {}
        self._near: Index[int] | None = None if threshold is None else Index(threshold)
        self._news: list[tuple[bytes, bytes, Where]] = []

    def earlier(self, keys: Keys, where: Where) -> str | None:
        """The place of the earlier twin of a sample; where there is none, it is kept itself."""
        number = self._exact.get(keys.content)
        if number is None and self._near is not None:
            number = self._near.add(len(self._places), keys.near)
        if number is not None:
            return self._places[number]
        self._exact[keys.content] = self._places.add(where)
        self._news.append((keys.content, keys.near, where))
        return None

    def news(self) -> list[tuple[bytes, bytes, Where]]:
        """The samples that were kept since this was last asked, for `learn`."""
        news, self._news = self._news, []
        return news

    def learn(self, news: Iterable[tuple[bytes, bytes, Where]]) -> None:
        """Keeps samples as another one has kept them."""
        for content, near, where in news:
            self.earlier(Keys(content, b"", is_task=False, near=near), where)
        self._news = []


class _Places:
    """Places of records in a few bytes each."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._files, self._lines, self._items = array("L"), array("Q"), array("q")

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, where: Where) -> int:
        """Keeps a place, and gives the number that it has."""
        self._files.append(self._names.setdefault(where.file, len(self._names)))
        self._lines.append(where.line)
        self._items.append(-1 if where.item is None else where.item)
        return len(self) - 1

    def __getitem__(self, number: int) -> str:
        """A place for people: `runs.jsonl:12`."""
        names = list(self._names)
        item = f"[{self._items[number]}]" if self._items[number] >= 0 else ""
        return f"{names[self._files[number]]}:{self._lines[number]}{item}"
