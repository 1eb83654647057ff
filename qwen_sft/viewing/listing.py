"""A page of a list: the filters as a form, the samples as a table, links to the pages before and behind it."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

from qwen_sft.rule import rules
from qwen_sft.text.element import Html, el, joined
from qwen_sft.viewing.collection import Collection, Filters, Hit, Hits
from qwen_sft.viewing.page import footer

N_HITS = 50
"""Samples on a page."""

KEYS = (("j k", "next and previous sample"), ("↵", "open it"), ("n p", "next and previous page"), ("/", "search"))
_LABELS = {
    "q": "Text",
    "code": "Finding",
    "tool": "Calls tool",
    "source": "Source",
    "kind": "Has",
    "least": "At least",
    "most": "At most",
}
_NUMERIC = frozenset({"tokens", "trained", "calls", "size", "turns"})


def address(name: str, filters: Filters, number: int | None = None, **more: int) -> str:
    """The address of a list, or of a sample in it."""
    query = urlencode({**filters.query(), **more})
    path = f"/{name}" if number is None else f"/{name}/{number}"
    return f"{path}?{query}" if query else path


def tabs(every: Sequence[Collection], here: str) -> Html:
    """Links to the lists that there are."""
    links = [
        el("a", f"{one.title} {one.n:,}{'' if one.is_whole else ' …'}", href=f"/{one.name}",
           aria_current="page" if one.name == here else False)
        for one in every
    ]  # fmt: skip
    return el("nav", *links, class_="tabs", aria_label="Lists")


def list_body(
    every: Sequence[Collection], here: Collection, heading: str, filters: Filters, hits: Hits, start: int, failure: str
) -> list[Html]:
    """What stands in the body of a list's page."""
    top = el("header", el("h1", heading), tabs(every, here.name), class_="top")
    parts = [_form(here, filters)]
    if failure:
        parts.append(el("p", f"Reading stopped: {failure}", class_="failure", role="alert"))
    parts += [_count(here, filters, hits), _table(here, filters, hits.hits), _pages(here, filters, hits, start)]
    return [top, el("main", joined(parts), tabindex="-1"), footer(KEYS)]


def _form(here: Collection, filters: Filters) -> Html:
    choices = here.choices()
    asked = filters.query()
    fields: list[Html] = []
    for name in here.filters:
        label = _LABELS[name] + (f" ({here.unit})" if name in ("least", "most") else "")
        given = asked.get(name, "")
        if name == "q":
            field = el("input", type="search", name=name, value=given, placeholder="a text that it holds")
        elif name in ("least", "most"):
            field = el("input", type="number", name=name, value=given, min="0", inputmode="numeric")
        elif name in ("tool", "source"):
            listed = [el("option", value=value) for value, _ in choices.get(name, ())]
            field = Html(
                el("input", type="text", name=name, value=given, list=f"{name}s", autocomplete="off")
                + el("datalist", *listed, id=f"{name}s")
            )
        else:
            field = _select(name, given, choices.get(name, ()))
        fields.append(el("label", el("span", label), field))
    clear = el("a", "clear", href=f"/{here.name}") if asked else Html("")
    return el("form", *fields, el("p", el("button", "Filter", type="submit"), clear), class_="filters", role="search")


def _select(name: str, given: str, choices: Sequence[tuple[str, int]]) -> Html:
    listed = [*choices] if not given or any(given == value for value, _ in choices) else [*choices, (given, 0)]
    options = [el("option", "any", value="")]
    for value, n in listed:
        count = f" ({n:,})" if n else ""
        options.append(el("option", f"{_named(name, value)}{count}", value=value, selected=value == given))
    return el("select", *options, name=name)


def _named(name: str, value: str) -> str:
    if name != "code":
        return value
    rule = rules().get(value)
    return f"{value} {rule.name}" if rule else value


def _count(here: Collection, filters: Filters, hits: Hits) -> Html:
    n = f"{here.n:,} {here.title.lower()}" + ("" if here.is_whole else " read so far, and reading goes on")
    if hits.stopped is not None and filters.query():
        n += f"; {hits.n_asked:,} were looked at for this page"
    return el("p", n, class_="dim count", role="status")


def _table(here: Collection, filters: Filters, hits: Sequence[Hit]) -> Html:
    if not hits:
        return el("p", "None here passes these filters." if filters.query() else "There is none.", class_="none")
    heads = [el("th", "№", scope="col", class_="n")]
    heads += [el("th", one, scope="col", class_="n" if one in _NUMERIC else False) for one in here.columns]
    rows = [_row(here, filters, one) for one in hits]
    table = el("table", el("thead", el("tr", *heads)), el("tbody", joined(rows)), class_="hits")
    return el("div", table, class_="scroll", tabindex="0", role="group", aria_label=here.title)


def _row(here: Collection, filters: Filters, hit: Hit) -> Html:
    cells = [el("td", f"{hit.number:,}", class_="n dim")]
    for k, (column, cell) in enumerate(zip(here.columns, hit.cells, strict=True)):
        if k == 0:
            link = el("a", cell, href=address(here.name, filters, hit.number), class_="to")
            cells.append(el("th", link, scope="row"))
        else:
            tone = "n" if column in _NUMERIC else f"c-{column}"
            extra = " bad" if cell.startswith("✗") else " good" if cell.startswith("✓") else ""
            cells.append(el("td", cell, class_=tone + extra, dir="auto" if column == "says" else False))
    return el("tr", *cells)


def _pages(here: Collection, filters: Filters, hits: Hits, start: int) -> Html:
    links: list[Html] = []
    first = hits.hits[0].number if hits.hits else start
    if first > 1:
        links.append(el("a", "← before", href=address(here.name, filters, back=first - 1), rel="prev"))
        links.append(el("a", "first", href=address(here.name, filters)))
    if hits.stopped is not None:
        links.append(
            el("a", "look on →", href=address(here.name, filters, start=hits.stopped), rel="next", class_="far")
        )
    elif len(hits.hits) == N_HITS and hits.hits[-1].number < here.n:
        following = hits.hits[-1].number + 1
        links.append(el("a", "next →", href=address(here.name, filters, start=following), rel="next", class_="far"))
    return el("nav", *links, class_="steps", aria_label="Pages")


def steps(here: Collection, filters: Filters, number: int, beside: Mapping[str, int | None]) -> Html:
    """Links from a sample to its list and to the samples beside it."""
    links = [el("a", f"↑ {here.title}", href=address(here.name, filters, start=number), rel="up")]
    for rel, label in (("prev", "← previous"), ("next", "next →")):
        to = beside.get(rel)
        if to is not None:
            far = "far" if rel == "prev" else False
            links.append(el("a", label, href=address(here.name, filters, to), rel=rel, class_=far))
    return el("nav", *links, class_="steps", aria_label="Samples")
