"""The files in examples/ are what they say: clean, broken in exactly one way a line, and ready to copy."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import warm

from qwen_sft.family import families
from qwen_sft.rule import rules

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"

NOT_SHOWN = {
    "SRC004": "no record has the shapes of two of the formats that we bring",
    "SRC007": "is qwen-sft's own fault, which no record shows",
    "SRC008": "is asked for with --dedup-prefixes",
    "SRC009": "is asked for with --where or --skip-failed",
}
"""Rules that have no line in broken.jsonl, and why; token rules need a model, those of the stage `set` a set: both are
shown on their own pages."""


def qwen_sft(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100"}
    command = [warm.folder() / warm.PROGRAM, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def report(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and findings of `qwen-sft validate`."""
    done = qwen_sft("validate", *arguments, "--output-format", "json")
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)["findings"]


# -- clean and thinking ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [None, *families()])
def test_clean_examples_have_no_finding_of_any_rule(model: str | None) -> None:
    """But that they hold no reasoning, which models that always reason are warned about."""
    flags = ["--model", model, "--verify", "all"] if model else []
    code, findings = report("examples/clean.jsonl", *flags)
    always_reasons = model in ("qwen3_thinking_2507", "qwq")
    assert (code, {found["code"] for found in findings}) == (0, {"TOK007"} if always_reasons else set())


def test_clean_examples_show_dependent_parallel_and_rightly_unused_calls() -> None:
    calls = {
        record["id"]: [[c["function"]["name"] for c in m.get("tool_calls", [])] for m in record["messages"]]
        for record in map(json.loads, (EXAMPLES / "clean.jsonl").read_text().splitlines())
    }
    made = {name: [turn for turn in turns if turn] for name, turns in calls.items()}
    assert made == {
        "weather-two-dependent-calls": [["get_location"], ["get_forecast"]],
        "stock-two-parallel-calls": [["get_stock", "get_stock"]],
        "workshop-three-user-turns": [["find_slots"], ["book_slot"]],
        "tools-offered-and-rightly-not-used": [],
        "coding-agent-fixes-a-test": [["run"], ["write_file"], ["run"]],
    }


def test_thinking_example_is_two_rows_of_qwen3_that_train_each_turn_once() -> None:
    assert report("examples/thinking.jsonl", "--model", "qwen3", "--verify", "all") == (0, [])
    shown = qwen_sft("show", "examples/thinking.jsonl", "--model", "qwen3").stdout
    rows = re.findall(r"^row \d: .* tokens, .* trained, turns (.*)$", shown, flags=re.MULTILINE)
    assert rows == ["1, 3, 5", "7"]


def test_thinking_example_loses_its_reasoning_on_a_model_that_does_not_reason() -> None:
    code, findings = report("examples/thinking.jsonl", "--model", "qwen2_5")
    assert (code, [f["code"] for f in findings]) == (0, ["TOK003"] * 4)


# -- broken ------------------------------------------------------------------------------------------------------------

LINES = (EXAMPLES / "broken.jsonl").read_text().splitlines()


def fault(line: str) -> tuple[str, str]:
    """The code and the name of the rule that a line breaks. Its id says so; two lines have none: the line of SRC001 is
    no JSON, that of SRC002 is a string."""
    said = re.search(r'"((?:[a-z]{3})\d{3})-([a-z-]+)"', line)
    assert said is not None, line
    return said[1].upper(), said[2]


def test_each_broken_line_breaks_the_rule_that_it_names_and_no_other() -> None:
    code, findings = report("examples/broken.jsonl")
    found = {n: {(f["code"], f["name"]) for f in findings if f["line"] == n} for n in range(1, len(LINES) + 1)}
    assert found == {n: {fault(line)} for n, line in enumerate(LINES, start=1)}
    assert code == 1


def test_broken_lines_show_every_rule_that_needs_no_model() -> None:
    """A new rule brings a line along, or a reason why it cannot."""
    shelf = {code for code, rule in rules().items() if rule.stage not in ("tokens", "set")}
    shown = [fault(line)[0] for line in LINES]
    assert sorted(shown) == sorted(shelf - NOT_SHOWN.keys())


# -- training ----------------------------------------------------------------------------------------------------------


def python(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(EXAMPLES), **variables}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    out = tmp_path / "dataset"
    done = qwen_sft("build", "examples/clean.jsonl", "examples/thinking.jsonl", "--model", "qwen3", "--out", out)
    assert done.returncode == 0, done.stderr
    return out


LOAD = """
import json, sys
from train_trl import load_rows
rows, max_length = load_rows(sys.argv[1], *map(int, sys.argv[2:]))
lengths = [[len(row["input_ids"]), len(row["labels"])] for row in rows]
print(json.dumps([rows.column_names, max_length, lengths, sum(l != -100 for row in rows for l in row["labels"])]))
"""


def load(dataset: Path, *limits: int) -> subprocess.CompletedProcess[str]:
    return python("-c", LOAD, str(dataset), *map(str, limits), HF_DATASETS_CACHE=str(dataset.parent / "cache"))


def test_train_trl_loads_the_rows_and_never_lets_trl_cut_one(dataset: Path) -> None:
    done = load(dataset)
    assert done.returncode == 0, done.stderr
    columns, max_length, lengths, n_trained = json.loads(done.stdout)
    manifest = json.loads((dataset / "manifest.json").read_text())["rows"]
    assert columns == ["input_ids", "labels"]
    assert all(n_ids == n_labels for n_ids, n_labels in lengths)
    assert (len(lengths), sum(n for n, _ in lengths)) == (manifest["n_rows"], manifest["n_tokens"])
    assert n_trained == manifest["n_trained_tokens"]
    assert max_length == max(n for n, _ in lengths)
    too_short = load(dataset, max_length - 1)
    assert too_short.returncode == 1
    assert too_short.stderr == (
        f"a row has {max_length} tokens; build again with: qwen-sft build ... --max-length {max_length - 1}\n"
    )


TINY = """
import shutil, sys
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from qwen_sft.tokenizing.vocabulary import tokenizer_json
folder = sys.argv[1]
sizes = dict(vocab_size=151936, hidden_size=16, intermediate_size=16, num_hidden_layers=1)
heads = dict(num_attention_heads=2, num_key_value_heads=1, head_dim=8)
Qwen3ForCausalLM(Qwen3Config(**sizes, **heads)).save_pretrained(folder)
file = shutil.copy(tokenizer_json("qwen3"), folder + "/tokenizer.json")
PreTrainedTokenizerFast(tokenizer_file=file, eos_token="<|im_end|>", pad_token="<|endoftext|>").save_pretrained(folder)
"""


@pytest.mark.slow
def test_train_trl_trains_a_tiny_model(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is in the extra `bench`")
    model = tmp_path / "model"
    model.mkdir()
    made = python("-c", TINY, str(model))
    assert made.returncode == 0, made.stderr
    out = tmp_path / "checkpoint"
    flags: Sequence[str | Path] = ("--model", model, "--out", out, "--max-steps", "1")
    done = python(EXAMPLES / "train_trl.py", dataset, *flags, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 0, done.stderr
    n_tokens = json.loads((dataset / "manifest.json").read_text())["rows"]["n_tokens"]
    assert f"'num_tokens': '{n_tokens}'" in done.stdout  # nothing was cut


@pytest.mark.slow
def test_trl_cuts_at_1024_tokens_unless_told_otherwise() -> None:
    """What the README and TOK006 say of it."""
    trl = pytest.importorskip("trl", reason="trl is in the extra `bench`")
    assert trl.SFTConfig.__dataclass_fields__["max_length"].default == 1024
