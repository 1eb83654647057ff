"""Every format on the shelf: its example pair, that records balance and stay as they are, and real traces."""

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import EXAMPLES, FORMATS, example_files, fates, read_whole, recognised, records_of, samples, schema
from real import TRACES

from qwen_sft.format import Format
from qwen_sft.reading.chat import joined, message, spoken
from qwen_sft.sample import json_path
from qwen_sft.text.markup import lift_calls, lift_results, lift_tools
from qwen_sft.text.normalize import arguments, sample_id

every_format = pytest.mark.parametrize("kind", FORMATS.values(), ids=list(FORMATS))


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().split("\n") if line.strip()]


def conversations(kind: Format, files: list[Path]) -> list[dict[str, Any]]:
    return [
        {"line": record.where.line, "sample": found.sample, "origins": [json_path(place) for place in found.origins]}
        for record in records_of(*files)
        for found in kind.read(record.data).conversations
    ]


def test_shelf_has_a_folder_of_examples_for_every_format():
    assert {folder.name for folder in EXAMPLES.iterdir()} == set(FORMATS)
    assert set(FORMATS) >= {"hermes", "openai_chat", "responses", "sharegpt", "tau_bench"}


@every_format
def test_raw_examples_become_the_samples_beside_them(kind: Format):
    golden = EXAMPLES / kind.name / "samples.jsonl"
    made = conversations(kind, example_files(kind.name))
    if os.environ.get("QWEN_SFT_UPDATE_GOLDEN") == "1":
        golden.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made))
    assert made == lines(golden)
    assert len(made) >= 2


@every_format
def test_example_is_recognised_by_its_format_alone_and_read_whole(kind: Format):
    for record in records_of(*example_files(kind.name)):
        assert record.fault is None
        assert recognised(record.data) == [kind.name]
        assert read_whole(kind, record.data).refusal is None


def test_example_samples_satisfy_the_schema_unless_their_trace_is_broken():
    broken = {
        (kind, row["line"])
        for kind in FORMATS
        for row in lines(EXAMPLES / kind / "samples.jsonl")
        if not schema().is_valid(row["sample"])
    }
    assert broken == {("sharegpt", 3)}  # a call that is no JSON


# What becomes of what.


CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


@pytest.mark.parametrize(
    ("stated", "meant"),
    [
        ({"a": 1}, {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("", {}),
        (" \n", {}),
        ("null", {}),
        (None, {}),
        ('{"a": 12345678901234567890123}', {"a": 12345678901234567890123}),
        ('{"a": 1', '{"a": 1'),
        ("[" * 100_000, "[" * 100_000),
        ("[1]", [1]),
        (7, 7),
    ],
)
def test_arguments_become_a_dict_where_they_have_an_exact_reading(stated: Any, meant: Any):
    assert arguments(stated) == meant


@pytest.mark.parametrize(
    ("given_message", "made"),
    [
        ({"role": "assistant", "content": None}, {"role": "assistant", "content": ""}),
        ({"role": "user", "content": [{"text": "a"}, "b"]}, {"role": "user", "content": "a\nb"}),
        ({"role": "critic", "content": "x"}, {"role": "critic", "content": "x"}),
        ({"role": None, "content": 3}, {"role": None, "content": 3}),
        (
            {"role": "assistant", "content": "", "thinking": "t"},
            {"role": "assistant", "content": "", "reasoning_content": "t"},
        ),
        (
            {"role": "assistant", "content": "", "reasoning": [{"type": "text", "text": "t"}]},
            {"role": "assistant", "content": "", "reasoning_content": "t"},
        ),
        (
            {"role": "assistant", "content": "x", "refusal": "no", "audio": None},
            {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "refusal", "refusal": "no"}]},
        ),
        (
            {"role": "assistant", "content": "x", "reasoning": "t", "thinking_blocks": [{"type": "?"}]},
            {"role": "assistant", "content": "x", "reasoning_content": "t"},
        ),
        (
            {"role": "tool", "content": "", "error": {"message": "Timeout"}},
            {"role": "tool", "content": "Timeout"},
        ),
        ({"role": "tool", "content": None, "error": "Timeout"}, {"role": "tool", "content": "Timeout"}),
        ({"role": "tool", "content": "half", "error": {"message": "no"}}, {"role": "tool", "content": "half"}),
        ({"role": "tool", "content": "", "error": {"code": 3}}, {"role": "tool", "content": ""}),
        (
            {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "args": {"a": 1}, "id": ""}]},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
        ),
        (
            {"role": "assistant", "tool_calls": [{"function": "f", "arguments": {"a": 1}}]},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
        ),
        (
            {"role": "assistant", "tool_calls": [CALL], "function_call": {"name": "f", "arguments": '{"a": 1}'}},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
        ),
        (
            {"role": "assistant", "tool_calls": "f(a=1)", "function_call": None},
            {"role": "assistant", "content": "", "tool_calls": "f(a=1)"},
        ),
        (
            {"role": "assistant", "tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "x"}}]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "x"}}],
            },
        ),
        (
            {"role": "user", "content": "x", "tool_calls": [CALL]},
            {"role": "user", "content": "x", "tool_calls": [CALL]},
        ),
        (
            {"role": "function", "name": "f", "content": "1", "tool_call_id": ""},
            {"role": "tool", "content": "1", "name": "f"},
        ),
    ],
)
def test_chat_message_keeps_whatever_a_model_said(given_message: dict[str, Any], made: Any):
    assert message(given_message) == made


