"""The command line, end to end: exit codes, clean stdout, messages on stderr, and what happens when all goes wrong."""

import base64
import hashlib
import html
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command import Ran

from qwen_sft import __version__
from qwen_sft.family import families
from qwen_sft.format import formats
from qwen_sft.rule import rules

ROOT = Path(__file__).parents[1]
HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202ered\x9b2J\r"
FORMATS = ("full", "concise", "json", "jsonl", "sarif", "junit", "github", "gitlab", "markdown")
COMMANDS = ("validate", "build", "show", "stats", "report", "audit", "rule", "formats", "models", "probe")


def process(*arguments: str, **options: Any) -> Ran:
    """Runs a command line in a process of its own."""
    command = [str(Path(sys.executable).parent / "qwen-sft"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, **options)
    return Ran(done.returncode, done.stdout, done.stderr)


def chat(n: int = 1, answer: str = "Yes.") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": f"Is {n} a number?"}, {"role": "assistant", "content": answer}]}


ORPHAN = {
    "messages": [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "tool", "tool_call_id": "c9", "content": "4 degrees"},
        {"role": "assistant", "content": "It is 4 degrees."},
    ]
}
WARNED = {
    "messages": [
        {"role": "user", "content": "Is 7 a prime?"},
        {"role": "user", "content": "One word."},
        {"role": "assistant", "content": "Yes."},
    ]
}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """clean.jsonl, warned.jsonl (MSG004, a warning), broken.jsonl (TOL003, an error; SRC001) and empty.jsonl."""
    (tmp_path / "clean.jsonl").write_text("".join(json.dumps(chat(n)) + "\n" for n in range(3)))
    (tmp_path / "warned.jsonl").write_text(json.dumps(WARNED) + "\n")
    (tmp_path / "broken.jsonl").write_text(json.dumps(chat()) + "\n" + json.dumps(ORPHAN) + '\n{"torn\n')
    (tmp_path / "empty.jsonl").write_text("\n\n")
    return tmp_path


# -- exit codes -------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
def test_examples_are_what_they_are_called(run: Any):
    warned = json.loads(run("validate", "warned.jsonl", "--output-format", "json").out)
    assert warned["totals"]["by_severity"] == {"warning": 1}
    broken = json.loads(run("validate", "broken.jsonl", "--output-format", "json").out)
    assert broken["totals"]["by_code"] == {"TOL003": 1, "SRC001": 1}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("file", "fail_on", "code"),
    [
        *(("clean.jsonl", None, 0), ("clean.jsonl", "info", 0)),
        *(("warned.jsonl", None, 0), ("warned.jsonl", "warning", 1), ("warned.jsonl", "info", 1)),
        *(("broken.jsonl", None, 1), ("broken.jsonl", "error", 1), ("broken.jsonl", "never", 0)),
        *(("empty.jsonl", None, 3), ("empty.jsonl", "never", 3), ("nowhere.jsonl", None, 2)),
    ],
)
def test_exit_code_says_clean_findings_could_not_run_or_nothing_checked(
    run: Any, file: str, fail_on: str | None, code: int
):
    flags = ["--fail-on", fail_on] if fail_on else []
    assert run("validate", file, *flags).code == code
    assert run("build", file, "--model", "qwen3", "--out", "out", *flags).code == code


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["validate", "nowhere.jsonl"], "no file 'nowhere.jsonl'; name a file, a directory, a glob or - for stdin"),
        (["validate", "a", "--fail-on", "hint"], "fail-on is 'hint'; it can be error, warning, info, never"),
        (["validate", "a", "--output-format", "xml"], "no output format 'xml'; it can be concise, full, github, "),
        (
            ["validate", "a", "--output-format", "sarif", "--statistics"],
            "sarif has no place for --statistics; these have: concise, full, json, markdown",
        ),
        (["validate", "clean.jsonl", "--output", "."], "--output names the folder '.'; name the file of the report"),
        (["validate", "clean.jsonl", "--output", "no/a"], "cannot write 'no/a': No such file or directory; name "),
        (
            ["validate", "clean.jsonl", "--output", "./clean.jsonl"],
            "'clean.jsonl' is an input and would be overwritten; name another --output",
        ),
        (["validate", "clean.jsonl", "--select", "XYZ"], "no rule 'XYZ'; see: qwen-sft rule"),
        (["validate", "clean.jsonl", "--ignore", "TOL,SRC"], "'SRC' cannot be ignored"),
        (["validate", "clean.jsonl", "--format", "x"], "no format 'x'; formats are "),
        (["validate", "clean.jsonl", "--model", "qwen9"], "no model 'qwen9': it is no folder, no hub id"),
        (["validate", "clean.jsonl", "--config", "x.toml"], "no settings file 'x.toml'"),
        (["build", "clean.jsonl", "--out", "out"], "no model is named; name one with --model"),
        (["build", "clean.jsonl", "--model", "qwen3", "--out", "o", "--shard-size", "big"], "'big' is no size"),
        (["build", "clean.jsonl", "--model", "qwen3", "--out", "clean.jsonl"], "'clean.jsonl' is a file"),
        (["validate", "clean.jsonl", "--train", "asistant"], "train is 'asistant'; it can be assistant, last-turn,"),
        (["validate", "clean.jsonl", "--train", ""], "train names no selector; it can be assistant, last-turn,"),
        (["validate", "clean.jsonl", "--serve", "tgi"], "serve is 'tgi'; it names vllm or sglang"),
        (
            ["validate", "clean.jsonl", "--serve", "vllm:9"],
            "serve is 'vllm:9'; the parsers of vllm are known from 0.19",
        ),
        (["validate", "clean.jsonl", "--model", ""], "model is ''; name a family, a folder or a hub id"),
        (["show", "clean.jsonl", "--model", "qwen3", "--html", ""], "--html names the folder '.'; name the file of"),
        (["show", "clean.jsonl"], "no model is named; name one with --model"),
        (["show", "clean.jsonl", "--model", "qwen3", "--row", "9"], "there is no record 9; --row counts the records"),
        (["rule", "TOL999"], "no rule 'TOL999'; see: qwen-sft rule"),
    ],
)
@pytest.mark.usefixtures("files")
def test_what_stops_us_is_one_line_on_stderr_and_exit_code_two(run: Any, arguments: list[str], says: str):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"qwen-sft: {says}")
    assert ran.err.count("\n") == 1


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("arguments", [["--nope"], ["validate", "clean.jsonl", "--nope"], ["validate"], ["nope"]])
def test_misspelled_command_line_exits_with_two(run: Any, arguments: list[str]):
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "--help" in ran.err


