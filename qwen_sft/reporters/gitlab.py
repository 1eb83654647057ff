"""GitLab's code quality report: a JSON list of issues, for `artifacts:reports:codequality`.

Source: GitLab's documentation, "Code Quality report format". Fingerprints are unique in it, and a path does not begin
with `./`.
"""

import json
from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.reporter import Reporter, Totals, in_checkout, numbered
from qwen_sft.text.terminal import one_line

_SEVERITIES = {Severity.ERROR: "major", Severity.WARNING: "minor", Severity.INFO: "info"}


def report(findings: Iterable[Diagnostic], _totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the list as the findings come, an issue a line."""
    remaining = iter(findings)
    separator = "[\n"
    for found, fingerprint in numbered(islice(remaining, limit)):
        issue = {
            "description": one_line(f"{found.name}: {found.json_path} {found.says}; {found.fix}"),
            "check_name": found.code,
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[found.severity],
            "location": {"path": one_line(in_checkout(found.where.file)), "lines": {"begin": found.where.line}},
        }
        stream.write(separator + json.dumps(issue))
        separator = ",\n"
    for _ in remaining:
        pass
    stream.write("[]\n" if separator == "[\n" else "\n]\n")


REPORTER = Reporter("gitlab", "GitLab's code quality report", report)