def thinks(text: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "text": text, **fields}


SUMMARY = {"type": "reasoning.summary", "summary": "short"}
SEALED = {"type": "reasoning.encrypted", "data": "s"}


@pytest.mark.parametrize(
    ("field", "pieces", "thought"),
    [
        ("thinking_blocks", [{"type": "thinking", "thinking": "t", "signature": "s"}], "t"),
        ("thinking_blocks", [{"type": "thinking", "thinking": t} for t in "tu"], "t\nu"),
        ("thinking_blocks", [{"type": "redacted_thinking", "data": "s"}], None),
        ("thinking_blocks", [{"type": "thinking", "thinking": 3}], [{"type": "thinking", "thinking": 3}]),
        ("reasoning_details", [thinks("t"), thinks("u")], "t\nu"),
        ("reasoning_details", [thinks("lo", index=0), thinks("ng", index=0), thinks("u", index=1)], "long\nu"),
        ("reasoning_details", [SUMMARY, thinks("t"), SEALED, thinks(None, signature="s")], "t"),
        ("reasoning_details", [SUMMARY, SEALED], "short"),
        ("reasoning_details", [SEALED], None),
        ("reasoning_details", [{"type": "reasoning.new"}], [{"type": "reasoning.new"}]),
        ("reasoning_details", [], None),
    ],
)
def test_pieces_of_reasoning_are_the_reasoning(field: str, pieces: Any, thought: Any):
    made = {"role": "assistant", "content": "x", **({"reasoning_content": thought} if thought else {})}
    assert message({"role": "assistant", "content": "x", field: pieces}) == made


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        ({"loss_mask": 0}, {"train": False}),
        ({"loss_mask": 1, "trainable": None}, {"train": True}),
        ({"trainable": False}, {"train": False}),
        ({"training": False}, {"train": False}),
        ({"train": True, "loss": 0}, {"train": False}),
        ({"train": False, "loss": 1}, {"train": False}),
        ({"loss": 0.0, "weight": 1}, {"train": False, "weight": 1}),
        ({"loss_mask": [0, 1]}, {"train": [0, 1]}),
        ({"loss": "no"}, {"train": "no"}),
        ({"loss": None}, {}),
    ],
)
def test_message_says_in_many_words_whether_it_is_trained(fields: dict[str, Any], made: dict[str, Any]):
    assert message({"role": "assistant", "content": "x", **fields}) == {"role": "assistant", "content": "x", **made}