def test_settings_file_is_found_and_a_misspelled_key_stops_us(run: Any, files: Path):
    (files / "qwen-sft.toml").write_text('fail-on = "never"\nmodel = "qwen3"\n')
    assert run("validate", "broken.jsonl").code == 0
    assert run("validate", "broken.jsonl", "--fail-on", "error").code == 1
    assert run("build", "clean.jsonl", "--out", "out").code == 0
    (files / "qwen-sft.toml").write_text('fial-on = "never"\n')
    ran = run("validate", "clean.jsonl")
    assert (ran.code, ran.err[:52]) == (2, "qwen-sft: qwen-sft.toml sets 'fial-on', which is no ")


# -- what is printed --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
def test_json_on_stdout_is_one_document_and_nothing_else(run: Any):
    ran = run("validate", "broken.jsonl", "warned.jsonl", "--output-format", "json", "--max-findings", "2")
    document = json.loads(ran.out)
    schema = json.loads((ROOT / "schemas" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)
    assert [(f["code"], f["line"], f["path"]) for f in document["findings"]] == [
        ("TOL003", 2, "$.messages[1].tool_call_id"),
        ("SRC001", 3, "$"),
    ]
    totals = document["totals"]
    assert (document["n_hidden"], totals["n_records"], totals["n_clean"], totals["n_rejected"]) == (1, 4, 2, 2)
    assert totals["by_code"] == {"TOL003": 1, "SRC001": 1, "MSG004": 1}
    assert ran.err == ""


@pytest.mark.usefixtures("files")
def test_concise_prints_findings_and_nothing_else(run: Any):
    ran = run("validate", "clean.jsonl", "broken.jsonl", "--output-format", "concise", "--ignore", "SET")
    first, second = ran.out.splitlines()
    assert first.startswith("broken.jsonl:2: TOL003 $.messages[1].tool_call_id 'c9' ")
    assert second == "broken.jsonl:3: SRC001 $ not JSON: Unterminated string starting at column 2"
    assert (ran.code, ran.err) == (1, "")
    assert run("validate", "clean.jsonl", "--output-format", "concise") == Ran(0, "", "")


@pytest.mark.usefixtures("files")
def test_full_counts_all_findings_and_prints_as_many_as_asked(run: Any):
    ran = run("validate", "broken.jsonl", "--max-findings", "0")
    assert ran.out == (
        "2 more findings are not shown (--max-findings)\n\n"
        "3 records in 1 file: 1 clean, 2 rejected\n"
        "5 events: 5 kept, 0 merged, 0 dropped\n"
        "not checked: template, tokens and mask of 2 samples (no --model)\n"
        "findings: TOL003 1, SRC001 1\n"
    )


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("full", "broken.jsonl:2: error TOL003 orphan-tool-result $.messages[1]", "findings: TOL003 1, SRC001 1\n"),
        (
            "concise",
            "broken.jsonl:2: TOL003 $.messages[1].tool_call_id ",
            " Unterminated string starting at column 2\n",
        ),
        ("json", '{"qwen_sft": ', "}\n"),
        ("jsonl", '{"code": "TOL003", ', "}\n"),
        ("sarif", '{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", ', "}]}\n"),
        ("junit", '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="qwen-sft" tests="3" ', "</testsuites>\n"),
        ("github", "::error file=broken.jsonl,line=2,title=TOL003 orphan-tool-result::$", " or take it out\n"),
        ("gitlab", '[\n{"description": "orphan-tool-result: $.messages[1].tool_call_id ', "\n]\n"),
        ("markdown", "### qwen-sft validate: 2 of 3 records rejected\n", "</code> |\n"),
    ],
)
def test_every_output_format_goes_to_stdout_or_into_a_file(run: Any, files: Path, name: str, begins: str, ends: str):
    ran = run("validate", "broken.jsonl", "--output-format", name)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.startswith(begins)
    assert ran.out.endswith(ends)
    into = run("validate", "broken.jsonl", "--output-format", name, "--output", "report")
    assert (into.code, into.out) == (1, "")
    assert into.err.startswith("3 records in 1 file: 1 clean, 2 rejected\n")
    assert (files / "report").read_text(encoding="utf-8") == ran.out
    assert not list(files.glob("*.tmp"))


