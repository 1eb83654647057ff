"""What is found about a whole set: the numbers and thresholds, its place in reports, the manifest and the gate."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import samples

import qwen_sft
from qwen_sft.census import Census, alike, facts_of, split_of
from qwen_sft.errors import UsageError
from qwen_sft.pipeline import Pipeline
from qwen_sft.record import Where
from qwen_sft.reporter import reporters
from qwen_sft.rule import rules
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings, load_settings
from qwen_sft.transcript import Transcript

SET = {code: rule for code, rule in rules().items() if rule.stage == "set"}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def talk(text: str, *turns: list[str], tools: tuple[str, ...] = (), **more: Any) -> Sample:
    """A sample: a user's text, turns that call these tools, each with its results, and an answer."""
    messages: list[Any] = [{"role": "user", "content": text}]
    for names in turns:
        calls = [{"type": "function", "function": {"name": name, "arguments": {}}} for name in names]
        messages.append({"role": "assistant", "content": "", "tool_calls": calls})
        messages += [{"role": "tool", "content": "ok"} for _ in names]
    messages.append({"role": "assistant", "content": "Done."})
    return {"messages": messages, "tools": [tool(name) for name in tools], **more}


def see(made: Census, sample: Sample, where: Where) -> None:
    made.see(facts_of(Transcript(sample, Settings()), where), where)


def census(*given: Sample, file: str = "runs.jsonl", **thresholds: float) -> Census:
    made = Census(thresholds)
    for line, sample in enumerate(given, start=1):
        see(made, sample, Where(file, line))
    return made


def says(code: str, seen: Census) -> list[str]:
    return [finding.says for finding in SET[code].check(seen)]


# -- the rules ---------------------------------------------------------------------------------------------------------


def test_duplicates_are_counted_and_the_first_is_named():
    seen = census(talk("a"), talk("b"), talk("a", id="3"), talk("b"), talk("a"))
    assert says("SET001", seen) == [
        "3 of 5 (60 %) samples repeat an earlier one word for word; runs.jsonl:3 repeats runs.jsonl:1"
    ]
    assert says("SET001", census(talk("a"), talk("b"), talk("a", tools=("f",)))) == []
    assert says("SET001", census(talk("a"), talk("a"), SET001=0.5)) == []
    assert says("SET001", census(talk("a"), talk("a"), SET001=0.4)) != []


def test_task_in_two_splits_is_told_by_its_id_or_by_its_prompt():
    seen = Census()
    for file, sample in (
        ("data/train/a.jsonl", talk("a", metadata={"task_id": "t1"})),
        ("data/train/a.jsonl", talk("b", metadata={"task_id": "t2"})),
        ("data/test/a.jsonl", talk("c", metadata={"task_id": "t1"})),
        ("data/test/a.jsonl", talk("d", metadata={"task_id": "t2", "split": "train"})),
        ("data/a.jsonl", talk("d", metadata={"task_id": "t2"})),
    ):
        see(seen, sample, Where(file, seen.n_samples + 1))
    assert says("SET002", seen) == [
        "1 task id in more than one split: that of data/train/a.jsonl:1 (train) is also that of "
        "data/test/a.jsonl:3 (test)"
    ]
    seen = census(talk("a"), talk("b"), file="train.jsonl")
    seen.merge(census(talk("b", ["f"]), talk("a", ["f"]), file="eval.jsonl"))
    assert says("SET002", seen) == [
        "2 prompts in more than one split: that of train.jsonl:1 (train) is also that of eval.jsonl:2 (test)"
    ]
    seen.thresholds = {"SET002": 2}
    assert says("SET002", seen) == []


@pytest.mark.parametrize(
    ("file", "said", "split"),
    [
        ("data/train/a.jsonl", "", "train"),
        ("train/eval.jsonl", "", "test"),
        ("runs_TEST_2.jsonl", "", "test"),
        ("dev-set.jsonl", "", "validation"),
        ("hf://org/name/data/validation-00000-of-00001.parquet", "", "validation"),
        ("latest/attraining/device.jsonl", "", ""),
        ("train.jsonl", "test", "test"),
        ("train.jsonl", "other", ""),
    ],
)
def test_split_is_told_by_the_sample_or_else_by_names(file: str, said: str, split: str):
    assert split_of(Where(file, 1), said) == split


def test_tools_that_no_one_calls_are_named():
    seen = census(talk("a", ["f"], tools=("f", "g", "h")), talk("b", tools=("g",)), samples=2)
    assert says("SET003", seen) == ["2 of 3 (66.7 %) declared tools are never called: 'g', 'h'"]
    seen.thresholds = {"samples": 2, "SET003": 0.7}
    assert says("SET003", seen) == []
    seen.thresholds = {}
    assert says("SET003", seen) == []
    many = census(talk("a", ["f"], tools=("f", *(f"g{n}" for n in range(8)))), samples=1)
    assert says("SET003", many) == [
        "8 of 9 (88.9 %) declared tools are never called: 'g0', 'g1', 'g2', 'g3', 'g4' and 3 more"
    ]