@pytest.mark.parametrize(
    ("record", "name"),
    [({"id": "a"}, "a"), ({"uuid": 7}, "7"), ({"id": True}, None), ({"id": ""}, None), ({"id": {}}, None), ({}, None)],
)
def test_sample_is_named_by_text_or_number(record: dict[str, Any], name: str | None):
    assert sample_id(record) == name


@pytest.mark.parametrize(
    "value", ["f(a=1)", '{"name": "f", "arguments": {}, "thought": "x"}', "[]", '[{"name": 1}]', "null", "{"]
)
def test_sharegpt_call_that_is_none_stays_as_it_was(value: str):
    assert spoken({"from": "function_call", "value": value})["tool_calls"] == [value]


def test_sharegpt_call_joins_the_text_and_the_calls_directly_before_it():
    call = {"from": "function_call", "value": '{"name": "f", "arguments": {"a": 1}}'}
    record = {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}, call, call]}
    assert samples("sharegpt", record)[0]["messages"][1] == {
        "role": "assistant",
        "content": "y",
        "tool_calls": [CALL, CALL],
    }
    assert [fate[:2] for fate in fates("sharegpt", record)] == [
        ("$.conversations[2]", "merged"),
        ("$.conversations[3]", "merged"),
    ]


def test_openai_tools_that_the_provider_runs_are_a_label_and_no_functions():
    declared = {"type": "function", "function": {"name": "f"}}
    hosted = {"type": "openrouter:web_search", "parameters": {"max_uses": 1}}
    record = {"messages": [{"role": "user", "content": "x"}], "tools": [hosted, declared]}
    (sample,) = samples("openai_chat", record)
    assert (sample["tools"], sample["metadata"]) == ([declared], {"hosted_tools": [hosted]})
    broken = {"type": "function"}
    (sample,) = samples("openai_chat", {**record, "tools": [broken, {"type": "custom", "custom": {"name": "g"}}]})
    assert (sample["tools"][0], "metadata" in sample) == (broken, False)


def test_turn_that_is_no_object_is_refused():
    refusal = FORMATS["openai_chat"].read([{"role": "user", "content": "x"}, "y"]).refusal
    assert refusal is not None
    assert (refusal.path, refusal.says) == ((1,), "a turn is str, not an object")


ONE = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "lifted"),
    [
        (ONE, ("", [CALL])),
        (f"Wait. \n\n{ONE}\n{ONE}\n", ("Wait. ", [CALL, CALL])),
        (f"<think>\nx\n</think>\n\n{ONE}", ("<think>\nx\n</think>", [CALL])),
        (f"{ONE}\nDone.", None),
        (f"{ONE} and {ONE}", None),
        (f"{ONE}<tool_call>", None),
        (f"</tool_call>{ONE}", None),
        ('<tool_call>{"name": "f"}</tool_call>', None),
        ("<tool_call><function=f></function></tool_call>", None),
        ("no call", None),
    ],
)
def test_calls_are_lifted_only_from_exact_text(text: str, lifted: Any):
    assert lift_calls(text) == lifted


@pytest.mark.parametrize(
    ("text", "lifted"),
    [
        ("<tool_response>\n1\n</tool_response>", ["1"]),
        ("<tool_response>1</tool_response>\n<tool_response>\n\n2\n</tool_response>\n", ["1", "\n2"]),
        ("Here: <tool_response>1</tool_response>", None),
        ("<tool_response>1</tool_response> and more", None),
        ("<tool_response>1", None),
        ("1", None),
    ],
)
def test_results_are_lifted_only_from_exact_text(text: str, lifted: Any):
    assert lift_results(text) == lifted


