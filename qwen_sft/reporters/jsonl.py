"""A line of JSON a finding, as the report of `json` has it, for programs that read while we write; nothing else."""

import json
from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Reporter, Totals, finding_json


def report(findings: Iterable[Diagnostic], _totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the lines, in ASCII as `json` does."""
    remaining = iter(findings)
    for found in islice(remaining, limit):
        stream.write(json.dumps(finding_json(found)) + "\n")
    for _ in remaining:
        pass


REPORTER = Reporter("jsonl", "one line of JSON a finding, for programs", report)