def test_share_of_samples_without_a_call_is_held_to_its_threshold():
    calling = [talk(str(n), ["f"], tools=("f",)) for n in range(99)]
    idle = talk("Hello", tools=("f",))
    assert says("SET004", census(*calling, talk("x", ["f"], tools=("f",)))) == [
        "0 of 100 (0 %) samples that offer tools make no call; less than 0.01"
    ]
    assert says("SET004", census(*calling, idle)) == []
    assert says("SET004", census(*calling, idle, SET004=0.02)) == [
        "1 of 100 (1 %) samples that offer tools make no call; less than 0.02"
    ]
    assert says("SET004", census(*calling, talk("no tools"))) == []


def test_many_tools_are_counted():
    seen = census(
        talk("a", tools=tuple(f"t{n}" for n in range(21))), talk("b", tools=tuple(f"t{n}" for n in range(20)))
    )
    assert says("SET005", seen) == ["1 of 2 (50 %) samples offer more than 20 tools, the most 21"]
    seen.thresholds = {"SET005": 21}
    assert says("SET005", seen) == []


def test_single_steps_are_told_where_chains_are_rare():
    single = [talk(str(n), ["f", "f"]) for n in range(99)]
    assert says("SET006", census(*single, talk("x", ["f"]))) == [
        "0 of 100 (0 %) samples with calls make one behind another; less than 0.05"
    ]
    assert says("SET006", census(*single, talk("x", ["f"], ["g"]), SET006=0.01)) == []
    assert says("SET006", census(*single)) == []


# -- the census --------------------------------------------------------------------------------------------------------


def test_indices_of_equal_keys_come_together_by_the_first():
    assert list(alike([5, 0, 7, 5, 0, 7, 7, 1])) == [[0, 3], [2, 5, 6]]
    assert list(alike([])) == []


@given(st.lists(st.tuples(samples(), st.sampled_from(["train.jsonl", "test.jsonl", "x.jsonl"])), max_size=8), st.data())
def test_merged_parts_say_what_the_whole_says(given: list[tuple[Sample, str]], data: st.DataObject):
    seen = [
        (sample, Where(file, line, item=line if line % 2 else None))
        for line, (sample, file) in enumerate(given * 2, start=1)
    ]
    cut = data.draw(st.integers(0, len(seen)))
    thresholds = {"samples": 1.0, "SET005": 1.0}
    whole, first, second = Census(thresholds), Census(thresholds), Census(thresholds)
    for number, (sample, where) in enumerate(seen):
        see(whole, sample, where)
        see(first if number < cut else second, sample, where)
    first.merge(second)
    assert first == whole
    assert {code: says(code, first) for code in SET} == {code: says(code, whole) for code in SET}


# -- settings, reports, manifest, gate ---------------------------------------------------------------------------------


def write(file: Path, *given: Sample) -> Path:
    file.write_text("".join(json.dumps(sample) + "\n" for sample in given))
    return file


def test_thresholds_are_numbers_of_rules_that_have_one(tmp_path: Path):
    (tmp_path / "qwen-sft.toml").write_text("thresholds = {SET001 = 0.25, samples = 5}")
    assert load_settings({}, tmp_path) == Settings(thresholds={"SET001": 0.25, "samples": 5})
    with pytest.raises(UsageError, match=r"^thresholds set 'SET001' to 'a'; it takes a number of 0 or more$"):
        Settings(thresholds={"SET001": "a"})  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match=r"^thresholds set 'TOL001'; they can be set for samples, SET001, SET002, "):
        Pipeline(Settings(thresholds={"TOL001": 1}))


def test_finding_about_the_set_is_in_every_report_and_has_no_file(tmp_path: Path):
    report = qwen_sft.validate(str(write(tmp_path / "runs.jsonl", talk("a"), talk("a"))), fail_on="warning")
    (found,) = report.findings
    assert (found.code, found.where, found.path, found.severity) == ("SET001", Where("<set>", 1), (), "warning")
    assert (report.exit_code, report.totals.by_code, report.totals.n_clean) == (1, {"SET001": 1}, 2)
    for name in reporters():
        text = report.text(name)
        assert ("samples repeat an earlier one word for word" in text, "SET001" in text) == (True, True), name


def test_rejected_records_are_no_part_of_the_set(tmp_path: Path):
    bad: Any = {"messages": [{"role": "user", "content": "a"}], "tools": []}
    report = qwen_sft.validate(str(write(tmp_path / "runs.jsonl", bad, bad, talk("a"))))
    assert "SET001" not in report.counts
    assert report.totals.n_rejected == 2


def test_rule_about_the_set_can_be_ignored(tmp_path: Path):
    file = str(write(tmp_path / "runs.jsonl", talk("a"), talk("a")))
    assert qwen_sft.validate(file, ignore=["SET"]).findings == ()
    assert qwen_sft.validate(file, thresholds={"SET001": 0.5}).findings == ()


def test_manifest_tells_what_was_found_about_the_set(tmp_path: Path):
    from qwen_sft.build import build
    from qwen_sft.writer import writers

    file = write(tmp_path / "runs.jsonl", talk("a"), talk("a"))
    manifest, totals = build([str(file)], Settings(model="qwen3"), tmp_path / "out", writers()["parquet"])
    (found,) = manifest["set_findings"]
    assert found == {
        "code": "SET001",
        "name": "duplicate-sample",
        "severity": "warning",
        "says": f"1 of 2 (50 %) samples repeat an earlier one word for word; {file}:2 repeats {file}:1",
        "fix": "take the repetitions out",
        "fingerprint": found["fingerprint"],
    }
    assert totals.by_code == manifest["findings_by_code"] == {"SET001": 1}
