"""`qwen_sft.validate` says what the command line says, of files and of records in memory, and pytest can ask it."""

import copy
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

import qwen_sft
from qwen_sft.cli import main
from qwen_sft.errors import InputError, ModelError, UsageError
from qwen_sft.pytest_plugin import assert_valid_dataset as assert_valid
from qwen_sft.reporter import finding_json, reporters

ROOT = Path(__file__).parents[1]
CLEAN = str(ROOT / "examples" / "clean.jsonl")
BROKEN = str(ROOT / "examples" / "broken.jsonl")
THINKING = str(ROOT / "examples" / "thinking.jsonl")
USER = {"role": "user", "content": "Weather in Oslo?"}
ORPHAN = {
    "messages": [
        USER,
        {"role": "tool", "tool_call_id": "c9", "content": "4 degrees, rain"},
        {"role": "assistant", "content": "It is 4 degrees and raining."},
    ]
}
FINE = {"messages": [USER, {"role": "assistant", "content": "I cannot look it up."}]}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no settings file is."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., tuple[int, str]]:
    """Exit code and stdout of `qwen-sft validate`."""

    def run(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["qwen-sft", "validate", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0), capsys.readouterr().out

    return run


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True)


def found(report: qwen_sft.Report) -> list[tuple[str, int, str, str]]:
    return [(one.where.file, one.where.line, one.code, one.json_path) for one in report]


def rows(path: str) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


# -- the same as the command line --------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_format", list(reporters()))
def test_report_is_what_the_command_prints_in_every_output_format(output_format: str, command: Any) -> None:
    report = qwen_sft.validate([CLEAN, BROKEN])
    code, out = command(CLEAN, BROKEN, "--output-format", output_format)
    assert (report.exit_code, report.text(output_format)) == (code, out)
    code, out = command(CLEAN, BROKEN, "--output-format", output_format, "--max-findings", "3")
    assert (report.exit_code, report.text(output_format, max_findings=3)) == (code, out)


@pytest.mark.parametrize(
    ("data", "settings", "flags"),
    [
        (CLEAN, {}, []),
        (THINKING, {"model": "qwen2_5", "fail_on": "warning"}, ["--model", "qwen2_5", "--fail-on", "warning"]),
        (BROKEN, {"select": ["TOL003", "MSG"], "ignore": "MSG001"}, ["--select", "TOL003,MSG", "--ignore", "MSG001"]),
        (BROKEN, {"limit": "TOL<100%,MSG=0"}, ["--limit", "TOL<100%", "--limit", "MSG=0"]),
        (BROKEN, {"limit": ["TOL003=5"], "select": "TOL003"}, ["--limit", "TOL003=5", "--select", "TOL003"]),
        (BROKEN, {"fail_on": "never", "trailing_calls": "keep"}, ["--fail-on", "never", "--trailing-calls", "keep"]),
    ],
)
def test_settings_are_those_of_the_command(data: str, settings: dict[str, Any], flags: list[str], command: Any) -> None:
    report = qwen_sft.validate(Path(data), **settings)
    code, out = command(data, *flags, "--output-format", "json")
    assert [finding_json(one) for one in report] == json.loads(out)["findings"]
    assert (report.exit_code, report.ok, bool(report)) == (code, code == 0, code == 0)


def test_report_tells_findings_counts_and_errors_apart() -> None:
    report = qwen_sft.validate([ORPHAN, FINE])
    assert found(report) == [("<records>", 1, "TOL003", "$.messages[1].tool_call_id")]
    assert (report.counts, report.ok, report.exit_code) == ({"TOL003": 1}, False, 1)
    assert report.errors == report.findings
    assert (report.totals.n_records, report.totals.n_clean, report.totals.n_rejected) == (2, 1, 1)
    assert str(report) == (
        "<records>:1: error TOL003 orphan-tool-result $.messages[1].tool_call_id\n"
        "    'c9' answers no open call\n"
        '    | "tool_call_id": "c9"\n'
        "    |                  ^^\n"
        "    fix: give it the id of the call that it answers, or take the result out\n"
        "\n"
        "2 records in 1 file: 1 clean, 1 rejected\n"
        "5 events: 5 kept, 0 merged, 0 dropped\n"
        "not checked: template, tokens and mask of 2 samples (no --model)\n"
        "findings: TOL003 1\n"
    )


