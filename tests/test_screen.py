"""What people see in a terminal: progress, summaries on one screen, widths, colours, a pager; and nothing hostile."""

import gzip
import json
import os
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onscreen import frames, on_screen

import qwen_sft.ingesting.ingest as ingest
from qwen_sft.cli.progress import Progress, _Way
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.text.terminal import cells, fitted

EXAMPLES = Path(__file__).parents[1] / "examples"
WIDTHS = (40, 80, 200)
SGR = re.compile(r"\x1b\[[\d;]*m")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, under short names."""
    for name in ("clean.jsonl", "broken.jsonl", "thinking.jsonl"):
        (tmp_path / name).write_bytes((EXAMPLES / name).read_bytes())
    return tmp_path


# -- progress ----------------------------------------------------------------------------------------------------------

LONG = {
    "validate": (["validate", "clean.jsonl", "--model", "qwen3"], "records"),
    "validate, two processes": (["validate", "clean.jsonl", "--jobs", "2"], "records"),
    "convert": (["convert", "clean.jsonl", "--out", "-"], "records"),
    "fix": (["fix", "clean.jsonl", "--out", "f.jsonl"], "records"),
    "report": (["report", "clean.jsonl", "--out", "r.html"], "records"),
    "stats": (["stats", "clean.jsonl"], "records"),
    "show": (["show", "clean.jsonl", "--model", "qwen3", "--tool", "nothing"], "records"),
    "build": (["build", "clean.jsonl", "--model", "qwen3", "--out", "again", "--sample", "3"], "records"),
    "audit": (["audit", "set", "--model", "qwen3"], "rows"),
    "verify": (["verify", "set", "--trainer", "trl"], "rows"),
    "report of a set": (["report", "set", "--out", "r.html"], "rows"),
    "stats of a set": (["stats", "set"], "rows"),
    "show of a set": (["show", "set", "--tool", "nothing"], "rows"),
}
SLOWLY = """
import qwen_sft.cli.progress as progress
counted = progress.Progress.count
def count(self, *arguments, **more):
    counted(self, *arguments, **more)
    if self._bar is not None:
        self._bar.refresh()
