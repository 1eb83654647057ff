"""The gate: limits, baselines, what could not be checked, and who may silence what."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command import Ran as BareRan

from qwen_sft.asking.limits import limit
from qwen_sft.asking.pathglob import is_matched
from qwen_sft.errors import InputError, UsageError
from qwen_sft.ingesting.ingest import expand
from qwen_sft.inspecting.inline import ignored
from qwen_sft.pipeline import Pipeline, outcomes, tally
from qwen_sft.record import Record, Where
from qwen_sft.reporter import Totals
from qwen_sft.rule import rules
from qwen_sft.running.baseline import Baseline, Known, read_baseline, write_baseline
from qwen_sft.running.gate import Gate
from qwen_sft.settings import Override, Settings, load_settings

ROOT = Path(__file__).parents[1]


def chat(n: int = 1, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Is {n} a number?"}, {"role": "assistant", "content": "Yes."}]
    return {"messages": messages, **more}


def orphan(n: int = 1, **more: Any) -> dict[str, Any]:
    """TOL003, an error."""
    result = {"role": "tool", "tool_call_id": "c9", "content": f"{n} degrees"}
    return {"messages": [{"role": "user", "content": "Hot?"}, result, {"role": "assistant", "content": "No."}], **more}


def warned(n: int = 1, **more: Any) -> dict[str, Any]:
    """MSG004, a warning."""
    return {"messages": [{"role": "user", "content": f"{n}?"}, *chat(n)["messages"]], **more}


def toolless(n: int = 1, **more: Any) -> dict[str, Any]:
    """TOL020, a warning."""
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"n": n}}}
    messages = [
        {"role": "user", "content": "Hot?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "4 degrees"},
        {"role": "assistant", "content": "No."},
    ]
    return {"messages": messages, **more}


class Ran(BareRan):
    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.out)

    @property
    def codes(self) -> list[str]:
        return [found["code"] for found in self.report["findings"]]


@pytest.fixture
def run(run: Callable[..., BareRan]) -> Callable[..., Ran]:
    """Runs a command line in this process, in an empty folder; `validate` prints JSON."""

    def running(*arguments: str) -> Ran:
        as_json = (
            ["--output-format", "json"] if arguments[0] == "validate" and "--output-format" not in arguments else []
        )
        return Ran(*run(*arguments, *as_json))

    return running


def write(name: str, *records: Any) -> str:
    file = Path(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(one) + "\n" if not isinstance(one, str) else one + "\n" for one in records))
    return name


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("TOL=0", {1: 0, 1000: 0}),
        ("TOL=3", {1: 3, 1000: 3}),
        ("TOL<=3", {1000: 3}),
        ("TOL<3", {1000: 2}),
        ("TOL=0/10000", {1: 0, 20_000: 0}),
        ("TOL=1/10000", {9_999: 0, 10_000: 1, 19_999: 1, 20_000: 2}),
        ("TOL<1/10000", {10_000: 0, 10_001: 1, 20_000: 1}),
        ("SET201<0.05", {10: 0, 20: 0, 21: 1, 100: 4, 101: 5}),
        ("SET201<=0.05", {19: 0, 20: 1, 100: 5}),
        ("SET201 = .05", {100: 5}),
        ("SET201<5%", {100: 4, 101: 5}),
        ("SET201=0.5%", {199: 0, 200: 1}),
        ("orphan-tool-result=100%", {7: 7}),
        ("TOL=1.0", {7: 7}),
        ("TOL=1", {7: 1}),
        ("TOL=0.3", {10: 3}),  # 0.3 * 10 is 3, whatever binary fractions say
    ],
)
def test_limit_is_so_many_records_at_most(text: str, most: dict[int, int]):
    assert {n: limit(text).most(n) for n in most} == most


@pytest.mark.parametrize(
    ("text", "says"),
    [
        *((text, "is none; write RULES=N for at most N") for text in ("", "TOL", "=3", "TOL=", "TOL>3", "TOL=-1")),
        *(
            (text, "is none; ")
            for text in ("TOL=x", "TOL=1/x", "TOL==3", "TOL=1e9", "TOL=٣", "TOL=3/", "TOL=" + "9" * 99)
        ),
        *((text, "is more than all records") for text in ("TOL=1.5", "TOL=101%", "TOL=3/2", "TOL=0/0", "TOL=1/0")),
        *(
            (text, "can never be kept: no run has fewer than 0; write TOL=0")
            for text in ("TOL<0", "TOL<0.0", "TOL<0/9")
        ),
    ],
)
def test_limit_that_is_none_stops_us(text: str, says: str):
    with pytest.raises(UsageError, match=f"limit .*{says}"):
        Settings(limit=(text,))


def test_rule_with_a_limit_fails_only_beyond_it(run: Any):
    file = write("a.jsonl", *(chat(n) for n in range(17)), orphan(1), orphan(2), warned())
    assert run("validate", file).code == 1
    assert run("validate", file, "--limit", "TOL003=2").code == 0
    assert run("validate", file, "--limit", "TOL=1/10").code == 0
    assert run("validate", file, "--limit", "orphan-tool-result<0.1").code == 1
    ran = run("validate", file, "--limit", "TOL003=1,MSG004=1")
    says = "limit TOL003=1 is exceeded: 2 of 20 records have such findings, at most 1 may"
    assert (ran.code, ran.report["totals"]["failures"], ran.err) == (1, [says], f"qwen-sft: {says}\n")
    assert ran.codes == ["TOL003", "TOL003", "MSG004"]


def test_limit_fails_a_warning_that_would_pass_and_needs_no_severity(run: Any):
    file = write("a.jsonl", chat(), warned())
    assert run("validate", file).code == 0
    ran = run("validate", file, "--limit", "MSG004=0", "--fail-on", "never", "--output-format", "full")
    assert ran.code == 1
    assert ran.out.endswith("\nfails: limit MSG004=0 is exceeded: 1 of 2 records have such findings, none may\n")
    assert ran.err == ""


def test_limit_counts_records_and_not_findings_and_every_limit_holds(run: Any):
    twice = orphan()
    twice["messages"].insert(1, {"role": "tool", "tool_call_id": "c8", "content": "3 degrees"})
    file = write("a.json", [twice, chat(1), chat(2)])
    assert run("validate", file).codes == ["TOL003", "TOL003"]
    assert run("validate", file, "--limit", "TOL003=1").code == 0
    assert run("validate", file, "--limit", "TOL=3", "--limit", "TOL003=0").code == 1
    assert run("validate", file, "--limit", "TOL=3", "--limit", "SRC=0").code == 0


def test_unreadable_records_can_have_a_limit_too(run: Any):
    file = write("a.jsonl", '{"torn', chat())
    assert [run("validate", file, "--limit", f"SRC={n}").code for n in (0, 1)] == [1, 0]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--limit", "TOL999=0"], "limit 'TOL999=0': no rule 'TOL999'; see: qwen-sft rule"),
        (["--limit", "TOK=0"], "limit 'TOK=0' is about rules that do not run; name a model with --model"),
        (
            ["--limit", "SET001<0.05"],
            "limit 'SET001<0.05' is about the set as a whole, of which SET001 finds something once or not at all; "
            "write SET001=0 to fail on it, and how much it allows as thresholds = {SET001 = 0.05}\n",
        ),
        (["--limit", "TOL=0", "--ignore", "TOL"], "limit 'TOL=0' is about rules that do not run; take it out, or let "),
        (["--select", ""], "--select names no rule; name some, or leave it out to run all, see: qwen-sft rule"),
        (["--select", " , "], "--select names no rule; "),
        (["--baseline", ""], "baseline is ''; name its file, and write it with --write-baseline"),
        (["--baseline", "b.json"], "no baseline 'b.json': No such file or directory; write one with --write-baseline"),
        (["--write-baseline", "-"], "--write-baseline names '-', which is no file; name a file of its own"),
        (["--write-baseline", "."], "--write-baseline names '.', which is no file; "),
        (["--write-baseline", "no/b.json"], "--write-baseline names a file in 'no', which is no folder; make it first"),
        (
            ["--write-baseline", "a.jsonl"],
            "'a.jsonl' is an input and would be overwritten; name another --write-baseline",
        ),
    ],
)
def test_gate_that_could_not_do_what_it_is_told_stops_us(run: Any, flags: list[str], says: str):
    write("a.jsonl", chat())
    ran = run("validate", "a.jsonl", *flags)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"qwen-sft: {says}")


# -- baseline ---------------------------------------------------------------------------------------------------------


def test_known_findings_pass_and_new_ones_fail(run: Any):
    file = write("a.jsonl", chat(), orphan(1), warned())
    made = run("validate", file, "--write-baseline", "b.json", "--fail-on", "warning")
    assert (made.code, made.codes, made.report["totals"]["known_by_code"]) == (0, [], {"MSG004": 1, "TOL003": 1})
    same = run("validate", file, "--baseline", "b.json", "--fail-on", "warning")
    assert (same.code, same.codes) == (0, [])
    assert same.report["totals"]["by_code"] == same.report["totals"]["known_by_code"] == {"MSG004": 1, "TOL003": 1}
    write("a.jsonl", chat(7), warned(), chat(), orphan(1), orphan(2))  # lines moved, and one is new
    new = run("validate", file, "--baseline", "b.json")
    assert (new.code, [(found["code"], found["line"]) for found in new.report["findings"]]) == (1, [("TOL003", 5)])


def test_finding_that_is_no_more_is_fixed_and_one_in_another_file_is_known(run: Any):
    write("a.jsonl", orphan(1), orphan(2), chat())
    write("b.jsonl", warned(), chat(2))
    assert run("validate", "a.jsonl", "b.jsonl", "--write-baseline", "b.json").code == 0
    write("c.jsonl", orphan(1))
    write("a.jsonl", chat())
    totals = run("validate", "a.jsonl", "b.jsonl", "c.jsonl", "--baseline", "b.json").report["totals"]
    assert (totals["known_by_code"], totals["n_fixed"]) == ({"MSG004": 1, "TOL003": 1}, 1)
    assert run("validate", "b.jsonl", "--baseline", "b.json").report["totals"]["n_fixed"] == 0  # not looked for
    assert run("validate", "./a.jsonl", "--baseline", "b.json").report["totals"]["n_fixed"] == 2
    Path("a.jsonl").unlink()
    assert run("validate", "b.jsonl", "--baseline", "b.json").report["totals"]["n_fixed"] == 2
    narrow = run("validate", "b.jsonl", "--baseline", "b.json", "--select", "MSG")
    assert (narrow.code, narrow.report["totals"]["n_fixed"]) == (1, 0)
    full = run("validate", "b.jsonl", "--baseline", "b.json", "--output-format", "full")
    assert "\nin the baseline: 1 finding, 2 fixed\n" in full.out


def test_copy_of_a_known_record_is_new(run: Any):
    write("a.jsonl", orphan())
    run("validate", "a.jsonl", "--write-baseline", "b.json")
    write("a.jsonl", orphan(), orphan())
    ran = run("validate", "a.jsonl", "--baseline", "b.json")
    assert (ran.code, ran.report["findings"][0]["line"], len(ran.codes)) == (1, 2, 1)


def test_baseline_is_sorted_holds_no_lines_and_is_as_its_schema_says(run: Any):
    first = write("z.jsonl", toolless(), orphan(3), orphan(3), orphan(1))
    second = write("a.jsonl", warned(), "{torn")
    run("validate", first, second, "--write-baseline", "one.json")
    write("z.jsonl", orphan(1), chat(), orphan(3), toolless(), orphan(3))
    run("validate", second, first, "--write-baseline", "two.json")
    one, two = Path("one.json").read_text(), Path("two.json").read_text()
    assert one == two
    lines = one.splitlines()
    assert [line.partition(' "fingerprint"')[0] for line in lines if line.startswith('{"file"')] == [
        '{"file": "a.jsonl", "code": "MSG004",',
        '{"file": "a.jsonl", "code": "SRC001",',
        '{"file": "z.jsonl", "code": "TOL003",',
        '{"file": "z.jsonl", "code": "TOL003",',
        '{"file": "z.jsonl", "code": "TOL020",',
    ]
    document = json.loads(one)
    schema = json.loads((ROOT / "schemas" / "baseline.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert sorted(found["n"] for found in document["findings"]) == [1, 1, 1, 1, 2]
    assert document["rules"] == sorted(c for c, rule in rules().items() if rule.stage != "tokens" and not rule.needs)
    tokens = sorted(code for code, rule in rules().items() if rule.needs_model)
    assert document["not_checked"] == {"no_model": tokens, "no_tools": 1}


def test_baseline_that_was_written_is_read_back(tmp_path: Path):
    held = Baseline(
        {Known('odd "name"\né.jsonl', "TOL003", "0" * 16): 3, Known("b", "MSG001", "f" * 16): 1},
        frozenset({"TOL003"}),
        frozenset({"TOK001"}),
        4,
    )
    write_baseline(held, tmp_path / "b.json")
    assert read_baseline(tmp_path / "b.json") == replace(held)
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


NOTHING = '"not_checked": {"no_model": [], "no_tools": 0}'
LINE = '{"file": "a", "code": "TOL003", "fingerprint": "0123456789abcdef", "n": 0}'
BAD = {
    "": "Input data was truncated",
    "[]": "Expected `object`, got `array`",
    "{}": "Object missing required field `qwen_sft_baseline`",
    f'{{"qwen_sft_baseline": 2, "rules": [], {NOTHING}, "findings": []}}': "Invalid enum value 2",
    f'{{"qwen_sft_baseline": 1, "rules": ["x"], {NOTHING}, "findings": []}}': "Expected `str` matching regex",
    f'{{"qwen_sft_baseline": 1, "rules": [], {NOTHING}, "findings": [], "x": 1}}': "unknown field `x`",
    f'{{"qwen_sft_baseline": 1, "rules": [], {NOTHING}, "findings": [{LINE}]}}': "Expected `int` >= 1",
}


@pytest.mark.parametrize(("text", "says"), BAD.items(), ids=[str(k) for k in range(len(BAD))])
def test_file_that_is_no_baseline_stops_us(tmp_path: Path, text: str, says: str):
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InputError, match=f"b.json' is no baseline: .*{says}.*; write it anew with --write-baseline"):
        read_baseline(tmp_path / "b.json")


def test_file_whose_name_is_no_utf_8_can_be_in_a_baseline(run: Any):
    write("\udcff.jsonl", orphan())
    assert run("validate", ".", "--write-baseline", "b.json").code == 0
    assert [known.file for known in read_baseline(Path("b.json")).findings] == ["\\xff.jsonl"]
    assert run("validate", "\udcff.jsonl", "--baseline", "b.json").code == 0
    write("\udcff.jsonl", chat())
    assert run("validate", "\udcff.jsonl", "--baseline", "b.json").report["totals"]["n_fixed"] == 1


def test_baseline_in_a_folder_of_inputs_is_none_of_them(run: Any):
    write("a.jsonl", orphan())
    for _ in range(2):
        assert run("validate", ".", "--write-baseline", "b.json").code == 0
    assert run("validate", ".", "--baseline", "b.json").code == 0
    assert run("build", ".", "--model", "qwen3", "--out", "../out", "--baseline", "b.json").code == 3  # no row
    assert run("validate", ".").codes == ["TOL003", "SRC003"]
    assert run("validate", "b.json", "--baseline", "b.json").codes == ["SRC003"]


def test_baseline_that_is_replaced_is_not_read(run: Any):
    write("a.jsonl", orphan(1))
    Path("qwen-sft.toml").write_text('baseline = "b.json"\n')
    assert run("validate", "a.jsonl").code == 2  # there is none yet
    assert run("validate", "a.jsonl", "--write-baseline", "b.json").code == 0
    assert run("validate", "a.jsonl").code == 0
    write("a.jsonl", orphan(1), orphan(2))
    assert run("validate", "a.jsonl").code == 1
    judged = run("validate", "a.jsonl", "--write-baseline", "new.json")  # beside the old one, which still counts
    assert (judged.code, len(json.loads(Path("new.json").read_text())["findings"])) == (1, 2)
    assert run("validate", "a.jsonl", "--write-baseline", "./b.json").code == 0
    assert Path("b.json").read_text() == Path("new.json").read_text()


def test_nothing_checked_is_three_and_leaves_no_baseline(run: Any):
    write("a.jsonl")
    for flags in ([], ["--limit", "TOL=0"], ["--fail-on", "never"], ["--write-baseline", "b.json"]):
        assert run("validate", "a.jsonl", *flags).code == 3
    assert not Path("b.json").exists()


def test_known_finding_does_not_count_for_a_limit(run: Any):
    write("a.jsonl", orphan(1), orphan(2))
    run("validate", "a.jsonl", "--write-baseline", "b.json")
    write("a.jsonl", orphan(1), orphan(2), orphan(3))
    codes = [run("validate", "a.jsonl", "--baseline", "b.json", "--limit", f"TOL003={n}").code for n in (0, 1)]
    assert codes == [1, 0]


# -- coverage ---------------------------------------------------------------------------------------------------------


def test_checks_that_could_not_run_are_listed(run: Any):
    write("a.jsonl", toolless(1), toolless(2), chat())
    ran = run("validate", "a.jsonl")
    assert ran.report["totals"]["not_checked"] == {"no_model": 3, "no_tools": 2}
    full = run("validate", "a.jsonl", "--output-format", "full").out
    says = (
        "template, tokens and mask of 3 samples (no --model); arguments of the calls of 2 samples (no tools declared)"
    )
    assert f"\nnot checked: {says}\n" in full
    inferred = run("validate", "a.jsonl", "--infer-tools").report["totals"]["not_checked"]
    assert inferred == {"no_model": 3, "no_tools": 0}
    with_model = run("validate", "a.jsonl", "--model", "qwen3").report["totals"]["not_checked"]
    assert with_model == {"no_model": 0, "no_tools": 2}


def test_samples_without_tools_may_not_become_more(run: Any):
    write("a.jsonl", toolless(1), chat())
    run("validate", "a.jsonl", "--write-baseline", "b.json")
    write("a.jsonl", toolless(1), *(chat(n) for n in range(9)))
    assert run("validate", "a.jsonl", "--baseline", "b.json").code == 0
    write("a.jsonl", toolless(1), toolless(2), chat())
    ran = run("validate", "a.jsonl", "--baseline", "b.json")
    assert (ran.code, ran.report["totals"]["failures"]) == (
        1,
        [
            "the arguments of the calls of 2 samples could not be checked, for the baseline of 1: they declare no "
            "tools; give them with --tools, or write the baseline anew with --write-baseline"
        ],
    )


def test_rules_that_ran_for_the_baseline_must_run_again(run: Any):
    write("a.jsonl", chat())
    run("validate", "a.jsonl", "--model", "qwen3", "--write-baseline", "b.json")
    assert run("validate", "a.jsonl", "--model", "qwen3", "--baseline", "b.json").code == 0
    (says,) = run("validate", "a.jsonl", "--baseline", "b.json").report["totals"]["failures"]
    n_tokens = sum(rule.needs_model for rule in rules().values())
    assert says.startswith("rules that ran for the baseline do not run now: SET009, SET010, SET011, TOK001, ")
    assert says.endswith(
        f" and {n_tokens - 8} more; name a model with --model, or write the baseline anew with --write-baseline"
    )
    ignoring = run("validate", "a.jsonl", "--model", "qwen3", "--baseline", "b.json", "--ignore", "TOL003")
    assert ignoring.report["totals"]["failures"] == [
        "rules that ran for the baseline do not run now: TOL003; let them run again (--select, --ignore, --model), or "
        "write the baseline anew with --write-baseline"
    ]
    assert ignoring.code == 1
    held = json.loads(Path("b.json").read_text())
    Path("b.json").write_text(json.dumps({**held, "rules": ["TOL998", "TOL003"]}))  # of another version, maybe
    assert run("validate", "a.jsonl", "--baseline", "b.json").code == 0


# -- overrides --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "files", "others"),
    [
        ("tests/**", ["tests/a.jsonl", "tests/x/y/a.jsonl", "tests/a.zip!b.json"], ["test/a", "x/tests/a", "tests"]),
        ("tests/", ["tests/a.jsonl", "tests/x/a.jsonl"], ["tests.jsonl"]),
        ("./tests/*.jsonl", ["tests/a.jsonl"], ["tests/x/a.jsonl", "tests/a.json"]),
        ("*.zip", ["a.zip", "x/a.zip", "x/a.zip!b.json"], ["a.zip.json"]),
        ("**/raw/*", ["raw/a", "x/raw/a", "x/y/raw/a"], ["x/raw/y/a", "draw/a"]),
        ("a?.json", ["ab.json", "x/ab.json"], ["a.json", "a/.json"]),
        ("a[0-9]/x", ["a3/x"], ["ab/x"]),
        ("a[!0-9].x", ["ab.x"], ["a3.x", "a/.x"]),
        ("a.b", ["a.b"], ["aXb"]),
        ("<stdin>", ["<stdin>"], ["stdin"]),
        ("s3://bucket/**", ["s3://bucket/x/a.jsonl"], ["s3://other/a.jsonl"]),
        ("/**/here.jsonl", ["here.jsonl", "/x/here.jsonl"], ["there.jsonl"]),
    ],
)
def test_pattern_is_about_these_files(pattern: str, files: list[str], others: list[str]):
    assert [is_matched(file, [pattern]) for file in files + others] == [True] * len(files) + [False] * len(others)


def test_override_changes_what_runs_and_what_fails_for_its_files(run: Any):
    write("tests/bad.jsonl", orphan(1), warned(1))
    write("runs/good.jsonl", orphan(2), warned(2))
    Path("qwen-sft.toml").write_text('[[overrides]]\npaths = ["tests/**"]\nignore = ["orphan-tool-result"]\n')
    ran = run("validate", ".")
    found = sorted((found["file"].removeprefix("./"), found["code"]) for found in ran.report["findings"])
    assert found == [("runs/good.jsonl", "MSG004"), ("runs/good.jsonl", "TOL003"), ("tests/bad.jsonl", "MSG004")]
    assert (run("validate", "tests").code, run("validate", "runs").code) == (0, 1)
    Path("qwen-sft.toml").write_text('[[overrides]]\npaths = ["tests/**"]\nfail-on = "never"\n')
    assert (run("validate", "tests").code, run("validate", "runs").code, run("validate", ".").code) == (0, 1, 1)
    Path("qwen-sft.toml").write_text(
        'select = ["TOL"]\n[[overrides]]\npaths = ["tests/**"]\nselect = ["MSG"]\nfail-on = "warning"\n'
    )
    narrow = run("validate", "tests")
    assert (narrow.code, narrow.codes) == (1, ["MSG004"])
    assert run("validate", "runs").codes == ["TOL003"]


def test_later_override_wins_and_ignored_rules_add_up():
    one = Override(("**",), ignore=("MSG",), select=("TOL", "MSG"), fail_on="info")
    other = Override(("b.jsonl",), ignore=("TOL003",), select=("TOL",))
    pipeline = Pipeline(Settings(overrides=(one, other)))

    def ran(file: str) -> set[str]:
        codes = {rule.code for rule in pipeline.rules_of(file)["sample"]}
        return {code for code in codes if not code.startswith("SCH")}

    tools = {code for code, rule in rules().items() if code.startswith("TOL") and rule.stage == "sample"}
    assert (ran("a.jsonl"), ran("b.jsonl")) == (tools, tools - {"TOL003"})
    assert {"SRC001", "SRC003"} <= {rule.code for rule in pipeline.rules_of("b.jsonl")["record"]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("overrides = 3", r"sets overrides to 3; it takes tables: \[\[overrides\]\] with paths = "),
        ("[overrides]\npaths = ['a']", r"sets overrides to {'paths': \['a'\]}; it takes tables"),
        ("[[overrides]]\nignore = ['TOL']", r"an override names no paths; write for example paths = \['tests/\*\*'\]"),
        (
            "[[overrides]]\npaths = ['a']\nignores = ['TOL']",
            r"\[\[overrides\]\] sets 'ignores', which is nothing that an override has \(nearest: 'ignore'\); its keys "
            r"are fail-on, ignore, paths, select",
        ),
        ("[[overrides]]\npaths = 'a'", r"\[\[overrides\]\] sets paths to 'a'; it takes a list of strings"),
        ("[[overrides]]\npaths = ['a']\nfail-on = 'no'", r"fail-on of an override is 'no'; it can be error, warning, "),
        ("[[overrides]]\npaths = ['[z-a]']", r"'\[z-a\]' is no pattern of paths: bad character range z-a"),
        ("limit = 'TOL=0'", r"sets limit to 'TOL=0'; it takes a list of strings"),
        ("baselin = 'b.json'", r"sets 'baselin', which is no setting \(nearest: 'baseline'\); settings are address, "),
        ("xyzzy = 1", r"sets 'xyzzy', which is no setting; settings are address, "),
    ],
)
def test_settings_that_are_none_stop_us(tmp_path: Path, text: str, says: str):
    (tmp_path / "qwen-sft.toml").write_text(text)
    with pytest.raises(UsageError, match=says):
        load_settings({}, folder=tmp_path)


def test_what_only_reads_or_mends_takes_no_rules_from_overrides(run: Any):
    write("a.jsonl", orphan())
    Path("qwen-sft.toml").write_text('limit = ["TOL=0"]\n[[overrides]]\npaths = ["*"]\nselect = ["TOL"]\n')
    assert run("validate", "a.jsonl").codes == ["TOL003"]
    assert run("convert", "a.jsonl", "--out", "b.jsonl").code == 0
    assert run("fix", "a.jsonl", "--out", "c.jsonl").code == 1
    assert Path("b.jsonl").read_text() == Path("c.jsonl").read_text() != ""


@pytest.mark.parametrize("key", ["ignore", "select"])
def test_override_with_a_rule_that_does_not_exist_stops_us_before_any_file(key: str):
    with pytest.raises(UsageError, match="no rule 'TOL999'; see: qwen-sft rule"):
        Pipeline(Settings(overrides=(Override(("nowhere",), **{key: ("TOL999",)}),)))
    with pytest.raises(UsageError, match="'SRC' cannot be ignored: what it names was not checked at all"):
        Pipeline(Settings(overrides=(Override(("nowhere",), ignore=("SRC",)),)))


# -- inline -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "mark",
    [
        {"qwen_sft": {"ignore": ["TOL003"]}},
        {"qwen_sft": {"ignore": ["tol"]}},
        {"metadata": {"qwen_sft": {"ignore": ["MSG001", "orphan-tool-result"]}}},
    ],
)
def test_record_can_say_what_it_is_not_held_to_and_that_is_counted(run: Any, mark: dict[str, Any]):
    write("a.jsonl", orphan(1, **mark), orphan(2))
    ran = run("validate", "a.jsonl")
    assert [(found["code"], found["line"]) for found in ran.report["findings"]] == [("TOL003", 2)]
    totals = ran.report["totals"]
    assert (totals["silenced_by_code"], totals["by_code"], totals["n_rejected"]) == ({"TOL003": 1}, {"TOL003": 1}, 1)
    strict = run("validate", "a.jsonl", "--no-inline-ignore").report["totals"]
    assert (strict["silenced_by_code"], strict["by_code"], strict["n_rejected"]) == ({}, {"TOL003": 2}, 2)
    assert "\nsilenced by records: TOL003 1\n" in run("validate", "a.jsonl", "--output-format", "full").out


def test_record_cannot_silence_what_says_that_it_was_not_checked(run: Any):
    ignore = {"qwen_sft": {"ignore": ["SRC", "SCH", "SRC003", "invalid-shape"]}}
    broken = {"messages": [{"role": "user", "content": {"a": 1}}, {"role": "assistant", "content": "b"}], **ignore}
    write("a.jsonl", {"log": "x", **ignore}, broken)
    ran = run("validate", "a.jsonl")
    codes = [code for code in ran.codes if code != "SRC010"]
    assert (ran.code, codes, ran.report["totals"]["silenced_by_code"]) == (1, ["SRC003", "SCH001"], {})
    says = [found["says"] for found in ran.report["findings"] if found["code"] == "SRC010"]
    assert says == [
        f"{one!r} says that a record was not checked, which no record can silence"
        for one in ignore["qwen_sft"]["ignore"]
    ]


def test_mark_that_is_not_understood_is_told_with_its_place(run: Any):
    mark = {"ignore": ["TOL020", "TOL999", 3, ""], "ignored": []}
    write(
        "a.jsonl", chat(1, qwen_sft=mark), chat(2, qwen_sft=["TOL"]), chat(3, metadata={"qwen_sft": {"ignore": "TOL"}})
    )
    ran = run("validate", "a.jsonl")
    assert (ran.code, set(ran.codes)) == (0, {"SRC010"})
    assert [(found["line"], found["path"], found["says"]) for found in ran.report["findings"]] == [
        (1, "$.qwen_sft.ignored", "'ignored' is nothing that a record can say of its checks"),
        (1, "$.qwen_sft.ignore[1]", "'TOL999' is no rule"),
        (1, "$.qwen_sft.ignore[2]", "3 is no rule"),
        (1, "$.qwen_sft.ignore[3]", "'' is no rule"),
        (2, "$.qwen_sft", "['TOL'] is no object that says what to ignore"),
        (3, "$.metadata.qwen_sft.ignore", "'TOL' is no list of rules"),
    ]
    assert run("validate", "a.jsonl", "--no-inline-ignore").codes == []


@pytest.mark.parametrize(
    "mark", [3, None, [], {}, {"ignore": "TOL003"}, {"ignore": [3, None, ""]}, {"ignore": {"TOL": 1}}]
)
def test_mark_that_is_none_silences_nothing(mark: Any):
    pipeline = Pipeline(Settings())
    data = orphan(1, qwen_sft=mark, metadata=mark)
    (outcome,) = pipeline.process([Record(Where("a", 1), data, json.dumps(data).encode())])
    assert ([found.code for found in outcome.diagnostics if found.code == "TOL003"], outcome.silenced) == (
        ["TOL003"],
        [],
    )


def test_each_line_of_a_session_can_say_it_for_the_whole():
    lines = [{"type": "user"}, {"qwen_sft": {"ignore": ["TOL003"]}}, {"metadata": {"qwen_sft": {"ignore": ["MSG"]}}}, 3]
    parts = tuple(Where("a", line) for line in range(1, 5))
    assert ignored(Record(Where("a", 1), lines, b"", parts=parts)) == ("TOL003", "MSG")
    assert ignored(Record(Where("a", 1), lines, b"")) == ()


def test_silenced_finding_of_tokens_lets_the_row_in(run: Any):
    thinking = json.loads((ROOT / "examples" / "thinking.jsonl").read_text().splitlines()[0])
    write("a.jsonl", {**thinking, "qwen_sft": {"ignore": ["TOK003"]}})
    totals = run("validate", "a.jsonl", "--model", "qwen2_5").report["totals"]
    assert (totals["silenced_by_code"], totals["by_code"]) == ({"TOK003": 4}, {})
    built = run("build", "a.jsonl", "--model", "qwen2_5", "--out", "out")
    assert (built.code, "\nsilenced by records: TOK003 4\n" in built.err) == (0, True)
    assert json.loads(Path("out/manifest.json").read_text())["silenced_by_code"] == {"TOK003": 4}


# -- build, and the law of it all -------------------------------------------------------------------------------------


def test_build_exits_by_the_same_limits_and_baseline(run: Any):
    write("a.jsonl", chat(), orphan(1))
    flags = ("--model", "qwen3", "--out", "out", "--force")
    assert run("build", "a.jsonl", *flags).code == 1
    assert run("build", "a.jsonl", *flags, "--limit", "TOL003=1").code == 0
    exceeded = run("build", "a.jsonl", *flags, "--limit", "TOL003=0")
    assert exceeded.code == 1
    assert "\nfails: limit TOL003=0 is exceeded: 1 of 2 records have such findings, none may\n" in exceeded.err
    run("validate", "a.jsonl", "--model", "qwen3", "--write-baseline", "b.json")
    known = run("build", "a.jsonl", *flags, "--baseline", "b.json")
    assert known.code == 0
    assert "\nin the baseline: 1 finding, 0 fixed\n" in known.err
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert manifest["records"] == {"read": 2, "written": 1, "rejected": 1}  # known, and still kept out
    assert manifest["settings"]["baseline"] == "b.json"


def test_finding_about_the_whole_set_can_be_known_and_have_a_limit(run: Any):
    write("a.jsonl", chat(), chat())
    ran = run("validate", "a.jsonl", "--limit", "SET001=0")
    assert (ran.code, ran.codes) == (1, ["SET001"])
    assert ran.report["totals"]["failures"] == ["limit SET001=0 is exceeded: the set as a whole has such a finding"]
    assert run("validate", "a.jsonl", "--write-baseline", "b.json").code == 0
    known = run("validate", "a.jsonl", "--limit", "SET001=0", "--baseline", "b.json")
    assert (known.code, known.report["totals"]["known_by_code"]) == (0, {"SET001": 1})
    write("a.jsonl", chat())
    assert run("validate", "a.jsonl", "--baseline", "b.json").report["totals"]["n_fixed"] == 1


def test_gate_loses_no_finding(run: Any):
    """Each finding is reported, known or silenced."""
    records = [orphan(n, **({"qwen_sft": {"ignore": ["TOL"]}} if n % 3 == 0 else {})) for n in range(12)]
    write("a.jsonl", *records[:6])
    run("validate", "a.jsonl", "--write-baseline", "b.json")
    write("a.jsonl", *records)
    pipeline = Pipeline(Settings(baseline="b.json"))
    inputs = expand(["a.jsonl"])
    gate, totals, n_new = Gate(pipeline, inputs), Totals(), 0
    for outcome in outcomes(inputs, pipeline):
        tally(totals, outcome)
        n_new += len(gate.judge(outcome))
    assert gate.close(totals) == 1
    assert (n_new, totals.known_by_code, totals.silenced_by_code) == (4, {"TOL003": 4}, {"TOL003": 4})


def test_every_report_for_people_and_ci_says_why_a_run_fails(run: Any):
    write("a.jsonl", chat(), warned())
    says = "limit MSG004<50% is exceeded: 1 of 2 records have such findings, none may"

    def printed(name: str) -> str:
        ran = run("validate", "a.jsonl", "--limit", "MSG004<50%", "--output-format", name)
        assert (ran.code, ran.err) == (1, "" if name == "full" else f"qwen-sft: {says}\n")
        return ran.out

    assert printed("full").endswith(f"\nfails: {says}\n")
    markdown = printed("markdown")
    assert "\nNot checked: template, tokens and mask of 2 samples (no --model).\n" in markdown
    assert "\n**Fails:** <code>limit MSG004&#60;50&#37; is exceeded&#58; 1 of 2 records have such" in markdown
    assert f"::error title=qwen-sft::{says.replace('%', '%25')}\n" in printed("github")
    escaped = says.replace("<", "&lt;")
    assert f'<failure message="{escaped}" type="gate"/>' in printed("junit")
    assert 'tests="3" failures="1" errors="0" skipped="1"' in printed("junit")
    assert json.loads(printed("sarif"))["runs"][0]["properties"]["totals"]["failures"] == [says]
    assert json.loads(printed("json"))["totals"]["failures"] == [says]
    for name in ("concise", "jsonl", "gitlab"):
        assert says not in printed(name)
    run("validate", "a.jsonl", "--limit", "MSG004<50%", "--output", "report.txt", "--output-format", "full")
    assert Path("report.txt").read_text().endswith(f"\nfails: {says}\n")