TOOL = {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("text", "lifted"),
    [
        (
            'Be kind.\n<tools>[{"name": "f"}]</tools>\nUse them if required.',
            ([TOOL], "Be kind.\n\nUse them if required."),
        ),
        ('<tools>\n{"name": "f"}\n{"name": "f"}\n</tools>', ([TOOL, TOOL], "")),
        ("<tools>[]</tools>Talk.", ([], "Talk.")),
        ("<tools>[{'name': 'f'}]</tools>", ([TOOL], "")),
        ("<tools>[{'name': 'f']</tools>", None),
        ('<tools>[{"description": "f"}]</tools>', None),
        ('<tools>[{"name": "f"}]</tools><tools>[{"name": "g"}]</tools>', None),
        ('<tools>[{"name": "f"}]', None),
        ("<tools></tools>", None),
    ],
)
def test_tools_are_lifted_only_from_exact_text(text: str, lifted: Any):
    assert lift_tools(text) == lifted


def test_hermes_keeps_its_text_where_the_tools_have_no_exact_reading():
    system = "Tools: <tools>[{'name': f}]</tools>"
    record = {"messages": [{"role": "system", "content": system}, {"role": "user", "content": "x"}], "tools": [TOOL]}
    assert samples("hermes", record) == [{"messages": record["messages"], "tools": [TOOL]}]


def test_pieces_that_one_turn_cannot_hold_are_not_joined():
    odd: Any = {"role": "assistant", "content": [{"type": "image"}]}
    assert joined(odd, {"role": "assistant", "content": "x"}) is None
    assert joined(odd, {"role": "user", "content": "x"}) is None
    assert joined(odd, {"role": "assistant", "content": "", "tool_calls": [CALL]}) == {**odd, "tool_calls": [CALL]}


# Any JSON at all.

# fmt: off
KEYS = [
    "messages", "conversations", "traj", "items", "input", "output", "response", "responses_create_params", "request",
    "instructions", "tools", "system", "role", "content", "from", "value", "type", "name", "arguments", "function",
    "function_call", "tool_calls", "id", "call_id", "object", "refusal", "summary", "reasoning", "task_id", "trial",
]
WORDS = [
    "user", "assistant", "system", "tool", "human", "gpt", "function_call", "observation", "message", "reasoning",
    "function_call_output", "response", "null", "[]", "{}", "\n", '{"name": "f", "arguments": "{}"}',
    "<tools>[]</tools>", '<tool_call>{"name": "f", "arguments": {}}</tool_call>', "<tool_response>1</tool_response>",
]
# fmt: on
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=8)
any_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=16,
)
words = st.sampled_from(WORDS)
odd_words = words | any_json
chat_turns = st.fixed_dictionaries(
    {"role": words, "content": odd_words},
    optional=dict.fromkeys(("tool_calls", "function_call", "refusal", "name", "reasoning"), odd_words),
)
said_turns = st.fixed_dictionaries({"from": words, "value": odd_words}, optional={"tool_calls": odd_words})
item_turns = st.fixed_dictionaries(
    {"type": words},
    optional=dict.fromkeys(("role", "content", "name", "arguments", "call_id", "output", "summary"), odd_words),
)
declaring_turns = st.sampled_from(
    [{key: "system", text: "Talk. <tools>[]</tools>"} for key, text in (("role", "content"), ("from", "value"))]
)
turn_lists = st.one_of(
    *(st.lists(turns, min_size=1, max_size=5) for turns in (chat_turns, said_turns, item_turns)),
    st.lists(chat_turns | said_turns | item_turns | declaring_turns | any_json, max_size=5),
    st.tuples(declaring_turns, chat_turns | said_turns, chat_turns | said_turns).map(list),
    st.lists(st.lists(item_turns, max_size=3), max_size=3),
)
shells = st.sampled_from(["messages", "conversations", "traj", "items", "output", "input"])
records = st.one_of(
    any_json,
    turn_lists,
    st.dictionaries(shells, turn_lists, min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(KEYS), turn_lists | odd_words, max_size=4),
    st.fixed_dictionaries(
        {"response": st.fixed_dictionaries({"output": turn_lists})},
        optional={"responses_create_params": st.fixed_dictionaries({"input": turn_lists | odd_words})},
    ),
)


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(records)
def test_any_json_is_recognised_by_one_format_at_most_and_read_whole(record: Any):
    found = recognised(record)
    assert len(found) <= 1
    for name in found:
        read_whole(FORMATS[name], record)


