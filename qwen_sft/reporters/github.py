"""Annotations of GitHub Actions: a workflow command a finding, `::error file=…,line=…,title=…::says`.

Source: GitHub's documentation, "Workflow commands for GitHub Actions", and the escapes of actions/toolkit (command.ts).
GitHub shows ten errors, ten warnings and ten notices of a step; the log has them all.
"""

from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.reporter import Reporter, Totals, in_checkout
from qwen_sft.text.terminal import printable

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the commands, and more for what fails the run beside findings, and for findings that are not shown."""
    remaining = iter(findings)
    for found in islice(remaining, limit):
        says = f"{found.json_path} {found.says}\nfix: {found.fix}"
        file = in_checkout(found.where.file)
        properties = {"file": file, "line": str(found.where.line), "title": f"{found.code} {found.name}"}
        stream.write(_command(_COMMANDS[found.severity], properties, says))
    n_hidden = sum(1 for _ in remaining)
    for why in totals.failures:
        stream.write(_command("error", {"title": "qwen-sft"}, why))
    if n_hidden:
        stream.write(_command("notice", {"title": "qwen-sft"}, f"{n_hidden:,} more findings are not shown"))


def _command(name: str, properties: dict[str, str], data: str) -> str:
    given = ",".join(f"{key}={printable(value).translate(_PROPERTY)}" for key, value in properties.items())
    return f"::{name} {given}::{printable(data).translate(_DATA)}\n"


REPORTER = Reporter("github", "annotations of GitHub Actions", report)