def test_report_with_the_worst_first_begins_with_an_error() -> None:
    report = qwen_sft.validate(BROKEN)
    ranks = [one.severity.rank for one in report]
    assert ranks != sorted(ranks, reverse=True)
    shown = re.findall(r"^\S+:\d+: (\w+) ", report.text(worst_first=True), flags=re.MULTILINE)
    assert shown == ["error"] * ranks.count(2) + ["warning"] * ranks.count(1) + ["info"] * ranks.count(0)


def test_settings_file_is_read_and_arguments_win_over_it(tmp_path: Path) -> None:
    (tmp_path / "qwen-sft.toml").write_text('fail-on = "never"\nignore = ["MSG"]\n')
    assert qwen_sft.validate(ORPHAN).exit_code == 0
    assert qwen_sft.validate(ORPHAN, fail_on="error").exit_code == 1
    assert qwen_sft.validate(ORPHAN, fail_on=None).settings.ignore == ("MSG",)
    other = tmp_path / "other.toml"
    other.write_text('fail-on = "warning"\n')
    assert qwen_sft.validate(ORPHAN, config=other).settings == qwen_sft.validate(ORPHAN, config=str(other)).settings
    assert qwen_sft.validate(ORPHAN, config=other).settings.fail_on == "warning"


def test_files_that_hold_no_records_are_counted(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    for name in ("README.md", "notes.md", "run.log"):
        (folder / name).write_text("nothing")
    (folder / "run.jsonl").write_text(json.dumps(FINE) + "\n")
    report = qwen_sft.validate(folder)
    assert (report.ok, report.totals.n_files, report.skipped) == (True, 1, {".md": 2, ".log": 1})
    assert qwen_sft.validate(FINE).skipped == {}


def test_what_the_baseline_holds_is_no_finding_of_a_report(tmp_path: Path, command: Any) -> None:
    baseline = tmp_path / "baseline.json"
    assert command(BROKEN, "--write-baseline", str(baseline))[0] == 0
    report = qwen_sft.validate(BROKEN, baseline=baseline)
    assert (report.ok, report.findings, report.counts) == (True, (), {})
    assert sum(report.totals.known_by_code.values()) == len(qwen_sft.validate(BROKEN).findings)
    more = tmp_path / "more.jsonl"
    more.write_text(json.dumps(ORPHAN) + "\n")
    report = qwen_sft.validate([BROKEN, more], baseline=str(baseline))
    assert [(one.where.file, one.code) for one in report] == [(str(more), "TOL003")]
    assert (report.exit_code, report.counts) == (1, {"TOL003": 1})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"modle": "qwen3"}, r"^validate\(\) sets 'modle', which is no setting \(nearest: 'model'\); "),
        ({"max_length": "32768"}, r"^validate\(\) sets max-length to '32768'; it takes a whole number$"),
        ({"select": [3]}, r"^validate\(\) sets select to \[3\]; it takes a list of strings$"),
        ({"fail_on": "always"}, r"^fail-on is 'always'; it can be error, warning, info, never$"),
        ({"select": "XYZ"}, r"^no rule 'XYZ'; see: qwen-sft rule$"),
        ({"config": "absent.toml"}, r"^no settings file 'absent.toml'$"),
        ({"serve": "ollama"}, r"'ollama'"),
    ],
)
def test_settings_that_do_not_exist_or_do_not_fit_stop_it(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        qwen_sft.validate(FINE, **settings)


def test_what_cannot_run_is_an_error_and_never_a_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^no file 'absent.jsonl'; name a file, a directory, a glob or - for stdin$"):
        qwen_sft.validate("absent.jsonl")
    with pytest.raises(ModelError):
        qwen_sft.validate(FINE, model=tmp_path)
    with pytest.raises(UsageError, match=r"^no output format 'xml'; it can be concise, full"):
        qwen_sft.validate(FINE).text("xml")
    for refused in (b'{"messages": []}', 3, None):
        with pytest.raises(UsageError, match=r"^cannot check a value of the type '(bytes|int|NoneType)'; give a path"):
            qwen_sft.validate(refused)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match=r"^cannot check a value of the type 'dict' beside paths; give only one kind$"):
        qwen_sft.validate([CLEAN, FINE])


