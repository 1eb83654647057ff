"""`qwen-sft convert` and `formats --explain`, end to end."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from reading import EXAMPLES, FORMATS, example_files

ANSWER = {"role": "assistant", "content": "y"}
CLEAN = {"messages": [{"role": "user", "content": "x"}, ANSWER], "reward": 1}


def write(path: Path, *records: Any) -> str:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
    return str(path)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("kind", FORMATS)
def test_examples_of_every_format_convert_and_their_samples_convert_to_themselves(kind: str, run: Any, tmp_path: Path):
    raw = [str(path) for path in example_files(kind)]
    first = run("convert", *raw, "--out", "first.jsonl", "--fail-on", "never")
    assert first.code == 0, first.err
    expected = lines(EXAMPLES / kind / "samples.jsonl")
    made = lines(tmp_path / "first.jsonl")
    assert len(made) == sum(1 for row in expected) - len(refused(tmp_path))
    second = run("convert", "first.jsonl", "--out", "second.jsonl", "--format", "openai_chat")
    assert second.code == 0, second.err
    assert lines(tmp_path / "second.jsonl") == made


def refused(folder: Path) -> list[Any]:
    path = folder / "first.jsonl.rejects.jsonl"
    return lines(path) if path.exists() else []


def test_sample_is_a_line_and_what_gives_none_goes_to_the_rejects(run: Any, tmp_path: Path):
    done = run("convert", write(tmp_path / "a.jsonl", CLEAN, {"x": 1}, "{"), "--out", "s.jsonl")
    assert done.code == 1
    assert lines(tmp_path / "s.jsonl") == [{"messages": CLEAN["messages"], "metadata": {"reward": 1}}]
    kept = lines(tmp_path / "s.jsonl.rejects.jsonl")
    assert [(row["line"], [found["code"] for found in row["findings"]]) for row in kept] == [
        (2, ["SRC003"]),
        (3, ["SRC001"]),
    ]
    assert (kept[0]["record"], kept[1]["text"]) == ({"x": 1}, "{")
    assert "3 records in 1 file: 1 clean, 2 rejected" in done.err
    assert "1 samples" in done.err
    assert done.out == ""


def test_trace_of_events_names_each_with_its_pointer(run: Any, tmp_path: Path):
    path = write(
        tmp_path / "a.jsonl",
        {
            "input": "x",
            "output": [
                {"type": "reasoning", "summary": []},
                {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]},
                {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
            ],
        },
        {"x": 1},
    )
    done = run("convert", path, "--out", "s.jsonl", "--trace-events")
    assert [line.split("\t")[1:] for line in done.out.splitlines()] == [
        ["/input", "kept", "sample 0, message 0 (user)"],
        ["/output/0", "dropped", "reasoning without text"],
        ["/output/1", "kept", "sample 0, message 1 (assistant)"],
        ["/output/2", "merged", "part of the assistant turn that begins before it"],
        ["", "rejected", "no sample could be made of the record"],
    ]


@pytest.mark.parametrize("kind", FORMATS)
def test_trace_of_events_balances_for_the_examples_of_every_format(kind: str, run: Any):
    raw = [str(path) for path in example_files(kind)]
    done = run("convert", *raw, "--out", "s.jsonl", "--trace-events", "--fail-on", "never")
    fates = {tuple(line.split("\t")[:2]): line.split("\t")[2] for line in done.out.splitlines()}
    counted = {name: sum(fate == name for fate in fates.values()) for name in ("kept", "merged", "dropped")}
    said = f"{sum(counted.values()):,} events: {counted['kept']:,} kept, {counted['merged']:,} merged"
    assert f"{said}, {counted['dropped']:,} dropped" in done.err


def test_stdout_takes_samples_and_nothing_else(run: Any, tmp_path: Path):
    done = run("convert", write(tmp_path / "a.jsonl", CLEAN), "--out", "-", "--trace-events")
    assert [json.loads(line)["metadata"] for line in done.out.splitlines()] == [{"reward": 1}]
    assert "/messages/0\tkept" in done.err
    assert not list(tmp_path.glob("*rejects*"))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_output_is_what_its_name_says(suffix: str, run: Any, tmp_path: Path):
    path = write(tmp_path / "a.jsonl", CLEAN)
    assert run("convert", path, "--out", f"s.jsonl{suffix}").code == 0
    data = (tmp_path / f"s.jsonl{suffix}").read_bytes()
    text = gzip.decompress(data) if suffix == ".gz" else zstandard.ZstdDecompressor().decompressobj().decompress(data)
    assert json.loads(text)["messages"] == CLEAN["messages"]
    assert run("validate", f"s.jsonl{suffix}").code == 0


def test_results_come_into_order_and_schemas_become_json_schema(run: Any, tmp_path: Path):
    calls = [{"id": i, "type": "function", "function": {"name": "f", "arguments": {}}} for i in ("a", "b")]
    record = {
        "tools": [{"name": "f", "parameters": {"type": "dict", "properties": {}}}],
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "b", "content": "2"},
            {"role": "tool", "tool_call_id": "a", "content": "1"},
            ANSWER,
        ],
    }
    assert run("convert", write(tmp_path / "a.jsonl", record), "--out", "s.jsonl").code == 0
    (made,) = lines(tmp_path / "s.jsonl")
    assert [turn["content"] for turn in made["messages"] if turn["role"] == "tool"] == ["1", "2"]
    assert made["tools"][0]["function"]["parameters"]["type"] == "object"
    assert made["metadata"]["tools_original"][0]["function"]["parameters"]["type"] == "dict"
    again = run("validate", "s.jsonl")
    assert "TOL012" not in again.out
    assert "TOL019" not in again.out


@pytest.mark.parametrize("number", [2**64, 10**30, -(2**80)])
def test_integers_of_any_size_stay_exact(number: int, run: Any, tmp_path: Path):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": {"n": number}}}
    record = {"messages": [{"role": "user", "content": "x"}, {**ANSWER, "tool_calls": [call]}]}
    assert run("convert", write(tmp_path / "a.jsonl", record), "--out", "s.jsonl").code == 0
    (made,) = lines(tmp_path / "s.jsonl")
    assert made["messages"][1]["tool_calls"][0]["function"]["arguments"] == {"n": number}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--out", "a.jsonl"], 2, "is an input and would be overwritten"),
        (["--out", ""], 2, "--out is empty"),
        (["--out", "none/s.jsonl"], 2, "cannot write"),
        (["--out", "s.jsonl", "--where", "import os"], 2, "is no condition"),
        (["--out", "s.jsonl", "--where", "reward > 5"], 3, "SRC009"),
        (["--out", "s.jsonl", "--format", "none"], 2, "no format 'none'"),
    ],
)
def test_what_cannot_be_converted_is_said(arguments: list[str], code: int, says: str, run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", CLEAN)
    done = run("convert", "a.jsonl", *arguments)
    assert done.code == code
    assert says in done.err
    assert not list(tmp_path.glob("*.part"))


def test_explanation_names_format_and_shape_or_what_it_looks_like(run: Any, tmp_path: Path):
    done = run("formats", "--explain", write(tmp_path / "a.jsonl", CLEAN, CLEAN, {"x": 1, "y": [2]}, "{"))
    assert done.code == 1
    told = done.out.splitlines()
    assert told[0].endswith("a.jsonl: 4 lines")
    assert told[1] == "  openai_chat: 2 records, 2 samples, the first in line 1"
    assert told[3:5] == ["  no format: 1 records, the first in line 3", "    seen: an object with 'x', 'y'"]
    assert told[5] == "  unreadable: 1 records, the first in line 4"
    assert run("formats", "--explain", write(tmp_path / "b.jsonl", CLEAN)).code == 0
    assert run("formats", "--explain", write(tmp_path / "c.jsonl")).code == 3


def test_explanation_says_why_a_record_is_refused(run: Any, tmp_path: Path):
    done = run("formats", "--explain", write(tmp_path / "a.jsonl", [{"role": "user", "content": "x"}, "y"]))
    assert "1 refused: a turn is str, not an object" in done.out


def test_trace_of_a_list_names_the_item_of_the_list(run: Any, tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([CLEAN, CLEAN]))
    done = run("convert", "a.json", "--out", "s.jsonl", "--trace-events")
    pointers = [line.split("\t")[1] for line in done.out.splitlines()]
    assert pointers == ["/0/messages/0", "/0/messages/1", "/1/messages/0", "/1/messages/1"]


def test_show_reads_a_session_of_several_lines_as_one_record(run: Any):
    done = run("show", str(EXAMPLES / "claude_code" / "raw.jsonl"), "--model", "qwen3", "--infer-tools")
    assert "claude_code, " in done.out.splitlines()[0]
    assert not done.out.splitlines()[0].endswith(" 0 training rows")
