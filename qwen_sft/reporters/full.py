"""Findings for people: where, what, the place in the record, and how to fix it, then a summary."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Count, Reporter, Totals, summary
from qwen_sft.text.excerpt import Excerpt
from qwen_sft.text.terminal import cells, columns, fitted, in_colour, inert, one_line, printable, styled

_MARGIN = "    | "


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes a block of lines a finding, then what the totals say."""
    colour = in_colour(stream)
    room = columns(stream) - len(_MARGIN)
    remaining = iter(findings)
    for found in islice(remaining, limit):
        head = styled(f"{found.severity.value} {found.code}", found.severity.value, colour)
        place = f"{inert(one_line(found.where.file))}:{found.where.line}"
        stream.write(f"{place}: {head} {found.name} {styled(inert(one_line(found.json_path)), 'dim', colour)}\n")
        stream.write(fitted(f"    {_indented(found.says)}\n", stream))
        if found.excerpt is not None:
            stream.write(_shown(found.excerpt, room, found.severity.value, colour))
        stream.write(fitted(f"    {styled('fix:', 'fix', colour)} {_indented(found.fix)}\n\n", stream))
    n_hidden = sum(1 for _ in remaining)
    if n_hidden:
        stream.write(fitted(f"{n_hidden:,} more findings are not shown (--max-findings)\n\n", stream))
    stream.write(fitted(summary(totals, colour=colour), stream))


def statistics(counts: Sequence[Count], totals: Totals, stream: TextIO) -> None:
    """Writes a table: how often, how severe, code and name; then what the totals say."""
    colour = in_colour(stream)
    width = max((len(f"{one.n:,}") for one in counts), default=0)
    for one in counts:
        severity = styled(f"{one.severity.value:<7}", one.severity.value, colour)
        stream.write(f"{one.n:>{width},}  {severity}  {one.code}  {one.name}\n")
    stream.write("\n" * bool(counts) + fitted(summary(totals, colour=colour), stream))


def _indented(text: str) -> str:
    return inert(printable(text)).replace("\n", "\n    ")


def _shown(excerpt: Excerpt, room: int, style: str, colour: bool) -> str:
    """The line of an excerpt, cut to the room that there is, and a line with carets under the culprit."""
    before, culprit, after = (inert(one_line(part)) for part in (excerpt.before, excerpt.culprit, excerpt.after))
    culprit = _head(culprit, max(room // 2, room - cells(before) - cells(after)))
    left = room - cells(culprit)
    before = _tail(before, max(left // 2, left - cells(after))) if culprit else before
    line = inert(_head(before + culprit + after, room))
    text = f"{styled(_MARGIN.rstrip(), 'dim', colour)} {line}\n"
    if culprit:
        carets = " " * cells(before) + styled("^" * cells(culprit), style, colour)
        text += f"{styled(_MARGIN.rstrip(), 'dim', colour)} {carets}\n"
    return text


def _head(text: str, room: int) -> str:
    """The beginning of a text that has room, and an ellipsis if that is not all."""
    if cells(text) <= room:
        return text
    cut = text[: max(0, room - 1)]
    while cut and cells(cut) >= room:
        cut = cut[:-1]
    return cut + "…"


def _tail(text: str, room: int) -> str:
    """The end of a text that has room, and an ellipsis if that is not all."""
    if cells(text) <= room:
        return text
    cut = text[max(0, len(text) - room + 1) :]
    while cut and cells(cut) >= room:
        cut = cut[1:]
    return "…" + cut


REPORTER = Reporter(
    "full", "some lines a finding, with the place in the record, and a summary", report, statistics, excerpts=True
)
