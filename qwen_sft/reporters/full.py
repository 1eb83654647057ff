"""Findings for people: where, what, and how to fix it, then a summary."""

from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Reporter, Totals, summary
from qwen_sft.terminal import in_colour, one_line, printable, styled


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes three lines a finding, then what the totals say."""
    colour = in_colour(stream)
    remaining = iter(findings)
    for found in islice(remaining, limit):
        head = styled(f"{found.severity.value} {found.code}", found.severity.value, colour)
        place = f"{one_line(found.where.file)}:{found.where.line}"
        stream.write(f"{place}: {head} {found.name} {styled(one_line(found.json_path), 'dim', colour)}\n")
        stream.write(f"    {_indented(found.says)}\n")
        stream.write(f"    {styled('fix:', 'fix', colour)} {_indented(found.fix)}\n\n")
    n_hidden = sum(1 for _ in remaining)
    if n_hidden:
        stream.write(f"{n_hidden:,} more findings are not shown (--max-findings)\n\n")
    stream.write(summary(totals, colour=colour))


def _indented(text: str) -> str:
    return printable(text).replace("\n", "\n    ")


REPORTER = Reporter("full", "three lines a finding and a summary", report)
