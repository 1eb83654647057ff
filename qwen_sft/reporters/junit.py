"""A JUnit report, as most CI systems show it: a test case a finding, failed if the finding is an error.

Warnings and infos are skipped test cases: seen, and failing nothing. What fails a run beside its findings, a limit or
checks that no longer run, is a test case that fails. One more test case says that records were checked
at all; it is an error if none was, and keeps a clean report from being empty. Names hold no line numbers, so a finding
that moved is still the same test.

Source: the schema of Jenkins' xUnit plugin (junit-10.xsd), of which the elements here are a subset; `file` and `line`
are what GitLab and pytest add to it.
"""

import re
import shutil
from collections.abc import Iterable
from itertools import islice
from typing import TextIO

from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.reporter import Reporter, Totals, in_checkout, numbered, spooled, summary
from qwen_sft.text.terminal import one_line, printable

_NOT_XML = re.compile(r"[\ufffe\uffff]")  # what `printable` leaves of the characters that XML 1.0 does not know


def report(findings: Iterable[Diagnostic], totals: Totals, stream: TextIO, limit: int | None) -> None:
    """Writes the test cases to a file aside as they come, for the counts stand before them.

    In ASCII, with character references: the same document for every encoding of stdout.
    """
    remaining = iter(findings)
    n_cases, n_failed, n_skipped = 1, 0, 0
    with spooled() as cases:
        for found, fingerprint in numbered(islice(remaining, limit)):
            failed = found.severity is Severity.ERROR
            n_cases, n_failed, n_skipped = n_cases + 1, n_failed + failed, n_skipped + (not failed)
            cases.write(_case(found, fingerprint, "failure" if failed else "skipped"))
        n_hidden = sum(1 for _ in remaining)
        for why in totals.failures:
            n_cases, n_failed = n_cases + 1, n_failed + 1
            cases.write(f'<testcase classname="qwen-sft" name={_attribute(why)}>\n')
            cases.write(f'<failure message={_attribute(why)} type="gate"/>\n</testcase>\n')
        n_errors = int(not totals.n_records)
        counts = f'tests="{n_cases}" failures="{n_failed}" errors="{n_errors}" skipped="{n_skipped}"'
        stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
        stream.write(f'<testsuites name="qwen-sft" {counts}>\n<testsuite name="qwen-sft validate" {counts}>\n')
        stream.write('<testcase classname="qwen-sft" name="records were checked">\n')
        if n_errors:
            stream.write('<error message="nothing was checked" type="nothing-checked"/>\n')
        hidden = f"{n_hidden:,} more findings are not shown\n" if n_hidden else ""
        stream.write(f"<system-out>{_text(hidden + summary(totals))}</system-out>\n</testcase>\n")
        cases.seek(0)
        shutil.copyfileobj(cases, stream)
        stream.write("</testsuite>\n</testsuites>\n")


def _case(found: Diagnostic, fingerprint: str, element: str) -> str:
    file = in_checkout(found.where.file)
    attributes = {
        "classname": file,
        "name": f"{found.code} {found.name} {found.json_path} [{fingerprint}]",
        "file": file,
        "line": str(found.where.line),
    }
    given = " ".join(f"{name}={_attribute(value)}" for name, value in attributes.items())
    body = _text(f"{found.where.file}:{found.where.line}\n{found.says}\nfix: {found.fix}")
    message = f"message={_attribute(found.says)} type={_attribute(found.severity.value)}"
    return f"<testcase {given}>\n<{element} {message}>{body}</{element}>\n</testcase>\n"


def _attribute(text: str) -> str:
    quoted = _markup(_NOT_XML.sub(_escaped, one_line(text))).replace('"', "&quot;")
    return _ascii(f'"{quoted}"')


def _text(text: str) -> str:
    return _ascii(_markup(_NOT_XML.sub(_escaped, printable(text))))


def _markup(text: str) -> str:
    """Text without markup. Not xml.sax.saxutils: importing it imports urllib and ssl, 0.016 s of each start."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _ascii(text: str) -> str:
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


REPORTER = Reporter("junit", "a JUnit report, a test case a finding", report)