def test_nothing_checked_is_not_ok(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    no_records: Iterator[Any] = iter(())
    for nothing in (empty, [empty], [], no_records, datasets.Dataset.from_list([])):
        report = qwen_sft.validate(nothing)
        assert (report.exit_code, report.ok, report.findings) == (3, False, ())


# -- records in memory -------------------------------------------------------------------------------------------------


def test_records_in_memory_give_the_findings_of_their_file_and_stay_as_they_are() -> None:
    records = [json.loads(line) for line in Path(BROKEN).read_text(encoding="utf-8").splitlines()[2:]]
    before = copy.deepcopy(records)
    told = [(one.code, one.sample_path, one.says, one.fix) for one in qwen_sft.validate(BROKEN) if one.where.line > 2]
    for given in (records, tuple(records), iter(records)):
        report = qwen_sft.validate(given)
        assert [(one.code, one.sample_path, one.says, one.fix) for one in report] == told
    assert records == before
    assert len(told) > 40


def test_one_mapping_is_one_record() -> None:
    assert found(qwen_sft.validate(ORPHAN)) == [("<records>", 1, "TOL003", "$.messages[1].tool_call_id")]


def test_records_without_a_json_form_are_findings() -> None:
    cyclic: dict[str, Any] = {}
    cyclic["messages"] = [cyclic]
    given = [{"reward": float("nan")}, {"at": {1, 2}}, cyclic, {"text": "\ud800"}, "text", FINE]
    report = qwen_sft.validate(given)
    assert [(one.where.line, one.code) for one in report] == [
        (1, "SRC001"),
        (2, "SRC001"),
        (3, "SRC001"),
        (4, "SRC001"),
        (5, "SRC002"),
    ]
    assert report.findings[0].says.endswith(
        "the record has no JSON form: Out of range float values are not JSON compliant"
    )


def test_rows_of_a_dataset_are_checked_as_its_parquet_file_is(tmp_path: Path) -> None:
    """Arrow fills nulls into the arguments of calls: no one wrote them, so they are no finding."""
    given = datasets.Dataset.from_list([*rows(CLEAN), ORPHAN])
    given.to_parquet(str(tmp_path / "rows.parquet"))
    report, file = qwen_sft.validate(given), qwen_sft.validate(tmp_path / "rows.parquet")
    assert found(report) == [("<records>", 6, "TOL003", "$.messages[1].tool_call_id")]
    assert [line[1:] for line in found(report)] == [line[1:] for line in found(file)]
    assert found(qwen_sft.validate(given.select([5, 0]))) == [("<records>", 1, "TOL003", "$.messages[1].tool_call_id")]
    assert found(qwen_sft.validate(given.to_iterable_dataset())) == found(report)
    untyped = datasets.IterableDataset.from_generator(lambda: iter([FINE, ORPHAN]))
    assert found(qwen_sft.validate(untyped)) == [("<records>", 2, "TOL003", "$.messages[1].tool_call_id")]


def test_splits_of_a_dataset_are_checked_each_under_its_name() -> None:
    answer = {"role": "assistant", "content": "Four, if you count the one that is still under repair."}
    other = {"messages": [{"role": "user", "content": "How many boats lie in the harbour?"}, answer]}
    splits = datasets.DatasetDict(
        {"train": datasets.Dataset.from_list([other]), "test": datasets.Dataset.from_list([FINE, ORPHAN])}
    )
    report = qwen_sft.validate(splits)
    assert found(report) == [("<test>", 2, "TOL003", "$.messages[1].tool_call_id")]
    assert (report.totals.n_files, report.totals.n_records) == (2, 3)


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_importing_the_package_imports_nothing_else_of_it(tmp_path: Path) -> None:
    asked = (
        "import sys, qwen_sft; "
        "print(sorted(n for n in sys.modules if n.startswith('qwen_sft')), 'validate' in dir(qwen_sft)); "
        "print(qwen_sft.validate, qwen_sft.Report, qwen_sft.QwenSftError); "
        "print([n for n in ('datasets', 'transformers', 'numpy', 'typer') if n in sys.modules]); "
        "qwen_sft.absent"
    )
    done = python("-c", asked, cwd=tmp_path)
    first, second, third = done.stdout.splitlines()
    assert first == "['qwen_sft'] True"
    assert re.fullmatch(
        r"<function validate at 0x\w+> <class 'qwen_sft.library.report.Report'> <class 'qwen_sft.errors.QwenSftError'>",
        second,
    )
    assert third == "[]"
    assert done.stderr.endswith("AttributeError: module 'qwen_sft' has no attribute 'absent'\n")


def test_everything_exported_is_there() -> None:
    assert qwen_sft.__all__ == sorted(
        ["Built", "Encoder", "Encoding", "QwenSftError", "RejectedError", "Report", "__version__", "build", "validate"]
    )
    assert all(hasattr(qwen_sft, name) for name in qwen_sft.__all__)


# -- pytest ------------------------------------------------------------------------------------------------------------


def pytest_of(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(text, encoding="utf-8")
    return python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_it.py", cwd=folder)


def test_assertion_returns_the_report_of_traces_that_pass() -> None:
    assert assert_valid(FINE).totals.n_records == 1
    assert assert_valid([FINE, ORPHAN], fail_on="never").counts == {"TOL003": 1}


def test_assertion_says_the_worst_findings_and_the_counts() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_valid(ORPHAN)
    assert str(failed.value) == "these traces do not pass (fail_on='error')\n" + str(qwen_sft.validate(ORPHAN))
    with pytest.raises(AssertionError) as failed:
        assert_valid(BROKEN)
    lines = re.findall(r"^\S+:\d+: (\w+) ", str(failed.value), flags=re.MULTILINE)
    assert lines == ["error"] * 20
    n_findings = len(qwen_sft.validate(BROKEN).findings)
    assert f"\n{n_findings - 20} more findings are not shown (--max-findings)\n" in str(failed.value)


def test_assertion_prints_hostile_text_as_escapes() -> None:
    orphan = copy.deepcopy(ORPHAN)
    orphan["messages"][1]["tool_call_id"] = "c9\x1b[2J\u202e\n::error::"
    with pytest.raises(AssertionError) as failed:
        assert_valid(orphan)
    said = str(failed.value)
    assert "TOL003" in said
    assert [c for c in said if not c.isprintable() and c != "\n"] == []
    assert "\n::error" not in said


def test_assertion_fails_where_nothing_was_checked() -> None:
    with pytest.raises(AssertionError) as failed:
        assert_valid([])
    assert str(failed.value) == (
        "nothing was checked: no record was read; name files that hold records\n"
        "0 records in 0 files: 0 clean, 0 rejected\n"
    )


def test_assertion_does_not_hide_that_it_could_not_run() -> None:
    with pytest.raises(InputError):
        assert_valid("absent.jsonl")


def test_pytest_offers_the_fixture_and_shows_no_line_of_ours(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(json.dumps(ORPHAN) + "\n")
    done = pytest_of(
        "def test_traces(assert_valid_dataset):\n    assert_valid_dataset('bad.jsonl', fail_on='info')\n", tmp_path
    )
    assert done.returncode == 1
    told = [line.removeprefix("E").strip() for line in done.stdout.splitlines() if line.startswith("E ")]
    assert told[0] == "AssertionError: these traces do not pass (fail_on='info')"
    assert told[1] == "bad.jsonl:1: error TOL003 orphan-tool-result $.messages[1].tool_call_id"
    assert "pytest_plugin.py" not in done.stdout
    fine = f"def test_traces(assert_valid_dataset):\n    assert assert_valid_dataset({FINE!r}).ok\n"
    assert pytest_of(fine, tmp_path).returncode == 0


def test_pytest_loads_no_more_than_the_plugin_while_no_test_asks_for_it(tmp_path: Path) -> None:
    done = pytest_of(
        "import sys\n\ndef test_it():\n"
        "    ours = sorted(n for n in sys.modules if n.startswith('qwen_sft'))\n"
        "    assert ours == ['qwen_sft', 'qwen_sft.pytest_plugin']\n"
        "    assert not {'datasets', 'transformers', 'numpy', 'typer', 'msgspec'} & sys.modules.keys()\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stdout


def test_a_baseline_can_be_written_and_then_passes() -> None:
    report = qwen_sft.validate([ORPHAN], write_baseline="b.json")
    assert (report.exit_code, found(report), dict(report.totals.known_by_code)) == (0, [], {"TOL003": 1})
    again = qwen_sft.validate([ORPHAN, FINE], baseline="b.json")
    assert (again.exit_code, again.totals.known_by_code) == (0, {"TOL003": 1})
    assert qwen_sft.validate([ORPHAN]).exit_code == 1
    with pytest.raises(UsageError, match=r"--write-baseline names '\.', which is no file"):
        qwen_sft.validate([FINE], write_baseline=Path())


def test_another_model_than_the_locked_one_stops_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["qwen-sft", "template", "lock", "qwen3", "--out", "qwen-sft.lock.json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    assert qwen_sft.validate([FINE], model="qwen3", locked=".").ok
    with pytest.raises(
        ModelError, match=r"^'qwen2_5' is not the model of 'qwen-sft.lock.json': template.sha256: locked "
    ):
        qwen_sft.validate([FINE], model="qwen2_5", locked="qwen-sft.lock.json")
    with pytest.raises(UsageError, match="locked compares a model; name one with model"):
        qwen_sft.validate([FINE], locked=".")
