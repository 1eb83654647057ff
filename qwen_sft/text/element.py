"""Elements of a page. Whatever is no markup of ours is escaped, so that no trace can become a part of the page."""

import html
import re

from qwen_sft.text.terminal import printable

_NO_CHARACTERS = re.compile("[\ufdd0-\ufdef\ufffe\uffff" + "".join(
    f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17)
) + "]")  # fmt: skip
_EMPTY = frozenset({"meta", "br", "link", "input"})


class Html(str):
    """Text that is markup, made by this module or by a chart; everything else is text."""

    __slots__ = ()


def plain(text: str) -> str:
    """Text without control and direction characters, and without code points that no document may hold: escapes."""
    return _NO_CHARACTERS.sub(lambda match: f"\\u{{{ord(match[0]):x}}}", printable(text))


def safe(text: str) -> Html:
    """Text as HTML text; markup of ours stays."""
    return text if isinstance(text, Html) else Html(html.escape(plain(text)))


def el(name: str, /, *children: str, **attributes: str | bool) -> Html:
    """An element. Attributes are named as in HTML, with `class_` for `class` and `_` for `-`; True has no value."""
    given: list[str] = []
    for key, value in attributes.items():
        if value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        given.append(f" {key}" if value is True else f' {key}="{html.escape(plain(str(value)))}"')
    if name in _EMPTY:
        return Html(f"<{name}{''.join(given)}>")
    begin = "\n" if name == "pre" else ""  # readers of HTML drop the first newline of it
    return Html(f"<{name}{''.join(given)}>{begin}{''.join(safe(child) for child in children)}</{name}>")


def joined(parts: "list[Html]") -> Html:
    """Elements one behind the other, a line each."""
    return Html("\n".join(parts))


def table(caption: str, head: "list[str]", rows: "list[list[str]]", numeric: "set[int] | None" = None) -> Html:
    """A table; the first cell of each row is its header.

    Args:
        numeric: the columns that hold numbers; by default all but the first.
    """
    right = set(range(1, len(head))) if numeric is None else numeric
    cells = [el("th", name, scope="col", class_="n" if i in right else False) for i, name in enumerate(head)]
    lines = [el("tr", *cells)]
    body: list[Html] = []
    for row in rows:
        first, *others = row
        made = [el("td", cell, class_="n" if i in right else False) for i, cell in enumerate(others, start=1)]
        body.append(el("tr", el("th", first, scope="row"), *made))
    inner = el("table", el("caption", caption), el("thead", *lines), Html("\n"), el("tbody", joined(body)))
    # A wide table scrolls in its own box, which the keyboard must reach.
    return el("div", inner, class_="scroll", tabindex="0", role="group", aria_label=caption)