progress.Progress.count = count
from qwen_sft.cli import main
main()
"""
"""As it is, but that each count is drawn at once: these runs are over before the bar would be drawn again."""


@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_long_commands_show_on_stderr_how_far_they_are(folder: Path, name: str):
    command, what = LONG[name]
    if "set" in command:
        assert on_screen("build", "clean.jsonl", "--model", "qwen3", "--out", "set", cwd=folder).code == 0
    seen = on_screen(*command, cwd=folder, piped=True, width=200, code=SLOWLY)
    assert seen.code in (0, 1, 3), seen.text
    shown = " ".join(frames(seen.raw))
    assert re.search(rf"\b5 {what}", shown), shown
    assert "100%" in shown and "left:" in shown
    assert "\x1b" not in seen.out
    assert not re.search(rf"\b5 {what}.* left:", seen.text), "the bar stays on the screen"


def test_what_is_written_meanwhile_goes_where_it_belongs_and_stands_above_the_bar(folder: Path):
    """stdout is a pipe: nothing of it comes to the terminal, and no bar into it."""
    command = ("fix", "broken.jsonl", "--out", "fixed.jsonl", "--select", "TOL007", "--diff")
    seen = on_screen(*command, cwd=folder, piped=True, width=200)
    assert seen.out.startswith("--- broken.jsonl:25\n+++ broken.jsonl:25 (duplicate-call-id)\n")
    assert "+++" not in seen.text and seen.lines[0].startswith("broken.jsonl:1: error SRC001 $ not JSON")
    both = on_screen("validate", "broken.jsonl", "--output-format", "concise", cwd=folder, width=200)
    alone = on_screen("validate", "broken.jsonl", "--output-format", "concise", cwd=folder, piped=True)
    folded = [line[k : k + 200].rstrip() for line in alone.out.splitlines() for k in range(0, len(line), 200)]
    assert both.lines == folded and len(folded) > 60


def made(tmp_path: Path) -> tuple[list[str], list[int]]:
    """Inputs of three records each, and their sizes."""
    rows = [{"messages": [{"role": "user", "content": f"{n}" * 40}]} for n in range(3)]
    text = "".join(json.dumps(one) + "\n" for one in rows).encode()
    (tmp_path / "a.jsonl").write_bytes(text)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    with (
        pa.OSFile(str(tmp_path / "d.arrow"), "wb") as sink,
        pa.ipc.new_file(sink, pa.schema([("n", pa.int64())])) as file,
    ):
        file.write_table(pa.table({"n": [1, 2, 3]}))
    names = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl.gz", "c.parquet", "d.arrow")]
    return names, [os.path.getsize(name) for name in names]  # noqa: PTH202


def test_how_far_a_run_is_counts_bytes_of_text_rows_of_columns_and_what_was_read_of_the_rest(tmp_path: Path):
    names, sizes = made(tmp_path)
    inputs = expand(names)
    way = _Way(inputs)
    way.look()
    at: list[list[int]] = []
    for source in inputs:
        at.append([way.at(r.where.file, 1, len(r.raw) + 1) for r in records(source)])
    before = [sum(sizes[:k]) for k in range(4)]
    assert at[0] == [sizes[0] // 3, 2 * sizes[0] // 3, sizes[0]]
    assert at[1] == [before[1] + sizes[1]] * 3  # one piece of a megabyte
    assert at[2] == [before[2] + sizes[2] * n // 3 for n in (1, 2, 3)]
    assert at[3] == [before[3] + sizes[3] * n // 3 for n in (1, 2, 3)]
    assert way.at(f"{names[3]}!inside", 1, 1) == sum(sizes)
    way.begin_again()
    assert way.at(names[0], 1, 10) == 10
    assert way.at(names[2], 0, 0) == before[2]


def test_of_a_compressed_file_it_counts_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ingest, "CHUNK", 4096)
    text = b"".join(json.dumps({"n": os.urandom(200).hex()}).encode() + b"\n" for _ in range(10_000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text))
    (source,) = expand([str(tmp_path / "a.jsonl.gz")])
    way = _Way([source])
    at = [way.at(record.where.file, 1, len(record.raw) + 1) for record in records(source)]
    assert at == sorted(at) and at[-1] == source.n_bytes
    assert 0.4 < at[5000] / source.n_bytes < 0.9  # it reads a megabyte of text ahead


def test_progress_tells_nothing_where_stderr_is_no_terminal(folder: Path, capsys: pytest.CaptureFixture[str]):
    with Progress(expand([str(folder / "clean.jsonl")])) as progress:
        progress.count(1, 0, 10, str(folder / "clean.jsonl"))
    assert capsys.readouterr() == ("", "")


def test_slow_things_are_told_in_seconds_each(monkeypatch: pytest.MonkeyPatch):
    now = iter([0.0, 30.0])
    monkeypatch.setattr("qwen_sft.cli.progress.time", SimpleNamespace(monotonic=lambda: next(now)))
    progress = Progress(what="conversations", total=20)
    progress._begun = 0.0
    next(now)
    progress.count(3)
    assert progress._says() == "3 conversations, 10 s each"


# -- one screen --------------------------------------------------------------------------------------------------------

SUMMARIES = {
    "validate": ["validate", "broken.jsonl", "clean.jsonl", "formats", "--max-findings", "0"],
    "convert": [
        "convert",
        "clean.jsonl",
        "formats/responses/raw.jsonl",
        "formats/claude_code/raw.jsonl",
        "--out",
        "s.jsonl",
    ],
    "fix": ["fix", "clean.jsonl", "thinking.jsonl", "--out", "f.jsonl"],
    "build": ["build", "clean.jsonl", "thinking.jsonl", "--model", "qwen3", "--out", "set"],
    "stats": ["stats", "broken.jsonl", "clean.jsonl"],
    "report": ["report", "broken.jsonl", "--out", "r.html"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SUMMARIES)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_summary_fits_one_screen_of_any_width(folder: Path, name: str, width: int):
    (folder / "formats").symlink_to(EXAMPLES / "formats")
    seen = on_screen(*SUMMARIES[name], cwd=folder, width=width)
    assert seen.code in (0, 1), seen.text
    said = [line for line in seen.lines if not re.match(r"\S+:\d+: (error|warning|info) ", line)]
    assert said and (width < 80 or len(said) <= 24), seen.text
    piped = SGR.sub("", seen.raw).replace("\r", "")
    assert all(cells(line) <= width for line in piped.split("\n") if "\x1b" not in line and " " in line.strip())


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_what_is_said_of_a_set_fits_one_screen(folder: Path, width: int):
    assert on_screen(*SUMMARIES["build"], cwd=folder).code == 0
    for command in (
        ["stats", "set"],
        ["audit", "set", "--model", "qwen3", "--max-rows", "0"],
        ["verify", "set", "--trainer", "trl"],
    ):
        seen = on_screen(*command, cwd=folder, width=width)
        assert seen.code == 0, seen.text
        assert width < 80 or len(seen.lines) <= 24, seen.text


def test_lines_end_between_words_where_the_terminal_does(monkeypatch: pytest.MonkeyPatch):
    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    stream: Any = Terminal()
    text = "  eight words that go beyond forty columns, 中文字符 and\nshort\n    \x1b[1;31mcode\x1b[0m " + "x" * 50
    assert fitted(text, stream).split("\n") == [
        "  eight words that go beyond forty",
        "      columns, 中文字符 and",
        "short",
        "    \x1b[1;31mcode\x1b[0m",
        "        " + "x" * 50,
    ]
    piped: Any = open(os.devnull, "w")  # noqa: PTH123, SIM115
    with piped:
        assert fitted(text, piped) == text


def test_width_and_colour_are_what_is_asked_for(folder: Path):
    seen = on_screen("validate", "broken.jsonl", "--select", "TOL003", cwd=folder, width=80)
    assert "\x1b[1;31merror TOL003\x1b[0m" in seen.raw and any(len(line) > 40 for line in seen.lines)
    plain = on_screen("validate", "broken.jsonl", "--select", "TOL003", cwd=folder, NO_COLOR="1", COLUMNS="40")
    assert not SGR.findall(plain.raw)
    long = [line for line in plain.lines if len(line) > 40]
    assert all(" " not in line.strip()[:30] or re.match(r"\S+:\d+: ", line) for line in long), long


@pytest.mark.parametrize(
    "width", [40, pytest.param(80, marks=pytest.mark.slow), pytest.param(200, marks=pytest.mark.slow)]
)
def test_chinese_is_aligned_and_hostile_text_is_harmless(tmp_path: Path, width: int):
    evil = "\x1b]0;owned\x07\x1b[31m\u202eevil\u2066\r"
    call = {"id": "c1", "type": "function", "function": {"name": "查询天气", "arguments": {"城市": "奥斯陆"}}}
    schema = {"type": "object", "properties": {"城市": {"type": "string"}}}
    sample = {
        "messages": [
            {"role": "user", "content": "今天奥斯陆的天气怎么样？请告诉我温度和降水概率，还有明天的预报。" + evil},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "四度，有雨" + evil},
            {"role": "assistant", "content": "奥斯陆今天四度，有雨。降水概率百分之八十，明天会放晴，气温升到七度。"},
        ],
        "tools": [{"type": "function", "function": {"name": "查询天气", "description": "查", "parameters": schema}}],
    }
    (tmp_path / "汉字.jsonl").write_text(json.dumps(sample) + "\n")
    seen = on_screen("show", "汉字.jsonl", "--model", "qwen3", "--no-pager", cwd=tmp_path, width=width)
    assert seen.code == 0, seen.text
    assert not re.search(r"\x1b\]|[\x07\u202e\u2066]", seen.raw)
    lines = SGR.sub("", seen.raw).replace("\r\n", "\n").split("\n")
    tokens = [line for line in lines if line.endswith("│")]
    assert len(tokens) > 20 and all(cells(line) <= width and line[1:2] + line[14:15] == "  " for line in tokens)
    assert "\\x1b]0;owned\\x07\\x1b[31m" in "".join(line[15:].replace("│", "") for line in tokens)


# -- the pager ---------------------------------------------------------------------------------------------------------

SAYS = """
import sys
from qwen_sft.cli.paging import paged
with paged(len(sys.argv) < 2):
    for n in range(30 if sys.stdin.isatty() else 0):
        print(f"line {n}", sys.stdout.isatty())
