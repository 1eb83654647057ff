"""One JSON document on stdout: findings, then totals; its schema is schemas/report.schema.json."""

from collections.abc import Iterable
from dataclasses import asdict
from itertools import islice
from typing import TextIO

import orjson

from qwen_sft import __version__
from qwen_sft.finding import Diagnostic
from qwen_sft.reporter import Reporter, Totals, finding_json


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the document as the findings come; one finding a line."""
    remaining = iter(findings)
    stream.write(f'{{"qwen_sft": "{__version__}", "findings": [')
    separator = "\n"
    for found in islice(remaining, limit):
        stream.write(separator + orjson.dumps(finding_json(found)).decode())
        separator = ",\n"
    n_hidden = sum(1 for _ in remaining)
    stream.write(f'\n], "n_hidden": {n_hidden}, "totals": {orjson.dumps(asdict(totals)).decode()}}}\n')


REPORTER = Reporter("json", "one JSON document, for programs", report)
