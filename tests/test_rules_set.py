"""What is found about a whole set: the numbers and thresholds, its place in reports, the manifest and the gate."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from strategies import samples

import qwen_sft
import qwen_sft.inspecting.census
from qwen_sft.errors import UsageError
from qwen_sft.ingesting.ingest import expand
from qwen_sft.inspecting.census import Census, Facts, facts_of, split_of
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline, Survey, outcomes
from qwen_sft.record import Where
from qwen_sft.reporter import Totals, reporters
from qwen_sft.rule import rules
from qwen_sft.running.gate import Gate, judged
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings, load_settings

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


def see(made: Census, sample: Sample, where: Where, *, near: bool = False, tokens: tuple[int, int] = (0, 0)) -> None:
    facts = facts_of(Transcript(sample, Settings()), where, near=near)
    made.see(structs.replace(facts, longest=tokens[0], n_tokens=tokens[0], n_trained=tokens[1]), where)


def census(*given: Sample, file: str = "runs.jsonl", near: bool = False, **thresholds: float) -> Census:
    made = Census(thresholds)
    for line, sample in enumerate(given, start=1):
        see(made, sample, Where(file, line), near=near)
    return made


def encoded(*tokens: tuple[int, int], context: int | None = None, **thresholds: float) -> Census:
    """A census of samples with so many tokens and so many that are trained."""
    made = Census(thresholds, context)
    for line, one in enumerate(tokens, start=1):
        see(made, talk(str(line)), Where("runs.jsonl", line), tokens=one)
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


WORDS = (
    "the old pipes in the cellar are replaced on {} and until noon no water comes out of any tap in the house so "
    "please fill what you need for washing and cooking before eight and call the caretaker if it does not flow by one"
)


def long_talk(day: str, **more: Any) -> Sample:
    return talk(WORDS.format(day), **more)


def test_near_duplicates_are_counted_besides_those_that_are_alike():
    given = [long_talk("monday"), long_talk("friday"), long_talk("monday"), long_talk("sunday", id="4"), talk("Hello")]
    seen = census(*given, near=True)
    assert says("SET007", seen) == [
        "2 of 5 (40 %) samples nearly repeat an earlier one, with 0.8 or more of their runs of three words in common; "
        "runs.jsonl:2 nearly repeats runs.jsonl:1"
    ]
    seen.thresholds = {"SET007": 0.4}
    assert says("SET007", seen) == []
    seen.thresholds = {"SET007": 0.39}
    assert len(says("SET007", seen)) == 1
    assert says("SET007", census(*given)) == []


def test_samples_of_one_record_are_no_near_duplicates():
    seen = Census()
    for sample in (long_talk("monday"), long_talk("friday")):
        see(seen, sample, Where("runs.jsonl", 1), near=True)
    assert says("SET007", seen) == []


def split_census(near: bool, **thresholds: float) -> Census:
    seen = Census(thresholds)
    for split, sample in (
        ("train", talk("Hello")),
        ("train", long_talk("monday")),
        ("train", talk("Hello")),
        ("test", {"messages": [{"role": "system", "content": "Be brief."}, *talk("Hello")["messages"]]}),
        ("test", long_talk("friday")),
        ("test", talk("Hello there")),
    ):
        see(seen, sample, Where(f"{split}.jsonl", seen.n_samples + 1), near=near)
    see(seen, talk("Hello"), Where("other.jsonl", 1), near=near)
    return seen


def test_conversation_in_two_splits_is_told_whatever_stands_around_it():
    assert says("SET002", split_census(near=False)) == []
    assert says("SET008", split_census(near=False)) == [
        "1 of 6 (16.7 %) samples repeat a conversation of another split: test.jsonl:4 (test) repeats train.jsonl:1 "
        "(train)"
    ]
    assert says("SET008", split_census(near=False, SET008=0.17)) == []


def test_nearly_the_same_conversation_in_two_splits_is_told_when_asked():
    assert says("SET008", split_census(near=True)) == [
        "2 of 6 (33.3 %) samples repeat a conversation of another split, 1 of them word for word: test.jsonl:4 (test) "
        "repeats train.jsonl:1 (train)"
    ]
    assert says("SET008", split_census(near=True, SET008=0.34)) == []
    seen = census(long_talk("monday"), file="dev.jsonl", near=True)
    seen.merge(census(long_talk("friday"), file="train.jsonl", near=True))
    assert says("SET008", seen) == [
        "1 of 2 (50 %) samples repeat a conversation of another split, 0 of them word for word: train.jsonl:1 (train) "
        "nearly repeats dev.jsonl:1 (validation)"
    ]


def test_samples_past_the_context_are_told_with_the_longest():
    assert says("SET009", encoded((100, 9), (101, 9), (300, 9), (40, 9), context=100)) == [
        "2 of 4 (50 %) samples have more tokens than the 100 of the model's context, the most 300: runs.jsonl:3; of "
        "all samples 5 % 40, half 100, 95 % 300, most 300"
    ]
    assert says("SET009", encoded((100, 9), (40, 9), context=100)) == []
    assert says("SET009", encoded((101, 9), (40, 9), context=100, SET009=0.5)) == []
    assert says("SET009", encoded((101, 9), (40, 9), context=100, SET009=0.49)) != []
    assert says("SET009", encoded((101, 9))) == []


def test_threshold_moves_the_context():
    seen = encoded((101, 9), context=100)
    assert len(says("SET009", seen)) == 1
    seen.thresholds = {"context": 101}
    assert says("SET009", seen) == []
    seen.thresholds, seen.model_context = {"context": 100}, None
    assert len(says("SET009", seen)) == 1


def test_share_of_trained_tokens_is_held_to_its_threshold():
    assert says("SET010", encoded(*[(1000, 19)] * 99, (1000, 0))) == [
        "1,881 of 100,000 (1.88 %) tokens are trained; less than 0.02; of a sample's tokens 5 % 1.9 %, half 1.9 %, "
        "95 % 1.9 %, most 1.9 %"
    ]
    assert says("SET010", encoded(*[(1000, 20)] * 100)) == []
    assert says("SET010", encoded(*[(1000, 20)] * 100, SET010=0.021)) != []
    assert says("SET010", encoded(*[(1000, 1)] * 99)) == []
    assert says("SET010", encoded(*[(0, 0)] * 100)) == []


def test_uneven_lengths_are_told_by_the_longest_twentieth():
    assert says("SET011", encoded(*[(100, 9)] * 94, *[(1001, 9)] * 6)) == [
        "the longest 5 % of 100 samples have 10 times the tokens of the median or more; more than 10; of all samples "
        "5 % 100, half 100, 95 % 1,001, most 1,001"
    ]
    assert says("SET011", encoded(*[(100, 9)] * 94, *[(1000, 9)] * 6)) == []
    assert says("SET011", encoded(*[(100, 9)] * 95, *[(1001, 9)] * 5)) == []
    assert says("SET011", encoded(*[(100, 9)] * 94, *[(1001, 9)] * 6, SET011=11)) == []
    assert says("SET011", encoded(*[(100, 9)] * 93, *[(1001, 9)] * 6)) == []
    assert says("SET011", encoded(*[(0, 0)] * 100)) == []


def prompted(prompt: str, n: int) -> list[Sample]:
    given: list[Sample] = []
    for number in range(n):
        messages: list[Any] = [{"role": "system", "content": prompt}] if prompt else []
        given.append({"messages": [*messages, *talk(f"{prompt} {number}")["messages"]]})
    return given


def test_single_system_prompt_is_told_where_it_stands_nearly_everywhere():
    assert says("SET012", census(*prompted("a", 100))) == [
        "100 of 100 (100 %) samples have the same system prompt; more than 0.99"
    ]
    assert says("SET012", census(*prompted("a", 99), *prompted("", 1))) == []
    assert says("SET012", census(*prompted("a", 99), *prompted("b", 1), SET012=0.98)) != []
    assert says("SET012", census(*prompted("a", 100), SET012=1)) == []
    assert says("SET012", census(*prompted("a", 99))) == []
    assert says("SET012", census(*prompted("", 100))) == []


def test_sets_that_never_call_in_parallel_are_told():
    single = [talk(str(n), ["f"], ["g"]) for n in range(99)]
    assert says("SET013", census(*single, talk("x", ["f"]))) == [
        "0 of 100 (0 %) samples with calls make several in one turn; less than 0.01"
    ]
    assert says("SET013", census(*single, talk("x", ["f", "g"]))) == []
    assert says("SET013", census(*single, talk("x", ["f", "g"]), SET013=0.02)) != []
    assert says("SET013", census(*single, talk("x"))) == []


def test_tool_that_has_nearly_all_calls_is_named():
    mostly = [talk(str(n), ["f"]) for n in range(91)]
    others = [talk(f"x{n}", ["g"], tools=("h",)) for n in range(9)]
    assert says("SET014", census(*mostly, *others)) == [
        "91 of 100 (91 %) calls are of 'f', one of 3 tools; more than 0.9"
    ]
    assert says("SET014", census(*mostly[1:], *others, talk("x", ["g"]))) == []
    assert says("SET014", census(*mostly, *others, SET014=0.91)) == []
    assert says("SET014", census(*mostly[1:], *others)) == []
    assert says("SET014", census(*mostly, *[talk(f"x{n}", ["g"]) for n in range(9)])) == []


def calls(name: str, *arguments: dict[str, Any], parameters: tuple[str, ...] = ()) -> Sample:
    """A sample with a turn for each call of a tool with these arguments."""
    messages: list[Any] = [{"role": "user", "content": "Go on."}]
    for one in arguments:
        call = {"type": "function", "function": {"name": name, "arguments": one}}
        messages += [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "ok"}]
    messages.append({"role": "assistant", "content": "Done."})
    declared = tool(name)
    declared["function"]["parameters"]["properties"] = {one: {"type": "string"} for one in parameters}
    return {"messages": messages, "tools": [declared]}


def test_tool_that_is_always_called_alike_is_named():
    same = [calls("f", {"a": 1}, {"a": 1}) for _ in range(10)]
    varied = [calls("g", {"a": number}, {"a": 1}) for number in range(10)]
    assert says("SET015", census(*same, *varied)) == [
        "1 of 2 (50 %) tools that are called 20 times or more, with arguments, always get the same ones: 'f' (20 calls)"
    ]
    assert says("SET015", census(*same[1:], calls("f", {"a": 1}))) == []
    assert says("SET015", census(*same[1:], calls("f", {"a": 1}), SET015=19)) != []
    assert says("SET015", census(*same, calls("f", {"a": 2}))) == []
    assert says("SET015", census(calls("f", {"a": 1, "b": 2}), calls("f", {"b": 2, "a": 1}), SET015=2)) != []
    assert says("SET015", census(*[calls("f", {}, {}) for _ in range(10)])) == []
    many = census(*(calls(f"f{number}", {"a": 1}) for number in range(7)), SET015=1)
    assert says("SET015", many) == [
        "7 of 7 (100 %) tools that are called 1 times or more, with arguments, always get the same ones: 'f0' "
        "(1 calls), 'f1' (1 calls), 'f2' (1 calls), 'f3' (1 calls), 'f4' (1 calls) and 2 more"
    ]


def test_parameters_that_no_call_gives_are_named():
    plain = [calls("f", {"a": number}, parameters=("a", "b")) for number in range(98)]
    other = [calls("f", {"a": 1, "c": 1}, parameters=("a", "c", "d")), calls("g", {}, parameters=("e",))]
    seen = census(*plain, *other, calls("f", {}))
    assert says("SET016", seen) == [
        "2 of 4 (50 %) parameters of tools that are called often are never given: 'f.b', 'f.d'"
    ]
    seen.thresholds = {"SET016": 0.5}
    assert says("SET016", seen) == []
    assert says("SET016", census(*plain, *other)) == []
    assert says("SET016", census(calls("f", {}, parameters=tuple("abcdefg")), samples=1)) == [
        "7 of 7 (100 %) parameters of tools that are called often are never given: 'f.a', 'f.b', 'f.c', 'f.d', 'f.e' "
        "and 2 more"
    ]


# -- the census --------------------------------------------------------------------------------------------------------


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
        for one in (whole, first if number < cut else second):
            see(one, sample, where, near=True, tokens=(number * 40, number))
    first.merge(second)
    assert first == whole
    assert {code: says(code, first) for code in SET} == {code: says(code, whole) for code in SET}


KINDS = st.tuples(*(st.integers(0, 2) for _ in range(5)), st.integers(0, 5))


@given(st.lists(KINDS, min_size=1, max_size=12), st.integers(1, 4))
def test_what_lies_in_the_temporary_file_counts_as_what_is_held(given: list[tuple[int, ...]], held: int):
    """Everything that a census says of samples with these hashes, beside what plain loops say of them."""
    made = Census()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(qwen_sft.inspecting.census, "HELD", held)
        for number, (said, task, split, system, conversation, longest) in enumerate(given):
            splits = ("", "train", "test")
            made.see(
                Facts(
                    said + 1, 0, task, splits[split], (), (), 0, 0,
                    system=system, conversation=conversation if split else 0, longest=longest,
                ),
                Where(f"{split}.jsonl", number + 1, item=number if task else None),
            )  # fmt: skip
    earlier = [[j for j in range(i) if given[j][0] == given[i][0]] for i in range(len(given))]
    again = [(found[0], i) for i, found in enumerate(earlier) if found]
    assert made.repeats() == (len(again), *min(again, default=(0, 0)), 0)
    leaks: list[tuple[int, int]] = []
    for task in (1, 2):
        known = [i for i, one in enumerate(given) if one[1] == task and one[2]]
        others = [i for i in known if given[i][2] != given[known[0]][2]]
        leaks += [(known[0], others[0])] if others else []
    assert made.leaks("task") == (len(leaks), *min(leaks, default=(0, 0)), 0)
    overlaps = [
        (i, others[0])
        for i, one in enumerate(given)
        if one[2]
        and one[4]
        and (others := [j for j in range(i) if given[j][4] == one[4] and given[j][2] + one[2] == 3])
    ]
    assert made.overlaps() == (len(overlaps), *min(overlaps, default=(0, 0)), len(overlaps))
    systems = [one[3] for one in given if one[3]]
    assert made.largest("system") == max((systems.count(one) for one in systems), default=0)
    lengths = sorted(one[5] for one in given if one[5])
    shares = [lengths[max(0, -(-len(lengths) * k // 20) - 1)] for k in (1, 10, 20)] if lengths else []
    assert made.at_shares("NULLIF(longest, 0)", (0.05, 0.5, 1)) == (len(lengths), shares)
    assert made.total("longest") == sum(lengths)
    past = [(-one[5], i) for i, one in enumerate(given) if one[5] > 3]
    assert made.past(3) == (len(past), min(past)[1] if past else 0, -min(past)[0] if past else 0, 0)
    places = [f"{one[2]}.jsonl:{i + 1}{f'[{i}]' if one[1] else ''}" for i, one in enumerate(given)]
    assert [made.place(i) for i in range(len(given))] == places
    by_split = {("", "train", "test")[one[2]]: 0 for one in given}
    for one in given:
        by_split[("", "train", "test")[one[2]]] += 1
    assert list(made.by_split()) == [(name, n, 0, 0) for name, n in by_split.items()]


# -- settings, reports, manifest, gate ---------------------------------------------------------------------------------


def write(file: Path, *given: Sample) -> Path:
    file.write_text("".join(json.dumps(sample) + "\n" for sample in given))
    return file


def test_thresholds_are_numbers_of_rules_that_have_one(tmp_path: Path):
    (tmp_path / "qwen-sft.toml").write_text("thresholds = {SET001 = 0.25, samples = 5}")
    assert load_settings({}, tmp_path) == Settings(thresholds={"SET001": 0.25, "samples": 5})
    with pytest.raises(UsageError, match=r"^thresholds set 'SET001' to 'a'; it takes a number of 0 or more$"):
        Settings(thresholds={"SET001": "a"})  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match=r"^thresholds set 'TOL001'; they can be set for samples, context, SET001, "):
        Pipeline(Settings(thresholds={"TOL001": 1}))


def test_rule_that_needs_a_setting_runs_only_with_it(tmp_path: Path):
    inputs = expand([str(write(tmp_path / "runs.jsonl", talk("a")))])

    def codes(settings: Settings) -> set[str]:
        return {code for code in Gate(Pipeline(settings), inputs).running if code.startswith("SET")}

    bare = codes(Settings())
    assert set(SET) - bare == {"SET007", "SET009", "SET010", "SET011"}
    assert codes(Settings(near_duplicates=True)) - bare == {"SET007"}
    assert codes(Settings(model="qwen3")) - bare == {"SET009", "SET010", "SET011"}


def test_selecting_a_rule_that_cannot_run_stops_the_run(tmp_path: Path):
    with pytest.raises(UsageError, match=r"^'SET007' does not run by itself; add --near-duplicates$"):
        Pipeline(Settings(select=("SET007",)))
    assert [rule.code for rule in Pipeline(Settings(select=("SET007",), near_duplicates=True)).rules["set"]] == [
        "SET007"
    ]
    assert "SET007" not in {rule.code for rule in Pipeline(Settings(select=("SET",))).rules["set"]}
    with pytest.raises(UsageError, match=r"^limit 'SET007=0' is about rules that do not run; add --near-duplicates$"):
        qwen_sft.validate(str(write(tmp_path / "runs.jsonl", talk("a"))), limit=["SET007=0"])


def test_baseline_holds_a_run_to_near_duplicates(tmp_path: Path):
    file, baseline = str(write(tmp_path / "runs.jsonl", talk("a"))), tmp_path / "b.json"
    pipeline = Pipeline(Settings(near_duplicates=True))
    gate, totals = Gate(pipeline, expand([file]), baseline=baseline), Totals()
    assert list(judged(expand([file]), pipeline, gate, totals)) == []
    gate.close(totals)
    report = qwen_sft.validate(file, baseline=str(baseline))
    assert report.totals.failures == [
        "rules that ran for the baseline do not run now: SET007; add --near-duplicates, or write the baseline anew "
        "with --write-baseline"
    ]


def test_near_duplicates_are_looked_for_when_a_flag_or_setting_says_so(tmp_path: Path):
    file = str(write(tmp_path / "runs.jsonl", long_talk("monday"), long_talk("friday")))
    (tmp_path / "qwen-sft.toml").write_text("near-duplicates = true")
    assert load_settings({}, tmp_path) == Settings(near_duplicates=True)
    assert qwen_sft.validate(file).counts == {}
    assert qwen_sft.validate(file, near_duplicates=True).counts == {"SET007": 1}


@pytest.mark.parametrize(
    ("told", "n_rows"),
    [({}, 2), ({"rewritten_history": "last"}, 1), ({"max_length": 30, "on_too_long": "split-at-user"}, 2)],
)
def test_tokens_are_those_of_all_rows_of_a_sample(told: dict[str, Any], n_rows: int, tmp_path: Path):
    reasoned: Any = {"role": "assistant", "content": "Hi.", "reasoning_content": "A greeting."}
    user: Any = {"role": "user", "content": "Hello"}
    pipeline = Pipeline(Settings(model="qwen3", **told))
    survey = Survey(pipeline)
    file = write(tmp_path / "runs.jsonl", {"messages": [user, reasoned, user, reasoned]})
    (outcome,) = outcomes(expand([str(file)]), pipeline)
    survey.see(outcome)
    rows = [row.tokens for row in outcome.rows]
    lengths = [len(row.input_ids) for row in rows]
    assert len(rows) == n_rows
    seen = survey.census
    assert (seen.total("longest"), seen.total("n_tokens"), seen.total("n_trained")) == (
        max(lengths), sum(lengths), sum(row.n_trained_tokens for row in rows)
    )  # fmt: skip
    assert seen.context == 32_768


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
    from qwen_sft.building.build import build
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
