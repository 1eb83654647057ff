"""Reporters: one snapshot each of one shared outcome, and what they do with hostile words and with limits."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qwen_sft import __version__
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.record import Where
from qwen_sft.reporter import Totals, exit_code, finding_json, reporters, summary

SCHEMAS = Path(__file__).parents[1] / "schemas"
HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover"

FINDINGS = [
    Diagnostic(
        code="TOL003",
        name="orphan-tool-result",
        severity=Severity.ERROR,
        where=Where("runs.jsonl", 812, 40_000),
        path=("messages", 4, "tool_call_id"),
        sample_path=("messages", 4, "tool_call_id"),
        says="'c9' answers no call",
        fix="give it the id of the call that it answers, or take the result out",
        fingerprint="0123456789abcdef",
        sample_id="task-7",
    ),
    Diagnostic(
        code="MSG004",
        name="repeated-role",
        severity=Severity.WARNING,
        where=Where("a b.json", 3, 17, 2),
        path=("x y",),
        sample_path=(),
        says="first\nsecond",
        fix="mend it",
        fingerprint="fedcba9876543210",
    ),
    Diagnostic(
        code="SRC003",
        name="unknown-format",
        severity=Severity.INFO,
        where=Where(f"{HOSTILE}.jsonl", 1),
        path=(HOSTILE,),
        sample_path=(),
        says=HOSTILE,
        fix=HOSTILE,
        fingerprint="0000000000000000",
    ),
]


def totals() -> Totals:
    return Totals(
        n_files=2,
        n_records=1234,
        n_clean=1232,
        n_rejected=2,
        n_samples=1300,
        n_events=5000,
        n_kept=4990,
        n_merged=4,
        n_dropped=6,
        by_code={"TOL003": 1, "MSG004": 1, "SRC003": 1},
        by_severity={"error": 1, "warning": 1, "info": 1},
        by_format={"openai_chat": 1233, "none": 1},
        dropped_reasons={"a cost": 5, HOSTILE: 1},
    )


def reported(name: str, limit: int | None = None, stream: io.StringIO | None = None) -> str:
    used: list[Diagnostic] = []

    def findings() -> Iterator[Diagnostic]:
        for found in FINDINGS:
            used.append(found)
            yield found

    stream = stream or io.StringIO()
    reporters()[name].report(findings(), totals(), stream, limit)
    assert used == FINDINGS
    return stream.getvalue()


CONCISE = r"""runs.jsonl:812: TOL003 $.messages[4].tool_call_id 'c9' answers no call
a b.json:3: MSG004 $[2]['x y'] first second
\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover.jsonl:1: SRC003 $['\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover'] @
"""

FULL = r"""runs.jsonl:812: error TOL003 orphan-tool-result $.messages[4].tool_call_id
    'c9' answers no call
    fix: give it the id of the call that it answers, or take the result out

a b.json:3: warning MSG004 repeated-role $[2]['x y']
    first
    second
    fix: mend it

\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover.jsonl:1: info SRC003 unknown-format $['@']
    \x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r
    over
    fix: \x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r
    over

1,234 records in 2 files: 1,232 clean, 2 rejected
5,000 events: 4,990 kept, 4 merged, 6 dropped
    dropped 1: \x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover
    dropped 5: a cost
findings: TOL003 1, MSG004 1, SRC003 1
"""


def test_concise_is_one_line_a_finding_and_nothing_else():
    assert reported("concise") == CONCISE.replace("@", r"\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r over")
    assert reported("concise", limit=1) == CONCISE.splitlines(keepends=True)[0]
    assert reported("concise", limit=0) == ""


def test_full_says_where_what_and_how_to_mend_it_then_the_totals():
    expected = FULL.replace("@", r"\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover")
    assert reported("full") == expected
    blocks = expected.split("\n\n")
    assert reported("full", limit=1) == "\n\n".join(
        [blocks[0], "2 more findings are not shown (--max-findings)", blocks[-1]]
    )


def test_json_is_one_document_as_its_schema_says():
    document = json.loads(reported("json"))
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / "report.schema.json").read_text())).validate(document)
    assert document["qwen_sft"] == __version__
    assert document["n_hidden"] == 0
    assert document["findings"] == [finding_json(found) for found in FINDINGS]
    assert document["findings"][0] == {
        "code": "TOL003",
        "name": "orphan-tool-result",
        "severity": "error",
        "file": "runs.jsonl",
        "line": 812,
        "byte": 40_000,
        "item": None,
        "path": "$.messages[4].tool_call_id",
        "sample_path": "$.messages[4].tool_call_id",
        "sample_id": "task-7",
        "says": "'c9' answers no call",
        "fix": "give it the id of the call that it answers, or take the result out",
        "fingerprint": "0123456789abcdef",
    }
    assert document["totals"]["dropped_reasons"] == {"a cost": 5, HOSTILE: 1}
    limited = json.loads(reported("json", limit=1))
    assert (limited["n_hidden"], len(limited["findings"])) == (2, 1)
    assert limited["totals"] == document["totals"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("name", ["concise", "full", "json"])
def test_nothing_hostile_reaches_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = reported(name, stream=Terminal())
    for style in ("1;31", "1;33", "1;36", "1;32", "32", "2", "0"):
        shown = shown.replace(f"\x1b[{style}m", "")
    assert shown == reported(name)
    assert not set(shown) & set("\x1b\x07\u202e\x9b\r")


@pytest.mark.parametrize("fail_on", ["error", "warning", "info", "never"])
@pytest.mark.parametrize("worst", ["error", "warning", "info", None])
def test_exit_code_is_one_from_the_severity_that_fails(fail_on: Any, worst: str | None):
    order = ["info", "warning", "error", "never"]
    found = Totals(n_records=3, by_severity={"info": 0, worst: 1} if worst else {})
    assert exit_code(found, fail_on) == int(worst is not None and order.index(worst) >= order.index(fail_on))
    assert exit_code(Totals(), fail_on) == 3


def test_summary_of_nothing_is_one_line():
    assert summary(Totals(n_files=1)) == "0 records in 1 file: 0 clean, 0 rejected\n"


def test_published_schemas_are_json_schemas():
    names = {path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.json")}
    assert names >= {"sample", "report", "manifest", "reject"}
    for name in names:
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert schema["$id"] == f"urn:qwen-sft:{name}"
        jsonschema.Draft202012Validator.check_schema(schema)