@pytest.mark.usefixtures("files")
def test_statistics_stand_in_place_of_the_findings(run: Any):
    ran = run("validate", "broken.jsonl", "warned.jsonl", "--statistics", "--output-format", "concise")
    assert ran == Ran(
        1,
        "1\twarning\tMSG004\trepeated-role\n1\terror\tSRC001\tunreadable-record\n1\terror\tTOL003\torphan-tool-result\n",
        "",
    )
    shown = run("validate", "broken.jsonl", "--statistics").out
    assert shown.startswith(
        "1  error    SRC001  unreadable-record\n1  error    TOL003  orphan-tool-result\n\n3 records"
    )
    assert run("validate", "clean.jsonl", "--statistics").out.startswith("3 records in 1 file: 3 clean")


def test_report_is_written_whole_or_not_at_all(run: Any, monkeypatch: pytest.MonkeyPatch, files: Path):
    (files / "old.json").write_text("old")
    (files / "link.json").symlink_to("old.json")
    with monkeypatch.context() as patched:
        patched.setattr("qwen_sft.pipeline.Pipeline.process", crash)
        assert run("validate", "broken.jsonl", "--output-format", "json", "--output", "link.json").code == 2
    assert (files / "old.json").read_text() == "old"
    assert not list(files.glob("*.tmp"))
    assert run("validate", "broken.jsonl", "--output-format", "json", "--output", "link.json").code == 1
    assert (files / "link.json").is_symlink()
    assert json.loads((files / "old.json").read_text())["totals"]["n_records"] == 3
    piped = process("validate", "broken.jsonl", "--output-format", "jsonl", "--output", "/dev/stdout", cwd=files)
    assert [json.loads(line)["code"] for line in piped.out.splitlines()] == ["TOL003", "SRC001"]
    full = process("validate", "broken.jsonl", "--output", "/dev/full", cwd=files)
    assert (full.code, full.out) == (2, "")
    assert full.err == "qwen-sft: cannot write '/dev/full': No space left on device; name another --output\n"


def test_fingerprints_stay_when_lines_move_and_differ_for_equal_records(run: Any, files: Path):
    def marks() -> list[str]:
        document = json.loads(run("validate", "moved.jsonl", "--output-format", "sarif", "--ignore", "SET").out)
        (found,) = document["runs"]
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in found["results"]]

    lines = (files / "broken.jsonl").read_text().splitlines(keepends=True)
    (files / "moved.jsonl").write_text("".join(lines))
    before = marks()
    (files / "moved.jsonl").write_text((files / "clean.jsonl").read_text() * 3 + "".join(lines[1:]))
    assert marks() == before
    (files / "moved.jsonl").write_text("".join(lines) + lines[1])
    assert marks() == [*before, before[0].replace(":1", ":2")]
    assert len(set(before)) == 2


