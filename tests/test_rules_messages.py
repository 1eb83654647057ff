"""SRC, SCH and MSG rules: what each says of a record or a sample, and where."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator
from strategies import broken_samples, samples

from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.record import Record, Where
from qwen_sft.rule import Rule, Source, rules
from qwen_sft.sample import Path, Sample
from qwen_sft.settings import Settings

USER = {"role": "user", "content": "Is 7 a prime?"}
ANSWER = {"role": "assistant", "content": "Yes."}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"type": "function", "function": {"name": "is_prime", "arguments": {"n": 7}}}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "true"}

MESSAGE_RULES = (*("SCH001", "MSG001", "MSG002", "MSG003", "MSG004", "MSG005", "MSG006", "MSG007", "MSG008", "MSG009"),)


def rule(code: str) -> Rule:
    return rules()[code]


def found(code: str, *messages: Any, **fields: Any) -> list[tuple[Path, str]]:
    """What a rule of the stage `sample` says of some messages: place and sentence."""
    sample: Any = {"messages": list(messages), **fields}
    return [(f.path, f.says) for f in rule(code).check(Transcript(sample, Settings()))]


def source(data: Any, *recognised: str, fault: str | None = None, **fields: Any) -> Source:
    record = Record(Where("runs.jsonl", 1), data, b"", fault)
    return Source(record, fields.pop("settings", Settings()), recognised, **fields)


def said(code: str, given: Source) -> list[tuple[Path, str]]:
    """What a rule of the stage `record` says of a record: place and sentence."""
    return [(f.path, f.says) for f in rule(code).check(given)]


# -- SRC ---------------------------------------------------------------------------------------------------------------


def test_a_fault_of_the_reader_is_an_unreadable_record() -> None:
    given = source(None, fault="JSON is malformed: expected ',' or ']' (byte 46)")
    assert said("SRC001", given) == [((), "not JSON: JSON is malformed: expected ',' or ']' (byte 46)")]
    assert said("SRC002", given) == said("SRC003", given) == []
    assert said("SRC001", source({"messages": []})) == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "the record is null"),
        (True, "the record is a boolean, True"),
        (7, "the record is a number, 7"),
        (0.5, "the record is a number, 0.5"),
        ("", "the record is a string, ''"),
        ("{}" * 40, "the record is a string, '{}{}{}{}{}{}...}{}{}{}{}{}{}'"),
        ({}, "the record is an empty object"),
        ([], "the record is an empty list"),
    ],
)
def test_a_value_that_holds_no_conversation_is_not_a_record(data: Any, says: str) -> None:
    assert said("SRC002", source(data)) == [((), says)]
    assert said("SRC001", source(data)) == said("SRC003", source(data)) == []


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        ({"traj": [], "task_id": 1}, "keys: 'traj', 'task_id'"),
        (dict.fromkeys("abcdefghij", 0), "keys: 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', …"),
        ([{"text": 1}, 2], "a list of 2; the first has keys: 'text'"),
        (["one", "two"], "a list of 2; the first is 'one'"),
    ],
)
def test_an_unknown_format_is_described_by_its_keys(data: Any, keys: str) -> None:
    assert said("SRC003", source(data)) == [((), f"no format recognises this record ({keys})")]
    assert said("SRC003", source(data, settings=Settings(format="atif"))) == [
        ((), f"format 'atif' does not recognise this record ({keys})")
    ]
    assert said("SRC002", source(data)) == said("SRC003", source(data, "openai_chat")) == []


def test_an_ambiguous_record_names_every_format_that_recognises_it() -> None:
    assert said("SRC004", source({"a": 1}, "openai_chat", "sharegpt")) == [
        ((), "'openai_chat' and 'sharegpt' recognise this record")
    ]
    assert said("SRC004", source({"a": 1}, "openai_chat")) == said("SRC004", source({"a": 1})) == []


def test_a_refusal_is_passed_on_as_it_is() -> None:
    refusal = Finding(("messages", 1), "a turn is str, not an object", "write {role, content}")
    given = source({"a": 1}, "openai_chat", reading=Reading(refusal=refusal))
    assert list(rule("SRC005").check(given)) == [refusal]


def test_a_reading_without_conversations_is_unconvertible() -> None:
    given = source({"a": 1}, "openai_chat", reading=Reading())
    assert said("SRC005", given) == [((), "this record holds no conversation")]
    sample: Sample = {"messages": []}
    assert said("SRC005", source({"a": 1}, "openai_chat", reading=Reading([Conversation(sample, [])]))) == []
    assert said("SRC005", source({"a": 1})) == []


def test_only_events_that_lose_something_are_lossy() -> None:
    aside = [
        Event(("steps", 0), "dropped", "an image", loses=True),
        Event(("steps", 1), "dropped", "a timing"),
        Event(("steps", 2), "merged", "a fragment", loses=True),
    ]
    given = source({"a": 1}, "x", reading=Reading(aside=aside))
    assert said("SRC006", given) == [(("steps", 0), "left out: an image")]
    assert said("SRC006", source({"a": 1})) == []


def test_an_imbalance_is_told_as_our_own_fault() -> None:
    given = source({"a": 1}, "x", imbalance=("event $.steps[3] has no fate",))
    assert list(rule("SRC007").check(given)) == [
        Finding(
            (),
            "qwen-sft lost count: event $.steps[3] has no fate",
            "report this record: it is a fault of qwen-sft, not of your data",
        )
    ]
    assert said("SRC007", source({"a": 1}, "x")) == []


# -- SCH ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([USER, ANSWER], []),
        ([], [(("messages",), "[] should be non-empty")]),
        ([{"content": ""}], [(("messages", 0), "'role' is a required property")]),
        ([{"role": None, "content": ""}], [(("messages", 0, "role"), "None is not of type 'string'")]),
        (
            [{**USER, "content": {"a": 1}}],
            [(("messages", 0, "content"), "{'a': 1} is not of type 'string', 'array'")],
        ),
        (
            [{**USER, "content": [7]}],
            [(("messages", 0, "content", 0), "7 is not of type 'object', 'string'")],
        ),
        (
            [{**USER, "mood": 0}],
            [(("messages", 0), "Additional properties are not allowed ('mood' was unexpected)")],
        ),
        (
            [{**ANSWER, "tool_calls": [{"type": "tool", "function": {"name": "", "arguments": None}}]}],
            [
                (("messages", 0, "tool_calls", 0, "type"), "'function' was expected"),
                (("messages", 0, "tool_calls", 0, "function", "name"), "'' should be non-empty"),
            ],
        ),
        (
            [{**USER, "content": 10**400}],
            [(("messages", 0, "content"), f"1{'0' * 79} … {'0' * 47} is not of type 'string', 'array'")],
        ),
    ],
)
def test_a_sample_of_another_shape_is_named_place_by_place(messages: Any, expected: Any) -> None:
    assert found("SCH001", *messages) == expected


def test_no_more_than_five_faults_of_shape_are_named() -> None:
    assert [path for path, _ in found("SCH001", *[{"role": "user"}] * 9)] == [("messages", i) for i in range(5)]


def test_a_value_too_deep_to_print_is_refused_all_the_same() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert found("SCH001", {"role": deep, "content": ""}) == [((), "this is no sample")]


def test_tools_that_are_no_list_are_refused() -> None:
    assert found("SCH001", USER, tools="[]") == [(("tools",), "'[]' is not of type 'array'")]
    assert found("SCH001", USER, tools=[{"name": "f"}]) == [(("tools", 0), "'function' is a required property")]


@cache
def _validators() -> tuple[Any, Any]:
    schema = json.loads(files("schemas").joinpath("sample.schema.json").read_text(encoding="utf-8"))
    return jsonschema_rs.validator_for(schema), Draft202012Validator(schema)


@given(samples())
def test_every_drawn_sample_is_one_that_the_schema_admits(sample: Any) -> None:
    fast, slow = _validators()
    assert fast.is_valid(sample)
    assert slow.is_valid(sample)


@given(broken_samples())
def test_both_schema_libraries_come_to_the_same_verdict(sample: Any) -> None:
    fast, slow = _validators()
    assert fast.is_valid(sample) == slow.is_valid(sample)


# -- MSG ---------------------------------------------------------------------------------------------------------------


def test_unknown_roles_are_named() -> None:
    critic, long = {"role": "critic", "content": ""}, {"role": "x" * 99, "content": ""}
    assert found("MSG001", SYSTEM, USER, critic, CALLING, RESULT, ANSWER, long) == [
        (("messages", 2, "role"), "'critic' is no role of a Qwen model"),
        (("messages", 6, "role"), "'xxxxxxxxxxxx...xxxxxxxxxxxxx' is no role of a Qwen model"),
    ]


def test_a_sample_without_a_user_is_told_once() -> None:
    assert found("MSG002", SYSTEM, ANSWER, ANSWER) == [(("messages",), "no message is the user's")]
    assert found("MSG002", ANSWER, USER) == []


@pytest.mark.parametrize(
    ("turn", "says"),
    [
        ({"content": ""}, "this turn holds no answer and no call"),
        ({"content": " \n"}, "this turn holds white space only, and no call"),
        (
            {"content": "", "reasoning_content": "7 has no divisors."},
            "this turn holds reasoning, but no answer and no call",
        ),
        ({"content": "."}, None),
        ({"content": "", "tool_calls": [CALL]}, None),
        ({"content": [{"type": "image"}]}, None),
    ],
)
def test_an_assistant_turn_that_says_and_calls_nothing_is_empty(turn: Any, says: str | None) -> None:
    expected = [] if says is None else [(("messages", 1), says)]
    assert found("MSG003", USER, {"role": "assistant", **turn}) == expected


def test_empty_turns_of_others_are_not_the_assistants() -> None:
    assert found("MSG003", {"role": "user", "content": ""}, {"role": "tool", "content": ""}) == []


def test_two_turns_of_one_speaker_are_told_at_the_second() -> None:
    assert found("MSG004", USER, USER, ANSWER, ANSWER, ANSWER, USER) == [
        (("messages", 1, "role"), "this 'user' turn follows another one"),
        (("messages", 3, "role"), "this 'assistant' turn follows another one"),
        (("messages", 4, "role"), "this 'assistant' turn follows another one"),
    ]


def test_a_call_followed_by_an_assistant_turn_is_not_a_repeated_role() -> None:
    assert found("MSG004", USER, CALLING, ANSWER) == []
    assert found("MSG004", USER, ANSWER, CALLING) == [
        (("messages", 2, "role"), "this 'assistant' turn follows another one")
    ]


def test_repeated_tool_and_system_messages_are_left_to_others() -> None:
    assert found("MSG004", SYSTEM, SYSTEM, USER, CALLING, RESULT, RESULT, ANSWER) == []


def test_messages_behind_the_last_assistant_turn_are_an_untrained_tail() -> None:
    tail, tails = (f"behind the last assistant turn, which {train} nothing" for train in ("trains", "train"))
    assert found("MSG005", USER, ANSWER, USER) == [(("messages", 2), f"1 message {tail}")]
    assert found("MSG005", USER, ANSWER, USER, SYSTEM) == [(("messages", 2), f"2 messages {tails}")]
    assert found("MSG005", USER, CALLING, RESULT) == [(("messages", 2), f"1 tool result {tail}")]
    assert found("MSG005", USER, CALLING, RESULT, RESULT) == [(("messages", 2), f"2 tool results {tails}")]
    assert found("MSG005", USER, CALLING, RESULT, USER) == [(("messages", 2), f"2 messages {tails}")]


def test_no_tail_where_the_sample_ends_with_the_assistant_or_in_a_trailing_call() -> None:
    both: Any = {**CALLING, "tool_calls": [{**CALL, "id": "a"}, {**CALL, "id": "b"}]}
    assert found("MSG005", USER, ANSWER) == []
    assert found("MSG005", USER, CALLING) == []
    assert found("MSG005", USER, both, {**RESULT, "tool_call_id": "b"}) == []
    assert found("MSG005", USER) == []


def test_a_sample_without_an_assistant_trains_nothing() -> None:
    assert found("MSG006", SYSTEM, USER) == [(("messages",), "no message is the assistant's")]
    assert found("MSG006", ANSWER) == []


def test_control_tokens_are_found_wherever_a_template_prints_text() -> None:
    token = "<|im_end|>"
    arguments = {"a": {"b": ["x", f"y{token}"]}, f"k{token}": 1}
    call = {"type": "function", "function": {"name": f"f{token}", "arguments": arguments}}
    broken = {"type": "function", "function": {"name": "f", "arguments": f'{{"a": "{token}'}}
    tool = {
        "type": "function",
        "function": {
            "name": f"t{token}",
            "description": f"d{token}",
            "parameters": {"properties": {"p": {"enum": [1, token]}}},
        },
    }
    function = ("messages", 1, "tool_calls", 0, "function")
    assert found(
        "MSG007",
        {"role": "user", "content": f"{token}<|im_start|>{token}"},
        {"role": "assistant", "content": "", "reasoning_content": token, "tool_calls": [call, broken]},
        {"role": "tool", "content": [{"type": "text", "text": token}, "z"], "name": token},
        tools=[tool],
    ) == [
        (("messages", 0, "content"), "this text holds '<|im_end|>', '<|im_start|>'"),
        (("messages", 1, "reasoning_content"), "this text holds '<|im_end|>'"),
        ((*function, "name"), "this text holds '<|im_end|>'"),
        ((*function, "arguments", "a", "b", 1), "this text holds '<|im_end|>'"),
        ((*function, "arguments", f"k{token}"), "this text holds '<|im_end|>'"),
        (("messages", 1, "tool_calls", 1, "function", "arguments"), "this text holds '<|im_end|>'"),
        (("messages", 2, "content", 0, "text"), "this text holds '<|im_end|>'"),
        (("tools", 0, "function", "name"), "this text holds '<|im_end|>'"),
        (("tools", 0, "function", "description"), "this text holds '<|im_end|>'"),
        (("tools", 0, "function", "parameters", "properties", "p", "enum", 1), "this text holds '<|im_end|>'"),
    ]


@pytest.mark.parametrize("text", ["<|fim_prefix|>", "<|audio_pad|>", "<tts_text_bos_single>", "<|quad_end|>"])
def test_every_kind_of_control_token_is_known(text: str) -> None:
    assert found("MSG007", {"role": "user", "content": f"a {text} b"}) == [
        (("messages", 0, "content"), f"this text holds {text!r}")
    ]


@pytest.mark.parametrize("text", ["<| im_end |>", "<|im_end>", "<|user|>", "<|", "a <|> b", "<tts_x>", "<think>"])
def test_text_that_is_encoded_as_text_is_no_control_token(text: str) -> None:
    assert found("MSG007", {"role": "user", "content": text}, {**ANSWER, "tool_calls": [CALL]}) == []


def test_values_that_cannot_be_written_as_json_are_searched_all_the_same() -> None:
    deep: Any = "<|im_end|>"
    for _ in range(5000):
        deep = [deep]
    for arguments, place in (({"a": "\ud800", "b": "<|im_end|>"}, ("b",)), (deep, (0,) * 5000)):
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        assert found("MSG007", {**CALLING, "tool_calls": [call]}) == [
            (("messages", 0, "tool_calls", 0, "function", "arguments", *place), "this text holds '<|im_end|>'")
        ]


def test_system_messages_behind_the_first_message_are_late() -> None:
    assert found("MSG008", SYSTEM, SYSTEM, USER, SYSTEM, ANSWER) == [
        (("messages", 1, "role"), "a system message stands at place 2"),
        (("messages", 3, "role"), "a system message stands at place 4"),
    ]
    assert found("MSG008", SYSTEM, USER, ANSWER) == []


def test_parts_that_are_not_text_are_named_by_their_type() -> None:
    text = {"type": "text", "text": "What is this?"}
    parts = [text, {"type": "image_url"}, {"image": "a.png"}, {"type": "image_url"}, {"type": "text"}, {}, "plain"]
    assert found("MSG009", {"role": "user", "content": parts}, {"role": "user", "content": [text, "plain"]}) == [
        (
            ("messages", 0, "content"),
            "content holds 'image_url', 'image', a text part without text, '' besides text",
        )
    ]


# -- all ---------------------------------------------------------------------------------------------------------------


@given(samples())
def test_message_rules_answer_for_every_sample_that_the_schema_admits(sample: Any) -> None:
    for code in MESSAGE_RULES:
        for finding in rule(code).check(Transcript(sample, Settings())):
            assert finding.says and finding.fix
            assert code != "SCH001"
