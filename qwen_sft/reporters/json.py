"""One JSON document on stdout: findings, then totals; its schema is schemas/report.schema.json."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import islice
from typing import TextIO

from qwen_sft import __version__
from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Count, Reporter, Totals, finding_json


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the document as the findings come; one finding a line.

    In ASCII, by `json.dumps`: the same document for every encoding of stdout, and nothing that steers a terminal.
    """
    remaining = iter(findings)
    stream.write(f'{{"qwen_sft": "{__version__}", "findings": [')
    separator = "\n"
    for found in islice(remaining, limit):
        stream.write(separator + json.dumps(finding_json(found)))
        separator = ",\n"
    n_hidden = sum(1 for _ in remaining)
    stream.write(f'\n], "n_hidden": {n_hidden}, "totals": {json.dumps(asdict(totals))}}}\n')


def statistics(counts: Sequence[Count], totals: Totals, stream: TextIO) -> None:
    """Writes the same document with `statistics` in place of the findings."""
    document = {
        "qwen_sft": __version__,
        "findings": [],
        "n_hidden": sum(one.n for one in counts),
        "statistics": [one._asdict() for one in counts],
        "totals": asdict(totals),
    }
    stream.write(json.dumps(document, indent=1) + "\n")


REPORTER = Reporter("json", "one JSON document, for programs", report, statistics)
