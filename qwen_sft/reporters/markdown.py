"""A summary in Markdown, for a CI job's page (`$GITHUB_STEP_SUMMARY`) or a comment: counts, then the first findings.

What comes from a trace stands in `<code>`, and every mark in it is a character reference: there it cannot end a cell,
be a link, an image or HTML, and GitHub and GitLab do not take an `@name` in it for a mention.
"""

import re
import shutil
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Count, Reporter, Totals, counted, gated, spooled
from qwen_sft.text.terminal import one_line

_SHOWN = 50  # findings, where --max-findings says nothing: a job's page takes 1 MiB
_LONGEST = 300  # characters of a text
_MARK = re.compile(r"""[!"#$%&*+.:;<>?@\[\\\]^_`{|}~]""")


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the findings to a file aside as they come, for the counts stand before them."""
    most = _SHOWN if limit is None else limit
    n_shown = 0

    def shown() -> Iterable[Diagnostic]:
        nonlocal n_shown
        remaining = iter(findings)
        for found in islice(remaining, most):
            rows.write(_row(found))
            n_shown += 1
            yield found
        yield from remaining

    with spooled() as rows:
        counts = counted(shown())
        statistics(counts, totals, stream)
        if n_shown:
            stream.write("\n| where | rule | what | fix |\n|---|---|---|---|\n")
            rows.seek(0)
            shutil.copyfileobj(rows, stream)
        n_hidden = sum(one.n for one in counts) - n_shown
        if n_hidden:
            stream.write(f"\n{n_hidden:,} more findings are not shown.\n")


def statistics(counts: Sequence[Count], totals: Totals, stream: TextIO) -> None:
    """Writes what the run comes to, and a table: how often, how severe, code and name."""
    if not totals.n_records:
        verdict = "nothing was checked"
    elif totals.n_rejected:
        verdict = f"{totals.n_rejected:,} of {totals.n_records:,} records rejected"
    else:
        verdict = f"{totals.n_records:,} records, none rejected"
    stream.write(f"### qwen-sft validate: {verdict}\n\n")
    stream.write(f"{totals.n_records:,} records in {totals.n_files:,} {'file' if totals.n_files == 1 else 'files'}")
    if totals.n_events:
        stream.write(
            f"; {totals.n_events:,} events: {totals.n_kept:,} kept, {totals.n_merged:,} merged, "
            f"{totals.n_dropped:,} dropped"
        )
    stream.write(".\n")
    stream.writelines(f"\n{line[:1].upper()}{line[1:]}.\n" for line in gated(totals))
    stream.writelines(f"\n**Fails:** {_code(why)}\n" for why in totals.failures)
    if counts:
        stream.write("\n| findings | severity | code | name |\n|---:|---|---|---|\n")
    for one in counts:
        stream.write(f"| {one.n:,} | {one.severity.value} | {one.code} | {one.name} |\n")


def _row(found: Diagnostic) -> str:
    place = f"{_code(f'{found.where.file}:{found.where.line}')} {_code(found.json_path)}"
    return f"| {place} | {found.severity.value} {found.code} | {_code(found.says)} | {_code(found.fix)} |\n"


def _code(text: str) -> str:
    """Text of a trace that is read as nothing but text, on one line."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"<code>{_MARK.sub(lambda mark: f'&#{ord(mark[0])};', one_line(short))}</code>"


REPORTER = Reporter("markdown", "a summary for the page of a CI job", report, statistics)
