"""`--dedup exact|near`: of samples that are alike the first one stays."""

from collections.abc import Iterable

from qwen_sft.inspecting.keys import Keys
from qwen_sft.inspecting.near import Index
from qwen_sft.inspecting.scratch import Scratch
from qwen_sft.record import Where


class Twins:
    """The samples that were kept, among which it finds the earlier twin of another.

    Memory does not grow with them (see `qwen_sft.inspecting.scratch`); the temporary file does, by about 35 bytes and
    the name of its place for each, 450 more for near duplicates.

    Args:
        threshold: the share of common runs of words from which two samples are near duplicates; None to find only those
            that are alike word for word.
    """

    def __init__(self, threshold: float | None = None) -> None:
        self._exact = Scratch("kept (content BLOB PRIMARY KEY, place BLOB) WITHOUT ROWID")
        self._near: Index[bytes] | None = None if threshold is None else Index(threshold)
        self._news: list[tuple[bytes, bytes, Where]] = []

    def earlier(self, keys: Keys, where: Where) -> str | None:
        """The place of the earlier twin of a sample, for people: `runs.jsonl:12`; where there is none, it is kept."""
        here = _place(where)
        place = next((one for (one,) in self._exact.ask(_KNOWN, keys.content)), None)
        if place is None and self._near is not None:
            place = self._near.add(here, keys.near)
        if place is not None:
            return place.decode("utf-8", "surrogatepass")
        self._exact.put("kept", [(keys.content, here)], 2)
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


_KNOWN = "SELECT place FROM kept WHERE content = ?"


def _place(where: Where) -> bytes:
    """A place in bytes: a file's name may be no text."""
    item = "" if where.item is None else f"[{where.item}]"
    return f"{where.file}:{where.line}{item}".encode("utf-8", "surrogatepass")
