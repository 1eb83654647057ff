"""What settings change between reading and checking: filters, tools, media, users' turns, ids, repeated histories."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.asking.where import condition
from qwen_sft.building.build import build
from qwen_sft.errors import UsageError
from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import expand
from qwen_sft.pipeline import Outcome, Pipeline, outcomes
from qwen_sft.reading.dedup import MOST_RECORDS, marked
from qwen_sft.reading.metadata import CONFLICTING, merged, metadata
from qwen_sft.record import Record, Where
from qwen_sft.settings import Settings
from qwen_sft.shaping.adjust import adjuster, carried, failure
from qwen_sft.shaping.infer import inferred_tools
from qwen_sft.shaping.media import attached
from qwen_sft.writer import writers

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
        ({"reward": "0"}, True),
        ({"reward": " 1.0 "}, False),
        ({"reward": "high"}, False),
        ({"reward": float("nan")}, False),
        ({"success": 0}, True),
        ({"success": 1}, False),
        ({"success": 1, "reward": 0}, False),
        ({"success": "no"}, True),
        ({"success": "False"}, True),
        ({"success": "0"}, True),
        ({"success": "true", "reward": 0}, False),
        ({"success": "unknown"}, False),
        ({"success": "unknown", "reward": 0}, True),
    ],
)
def test_run_has_failed_if_the_trace_says_so(labels: Any, has_failed: bool):
    assert failure({"messages": [], "metadata": labels}) == ("the run failed" if has_failed else None)


BOTH = "the trace says of {} both that the run succeeded and that it failed (--skip-failed)"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({"metadata": {"success": True}, "success": False}, BOTH.format("success")),
        ({"metadata": {"success": True}, "resolved": 0}, BOTH.format("success")),
        ({"score": 0, "reward": 1}, BOTH.format("reward")),
        ({"success": 0}, "the run failed (--skip-failed)"),
        ({"resolved": "false"}, "the run failed (--skip-failed)"),
        ({"reward": "0"}, "the run failed (--skip-failed)"),
        ({"metadata": {"success": True}, "success": "true"}, None),
        ({"metadata": {"model": "a"}, "model": "b"}, None),
    ],
)
def test_skipping_failed_runs_reads_every_spelling_and_believes_no_contradiction(
    labels: Any, reason: str | None, tmp_path: Path
):
    (outcome,) = run(tmp_path, [{"messages": [USER, SAYS], **labels}], skip_failed=True)
    assert outcome.rejected == (reason is not None)
    assert [(d.code, d.says) for d in outcome.diagnostics] == ([("SRC009", f"left out: {reason}")] if reason else [])


def test_label_that_contradicts_another_is_named_in_the_metadata():
    assert metadata({"success": True}, {"resolved": "no", "model": "m"}) == {
        "success": True,
        CONFLICTING: "success",
        "model": "m",
    }
    assert merged({"reward": 1}, {"reward": 0, "cost": 2}) == {"reward": 1, "cost": 2, CONFLICTING: "reward"}
    assert merged({"success": True}, {"success": 1}) == {"success": True}


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


def test_supplied_tools_complete_what_a_sample_declares_by_what_it_calls(tmp_path: Path):
    file = tmp_path / "tools.json"
    file.write_text('[{"name": "f"}, {"name": "g"}, {"name": "h"}]')
    own = {"type": "function", "function": {"name": "g", "description": "its own"}}
    calls = {**SAYS, "tool_calls": [call("f"), call("g"), call("other")]}
    assert adjusted(conversation(USER, calls, tools=[own]), tools=str(file))["tools"] == [own, TOOL]
    bare = conversation(USER, SAYS, tools="no list")
    assert adjusted(bare, tools=str(file), infer_tools=True) == bare.sample


def test_trace_that_declares_some_of_its_tools_gets_the_others(tmp_path: Path):
    record = {
        "id": "1",
        "content": [
            {"class_": "text_observation", "content": "q", "source": "user"},
            {"class_": "api_action", "function": "f", "kwargs": {"a": 1}, "description": "d"},
            {"class_": "text_observation", "content": "r", "source": "environment"},
            {"class_": "code_action", "language": "python", "content": "print(1)", "description": "d"},
            {"class_": "text_observation", "content": "1", "source": "environment"},
            {"class_": "message_action", "content": "bye"},
        ],
    }
    assert codes(run(tmp_path, [record])) == [["TOL010"]]
    file = tmp_path / "tools.json"
    file.write_text('[{"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}]')
    (supplied,) = run(tmp_path, [record], tools=str(file))
    assert codes([supplied]) == [[]]
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    (found,) = supplied.conversations
    python, other = found.sample["tools"]
    assert python["function"]["name"] == "python"
    assert other == {"type": "function", "function": {"name": "f", "parameters": schema}}
    # Inferring would declare a tool that is none wherever a model made one up.
    assert codes(run(tmp_path, [record], infer_tools=True)) == [["TOL010"]]


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
    turn = {"role": "user", "content": [{"type": "refusal", "refusal": "no"}, PICTURE]}
    made = adjusted(conversation(turn), media="drop")
    assert made["messages"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


@pytest.mark.parametrize("media", ["placeholder", "drop"])
def test_medium_that_a_model_would_be_trained_to_say_stays_an_error(media: Any, tmp_path: Path):
    says = {"role": "assistant", "content": [{"type": "text", "text": "see"}, PICTURE]}
    (outcome,) = run(tmp_path, [{"messages": [USER, says]}], media=media)
    assert codes([outcome]) == [["MSG009"]]
    assert outcome.conversations[0].sample["messages"][1] == says
    shown = {"placeholder": "see\n[image]", "drop": "see"}[media]
    for untrained in ({"train": False}, {"weight": 0}):
        turn = {**says, **untrained}
        assert adjusted(conversation(USER, turn, USER, SAYS), media=media)["messages"][1] == {**turn, "content": shown}


@pytest.mark.parametrize("media", ["placeholder", "drop"])
@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"type": "audio", "audio": {"id": "x", "transcript": "spoken words"}}, "spoken words"),
        ({"type": "input_audio", "transcript": "spoken words"}, "spoken words"),
        ({"type": "document", "source": {"type": "text", "data": "written words"}}, "written words"),
        (
            {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "written words"}]}},
            "written words",
        ),
    ],
)
def test_words_of_a_medium_come_in_its_place(part: Any, said: str, media: Any):
    for role in ("user", "assistant"):
        turn = {"role": role, "content": [{"type": "text", "text": "a"}, part]}
        assert adjusted(conversation(turn), media=media)["messages"] == [{"role": role, "content": f"a\n{said}"}]


TAGGED = "<image>what is this"
ANSWER = {"role": "assistant", "content": "a cat"}


@pytest.mark.parametrize(
    ("record", "place"),
    [
        ({"messages": [{"role": "user", "content": TAGGED}, ANSWER], "images": ["a.png"]}, "$.messages[0].content"),
        (
            {
                "conversations": [{"from": "human", "value": TAGGED}, {"from": "gpt", "value": "a cat"}],
                "image": "a.png",
            },
            "$.conversations[0]",
        ),
        ({"instruction": TAGGED, "input": "", "output": "a cat", "images": ["a.png"]}, "$.instruction"),
    ],
    ids=["chat", "sharegpt", "alpaca"],
)
def test_media_beside_the_turns_are_reported_and_replaced_where_their_tags_stand(
    record: Any, place: str, tmp_path: Path
):
    (outcome,) = run(tmp_path, [record])
    assert [(d.code, d.json_path, d.says) for d in outcome.diagnostics] == [
        ("MSG009", place, "content holds 'image' besides text")
    ]
    for media, content in (("placeholder", "[image]\nwhat is this"), ("drop", "what is this")):
        (outcome,) = run(tmp_path, [record], media=media)
        assert codes([outcome]) == [[]]
        assert outcome.conversations[0].sample["messages"] == [{"role": "user", "content": content}, ANSWER]


def image(name: str) -> dict[str, str]:
    return {"type": "image", "image": name}


def words(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("record", "contents"),
    [
        ({"images": ["1", "2"]}, [[words("a"), image("1"), words("b")], [words("c"), image("2")]]),
        ({"images": ["1"]}, [[words("a"), image("1"), words("b")], "c<image>"]),
        ({"images": ["1", "2", "3"]}, [[image("3"), words("a"), image("1"), words("b")], [words("c"), image("2")]]),
        (
            {"images": [{"bytes": "x"}]},
            [[words("a"), {"type": "image", "image": {"bytes": "x"}}, words("b")], "c<image>"],
        ),
        ({"videos": ["v"]}, [[{"type": "video", "video": "v"}, words("a\n<image>\nb")], "c<image>"]),
        ({"audio": "ubuntu:22"}, None),
        ({"images": []}, None),
        ({"images": [None, ""], "image": 3}, None),
        ([], None),
    ],
)
def test_media_beside_the_turns_take_the_places_of_their_tags_in_order(record: Any, contents: Any):
    found = conversation({"role": "user", "content": "a\n<image>\nb"}, {"role": "user", "content": "c<image>"}, SAYS)
    made = attached(record, found)
    if contents is None:
        assert made is found
    else:
        assert made.sample["messages"] == [*({"role": "user", "content": one} for one in contents), SAYS]


def test_medium_that_is_a_part_already_is_not_put_in_twice():
    found = conversation({"role": "user", "content": [{"type": "image"}, words("what is this")]}, ANSWER)
    assert attached({"images": ["a.png"]}, found).sample == found.sample


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


@pytest.mark.parametrize(
    ("ids", "results", "new", "code"),
    [(["x"], ["call_1"], ["call_2"], "TOL003"), (["x", "y"], ["x", "call_2"], ["call_1", "call_3"], "TOL006")],
)
def test_new_id_is_none_that_an_orphan_has(
    ids: list[str], results: list[str], new: list[str], code: str, tmp_path: Path
):
    calls = {**SAYS, "content": "", "tool_calls": [call(id=one) for one in ids]}
    answers = [{"role": "tool", "content": "r", "tool_call_id": one} for one in results]
    record = {"messages": [USER, calls, *answers, SAYS], "tools": [TOOL]}
    (outcome,) = run(tmp_path, [record], regenerate_ids=True, select=("TOL003", "TOL006"))
    assert codes([outcome]) == [[code]]
    assert [one["id"] for one in outcome.conversations[0].sample["messages"][1]["tool_calls"]] == new
    given = [m["tool_call_id"] for m in outcome.conversations[0].sample["messages"] if m["role"] == "tool"]
    assert given == [*(["call_1"] if len(ids) == 2 else []), results[-1]]


def test_result_of_another_turn_keeps_to_its_call():
    made = adjusted(
        conversation(
            {**SAYS, "tool_calls": [call(id="a")]},
            {**SAYS, "tool_calls": [call(id="b")]},
            {"role": "tool", "content": "2", "tool_call_id": "b"},
            {"role": "tool", "content": "1", "tool_call_id": "a"},
        ),
        regenerate_ids=True,
    )["messages"]
    assert [turn.get("tool_call_id") or turn["tool_calls"][0]["id"] for turn in made] == [
        "call_1",
        "call_2",
        "call_2",
        "call_1",
    ]


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


def test_ids_white_space_and_added_tools_do_not_make_histories_differ_and_other_tools_do(tmp_path: Path):
    first = {"messages": [USER, {**SAYS, "content": "y\n", "tool_calls": [call(id="a")]}]}
    later = {
        "messages": [
            USER,
            {**SAYS, "tool_calls": [call(id="b")]},
            {"role": "tool", "content": "1", "tool_call_id": "b"},
        ]
    }
    assert codes(run(tmp_path, [first, later], dedup_prefixes=True, select=("SRC",))) == [["SRC008"], []]
    other = {"type": "function", "function": {"name": "g"}}
    for before, after, repeats in (
        ([], [TOOL], True),
        ([TOOL], [other, TOOL], True),
        ([TOOL, other], [TOOL], False),
        ([TOOL], [{**TOOL, "function": {"name": "f", "description": "d"}}], False),
    ):
        records = [{**first, "tools": before}, {**later, "tools": after}]
        found = run(tmp_path, records, dedup_prefixes=True, select=("SRC",))
        assert codes(found) == [["SRC008"] if repeats else [], []]


def pair(messages: list[Any], answer: Any, **fields: Any) -> dict[str, Any]:
    """A recorded request with its answer."""
    return {
        "request": {"model": "q", "messages": messages, **fields},
        "response": {"choices": [{"finish_reason": "stop", **answer}]},
    }


def test_answer_that_an_earlier_record_knows_was_cut_off_is_history_and_reported(tmp_path: Path):
    cut = {"role": "assistant", "content": "cut"}
    first = pair([USER], {"finish_reason": "length", "message": cut})
    later = pair([USER, cut, *BYE[:1]], {"message": BYE[1]})
    found = run(tmp_path, [first, later, later], dedup_prefixes=True)
    assert codes(found) == [["MSG013"], ["SRC008"], []]
    (last,) = found[2].conversations
    assert last.sample["messages"] == [USER, {**cut, "finish_reason": "length", "train": False}, *BYE]


@pytest.mark.parametrize("told", [{"train": False}, {"weight": 0}, {"train": False, "weight": 2}])
@pytest.mark.parametrize("own", [{}, {"train": True}, {"weight": 0.5}])
def test_turn_that_an_earlier_record_trains_is_trained_in_the_one_that_repeats_it(told: Any, own: Any, tmp_path: Path):
    first = {"messages": [USER, {**SAYS, **own}]}
    second = {"messages": [USER, {**SAYS, **told}, *BYE]}
    third = {"messages": [USER, {**SAYS, **told}, BYE[0], {**BYE[1], **told}, USER, SAYS]}
    found = run(tmp_path, [first, second, third], dedup_prefixes=True)
    assert codes(found) == [["SRC008"], ["SRC008"], []]
    assert found[2].conversations[0].sample["messages"] == [USER, {**SAYS, **own}, *BYE, USER, SAYS]
    alone = run(tmp_path, [second, third], dedup_prefixes=True)
    assert alone[1].conversations[0].sample["messages"] == [USER, {**SAYS, **told}, *BYE, USER, SAYS]


def test_tool_that_was_added_between_requests_costs_no_reasoning(tmp_path: Path):
    other = {"type": "function", "function": {"name": "g"}}
    asks = {"role": "assistant", "content": "", "tool_calls": [call(id="1")]}
    first = pair([USER], {"message": {**asks, "reasoning_content": "t1"}}, tools=[TOOL])
    result = {"role": "tool", "content": "r", "tool_call_id": "1"}
    later = pair([USER, asks, result], {"message": {**SAYS, "reasoning_content": "t2"}}, tools=[TOOL, other])
    found = run(tmp_path, [first, later], dedup_prefixes=True, select=("SRC", "TOL001", "TOL002"))
    assert codes(found) == [["SRC008"], []]
    assert found[1].conversations[0].sample["messages"] == [
        USER,
        {**asks, "reasoning_content": "t1"},
        result,
        {**SAYS, "reasoning_content": "t2"},
    ]


def system(text: str) -> dict[str, str]:
    return {"role": "system", "content": text}


def test_reasoning_is_carried_past_another_system_prompt_if_only_one_is_known(tmp_path: Path):
    def thoughts(*given: tuple[str, str | None]) -> list[str | None]:
        """The reasoning that the last of some records gets for its first turn."""
        records = [
            {"messages": [system(text), USER, {**SAYS, **({"reasoning_content": thought} if thought else {})}]}
            for text, thought in given
        ]
        records.append({"messages": [system("last"), USER, SAYS, *BYE]})
        found = run(tmp_path, records, dedup_prefixes=True)
        expected: list[list[str]] = [["SRC008"] if one == "last" else [] for one, _ in given]
        assert codes(found) == [*expected, []]
        return [turn.get("reasoning_content") for turn in found[-1].conversations[0].sample["messages"][2::2]]

    assert thoughts(("a", "t")) == ["t", None]
    assert thoughts(("a", "t"), ("b", "t"), ("c", None)) == ["t", None]
    assert thoughts(("a", "t"), ("b", "u")) == [None, None]
    assert thoughts(("a", "t"), ("last", "u")) == ["u", None]
    assert thoughts(*((str(n), "t") for n in range(9))) == [None, None]


GOOD, LONGER = {"messages": [USER, SAYS]}, {"messages": [USER, SAYS, *BYE]}


@pytest.mark.parametrize(
    ("later", "given", "says"),
    [
        ([{**LONGER, "reward": 0}], {"skip_failed": True}, [["SRC009"]]),
        ([{**LONGER, "reward": 0}], {"where": "n_messages < 3"}, [["SRC009"]]),
        ([{**LONGER, "finish_reason": "length"}], {}, [["MSG013"]]),
        ([{**LONGER, "finish_reason": "length"}, LONGER], {}, [["MSG013"], []]),
        ([LONGER, {"messages": [*LONGER["messages"], USER, SAYS], "finish_reason": "length"}], {}, [[], ["MSG013"]]),
        ([{"messages": [*LONGER["messages"], 3]}], {}, [["SRC005"]]),
        ([{"messages": [*LONGER["messages"][:3], {**SAYS, "content": "y " * 60}]}], "long", [["TOK006"]]),
    ],
    ids=["failed", "where", "cut", "cut then whole", "whole then cut", "unreadable", "too long"],
)
def test_conversation_goes_only_where_a_record_that_stays_has_it(later: Any, given: Any, says: Any, tmp_path: Path):
    settings: dict[str, Any] = {"model": "qwen3", "max_length": 60} if given == "long" else given
    found = run(tmp_path, [GOOD, *later], dedup_prefixes=True, **settings)
    merged_into = [i for i, one in enumerate(says, start=2) if not one]
    assert codes(found) == [["SRC008"] if merged_into else [], *says]
    assert found[0].rejected is bool(merged_into)
    if merged_into:
        assert f"runs.jsonl:{merged_into[0]} repeats this" in found[0].diagnostics[0].says


def test_where_only_reading_is_checked_a_record_that_rules_would_reject_takes_no_other_in(tmp_path: Path):
    cut = {**LONGER, "finish_reason": "length"}
    assert codes(run(tmp_path, [GOOD, cut], dedup_prefixes=True, select=("SRC", "SCH"))) == [[], []]
    assert codes(run(tmp_path, [GOOD, LONGER], dedup_prefixes=True, select=("SRC", "SCH"))) == [["SRC008"], []]


def test_both_of_two_equal_answers_are_repeated_by_what_goes_on_with_them(tmp_path: Path):
    same = {"finish_reason": "stop", "message": SAYS}
    first = {"request": {"messages": [USER]}, "response": {"choices": [same, {**same, "index": 1}]}}
    found = run(tmp_path, [first, LONGER], dedup_prefixes=True)
    assert codes(found) == [["SRC008", "SRC008"], []]


def test_only_so_many_records_are_held_back():
    def record(n: int, text: str) -> Record:
        return Record(Where("f", n), [{"role": "user", "content": text}], b"x")

    given = [record(0, "same"), *(record(n, str(n)) for n in range(1, MOST_RECORDS + 1)), record(-1, "same")]

    def stays(_: Record) -> list[int]:
        return [0]

    found = marked(given, lambda one: [conversation(*one.data)], stays)
    assert all(not one.marks.repeated for one in found)
    found = marked([given[0], *given[2:]], lambda one: [conversation(*one.data)], stays)
    assert [one.where.line for one in found if one.marks.repeated] == [0]


def test_carrying_nothing_changes_nothing():
    found = conversation(USER, SAYS)
    assert carried(found, {}) is found


def test_build_says_why_records_were_left_out(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    records = [{"messages": [USER, SAYS]}, {"messages": [USER, SAYS, *BYE]}, {"reward": 0, "messages": BYE}]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    settings = Settings(model="qwen3", dedup_prefixes=True, skip_failed=True)
    manifest, _ = build([str(path)], settings, tmp_path / "out", writers()["parquet"])
    assert manifest["records"] == {"read": 3, "written": 1, "rejected": 2}
    assert manifest["rejected_by_code"] == {"SRC008": 1, "SRC009": 1}
    assert manifest["events"]["dropped_reasons"] == {"the run failed (--skip-failed)": 2}


def test_cut_answer_is_not_outvoted_by_the_metadata(tmp_path: Path):
    record = {"finish_reason": "length", "metadata": {"finish_reason": "stop"}, "messages": [USER, SAYS]}
    assert codes(run(tmp_path, [record])) == [["MSG013"]]