print("behind")
"""
LINES = [f"line {n} True" for n in range(30)]


def test_a_terminal_is_paged_and_nothing_else(tmp_path: Path):
    paged = on_screen(cwd=tmp_path, code=SAYS, PAGER="sed s/^line/LINE/")
    assert (paged.code, paged.lines) == (0, [*(line.replace("line", "LINE") for line in LINES), "behind"])
    for flags, environment in ((["no"], {"PAGER": "false"}), ([], {"PAGER": ""}), ([], {"PAGER": "cat"})):
        bare = on_screen(*flags, cwd=tmp_path, code=SAYS, **environment)
        assert (bare.code, bare.lines) == (0, [*LINES, "behind"])
    assert on_screen(cwd=tmp_path, code=SAYS, PAGER="no-such-pager-here").lines == [*LINES, "behind"]
    piped = on_screen(cwd=tmp_path, code=SAYS, PAGER="false", piped=True)
    assert piped.out.splitlines() == [*(line.replace("True", "False") for line in LINES), "behind"]
    gone = on_screen(cwd=tmp_path, code=SAYS.replace("30", "300_000"), PAGER="head -n 1")
    assert (gone.code, gone.lines) == (0, ["line 0 True", "behind"])


@pytest.mark.skipif(shutil.which("less") is None, reason="no less here")
def test_less_can_be_left_and_ends_by_itself_where_all_fits(tmp_path: Path):
    left = on_screen(cwd=tmp_path, code=SAYS, typed=b"q")
    assert left.code == 0 and left.lines[0] == "line 0 True" and left.lines[-1].endswith("behind")
    assert "line 29 True" not in left.text
    assert on_screen(cwd=tmp_path, code=SAYS.replace("30", "3")).lines == [*LINES[:3], "behind"]


@pytest.mark.slow
def test_show_is_paged(folder: Path):
    show = ("show", "clean.jsonl", "--model", "qwen3", "--rows", "1-2")
    paged = on_screen(*show, cwd=folder, PAGER="sed 's/openai_chat/PAGED/'")
    assert paged.code == 0 and paged.text.count("PAGED, 1 training rows") == 2
    bare = on_screen(*show, "--no-pager", cwd=folder, PAGER="false")
    assert bare.lines == [line.replace("PAGED", "openai_chat") for line in paged.lines]
    piped = on_screen(*show, cwd=folder, PAGER="false", piped=True)
    assert piped.out.startswith("clean.jsonl:1: openai_chat") and not SGR.search(piped.out)