@pytest.mark.usefixtures("files")
def test_build_prints_its_folder_and_tells_people_the_counts(run: Any):
    flags = ("--model", "qwen3", "--out", "out", "--fail-on", "never", "--ignore", "SET")
    ran = run("build", "clean.jsonl", "broken.jsonl", *flags)
    assert (ran.code, ran.out) == (0, "out\n")
    first, second = ran.err.splitlines()
    assert first == "6 records read, 4 written, 2 rejected (SRC001 1, TOL003 1)"
    assert re.fullmatch(r"4 rows, \d+ tokens, \d+ of them trained; 4 samples verified against serializer, .*", second)


@pytest.mark.usefixtures("files")
def test_show_marks_what_is_trained(run: Any):
    ran = run("show", "clean.jsonl", "--model", "qwen3", "--row", "2")
    assert ran.code == 0
    assert ran.out.startswith("clean.jsonl:2: openai_chat, 1 training rows\n\nrow 1: ")
    trained = [line for line in ran.out.splitlines() if line.startswith("T ")]
    assert "".join(line[15:].replace("│", "") for line in trained) == "<think>⏎⏎</think>⏎⏎Yes.<|im_end|>"
    ran = run("show", "broken.jsonl", "--model", "qwen3", "--row", "2")
    assert ran.code == 1
    assert "! " in ran.out
    assert "error TOL003 'c9' " in ran.out


def test_rules_are_listed_with_what_they_prove_and_see(run: Any):
    listed = {line.split()[0]: line.split()[1:5] for line in run("rule").out.splitlines()}
    assert listed == {
        one.code: [one.severity.value, "heuristic" if one.heuristic else "provable", one.stage, one.name]
        for one in rules().values()
    }
    assert run("rule", "TOK005").out.startswith(
        "TOK005 mask-disagreement (error, provable, sees its tokens (--model), since 0.1.0)\n"
    )


def test_explain_says_once_for_each_rule_why_and_how(run: Any):
    records = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": ""}]}] * 2
    Path("a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    ran = run("validate", "a.jsonl", "--select", "MSG003,MSG017", "--explain")
    page = rules()["MSG003"].page
    head, _, told = ran.out.partition("\nMSG003 empty-assistant-turn: ")
    assert head.endswith("findings: MSG003 2\n")
    assert " ".join(told.split()) == f"{page.summary} why: {page.matters} fix: {page.fix}"
    assert run("validate", "a.jsonl", "--select", "MSG017", "--explain").out.count("why: ") == 0
    known = ("--select", "MSG003", "--write-baseline", "b.json")
    assert run("validate", "a.jsonl", *known, "--explain").out.count("why: ") == 0


def test_explain_names_what_is_heuristic(run: Any):
    refused = {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "I'm sorry, but I can't assist with that."},
        ]
    }
    Path("a.jsonl").write_text(json.dumps(refused) + "\n")
    out = run("validate", "a.jsonl", "--select", "MSG014", "--explain").out
    assert f"{rules()['MSG014'].page.summary} (heuristic: it may be no fault)\n" in out


@pytest.mark.parametrize("flags", [["--statistics"], ["--output-format", "json"]])
def test_explain_is_for_the_full_report(flags: list[str], run: Any):
    Path("a.jsonl").write_text("")
    ran = run("validate", "a.jsonl", "--explain", *flags)
    says = "--explain is for the findings of --output-format full; `qwen-sft rule CODE` shows a page"
    assert (ran.code, ran.out, says in ran.err) == (2, "", True)


