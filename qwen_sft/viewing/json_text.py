"""A JSON value as a page shows it: indented, with the places marked that findings are about."""

import json
from collections.abc import Sequence
from typing import Any

from qwen_sft.sample import Path, is_list, is_object, is_too_deep, value_at
from qwen_sft.text.element import Html, el, safe


def marked_json(value: Any, marks: Sequence[Path | None], n_text: int, n_all: int, prefix: str) -> Html:
    """A value as HTML text, each marked place in a <mark> that findings link to.

    Args:
        value: not `is_too_deep`.
        marks: the places; a place that is not there is marked at the nearest one above it, None is marked nowhere.
        n_text: characters of each text that are shown, with a note of how many there are.
        n_all: characters that are shown in all.
        prefix: of the ids: the mark of the first finding is `{prefix}1`.
    """
    wanted: dict[Path, list[int]] = {}
    for number, mark in enumerate(marks, start=1):
        if mark is not None:
            wanted.setdefault(_there(value, mark), []).append(number)
    writer = _Writer(wanted, n_text, n_all, prefix)
    writer.write(value, (), "")
    if writer.n_left < 0:
        writer.parts.append(el("span", f"\n… the rest is not shown: {n_all:,} characters are", class_="cut"))
    return Html("".join(writer.parts))


def _there(value: Any, path: Path) -> Path:
    """As far as a place is there."""
    for n, step in enumerate(path):
        if value_at(value, (step,)) is None:  # a null too: nothing stands below it
            held = is_object(value) and step in value
            return path[: n + 1] if held and n + 1 == len(path) else path[:n]
        value = value_at(value, (step,))
    return path


class _Writer:
    """Writes values one behind the other; `n_left` counts down what may still be shown."""

    def __init__(self, wanted: dict[Path, list[int]], n_text: int, n_left: int, prefix: str) -> None:
        self._wanted, self._n_text, self._prefix = wanted, n_text, prefix
        self.n_left = n_left
        self.parts: list[str] = []

    def write(self, value: Any, path: Path, indent: str) -> None:
        """Adds a value; at most 200 levels deep, as the caller has made sure."""
        here = self._wanted.get(path, ())
        for number in here:
            self.parts.append(f'<mark id="{self._prefix}{number}" tabindex="-1">')
        if is_object(value) and value:
            self._list("{", "}", [(key, item) for key, item in value.items()], path, indent)
        elif is_list(value) and value:
            self._list("[", "]", [(n, item) for n, item in enumerate(value)], path, indent)
        else:
            self._scalar(value)
        self.parts += ["</mark>"] * len(here)

    def _list(self, begin: str, end: str, items: list[tuple[str | int, Any]], path: Path, indent: str) -> None:
        deeper = indent + "  "
        self._add(f"{begin}\n")
        for n, (key, item) in enumerate(items):
            if self.n_left < 0 and not any(mark[: len(path) + 1] == (*path, key) for mark in self._wanted):
                continue  # what is marked is shown in any case
            self._add(deeper)
            if isinstance(key, str):
                self.parts.append(el("b", self._spelled(key)))
                self._add(": ")
            self.write(item, (*path, key), deeper)
            self._add(",\n" if n + 1 < len(items) else "\n")
        self._add(indent + end)

    def _scalar(self, value: Any) -> None:
        if isinstance(value, str):
            self.n_left -= min(len(value), self._n_text)
            self.parts.append(el("span", self._spelled(value[: self._n_text]), class_="str"))
            if len(value) > self._n_text:
                self.parts.append(el("span", f" … {len(value):,} characters", class_="cut"))
        else:
            self._add(spelled(value))

    def _add(self, text: str) -> None:
        self.n_left -= len(text)
        self.parts.append(safe(text))

    def _spelled(self, text: str) -> str:
        return json.dumps(text[: self._n_text], ensure_ascii=False)


def spelled(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON; in words where it has none that we print."""
    if is_too_deep(value):
        return "(it nests too deep to be shown)"
    try:
        return json.dumps(value, ensure_ascii=False, indent=indent)
    except ValueError:  # an integer of more than 4,300 digits
        return "(a number too long to be shown)"