@cache
def example_data() -> list[Any]:
    return [record.data for kind in FORMATS for record in records_of(*example_files(kind))]


def damaged(data: st.DataObject, value: Any) -> Any:
    """A copy of a value in which one place, chosen at random, is gone or holds something else."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 9)):
        key = data.draw(st.sampled_from(sorted(value)))
        fate = data.draw(st.sampled_from(["inside", "inside", "gone", "other"]))
        rest = {k: v for k, v in value.items() if k != key}
        return rest if fate == "gone" else {**value, key: damaged(data, value[key]) if fate == "inside" else odd(data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 9)):
        at = data.draw(st.integers(0, len(value) - 1))
        fate = data.draw(st.sampled_from(["inside", "inside", "inside", "gone", "twice"]))
        if fate == "inside":
            return [*value[:at], damaged(data, value[at]), *value[at + 1 :]]
        return [*value[:at], *([value[at]] * 2 if fate == "twice" else []), *value[at + 1 :]]
    return odd(data)


def odd(data: st.DataObject) -> Any:
    return data.draw(st.sampled_from([None, "", "x", 0, -1, 1.5, True, [], {}, [None], [[]], [{}], {"type": 3}, ["x"]]))


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_damaged_example_is_recognised_by_one_format_at_most_and_read_whole(data: st.DataObject):
    record = data.draw(st.sampled_from(example_data()))
    for _ in range(data.draw(st.integers(1, 3))):
        record = damaged(data, record)
    for kind in FORMATS.values():
        if kind.joins:
            kind.joins((), record)
            kind.joins([example_data()[0]], record)
    found = recognised(record)
    assert len(found) <= 1
    for name in found:
        read_whole(FORMATS[name], record)


# Real traces, where they lie beside the checkout.


@pytest.mark.skipif(not TRACES.is_dir(), reason="the real traces do not lie beside this checkout")
@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("hermes-fc", {"unrecognised": 2}),  # few-shots in a text, no records
        ("llama-factory/glaive*", {"sharegpt": 300}),
        ("nemo-gym/**/*rollouts*.jsonl", {"responses": 70}),
        ("tau-bench/**/*airline*.json", {"tau_bench": 29}),
        ("tinker-cookbook", {"openai_chat": 128}),
    ],
)
def test_real_traces_are_read_whole_and_satisfy_the_schema(source: str, counts: dict[str, int]):
    seen: Counter[str] = Counter()
    for record in records_of(TRACES / source):
        found = recognised(record.data)
        seen.update(found or ["unrecognised"])
        for name in found:
            reading = read_whole(FORMATS[name], record.data)
            assert reading.refusal is None
            assert not any(event.loses for event in reading.aside)
            (conversation,) = reading.conversations
            assert [error.message for error in schema().iter_errors(conversation.sample)] == []
    assert seen == counts


@pytest.mark.skipif(not TRACES.is_dir(), reason="the real traces do not lie beside this checkout")
@pytest.mark.parametrize("source", sorted(p.name for p in TRACES.iterdir()) if TRACES.is_dir() else [])
def test_every_real_trace_is_recognised_by_one_format_at_most_and_read_whole(source: str):
    seen = 0
    for record in records_of(TRACES / source):
        seen += 1
        if record.fault is None:
            found = recognised(record.data)
            assert len(found) <= 1
            for name in found:
                read_whole(FORMATS[name], record.data)
    assert seen