def test_lists_name_all_that_the_shelves_hold(run: Any):
    assert [line.split()[0] for line in run("rule").out.splitlines()] == list(rules())
    assert [line.split()[0] for line in run("formats").out.splitlines()] == list(formats())
    models = run("models").out
    for family in families().values():
        assert f"\n{family.name}" in f"\n{models}"
        assert family.template_sha256[0][:16] in models


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_and_every_flag(run: Any, command: str):
    ran = run(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"Usage: qwen-sft {command}" in ran.out
    from typer.main import get_command

    from qwen_sft.cli import app

    parameters = get_command(app).commands[command].params  # type: ignore[attr-defined]
    flags = [flag for parameter in parameters for flag in parameter.opts if flag.startswith("--")]
    for flag in flags:
        assert re.search(rf"^  .*{flag}\b", ran.out, re.MULTILINE), flag
    if flags and command not in ("formats", "models"):
        assert f"\n    qwen-sft {command} " in ran.out or f"  qwen-sft {command}" in ran.out.split("Examples:")[1]
    for default in ("no limit", "error", "sample"):
        if command == "validate":
            assert f"[default:{default}]" in "".join(ran.out.split()).replace("nolimit", "no limit")


def test_help_and_version_of_the_whole(run: Any):
    assert run("--version") == Ran(0, f"qwen-sft {__version__}\n", "")
    out = run("--help").out
    assert "Exit codes: 0 clean, 1 findings, 2 could not run, 3 nothing was checked or written." in " ".join(
        out.split()
    )
    for command in COMMANDS:
        assert f"\n  {command} " in out


def test_shell_completion_is_there():
    environment = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    for shell in ("bash", "zsh", "fish"):
        ran = process("--show-completion", shell, env=environment)
        assert (ran.code, ran.err) == (0, "")
        assert "_QWEN_SFT_COMPLETE=complete_" in ran.out
    assert "--show-completion" in process("--help").out


# -- processes of their own -------------------------------------------------------------------------------------------


def test_each_command_runs_as_a_program(files: Path):
    piped = json.dumps(chat()) + "\n"
    ran = process("validate", "-", "--output-format", "json", input=piped, cwd=files)
    assert (ran.code, json.loads(ran.out)["totals"]["n_clean"], ran.err) == (0, 1, "")
    ran = process("build", "clean.jsonl", "--model", "qwen3", "--out", "out", cwd=files)
    assert (ran.code, ran.out) == (0, "out\n")
    assert ran.err.startswith("3 records read, 3 written, 0 rejected\n")
    assert (files / "out" / "manifest.json").is_file()
    assert process("show", "clean.jsonl", "--model", "qwen3", cwd=files).code == 0
    for command in ("rule", "formats", "models"):
        ran = process(command)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out


def test_hub_id_without_a_network_is_one_clear_line(files: Path):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(files / "hub")}
    ran = process("build", "clean.jsonl", "--model", "Qwen/Qwen3-8B", "--out", "out", cwd=files, env=environment)
    assert (ran.code, ran.out) == (2, "")
    assert re.fullmatch(
        r"qwen-sft: cannot fetch 'Qwen/Qwen3-8B' from the model hub: .+; name a folder instead\n", ran.err
    )
    assert not (files / "out").exists()


HEAVY = ("numpy", "pyarrow", "transformers", "datasets", "torch", "rich", "jinja2", "tokenizers", "huggingface_hub")


