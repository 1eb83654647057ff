"""`make proof` without torch: its tasks, its loop and its score, with models that are a few lines each."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import qwen_sft
from qwen_sft.tokenizing.tokenizer import load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

ROOT = Path(__file__).parents[1]
PROOF = ROOT / "benchmarks" / "proof"
PAGE = (ROOT / "docs" / "proof.md").read_text(encoding="utf-8")
sys.path.insert(0, str(PROOF))
try:
    import prove
    from driving import Said, Say, Score, drive, fault, score
    from tiny import UNUSED, Trimmed
    from workflows import Kind, Task, merged, tasks, trace
finally:
    sys.path.remove(str(PROOF))

TESTS = [*tasks(20, 0, held_out=True, kinds=prove.WORK), *tasks(20, 0, held_out=True, kinds=("greeting",))]


def task(kind: Kind) -> Task:
    return next(one for one in TESTS if one.kind == kind)


# -- the tasks ---------------------------------------------------------------------------------------------------------


def test_tasks_are_the_same_for_a_seed_and_others_for_another() -> None:
    assert tasks(40, 0, held_out=False) == tasks(40, 0, held_out=False)
    assert tasks(40, 0, held_out=False) != tasks(40, 1, held_out=False)


def test_kinds_take_turns() -> None:
    assert [one.kind for one in tasks(5, 0, held_out=False)] == ["chain", "parallel", "chain", "greeting", "chain"]
    assert [one.kind for one in TESTS].count("greeting") == 20
    assert [one.kind for one in TESTS].count("parallel") == 6


def names(made: Sequence[Task]) -> set[str]:
    """Places, tool names and greetings of tasks."""
    found = {name for one in made for name in (*one.stations, one.finder[0], one.forecaster[0])}
    return found | {one.prompt for one in made if one.kind == "greeting"}


def test_names_of_the_test_are_in_no_training_trace_whatever_the_seed() -> None:
    seen = names([one for seed in range(3) for one in tasks(2000, seed, held_out=False)])
    asked = names([one for seed in range(3) for one in tasks(200, seed, held_out=True)])
    assert len(seen) > 900
    assert len(asked) > 100
    assert seen.isdisjoint(asked)


def test_trace_of_two_places_is_this() -> None:
    one = Task(
        kind="parallel",
        prompt='Compare "Port Anna" with "Red Gate".',
        finder=("find_site", "city", "id"),
        forecaster=("show_report", "id", "sky", "high"),
        tools=(),
        stations={"Port Anna": "K47", "Red Gate": "B05"},
        weather={"K47": ("rain", 12), "B05": ("dry", 31)},
    )
    turns = [
        (m["role"], m["content"], [c["function"] for c in m.get("tool_calls", ())]) for m in trace(one)["messages"]
    ]
    assert turns == [
        ("user", 'Compare "Port Anna" with "Red Gate".', []),
        (
            "assistant",
            "",
            [
                {"name": "find_site", "arguments": '{"city": "Port Anna"}'},
                {"name": "find_site", "arguments": '{"city": "Red Gate"}'},
            ],
        ),
        ("tool", '{"id": "K47"}', []),
        ("tool", '{"id": "B05"}', []),
        (
            "assistant",
            "",
            [
                {"name": "show_report", "arguments": '{"id": "K47"}'},
                {"name": "show_report", "arguments": '{"id": "B05"}'},
            ],
        ),
        ("tool", '{"sky": "rain", "high": 12}', []),
        ("tool", '{"sky": "dry", "high": 31}', []),
        ("assistant", 'Port Anna: "rain", 12 degrees.\nRed Gate: "dry", 31 degrees.', []),
    ]
    assert merged(one)["messages"][1]["content"].startswith(
        '<tool_call>\n{"name": "find_site", "arguments": {"city": "Port Anna"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "find_site", "arguments": {"city": "Red Gate"}}\n</tool_call>\n'
        '<tool_response>\n{"id": "K47"}\n</tool_response>\n'
    )


@pytest.mark.parametrize("call", [("other", {}), ("find", {"town": "X"}), ("find", "X"), ("tell", {"id": None})])
def test_tools_answer_any_call(call: tuple[str, Any]) -> None:
    one = replace(task("chain"), finder=("find", "city", "id"), forecaster=("tell", "id", "sky", "high"))
    assert list(json.loads(one.execute(call))) == ["error"]


def test_traces_are_clean_under_every_rule() -> None:
    report = qwen_sft.validate([trace(one) for one in tasks(40, 0, held_out=False)], model="qwen3", verify="all")
    assert (report.ok, report.counts) == (True, {})


@pytest.mark.parametrize(("n", "code"), [(0, "TOL014"), (1, "TOK004")])
def test_gate_refuses_every_merged_trace_and_does_so_again_where_its_first_rule_is_ignored(n: int, code: str) -> None:
    report = qwen_sft.validate([merged(one) for one in TESTS], model="qwen3", ignore=prove.GATES[:n])
    assert {(found.where.line, found.code) for found in report.errors} == {
        (line, code) for line, one in enumerate(TESTS, 1) if one.kind != "greeting"
    }


# -- the loop ----------------------------------------------------------------------------------------------------------


def rows(dataset: Path) -> Iterator[list[str]]:
    """What each row trains, turn by turn, as text without the stop token."""
    tokenizer = load_tokenizer(tokenizer_json("qwen3"))
    for file in sorted((dataset / "data").glob("*.parquet")):
        for row in pq.read_table(file, columns=["input_ids", "labels"]).to_pylist():
            pairs = list(zip(row["input_ids"], row["labels"], strict=True))
            runs = [[token for token, _ in run] for trained, run in groupby(pairs, lambda p: p[1] != -100) if trained]
            texts = [tokenizer.decode(run) for run in runs]
            assert all(text.endswith("<|im_end|>") for text in texts)
            yield [text.removesuffix("<|im_end|>") for text in texts]


def recites(dataset: Path) -> Say:
    """A model that has learned the rows of a folder by heart, one for each of TESTS, and goes on with the next turn.

    When it has said all its turns it says the last one again.
    """
    known = dict(zip([one.prompt for one in TESTS], rows(dataset), strict=True))
    return lambda runs: [
        Said(known[run.task.prompt][min(len(run.said), len(known[run.task.prompt]) - 1)], True) for run in runs
    ]


def test_who_has_learned_what_build_writes_does_every_task_and_who_learned_merged_turns_none(tmp_path: Path) -> None:
    assert len({one.prompt for one in TESTS}) == len(TESTS)
    good, bad = prove.write_traces(tmp_path, TESTS)
    made = prove.build(good, tmp_path / "rows", "qwen3")
    assert (made.n_rows, made.refused) == (40, {})
    runs = drive(TESTS, recites(tmp_path / "rows"))
    assert [fault(run) for run in runs] == [None] * 40
    assert score(runs) == Score(40, 40, {})
    assert all(len(run.said) == (1 if run.task.kind == "greeting" else 3) for run in runs)
    skipped = prove.build(bad, tmp_path / "merged", "qwen3", *prove.ignoring(prove.GATES))
    assert (skipped.n_rows, skipped.refused) == (40, {})
    runs = drive(TESTS, recites(tmp_path / "merged"))
    assert score(runs) == Score(20, 40, {"makes the second call before the first has its result": 20})
    assert [fault(run) for run in runs if run.task.kind == "greeting"] == [None] * 20


def said(*turns: str, stopped: bool = True) -> Say:
    return lambda runs: [Said(turns[min(len(run.said), len(turns) - 1)], stopped) for run in runs]


def call(name: str, **arguments: Any) -> str:
    return f"<think>\nHm.\n</think>\n\n<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


CHAIN = replace(
    task("chain"),
    finder=("find", "city", "id"),
    forecaster=("tell", "id", "sky", "high"),
    stations={"Port Anna": "K47"},
    weather={"K47": ("rain", 12)},
)
FIND, TELL = call("find", city="Port Anna"), call("tell", id="K47")
NO_VALUES = "the answer does not have the tool's values"
ANSWER = '<think>\nHm.\n</think>\n\nPort Anna: "rain", 12 degrees.'


@pytest.mark.parametrize(
    ("turns", "says"),
    [
        ((FIND, TELL, ANSWER), None),
        ((FIND, TELL, f"{ANSWER} Take a coat."), None),
        ((call("find", city="Port"), TELL, ANSWER), "the first call is wrong"),
        ((call("find", city="Port Anna", n=1), TELL, ANSWER), "the first call is wrong"),
        ((call("tell", id="K47"), FIND, ANSWER), "the first call is wrong"),
        ((ANSWER,), "the first call is wrong"),
        ((FIND + "\n" + TELL, ANSWER), "makes the second call before the first has its result"),
        ((FIND, call("tell", id="K4"), ANSWER), "the second call is wrong"),
        ((FIND, FIND, TELL, ANSWER), "the second call is wrong"),
        ((FIND, ANSWER), "the second call is wrong"),
        ((FIND, TELL, TELL, ANSWER), "does not come to an end"),
        ((FIND, TELL), "does not come to an end"),
        (
            (FIND, TELL, "Port Anna: rain, 12 degrees."),
            "the answer does not have the tool's values",
        ),  # all of it thought
        ((FIND, TELL, ANSWER.replace("12", "21")), "the answer does not have the tool's values"),
        ((FIND, TELL, ANSWER.replace("rain", "snow")), "the answer does not have the tool's values"),
    ],
)
def test_first_fault_of_a_run_is_named(turns: tuple[str, ...], says: str | None) -> None:
    (run,) = drive([CHAIN], said(*turns))
    assert fault(run) == says


def test_turn_that_is_cut_off_ends_the_run() -> None:
    (run,) = drive([CHAIN], said(FIND, stopped=False))
    assert (len(run.said), run.answer, fault(run)) == (1, None, "the second call is wrong")
    (hello,) = drive([task("greeting")], said("<think>\nHm.\n</think>\n\nHello", stopped=False))
    assert (len(hello.said), hello.answer, fault(hello)) == (1, None, "never stops")


def test_greeting_that_calls_a_tool_is_wrong() -> None:
    runs = drive([task("greeting"), CHAIN], said(FIND, TELL, ANSWER))
    assert score(runs) == Score(1, 2, {"calls a tool": 1})
    assert str(score(runs)) == "1 of 2 (1 calls a tool)"
    assert not score(runs).all_right
    assert score(runs[1:]).all_right
    assert not score([]).all_right


def test_conversation_is_what_a_harness_would_send() -> None:
    (run,) = drive([CHAIN], said(FIND, TELL, ANSWER))
    assert run.messages[1:] == [
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": {"city": "Port Anna"}}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"id": "K47"}'},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {"id": "call_3", "type": "function", "function": {"name": "tell", "arguments": {"id": "K47"}}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_3", "content": '{"sky": "rain", "high": 12}'},
        {"role": "assistant", "content": 'Port Anna: "rain", 12 degrees.', "reasoning_content": "Hm."},
    ]


# -- the model ---------------------------------------------------------------------------------------------------------


def test_trimmed_vocabulary_has_the_tokens_of_the_rows_and_the_control_tokens() -> None:
    tokenizer = load_tokenizer(tokenizer_json("qwen3"))
    hello = tokenizer.encode("Hello there<|im_end|>").tolist()
    control = [token.id for token in tokenizer.added_tokens.values()]
    trimmed = Trimmed([hello, hello])
    assert trimmed.ids.tolist() == sorted({*hello, *control})
    assert trimmed.ids[trimmed.number[hello]].tolist() == hello
    assert [int(n) for n in trimmed.number if n >= 0] == list(range(len(trimmed.ids)))


def test_row_with_the_token_that_stands_for_all_others_is_refused() -> None:
    row = load_tokenizer(tokenizer_json("qwen3")).encode(f"a{UNUSED}").tolist()
    with pytest.raises(
        SystemExit, match=r"a row holds <\|fim_pad\|>, which has to stand for the tokens that are left out"
    ):
        Trimmed([row])


# -- the page ----------------------------------------------------------------------------------------------------------


def test_page_keeps_both_numbers_of_a_run_with_the_defaults() -> None:
    measured = PAGE.partition(prove.BEGIN)[2].partition(prove.END)[0]
    assert "| **workflows done** | **20 of 20** | **0 of 20** |" in measured
    assert "| **greetings without a call** | **20 of 20** |" in measured
    given = prove.parser().parse_args([])
    assert f"of {given.layers} layers, {given.hidden} wide" in measured
    assert f"{given.steps:,} steps of {given.batch} rows, learning rate {given.rate:g}, seed {given.seed}." in measured
    minutes = re.search(r"All in all ([\d.]+) minutes", measured)
    assert minutes is not None


def test_only_the_measured_part_of_a_page_is_replaced() -> None:
    assert (
        prove.kept(f"a\n{prove.BEGIN}\nold\n{prove.END}\nb\n", "new") == f"a\n{prove.BEGIN}\n\nnew\n\n{prove.END}\nb\n"
    )
    with pytest.raises(SystemExit, match="no place for the numbers"):
        prove.kept("a page", "new")


def test_make_proof_keeps_its_numbers_in_the_page() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^proof: .+\n\t(.+)$", makefile, flags=re.MULTILINE)
    assert recipe is not None
    assert recipe[1] == "$(BIN)/python benchmarks/proof/prove.py --docs docs/proof.md"


@pytest.mark.slow
def test_whole_way_runs_and_an_untrained_model_proves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is in the extra `bench`")
    page = tmp_path / "page.md"
    page.write_text(f"{prove.BEGIN}{prove.END}")
    flags = ["--n-train", "40", "--n-test", "2", "--steps", "3", "--copying", "2"]
    flags += ["--hidden", "32", "--threads", "1", "--most", "20"]

    def run(*more: str | Path) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, PROOF / "prove.py", *flags, "--docs", page, *more]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    done = run("--out", tmp_path / "tiny")
    assert done.returncode == 1, done.stderr
    assert done.stdout.endswith("\nIt does not hold.\n")
    assert "| **workflows done** | **0 of 2** | **0 of 2** |" in page.read_text()
    left = tmp_path / "tiny" / "model"
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "runs.txt"} <= {
        path.name for path in left.iterdir()
    }
    done = run("--out", tmp_path / "again", "--model", left)  # as a real model goes in
    assert done.returncode == 1, done.stderr
    assert f"The model: {left}, " in page.read_text()
