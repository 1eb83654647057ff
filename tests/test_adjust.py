"""What settings change between reading and checking: filters, tools, media, users' turns, ids, repeated histories."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.adjust import adjuster, carried, failed
from qwen_sft.dedup import MOST_RECORDS, marked
from qwen_sft.errors import UsageError
from qwen_sft.format import Conversation
from qwen_sft.infer import inferred_tools
from qwen_sft.ingest import expand
from qwen_sft.pipeline import Outcome, Pipeline, outcomes
from qwen_sft.record import Record, Where
from qwen_sft.settings import Settings
from qwen_sft.where import condition

USER = {"role": "user", "content": "x"}
SAYS = {"role": "assistant", "content": "y"}


def call(name: str = "f", arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments or {}}, **fields}


def conversation(*messages: Any, **fields: Any) -> Conversation:
    return Conversation({"messages": list(messages), **fields}, [("messages", i) for i in range(len(messages))])


def adjusted(found: Conversation, **settings: Any) -> Any:
    done = adjuster(Settings(**settings))(found).conversation
    return done and done.sample


def run(folder: Path, records: list[Any], **settings: Any) -> list[Outcome]:
    path = folder / "runs.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return list(outcomes(expand([str(path)]), Pipeline(Settings(**settings))))


# Conditions.

LABELS = {"reward": 0.5, "model": "qwen3-8b", "success": True, "info": {"steps": 7}, "tags": ["a", "b"], "zero": 0}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("reward > 0", True),
        ("reward > 0.5", False),
        ("0 < reward <= 1", True),
        ('reward > 0 and model == "qwen3-8b"', True),
        ('model == "other" or success', True),
        ("not success", False),
        ("success == true", True),
        ("success == True", True),
        ("zero == false", True),
        ('"a" in tags', True),
        ('"c" not in tags', True),
        ('"8b" in model', True),
        ('model in ["qwen3-8b", "x"]', True),
        ("info.steps >= 7", True),
        ("info.none == null", True),
        ("absent > 0", False),
        ("absent <= 0", False),
        ("absent != null", False),
        ("absent.deeper is null", True),
        ('reward > "a"', False),
        ('model > "a"', True),
        ("reward > -1", True),
        ("id == 's1' and n_messages == 2 and n_calls == 1 and n_tools == 0", True),
    ],
)
def test_condition_asks_the_metadata(text: str, holds: bool):
    sample: Any = {"id": "s1", "messages": [USER, {**SAYS, "tool_calls": [call()]}], "metadata": LABELS}
    assert condition(text)(sample) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("reward >", "is no condition: invalid syntax"),
        ("", "is no condition"),
        ("reward = 1", "is no condition"),
        ("__import__('os').system('true')", "holds \"__import__('os').system('true')\""),
        ("reward.__class__()", "holds 'reward.__class__()'"),
        ("(lambda: 1)()", "holds '(lambda: 1)()'"),
        ("reward + 1 > 2", "holds 'reward + 1'"),
        ("tags[0] == 1", "holds 'tags[0]'"),
        ("[x for x in tags]", "holds '[x for x in tags]'"),
        ("x" * 10_001, "where has 10,001 characters"),
        ("(" * 5_000, "is no condition"),
    ],
)
def test_text_that_is_no_condition_is_refused(text: str, says: str):
    with pytest.raises(UsageError, match="where") as error:
        condition(text)
    assert says in str(error.value)


def test_field_of_python_is_no_field_of_the_metadata():
    sample: Any = {"messages": [], "metadata": {"model": "m"}}
    assert condition("model.__class__ is null")(sample) is True


# Which samples stay.


@pytest.mark.parametrize(
    ("labels", "has_failed"),
    [
        ({}, False),
        ({"success": False, "reward": 1}, True),
        ({"success": True, "reward": 0}, False),
        ({"reward": 0}, True),
        ({"reward": 0.1}, False),
        ({"success": "no"}, False),
    ],
)
def test_run_has_failed_if_the_trace_says_so(labels: Any, has_failed: bool):
    assert failed({"messages": [], "metadata": labels}) is has_failed


def test_filtered_record_is_rejected_with_the_reason_and_its_events_are_dropped(tmp_path: Path):
    kept, gone = run(
        tmp_path, [{"reward": 1, "messages": [USER, SAYS]}, {"reward": 0, "messages": [USER, SAYS]}], where="reward > 0"
    )
    assert (kept.rejected, kept.diagnostics, kept.n_kept) == (False, [], 2)
    assert [(d.code, d.severity, d.says) for d in gone.diagnostics] == [
        ("SRC009", "info", "left out: it does not satisfy --where 'reward > 0'")
    ]
    assert (gone.rejected, gone.n_events, gone.n_kept) == (True, 2, 0)
    assert [event.reason for event in gone.aside] == ["it does not satisfy --where 'reward > 0'"] * 2


# Tools.

TOOL = {"type": "function", "function": {"name": "f"}}


def test_supplied_tools_are_for_samples_that_declare_none(tmp_path: Path):
    file = tmp_path / "tools.json"
    file.write_text('[{"name": "f"}]')
    assert adjusted(conversation(USER, SAYS), tools=str(file))["tools"] == [TOOL]
    own = {"type": "function", "function": {"name": "g"}}
    assert adjusted(conversation(USER, SAYS, tools=[own]), tools=str(file))["tools"] == [own]


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "are no JSON"), ("[]", "holds no list of tools"), ('[{"x": 1}]', "holds no list"), ("3", "holds no list")],
)
def test_file_without_tools_stops_the_run(text: str, says: str, tmp_path: Path):
    file = tmp_path / "tools.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=says):
        adjuster(Settings(tools=str(file)))
    with pytest.raises(UsageError, match="cannot read the tools"):
        adjuster(Settings(tools=str(tmp_path / "none.json")))


def test_inferred_tools_have_the_properties_that_calls_use():
    calls = [
        call("f", {"a": 1, "b": ["x"], "c": {"d": None}}),
        call("f", {"a": 1.5, "c": {"d": "t"}, "e": True}),
        call("g"),
    ]
    assert inferred_tools([USER, {**SAYS, "tool_calls": calls}]) == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "a": {"type": "number"},
                        "b": {"type": "array", "items": {"type": "string"}},
                        "c": {
                            "type": "object",
                            "properties": {"d": {"type": ["null", "string"]}},
                            "required": ["d"],
                        },
                        "e": {"type": "boolean"},
                    },
                    "required": ["a", "c"],
                },
            },
        },
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
    ]


def test_inferring_tools_is_said_in_the_metadata_and_leaves_declared_ones_alone():
    turn = {**SAYS, "tool_calls": [call(arguments={"a": 1})]}
    made = adjusted(conversation(USER, turn, metadata={"reward": 1}), infer_tools=True)
    assert made["metadata"] == {"reward": 1, "tools_inferred": True}
    assert made["tools"][0]["function"]["name"] == "f"
    assert adjusted(conversation(USER, turn, tools=[TOOL]), infer_tools=True)["tools"] == [TOOL]
    assert "tools" not in adjusted(conversation(USER, SAYS), infer_tools=True)


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from("abc"),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
                max_leaves=6,
            ),
            max_size=3,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_call_satisfies_the_schema_inferred_from_it(arguments: list[Any]):
    import jsonschema

    (tool,) = inferred_tools(
        [
            {
                **SAYS,
                "tool_calls": [
                    call("f", given) | {"function": {"name": "f", "arguments": given}} for given in arguments
                ],
            }
        ]
    )
    for given_arguments in arguments:
        jsonschema.validate(given_arguments, tool["function"]["parameters"])


# Turns.

PICTURE = {"type": "image_url", "image_url": {"url": "data:"}}


@pytest.mark.parametrize(
    ("media", "content"),
    [
        ("error", [{"type": "text", "text": "a"}, PICTURE]),
        ("placeholder", "a\n[image]"),
        ("drop", "a"),
    ],
)
def test_media_are_kept_named_or_left_out(media: Any, content: Any):
    turn = {"role": "user", "content": [{"type": "text", "text": "a"}, PICTURE]}
    assert adjusted(conversation(turn, SAYS), media=media)["messages"][0]["content"] == content


@pytest.mark.parametrize(
    ("part", "word"),
    [
        ({"type": "input_audio", "input_audio": {}}, "[audio]"),
        ({"image": "https://x"}, "[image]"),
        ({"inlineData": {}}, "[file]"),
        ({"type": "document", "source": {}}, "[document]"),
    ],
)
def test_placeholder_names_the_medium(part: Any, word: str):
    turn = {"role": "user", "content": [part]}
    assert adjusted(conversation(turn), media="placeholder")["messages"][0]["content"] == word


def test_what_is_no_medium_stays_for_the_rules():
    turn = {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}, PICTURE]}
    made = adjusted(conversation(turn), media="drop")
    assert made["messages"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_users_consecutive_turns_become_one_and_each_event_has_a_fate(tmp_path: Path):
    (outcome,) = run(tmp_path, [{"messages": [USER, USER, SAYS, USER, SAYS]}], merge_user=True)
    (found,) = outcome.conversations
    assert [turn["content"] for turn in found.sample["messages"]] == ["x\n\nx", "y", "x", "y"]
    assert [(event.path, event.fate) for event in outcome.aside] == [(("messages", 1), "merged")]
    assert (outcome.n_events, outcome.n_kept) == (5, 4)


def test_new_ids_are_unique_and_orphans_keep_theirs():
    made = adjusted(
        conversation(
            {**SAYS, "tool_calls": [call(id="a"), call(id="b")]},
            {"role": "tool", "content": "2", "tool_call_id": "b"},
            {"role": "tool", "content": "1", "tool_call_id": "a"},
            {"role": "tool", "content": "?", "tool_call_id": "z"},
            {**SAYS, "tool_calls": [call(id="a")]},
            {"role": "tool", "content": "3"},
        ),
        regenerate_ids=True,
    )["messages"]
    assert [[one["id"] for one in turn["tool_calls"]] for turn in made if "tool_calls" in turn] == [
        ["call_1", "call_2"],
        ["call_3"],
    ]
    assert [turn["tool_call_id"] for turn in made if turn["role"] == "tool"] == ["call_2", "call_1", "z", "call_3"]


def test_calls_without_a_shape_keep_their_ids():
    odd = conversation({**SAYS, "tool_calls": ["f(a=1)"]})
    assert adjusted(odd, regenerate_ids=True) == odd.sample


# Repeated histories.

BYE = [{"role": "user", "content": "bye"}, {"role": "assistant", "content": "bye"}]


def codes(found: list[Outcome]) -> list[list[str]]:
    return [[d.code for d in outcome.diagnostics] for outcome in found]


def test_growing_prefixes_leave_the_last_record(tmp_path: Path):
    found = run(
        tmp_path,
        [{"messages": [USER, SAYS]}, {"messages": [USER, SAYS, *BYE]}, {"messages": BYE}, {"messages": BYE}],
        dedup_prefixes=True,
    )
    assert codes(found) == [["SRC008"], [], ["SRC008"], []]
    assert [outcome.rejected for outcome in found] == [True, False, True, False]
    assert found[0].diagnostics[0].says.endswith("runs.jsonl:2 repeats this conversation and goes on with it")
    assert {(event.fate, event.reason) for event in found[0].aside} == {("merged", "repeated by a later record")}


def test_without_the_setting_nothing_is_left_out(tmp_path: Path):
    assert codes(run(tmp_path, [{"messages": [USER, SAYS]}, {"messages": [USER, SAYS, *BYE]}])) == [[], []]


def test_reasoning_that_a_later_history_lacks_is_carried_over_to_it(tmp_path: Path):
    thinks = {**SAYS, "reasoning_content": "t"}
    found = run(
        tmp_path,
        [
            {"messages": [USER, thinks]},
            {"messages": [USER, SAYS, *BYE[:1], {**BYE[1], "reasoning_content": "u"}]},
            {"messages": [USER, SAYS, *BYE, *BYE]},
        ],
        dedup_prefixes=True,
    )
    assert codes(found) == [["SRC008"], ["SRC008"], []]
    (last,) = found[2].conversations
    assert [turn.get("reasoning_content") for turn in last.sample["messages"]] == [None, "t", None, "u", None, None]


def test_ids_and_white_space_do_not_make_histories_differ_and_tools_do(tmp_path: Path):
    first = {"messages": [USER, {**SAYS, "content": "y\n", "tool_calls": [call(id="a")]}]}
    later = {
        "messages": [
            USER,
            {**SAYS, "tool_calls": [call(id="b")]},
            {"role": "tool", "content": "1", "tool_call_id": "b"},
        ]
    }
    assert codes(run(tmp_path, [first, later], dedup_prefixes=True, select=("SRC",))) == [["SRC008"], []]
    assert codes(run(tmp_path, [first, {**later, "tools": [TOOL]}], dedup_prefixes=True, select=("SRC",))) == [[], []]


def test_only_so_many_records_are_held_back():
    def record(n: int, text: str) -> Record:
        return Record(Where("f", n), [{"role": "user", "content": text}], b"x")

    given = [record(0, "same"), *(record(n, str(n)) for n in range(1, MOST_RECORDS + 1)), record(-1, "same")]
    found = marked(given, lambda one: [conversation(*one.data)])
    assert all(not one.marks.repeated for one in found)
    found = marked([given[0], *given[2:]], lambda one: [conversation(*one.data)])
    assert [one.where.line for one in found if one.marks.repeated] == [0]


def test_carrying_nothing_changes_nothing():
    found = conversation(USER, SAYS)
    assert carried(found, {}) is found
