"""One line a finding, for grep and editors: `file:line: CODE path says`."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Count, Reporter, Totals
from qwen_sft.text.terminal import in_colour, inert, one_line, printable, styled


def report(findings: Iterable[Diagnostic], _totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the lines; nothing else."""
    colour = in_colour(stream)
    remaining = iter(findings)
    for found in islice(remaining, limit):
        place = styled(f"{inert(one_line(found.where.file))}:{found.where.line}:", "dim", colour)
        code = styled(found.code, found.severity.value, colour)
        says = " ".join(printable(found.says).split("\n"))
        stream.write(f"{place} {code} {inert(f'{one_line(found.json_path)} {says}')}\n")
    for _ in remaining:
        pass


def statistics(counts: Sequence[Count], _totals: Totals, stream: TextIO) -> None:
    """Writes a line for each rule: how often, how severe, code and name, parted by tabs."""
    for one in counts:
        stream.write(f"{one.n}\t{one.severity.value}\t{one.code}\t{one.name}\n")


REPORTER = Reporter("concise", "one line a finding", report, statistics)