def test_structure_is_checked_without_importing_anything_heavy(files: Path):
    script = (
        "import sys; from qwen_sft.cli import main\n"
        "try: main()\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "validate", "broken.jsonl"]
    done = subprocess.run(command, cwd=files, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (1, "[]\n")


def test_reader_that_goes_away_is_no_traceback(files: Path):
    (files / "many.jsonl").write_text("null\n" * 20_000)
    for lines in ("many.jsonl", "broken.jsonl"):
        command = f'"{Path(sys.executable).parent}/qwen-sft" validate {lines} | true; echo "${{PIPESTATUS[0]}}"'
        done = subprocess.run(
            ["bash", "-c", command], cwd=files, capture_output=True, text=True, check=True, timeout=60
        )
        assert done.stderr == ""
        assert done.stdout in ("2\n", "1\n")  # 1 where all was written before the reader went
    assert done.stdout


def _hears_interrupts() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and so are its children: also pytest's, and ours."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_build_exits_with_130_and_leaves_no_shard(files: Path):
    os.mkfifo(files / "slow.jsonl")
    command = [str(Path(sys.executable).parent / "qwen-sft"), "build", "clean.jsonl", "slow.jsonl"]
    command += ["--model", "qwen3", "--out", "out", "--shard-size", "1"]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    streams["preexec_fn"] = _hears_interrupts
    with subprocess.Popen(command, cwd=files, **streams) as running:  # noqa: SIM117  # the pipe needs its reader first
        with (files / "slow.jsonl").open("w") as pipe:  # opens once the build has opened it too
            pipe.write(json.dumps(chat()) + "\n")
            pipe.flush()
            until = time.monotonic() + 30
            while not (files / "out" / "rejects.jsonl").exists() and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(0.2)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert [str(p) for p in (files / "out").rglob("*") if p.is_file()] == []


# -- crashes ----------------------------------------------------------------------------------------------------------


def crash(*_: Any, **__: Any) -> Any:
    raise RuntimeError(f"boom {HOSTILE}")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("what", "flags"),
    [
        ("qwen_sft.pipeline.Transcript", []),
        ("qwen_sft.encoding.encoder.renderings", ["--model", "qwen3"]),
        ("qwen_sft.encoding.encoder.disagreements", ["--model", "qwen3"]),
        ("qwen_sft.pipeline.Row", ["--model", "qwen3"]),
    ],
)
def test_crash_exits_with_two_and_names_the_record(
    run: Any, monkeypatch: pytest.MonkeyPatch, what: str, flags: list[str]
):
    import qwen_sft.encoding.encoder  # noqa: F401

    monkeypatch.setattr(what, crash)
    ran = run("validate", "empty.jsonl", "clean.jsonl", *flags)
    assert ran.code == 2
    assert "Traceback (most recent call last):" in ran.err
    assert "RuntimeError: boom \\x1b]0;owned" in ran.err
    assert ran.err.endswith(
        "qwen-sft: this is a fault of qwen-sft, not of your data (at clean.jsonl:1); "
        "please report it with the lines above\n"
    )
    assert not set(ran.err) & set(HOSTILE.replace("red", "").replace("owned", "")) & set("\x1b\x07\u202e\x9b\r")


@pytest.mark.usefixtures("files")
def test_crash_of_a_build_leaves_no_shard(run: Any, monkeypatch: pytest.MonkeyPatch, files: Path):
    monkeypatch.setattr("qwen_sft.building.build.card", crash)
    ran = run("build", "clean.jsonl", "--model", "qwen3", "--out", "out")
    assert (ran.code, ran.out) == (2, "")
    assert [p for p in (files / "out").rglob("*") if p.is_file()] == []


# -- hostile data -----------------------------------------------------------------------------------------------------


def hostile_files(folder: Path) -> list[str]:
    role = {"messages": [{"role": HOSTILE, "content": HOSTILE}, {"role": "assistant", "content": HOSTILE}]}
    call = {"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}}
    calls = {
        "messages": [
            {"role": "user", "content": HOSTILE},
            {
                "role": "assistant",
                "content": HOSTILE,
                "tool_calls": [{"id": HOSTILE, "type": "function", "function": call}],
            },
            {"role": "tool", "tool_call_id": HOSTILE + "x", "content": HOSTILE},
            {"role": "assistant", "content": HOSTILE},
        ]
    }
    rows = [role, calls, chat(1, HOSTILE), {HOSTILE: HOSTILE}, HOSTILE, {"messages": [{HOSTILE: 1}]}]
    name = folder / f"{HOSTILE}\nx.jsonl"
    name.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows) + f"{HOSTILE}\n")
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff.jsonl"))
    bad.write_text("null\n")
    return [str(name), str(bad)]


def test_hostile_data_never_reaches_the_terminal(run: Any, tmp_path: Path):
    names = hostile_files(tmp_path)
    shown: list[Ran] = [
        *(run("validate", *names, "--output-format", form) for form in FORMATS),
        *(run("validate", *names, "--model", model, "--verify", "all") for model in ("qwen3", "qwen3-coder-next")),
        *(run("show", *names, "--model", "qwen3", "--row", str(n)) for n in range(1, 9)),
        run("build", *names, "--model", "qwen3", "--out", f"out{HOSTILE}"),
        run("validate", f"nowhere{HOSTILE}"),
        run("validate", names[0], "--model", f"./{HOSTILE}"),
        run("validate", names[0], "--select", HOSTILE),
        run("rule", HOSTILE),
    ]
    for ran in shown:
        assert ran.code in (0, 1, 2)
        assert "Traceback" not in ran.err
        assert not set(ran.out + ran.err) & set("\x1b\x07\u202e\x9b\r"), ran
    assert len(shown[1].out.splitlines()) == sum(json.loads(shown[2].out)["totals"]["by_code"].values())


