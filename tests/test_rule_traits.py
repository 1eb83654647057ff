"""What rules say they need of a sample changes no answer: it only spares asking."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.decoding.jsontext import parse
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.inspecting.secret import MARKS
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline
from qwen_sft.reading.gather import gathered
from qwen_sft.record import Where
from qwen_sft.rule import rules
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings
from qwen_sft.text.sieve import Sieve, by_automaton, by_expressions, sieving

ROOT = Path(__file__).resolve().parents[1]
TRACES = ROOT.parent / "shared/data/traces"
RULES = [rule for rule in rules().values() if rule.stage == "sample"]
ALL_MARKS = (*MARKS, *dict.fromkeys((mark, mark) for rule in RULES for mark in rule.marks))
PIPELINE = Pipeline(Settings())
BY_RE, BY_AUTOMATON = by_expressions(ALL_MARKS), by_automaton(ALL_MARKS)
FOLDERS = ("nemo-gym", "pydantic-ai", "vercel-ai", "who-and-when", "toolbench", "claude-code-log")


def found_and_not_asked(sample: Sample, sieve: Sieve | None = None) -> dict[str, list[Any]]:
    """By code what rules find in a sample of which they are not asked; only their own words count."""
    pipeline = Pipeline(Settings())
    if sieve is not None:
        pipeline.__dict__["_sieve"] = sieve
    shape = RULES[[rule.code for rule in RULES].index("SCH001")]
    if list(shape.check(Transcript(sample, Settings()))):
        return {}
    asked = {rule.code for rule in pipeline._asked(RULES, Transcript(sample, Settings()))}
    found = {rule.code: list(rule.check(Transcript(sample, Settings()))) for rule in RULES if rule.code != "SCH001"}
    return {code: findings for code, findings in found.items() if findings and code not in asked}


def samples_in(folder: Path) -> list[Sample]:
    joining = [one for one in PIPELINE.formats.values() if one.joins]
    read = [record for file in expand([str(folder)]) for record in gathered(records(file), joining)]
    return [one.sample for record in read for one in PIPELINE.conversations(record)]


def pages() -> list[Sample]:
    texts = [one.text for rule in RULES for one in (*rule.page.bad, *rule.page.good)]
    read = [parse(line.encode(), Where("page", 1)) for text in texts for line in [" ".join(text.split("\n"))]]
    return [one.sample for record in read for one in PIPELINE.conversations(record)]


@pytest.mark.parametrize("sieve", [BY_RE, BY_AUTOMATON], ids=["re", "automaton"])
def test_rules_find_nothing_in_samples_of_which_they_are_not_asked(sieve: Sieve):
    samples = [*samples_in(ROOT / "examples"), *pages()]
    assert len(samples) > 200
    assert [missed for sample in samples if (missed := found_and_not_asked(sample, sieve))] == []


@pytest.mark.skipif(not TRACES.exists(), reason="shared data is not beside this checkout")
@pytest.mark.parametrize(
    "name", ["nemo-gym", "pydantic-ai", "vercel-ai", "who-and-when", "toolbench", "claude-code-log"]
)
def test_the_same_of_real_traces(name: str):
    samples = samples_in(TRACES / name)
    assert samples
    assert [missed for sample in samples if (missed := found_and_not_asked(sample))] == []


PIECES = (
    *(
        "<|im_end|>",
        "<tts_pad>",
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_response>",
        "<function=f>",
        "<｜User｜>",
    ),
    *(
        "\x00",
        "\x08",
        "\x0c",
        "\x1b[0m",
        "\x7f",
        "\x85",
        "\ufffd",
        "\\b",
        "\\u0000",
        "Ã©",
        "caf",
        "â€™",
        "Â°",
        "É»",
        "ï»¿",
    ),
    *("User: a\nAssistant: b", "[INST]", "### Response:", "Action: f\nAction Input: {}\nObservation: x", "[f(a=1)]"),
    *(
        "罗勒放在一杯水里室温保存每天换水即可",
        "Храните базилик в стакане с водой",
        "How do I keep basil fresh for a week?",
    ),
    *("I'm sorry, I can't help with that.", "API Error: 500", "ana@firm.org", "4716461733448519", " ", "\n", "é", "”"),
    *("\ud800", "AKIAQWERTYUIOPASDFGH", "password: 'aX9kQ2mV7tLp0Zs4'"),
)
TEXT = st.lists(st.sampled_from(PIECES), max_size=5).map("".join)
CALL = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "g"]), "arguments": st.dictionaries(TEXT, TEXT)}
        )
    },
    optional={"id": st.sampled_from(["a", "b"])},
).map(lambda call: {"type": "function", **call})
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "critic"]), "content": TEXT},
    optional={
        "reasoning_content": TEXT.filter(bool),
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
        "tool_call_id": st.sampled_from(["a", "b"]),
        "name": st.sampled_from(["f", "g"]),
        "train": st.booleans(),
        "weight": st.just(1.0),
        "finish_reason": st.just("length"),
    },
)
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "dict", "properties": {"a": {"default": "é"}}}},
}


@given(st.lists(MESSAGE, min_size=1, max_size=6), st.sampled_from([None, [TOOL], [TOOL, TOOL]]))
def test_the_same_of_any_sample(messages: list[Any], tools: Any):
    sample: Any = {"messages": messages, **({"tools": tools} if tools else {})}
    assert found_and_not_asked(sample) == {}


@given(TEXT)
def test_both_sieves_hold_back_the_same(text: str):
    data = text.encode("utf-8", "surrogatepass")
    assert set(BY_RE(data)) == set(BY_AUTOMATON(data)) == set(sieving(ALL_MARKS)(data))
