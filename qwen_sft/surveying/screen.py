"""The numbers on one screen of a terminal: tables and bars, 24 lines where it is 80 columns wide or wider."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from qwen_sft.reporter import in_checkout
from qwen_sft.surveying.numbers import Numbers
from qwen_sft.surveying.page import five_of, many
from qwen_sft.surveying.spread import Spread
from qwen_sft.text.element import plain
from qwen_sft.text.terminal import columns, in_colour, inert, one_line

_UPPER, _LOWER = 7, 6  # bars of the upper and the lower blocks
_TWO = 80  # columns from which on two blocks stand side by side
_LABEL = 0.42  # share of a block that a name may take


@dataclass(frozen=True, slots=True)
class _Line:
    """A bar: its name, its length, what stands behind it, and how much of it is filled (all by default)."""

    label: str
    value: float
    says: str
    style: str = "cyan"
    part: float | None = None


def write_screen(numbers: Numbers, stream: TextIO) -> None:
    """Writes the numbers for people: in colour only on a terminal whose user has not set NO_COLOR."""
    colour, width = in_colour(stream), columns(stream)
    text = io.StringIO()
    console = Console(
        file=text,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        no_color=not colour,
        highlight=False,
        markup=False,
        emoji=False,
        legacy_windows=False,
    )
    full, light = ("█", "░") if _holds(stream, "█░") else ("#", ".")
    tone = {0: "bold green", 1: "bold red"}.get(numbers.code, "bold yellow")
    _row(console, [Text(numbers.verdict, tone), Text(f": {_text(numbers.name)}")])
    _row(console, [Text(_text(" ".join(numbers.sense)))])
    console.print()
    console.print(_five(numbers))
    console.print()
    upper, lower = [_lengths(numbers), _kinds(numbers)], [_findings(numbers), _tools(numbers)]
    for pair in (upper, lower):
        if width < _TWO:
            for title, lines in pair:
                console.print(_block(title, lines, width, full, light))
                console.print()
            continue
        each = (width - 3) // 2
        grid = Table.grid(padding=(0, 3, 0, 0), pad_edge=False)
        grid.add_column(width=each)
        grid.add_column(width=each)
        grid.add_row(*(_block(title, lines, each, full, light) for title, lines in pair))
        console.print(grid)
        if pair is upper:
            console.print()
    if numbers.not_checked:
        _row(console, [Text("not checked: ", "bold"), Text(_text("; ".join(numbers.not_checked)))])
    stream.writelines(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def _holds(stream: TextIO, text: str) -> bool:
    try:
        text.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _text(text: str) -> str:
    """Text of a trace in one line that is no command to a terminal or a CI system."""
    return inert(one_line(plain(text)))


def _row(console: Console, parts: list[Text]) -> None:
    """One line, cut where the screen ends."""
    console.print(Text.assemble(*parts), no_wrap=True, overflow="ellipsis", crop=True)


def _five(numbers: Numbers) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    five = five_of(numbers)
    for _ in five:
        table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_row(*(Text(f"{value} {name}", "bold") for name, value, _ in five))
    table.add_row(*(Text(of, "dim") for _, _, of in five))
    return table


def _block(title: str, lines: Sequence[_Line], width: int, full: str, light: str) -> Table:
    """A title and its bars. Names and what stands behind the bars are cut to the width."""
    says = max((len(line.says) for line in lines), default=0)
    label = max((Text(_text(line.label)).cell_len for line in lines), default=0)
    label = max(1, min(label, int(width * _LABEL)))
    says = min(says, width - label - 8)
    room = max(4, width - label - says - 2)
    table = Table(
        title=Text(title, "bold"),
        title_justify="left",
        box=None,
        show_header=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        width=width,
    )
    table.add_column(no_wrap=True, overflow="ellipsis", width=label)
    table.add_column(no_wrap=True, overflow="crop", width=room)
    table.add_column(no_wrap=True, overflow="ellipsis", justify="right", width=says)
    longest = max((line.value for line in lines), default=0) or 1
    for line in lines:
        n = round(room * line.value / longest) or int(line.value > 0)
        part = n if line.part is None else min(n, round(room * line.part / longest) or int(line.part > 0))
        bar = Text.assemble((full * part, line.style), (light * (n - part), "dim"))
        table.add_row(Text(_text(line.label)), bar, Text(line.says))
    return table


def _of(spread: Spread, most: int) -> list[_Line]:
    bins = spread.bins(most)
    labels = [f"{one.start:,}-{one.end - 1:,}" if one.end - one.start > 1 else f"{one.start:,}" for one in bins]
    return [_Line(label, one.n, f"{one.n:,}") for label, one in zip(labels, bins, strict=True)]


def _lengths(numbers: Numbers) -> tuple[str, list[_Line]]:
    spread, unit, of = numbers.lengths, "tokens", "rows"
    if spread is None:
        if numbers.turns is None:
            return "tokens of rows: not measured", []
        spread, unit, of = numbers.turns, "assistant turns", "samples"
    return f"{of} by {unit} (half {spread.at(0.5):,}, 95 % {spread.at(0.95):,})", _of(spread, _UPPER)


def _kinds(numbers: Numbers) -> tuple[str, list[_Line]]:
    if not numbers.kinds:
        spread = numbers.patterns
        if spread is None:
            return "tokens by kind: not counted", []
        return "samples by how they call tools", [_Line(name, n, f"{n:,}") for name, n in spread.items()][:_UPPER]
    kinds = sorted(numbers.kinds, key=lambda one: -one.n)
    lines = [
        _Line(one.name, one.n, f"{one.n:,} ({one.n_trained / one.n:.0%})", "green", one.n_trained)
        for one in kinds[:_UPPER]
    ]
    return "tokens by kind (of them trained)", lines


def _findings(numbers: Numbers) -> tuple[str, list[_Line]]:
    found = [one for one in numbers.findings if one.n_new]
    styles = {"error": "red", "warning": "yellow", "info": "cyan"}
    lines = [
        _Line(f"{one.code} {one.name}", one.n_new, many(one.n_new, one.severity), styles[one.severity]) for one in found
    ]
    return f"findings{_more(len(lines), 'kinds')}", lines[:_LOWER]


def _tools(numbers: Numbers) -> tuple[str, list[_Line]]:
    if numbers.tools is not None:
        called = [one for one in numbers.tools if one.n_called]
        never = len(numbers.tools) - len(called)
        lines = [_Line(one.name, one.n_called, f"{one.n_called:,}") for one in called[:_LOWER]]
        return f"calls of {len(called):,} tools, {never:,} never called", lines
    if numbers.depth is not None:
        return "rows by turns with calls behind each other", _of(numbers.depth, _LOWER)
    return "files by records", [
        _Line(in_checkout(one.name), one.n_records, f"{one.n_records:,}") for one in numbers.files[:_LOWER]
    ]


def _more(n: int, what: str) -> str:
    if not n:
        return ": none"
    return f" (the first {_LOWER} of {n:,} {what})" if n > _LOWER else ""