def in_terminal(*arguments: str, cwd: Path, **environment: str) -> bytes:
    """What a command writes where stdout and stderr are a terminal."""
    master, slave = pty.openpty()
    command = [str(Path(sys.executable).parent / "qwen-sft"), *arguments]
    env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | environment
    with subprocess.Popen(command, cwd=cwd, stdin=slave, stdout=slave, stderr=slave, env=env) as running:
        os.close(slave)
        data = b""
        while select.select([master], [], [], 30)[0]:
            try:
                piece = os.read(master, 65536)
            except OSError:  # Linux says so at the end
                break
            if not piece:
                break
            data += piece
        running.wait(timeout=30)
    os.close(master)
    return data


def test_colour_and_progress_are_for_terminals_that_want_them(files: Path):
    assert b"\x1b[1;31merror TOL003\x1b[0m" in in_terminal("validate", "broken.jsonl", cwd=files)
    plain = in_terminal("validate", "broken.jsonl", cwd=files, NO_COLOR="1")
    assert b"error TOL003" in plain
    assert b"\x1b[1;31m" not in plain
    ran = process("validate", "broken.jsonl", cwd=files, env={**os.environ, "FORCE_COLOR": "1"})
    assert "\x1b" not in ran.out
    assert ran.err == ""


def test_stdout_that_cannot_print_a_character_gets_its_escape(files: Path):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ran = process("show", "clean.jsonl", "--model", "qwen3", cwd=files, env=environment)
    assert (ran.code, ran.err) == (0, "")
    assert "\\u2502" in ran.out
    (files / "a.jsonl").write_text('{"é": 1}\n')
    ran = process("validate", "a.jsonl", "--output-format", "json", cwd=files, env=environment)
    assert "'é'" in json.loads(ran.out)["findings"][0]["says"]


def test_locked_stops_another_model_and_lets_the_same_one_pass(run: Any, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(json.dumps(chat()) + "\n")
    assert run("build", "a.jsonl", "--model", "qwen3", "--out", "out").code == 0
    assert run("validate", "a.jsonl", "--model", "qwen3", "--locked", "out").code == 0
    other = run("validate", "a.jsonl", "--model", "qwen2_5", "--locked", "out/qwen-sft.lock.json")
    assert (other.code, other.out) == (1, "")
    assert other.err.startswith("error: template.sha256: locked 'a55ee1b1660128b7")
    assert run("validate", "a.jsonl", "--model", "qwen3", "--thinking", "off", "--locked", "out").code == 1
    nobody = run("validate", "a.jsonl", "--locked", "out")
    assert (nobody.code, nobody.err) == (2, "qwen-sft: --locked compares a model; name one with --model\n")
    assert run("validate", "a.jsonl", "--model", "qwen3", "--locked", "nowhere").code == 2


def test_page_is_self_contained_and_escapes_what_traces_say(run: Any, tmp_path: Path):
    hostile = "<script>alert(1)</script>\x1b[31m\u202e"
    record = chat(1, hostile)
    record["messages"][0]["content"] = f"{hostile} <img src=x onerror=alert(1)>"
    (tmp_path / "a<b>.jsonl").write_text(json.dumps(record) + "\n")
    shown = run("show", "a<b>.jsonl", "--model", "qwen3", "--html", "page.html")
    assert shown.code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<script") == 1 and "alert(1)</script>" not in page
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "a&lt;b&gt;.jsonl" in page
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)[0])
    texts = re.findall(r"<style>(.*?)</style>|<script>(.*?)</script>", page, re.DOTALL)
    style, script = (
        f"'sha256-{base64.b64encode(hashlib.sha256(''.join(one).encode()).digest()).decode()}'" for one in texts
    )
    assert policy == (
        f"default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"\ssrc\s*=|href=\"[^#]|url\(|@import", page.replace("&lt;img src=x", ""))
    assert page.count('class="turn ') == 2
    assert "the prompt: the server sends the" in page
    assert "content: " in page
    assert "> prompt       the server sends the" in shown.out
    lost = run("show", "a<b>.jsonl", "--model", "qwen3", "--html", "no/where.html")
    assert (lost.code, lost.out, lost.err) == (
        2,
        "",
        "qwen-sft: cannot write 'no/where.html': No such file or directory; name another with --html\n",
    )


