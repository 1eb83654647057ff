"""`qwen-sft show`: which records and rows it picks, of traces and of built sets."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from qwen_sft.cli.pick import Pick, pick_of
from qwen_sft.encoding.model import load_model
from qwen_sft.errors import UsageError
from qwen_sft.family import families
from qwen_sft.tokenizing.tokenizer import load_tokenizer

load_once = cache(load_tokenizer)


@pytest.fixture(autouse=True)
def one_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_sft.encoding.model.load_tokenizer", load_once)


def tool(name: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    return {"type": "function", "function": {"name": name, "description": "It does.", "parameters": schema}}


def sample(name: str | None = None, words: str = "4 degrees.", answers: str = "c1") -> dict[str, Any]:
    asked, answer = {"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": words}
    if name is None:
        return {"messages": [asked, answer]}
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": {"city": "Oslo"}}}
    calls = {"role": "assistant", "content": "", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": answers, "content": "4"}
    return {"messages": [asked, calls, result, answer], "tools": [tool(name)]}


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Two files of three records each: the third of the first has an error, the last is long."""
    first = [sample(), sample("weather"), sample("weather", answers="c9")]
    second = [sample("clock"), sample("weather"), sample(words="degrees " * 300)]
    for name, some in (("a.jsonl", first), ("b.jsonl", second)):
        (tmp_path / name).write_text("".join(json.dumps(one) + "\n" for one in some))
    return tmp_path


def heads(out: str) -> list[str]:
    """The records that are shown."""
    return [line.partition(": ")[0] for line in out.splitlines() if "training rows" in line]


@pytest.mark.usefixtures("traces")
@pytest.mark.parametrize(
    ("flags", "shown", "code"),
    [
        ([], ["a.jsonl:1"], 0),
        (["--row", "4"], ["b.jsonl:1"], 0),
        (["--rows", "2-4"], ["a.jsonl:2", "a.jsonl:3", "b.jsonl:1"], 1),
        (["--rows", "5-"], ["b.jsonl:2", "b.jsonl:3"], 0),
        (["--rows", "5-99"], ["b.jsonl:2", "b.jsonl:3"], 0),
        (["--code", "TOL003"], ["a.jsonl:3"], 1),
        (["--code", "orphan-tool-result"], ["a.jsonl:3"], 1),
        (["--code", "call-without-result"], [], 3),
        (["--code", "SEC,TOL003"], ["a.jsonl:3"], 1),
        (["--tool", "weather"], ["a.jsonl:2", "a.jsonl:3", "b.jsonl:2"], 1),
        (["--tool", "clock"], ["b.jsonl:1"], 0),
        (["--tool", "weather", "--source", "b.*"], ["b.jsonl:2"], 0),
        (["--tool", "weather", "--max-records", "1"], ["a.jsonl:2"], 0),
        (["--longer-than", "250"], ["b.jsonl:3"], 0),
        (["--source", "c*"], [], 3),
    ],
)
def test_records_of_traces_are_picked(run: Any, flags: list[str], shown: list[str], code: int):
    ran = run("show", "a.jsonl", "b.jsonl", "--model", "qwen3", *flags)
    assert (heads(ran.out), ran.code) == (shown, code), ran.err
    if not shown:
        n = 0 if "--source" in flags else 6
        assert (ran.out, ran.err) == ("", f"qwen-sft: none of {n} records is such; ask for less\n")


@pytest.mark.usefixtures("traces")
@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--row", "0"], "--row is '0'; it can be a number from 1, as 12, or a range, as 10-20 or 10-"),
        (["--row", "3-2"], "--row is '3-2'; it can be"),
        (["--row", "x"], "--row is 'x'; it can be"),
        (["--row", "7"], "there is no record 7; --row counts the records of all files from 1"),
        (["--code", "TOL999"], "no rule 'TOL999'; see: qwen-sft rule"),
        (
            ["--html", "x.html", "--tool", "clock"],
            "--html writes one record; name it with --row, and leave the filters",
        ),
    ],
)
def test_what_cannot_be_picked_is_told(run: Any, flags: list[str], says: str):
    ran = run("show", "a.jsonl", "b.jsonl", "--model", "qwen3", *flags)
    assert (ran.code, ran.out) == (2, "") and says in ran.err


def test_a_pick_is_one_record_or_all_that_fit():
    assert pick_of(None, [], None, None, None) == Pick(1, 1)
    assert pick_of(None, ["TOL,SEC001"], None, None, None) == Pick(1, None, ("TOL", "SEC001"))
    assert pick_of("3-", [], None, None, 0) == Pick(3, None, longer_than=0)
    with pytest.raises(UsageError, match="--row is '-3'"):
        pick_of("-3", [], None, None, None)


def test_rows_of_a_built_set_are_picked(run: Any, traces: Path):
    assert run("build", "a.jsonl", "b.jsonl", "--model", "qwen3", "--shard-size", "1", "--out", "set").code == 1
    files = sorted((traces / "set" / "data").iterdir())
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    places = [f"{row['source_file']}:{row['source_line']}" for row in rows]
    assert sorted(places) == ["a.jsonl:1", "a.jsonl:2", "b.jsonl:1", "b.jsonl:2", "b.jsonl:3"] and len(files) > 1

    def shown(*flags: str) -> list[str]:
        ran = run("show", "set", *flags)
        assert ran.code == 0, ran.err
        return [line.rpartition(", from ")[2] for line in ran.out.splitlines() if line.startswith("row ")]

    assert shown() == places[:1]
    assert shown("--rows", "2-") == places[1:]
    assert sorted(shown("--tool", "weather")) == ["a.jsonl:2", "b.jsonl:2"]
    assert shown("--source", "b.*", "--longer-than", "250") == ["b.jsonl:3"]
    out = run("show", "set", "--row", "2").out
    head, counts = out.splitlines()[:2]
    row, n_first = rows[1], pq.read_table(files[0]).num_rows
    place = f"{files[0].relative_to(traces)}:2" if n_first > 1 else f"{files[1].relative_to(traces)}:1"
    assert head == f"row 2: {place}, from {places[1]}"
    assert counts == (
        f"{row['n_tokens']} tokens, {row['n_trained_tokens']} trained, turns {', '.join(map(str, row['turns']))}"
    )
    trained = (
        "".join(line[15:] for line in out.splitlines() if line.startswith("T ")).replace("│", "").replace("⏎", "\n")
    )
    ids = [i for i, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
    assert trained == load_model("qwen3", families()).tokenizer.decode(ids)
    assert '< read back    call weather({"city": "Oslo"})' in run("show", "set", "--tool", "weather").out
    for flags, says in (
        (["--code", "TOL"], "a built set holds no findings; look at those that were rejected: set/rejects.jsonl"),
        (["--model", "qwen3"], "'set' is a built set, made with its own settings; leave --model out"),
        (["--row", "6"], "there is no record 6"),
    ):
        ran = run("show", "set", *flags)
        assert ran.code == 2 and says in ran.err
    assert run("show", "set", "--tool", "map").code == 3