@pytest.mark.parametrize("given", ["[1]", "{", "1"])
def test_chat_template_kwargs_that_are_no_object_stop_us(run: Any, given: str):
    told = run("validate", "-", "--model", "qwen3", "--chat-template-kwargs", given)
    assert told.code == 2
    assert told.err.startswith(f"qwen-sft: --chat-template-kwargs {given!r} is no ")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ('{"a": NaN}', "chat-template-kwargs set 'a' to nan; nan is no JSON number"),
        ('{"a": 1e999}', "chat-template-kwargs set 'a' to inf; inf is no JSON number"),
        ('{"a": "\\ud800"}', "chat-template-kwargs set 'a' to '\\ud800'; half a surrogate pair is no character"),
        ('{"a": 123456789012345678901}', "set 'a' to 123456789012345678901; an integer must fit into 64 bits"),
        ('{"a": ' + "[" * 300 + "]" * 300 + "}", "set 'a' to a value of more than 200 levels"),
        ('{"a": ' + "[" * 100_000, "nests a value too deep to be read"),
        ('{"enable_thinking": "false"}', "set 'enable_thinking' to 'false'; it takes true or false"),
        ('{"a": 1, "a": 2}', "--chat-template-kwargs name 'a' twice; give it one value"),
        ('{"b": {"a": 1, "a": 2}}', "--chat-template-kwargs name 'a' twice; give it one value"),
    ],
    ids=lambda text: text[:30],
)
def test_chat_template_kwargs_that_no_request_could_carry_stop_us_without_a_model_too(run: Any, given: str, says: str):
    told = run("validate", "-", "--chat-template-kwargs", given)
    assert (told.code, told.out) == (2, "")
    assert told.err.startswith("qwen-sft: ")
    assert told.err.endswith(f"{says}\n")
    assert told.err.count("\n") == 1


@pytest.mark.usefixtures("files")
def test_white_space_in_a_list_of_codes_or_selectors_is_nothing(run: Any):
    ran = run("validate", "broken.jsonl", "--select", "MSG, TOL003", "--output-format", "json")
    assert json.loads(ran.out)["totals"]["by_code"] == {"TOL003": 1, "SRC001": 1}
    assert run("validate", "clean.jsonl", "--train", "calls, none-of:reasoning").code == 0


NOTHING = "qwen-sft: nothing was written: no record gave a row; rejects.jsonl says why\n"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("file", "flags", "code"),
    [
        ("clean.jsonl", ["--train", "calls"], 3),
        ("clean.jsonl", ["--train", "calls", "--fail-on", "warning"], 1),
        ("torn.jsonl", [], 1),
        ("torn.jsonl", ["--fail-on", "never"], 3),
        ("empty.jsonl", [], 3),
    ],
)
def test_build_that_writes_no_row_never_exits_with_zero(
    run: Any, tmp_path: Path, file: str, flags: list[str], code: int
):
    (tmp_path / "torn.jsonl").write_text('{"torn\n')
    ran = run("build", file, "--model", "qwen3", "--out", "out", *flags)
    assert ran.code == code
    assert ran.err.endswith(NOTHING)


@pytest.mark.parametrize(("model", "code"), [("qwen3_8", 1), ("qwen3_6", 0)])
def test_think_block_in_content_stops_a_build_where_it_would_be_the_second(
    run: Any, tmp_path: Path, model: str, code: int
):
    (tmp_path / "a.jsonl").write_text(json.dumps(chat(1, "<think>\nOne is.\n</think>\n\nYes.")) + "\n")
    told = run("validate", "a.jsonl", "--model", model, "--ignore", "THK", "--output-format", "concise")
    says = "$.messages[1].content reasoning: written 'One is.', but the server reads ''"
    expected = f"a.jsonl:1: TOK011 {says}" if code else ""
    assert (told.code, told.out[: len(expected)], bool(told.out)) == (code, expected, bool(code))


def test_turn_that_cannot_be_trained_is_told_how_it_could_be(run: Any, tmp_path: Path):
    (tmp_path / "a.jsonl").write_text(json.dumps(chat(1, "So. <think>\nOne is.\n</think>\n\nYes.")) + "\n")
    flags = ("--model", "qwen3", "--thinking", "off", "--ignore", "THK", "--output-format", "json")
    told = run("validate", "a.jsonl", *flags)
    why = "its prompt ends with '<think>\\n\\n</think>\\n\\n', and the template prints the turn without that"
    fix = "choose the mode that it was made in with --thinking, and give its reasoning as reasoning_content"
    assert told.code == 1
    assert [(one["code"], one["says"], one["fix"]) for one in json.loads(told.out)["findings"]] == [
        ("TOK001", f"no turn of it can be trained; of messages[1]: {why}", fix),
        ("TOK008", f"this turn is shown and not trained: {why}", fix),
    ]
