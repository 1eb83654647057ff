"""OpenAI Responses and the formats that keep its items: what becomes of what, and the real traces."""

import itertools
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import FORMATS, fates, read_whole, recognised, records_of, samples, schema
from real import TRACES, needs_real_data

from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import json_path
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped

CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def item(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


SAYS = item("message", role="assistant", content=[{"type": "output_text", "text": "y"}])
THINKS = item("reasoning", content=[{"type": "reasoning_text", "text": "t"}], summary=[{"text": "short"}])
CALLS = item("function_call", name="f", arguments='{"a": 1}', call_id="c")
RESULT = item("function_call_output", call_id="c", output="1")
CALLED = {**CALL, "id": "c"}


@pytest.mark.parametrize(
    ("items", "turns"),
    [
        (
            [THINKS, SAYS, CALLS, CALLS, RESULT],
            [
                {"role": "assistant", "content": "y", "reasoning_content": "t", "tool_calls": [CALLED, CALLED]},
                {"role": "tool", "content": "1", "tool_call_id": "c"},
            ],
        ),
        (
            [CALLS, SAYS],
            [{"role": "assistant", "content": "", "tool_calls": [CALLED]}, {"role": "assistant", "content": "y"}],
        ),
        (
            [SAYS, THINKS, CALLS],
            [
                {"role": "assistant", "content": "y"},
                {"role": "assistant", "content": "", "reasoning_content": "t", "tool_calls": [CALLED]},
            ],
        ),
        ([SAYS, SAYS], [{"role": "assistant", "content": "y\ny"}]),
        ([RESULT], [{"role": "tool", "content": "1", "tool_call_id": "c"}]),
        (
            [item("custom_tool_call", name="f", input="free text", call_id="c")],
            [
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [
                        {"type": "function", "function": {"name": "f", "arguments": {"input": "free text"}}, "id": "c"}
                    ],
                }
            ],
        ),
        (
            [item("message", role="assistant", content=[{"type": "refusal", "refusal": "no"}])],
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}],
        ),
    ],
)
@pytest.mark.parametrize("shape", ["output", "items", "response", "bare"])
def test_response_items_become_turns_in_their_order(items: list[Any], turns: list[Any], shape: str):
    record: Any = {
        "output": {"input": "x", "output": items},
        "items": {"items": [item("message", role="user", content="x"), *items]},
        "response": {"request": {"input": "x"}, "response": {"object": "response", "output": items}},
        "bare": [item("message", role="user", content="x"), *items, item("reasoning", summary=[])],
    }[shape]
    assert samples("responses", record)[0]["messages"] == [{"role": "user", "content": "x"}, *turns]


def test_response_item_that_is_no_turn_is_dropped_with_its_reason():
    hidden = item("reasoning", summary=[], encrypted_content="gAAA")
    blank = item("message", role="assistant", content=[{"type": "output_text", "text": "\n\n"}])
    items = [hidden, item("reasoning", summary=[]), blank, item("mcp_call", name="f"), SAYS]
    assert fates("responses", {"items": items}) == [
        ("$.items[0]", "dropped", "reasoning that is encrypted", True),
        ("$.items[1]", "dropped", "reasoning without text", False),
        ("$.items[2]", "dropped", "text of the assistant that is only whitespace", False),
        ("$.items[3]", "dropped", "an item of type 'mcp_call' has no place in a chat", True),
    ]


def test_response_that_repeats_its_input_is_read_once():
    asked = item("message", role="user", content="x")
    again = {**asked, "id": "msg_1", "content": [{"type": "input_text", "text": "x"}]}
    record = {"responses_create_params": {"input": [asked]}, "response": {"output": [again, SAYS]}}
    assert [turn["role"] for turn in samples("responses", record)[0]["messages"]] == ["user", "assistant"]
    assert fates("responses", record) == [("$.response.output[0]", "merged", "repeats the input", False)]


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        ({"items": [SAYS, 3]}, "$.items[1]", "an item is int, not an object"),
        ({"output": [[SAYS], [CALLS]]}, "$.output[1][0]", "an output does not continue the one before"),
        ({"items": [item("reasoning", summary=[])]}, "$", "no item is a turn of a chat"),
    ],
)
def test_items_without_an_exact_reading_are_refused(record: Any, place: str, says: str):
    refusal = read_whole(FORMATS["responses"], record).refusal
    assert (json_path(refusal.path), refusal.says) == (place, says)


# Tools.


FLAT = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
NESTED = {"type": "function", "function": {"name": "f", "parameters": FLAT["parameters"]}}
ASK = {"model": "m", "input": "x", "store": False}


def answer(*items: Any, **fields: Any) -> dict[str, Any]:
    return {"object": "response", "status": "completed", "output": list(items), **fields}


def test_hosted_tools_are_a_label_and_no_functions():
    hosted = [{"type": "web_search"}, {"type": "mcp", "server_label": "s"}, {"type": "tool_search", "parameters": {}}]
    (made,) = samples("responses", {"request": {**ASK, "tools": [FLAT, *hosted]}, "response": answer(SAYS)})
    assert made["tools"] == [NESTED]
    assert made["metadata"]["hosted_tools"] == hosted


def test_custom_tool_is_a_function_of_its_input():
    custom = {"type": "custom", "name": "sh", "format": {"type": "text"}}
    said = item("custom_tool_call", name="sh", input="null", call_id="c")
    (made,) = samples("responses", {"request": {**ASK, "tools": [custom]}, "response": answer(said)})
    assert made["messages"][1]["tool_calls"][0]["function"] == {"name": "sh", "arguments": {"input": "null"}}
    assert [tool["function"]["parameters"]["required"] for tool in made["tools"]] == [["input"]]
    assert made["metadata"]["tools_original"] == [custom]


def test_tools_that_are_announced_later_are_declared_once():
    other = {**FLAT, "name": "g"}
    more = item(
        "additional_tools", role="developer", tools=[{"type": "namespace", "name": "n", "tools": [FLAT, other]}]
    )
    record = {
        "request": {**ASK, "input": [{"role": "user", "content": "x"}, more], "tools": [FLAT]},
        "response": answer(SAYS),
    }
    assert [tool["function"]["name"] for tool in samples("responses", record)[0]["tools"]] == ["f", "g"]
    assert fates("responses", record) == [
        ("$.request.input[1]", "merged", "it only declares tools, which are the sample's tools now", False)
    ]


def test_result_of_a_call_that_is_left_out_is_left_out():
    search = item("tool_search_call", call_id="s", arguments={})
    items = [search, item("function_call_output", call_id="s", output="found"), CALLS, RESULT]
    record = {"items": items}
    assert [turn["role"] for turn in samples("responses", record)[0]["messages"]] == ["assistant", "tool"]
    assert fates("responses", record) == [
        ("$.items[0]", "dropped", "an item of type 'tool_search_call' has no place in a chat", True),
        ("$.items[1]", "dropped", "the result of a call that has no place in a chat", True),
    ]


def test_call_that_a_program_made_is_no_turn():
    caller = {"type": "program", "caller_id": "p"}
    items = [item("program", call_id="p", code="f()"), {**CALLS, "caller": caller}, {**RESULT, "caller": caller}, SAYS]
    assert samples("responses", {"items": items})[0]["messages"] == [{"role": "assistant", "content": "y"}]
    assert [fate[2:] for fate in fates("responses", {"items": items})] == [
        ("an item of type 'program' has no place in a chat", True),
        ("a call that a program made, and no model", False),
        ("a result that a program got, and no model", False),
    ]


def test_local_shell_call_is_a_call_of_its_action():
    action = {"type": "exec", "command": ["ls"]}
    items = [
        item("local_shell_call", call_id="c", action=action),
        item("local_shell_call_output", call_id="c", output="a"),
    ]
    assert samples("responses", {"items": [*items, CALLS]})[0]["messages"][:2] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": {"name": "local_shell", "arguments": action}, "id": "c"}],
        },
        {"role": "tool", "content": "a", "tool_call_id": "c"},
    ]


# Requests and their answers.


@pytest.mark.parametrize(
    "body",
    [
        ASK,
        {"input": [{"role": "user", "content": "x"}], "tools": [FLAT]},
        {"input": [{"role": "user", "content": "x"}], "max_output_tokens": 3},
        {"input": [{"role": "user", "content": "x"}, CALLS, RESULT]},
        {"model": "m", "instructions": "Be brief.", "input": "x"},
    ],
)
def test_request_alone_is_recognised(body: Any):
    assert recognised(body) == ["responses"]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "embed", "input": "x"},
        {"instruction": "Add.", "input": "x", "output": "y"},
        {"model": "m", "input": ["x", "y"], "store": True},
        {"input": [{"role": "user", "content": "x"}], "output": {"role": "assistant", "content": "y"}, "model": "m"},
        {"type": "error", "error": {"message": "x"}},
    ],
)
def test_other_inputs_are_no_requests(body: Any):
    assert "responses" not in recognised(body)


@pytest.mark.parametrize(
    ("response", "says"),
    [
        (answer(status="queued"), "the response holds no answer: it is 'queued'"),
        (answer(status="failed", error={"message": "no money"}), "the response holds no answer: no money"),
        ({"error": {"message": "no money"}}, "the request failed: no money"),
        (
            answer(item("computer_call", call_id="c")),
            "no item is a turn of a chat: an item of type 'computer_call' has no place in a chat",
        ),
    ],
)
def test_answer_that_is_none_is_refused(response: Any, says: str):
    record = {"request": {**ASK, "input": []} if response.get("output") else ASK, "response": response}
    refusal = read_whole(FORMATS["responses"], record).refusal
    assert refusal is not None
    assert refusal.says == says


def test_cut_off_answer_says_why():
    cut = answer(SAYS, status="incomplete", incomplete_details={"reason": "max_output_tokens"}, model="m-1")
    (made,) = samples("responses", {"request": ASK, "response": cut})
    assert made["metadata"] == {"model": "m-1", "store": False, "finish_reason": "max_output_tokens"}


def test_item_of_the_history_that_is_incomplete_was_cut_off():
    given = [item("message", role="user", content="x"), {**SAYS, "status": "incomplete"}]
    ask = {**ASK, "input": [*given, item("message", role="user", content="go on")]}
    (made,) = samples("responses", {"request": ask, "response": answer(SAYS, status="completed")})
    assert made["messages"] == [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "y", "finish_reason": "incomplete"},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": "y"},
    ]


def test_instructions_that_only_the_response_tells_of_are_the_system_turn():
    record = {"request": ASK, "response": answer(SAYS, instructions="Be brief.")}
    assert [turn["role"] for turn in samples("responses", record)[0]["messages"]] == ["system", "user", "assistant"]


# Conversations that the provider keeps.


def leg(name: str, previous: str | None, given: Any, *said: Any, **fields: Any) -> dict[str, Any]:
    request = {**ASK, "input": given, "previous_response_id": previous, **fields}
    return {"request": request, "response": answer(*said, id=name, previous_response_id=previous)}


FIRST = leg("r1", None, "x", CALLS)
SECOND = leg("r2", "r1", [RESULT], SAYS)
WHOLE = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": "", "tool_calls": [CALLED]},
    {"role": "tool", "content": "1", "tool_call_id": "c"},
    {"role": "assistant", "content": "y"},
]


def joined_lines(lines: list[Any]) -> list[list[Any]]:
    """The lines as they are gathered into records."""
    groups: list[list[Any]] = []
    joins = FORMATS["responses"].joins
    assert joins is not None
    for line in lines:
        if groups and joins(groups[-1], line):
            groups[-1].append(line)
        else:
            assert joins((), line)
            groups.append([line])
    return groups


def test_records_that_continue_each_other_are_one_conversation():
    alone = leg("r9", None, "z", SAYS)
    assert joined_lines([FIRST, SECOND, alone]) == [[FIRST, SECOND], [alone]]
    (made,) = samples("responses", [FIRST, SECOND])
    assert made["messages"] == WHOLE
    assert made["id"] == "r2"


def test_response_that_was_cut_off_says_so_behind_what_continues_it():
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    first = {**FIRST, "response": {**FIRST["response"], **cut}}
    (made,) = samples("responses", [first, SECOND])
    assert made["messages"] == [WHOLE[0], {**WHOLE[1], "finish_reason": "max_output_tokens"}, *WHOLE[2:]]
    assert "finish_reason" not in made["metadata"]


def test_streamed_response_is_continued_by_its_id():
    events = [
        {"type": "response.created", "response": {"id": "r1"}},
        {"type": "response.completed", "response": FIRST["response"]},
    ]
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    for streamed in ({"response_sse": text}, {"response_events": events}):
        lines = [{"request": FIRST["request"], **streamed}, SECOND]
        assert joined_lines(lines) == [lines]
        assert samples("responses", lines)[0]["messages"] == WHOLE


def test_two_continuations_of_one_response_are_two_samples():
    other = leg("r3", "r1", [RESULT], {**SAYS, "content": "z"})
    assert joined_lines([FIRST, SECOND, other]) == [[FIRST, SECOND, other]]
    made = samples("responses", [FIRST, SECOND, other])
    assert [sample["messages"] for sample in made] == [WHOLE, [*WHOLE[:3], {"role": "assistant", "content": "z"}]]


def test_instructions_are_those_of_the_last_request():
    old, new = {**FIRST["request"], "instructions": "Old."}, {**SECOND["request"], "instructions": "New."}
    record = [{**FIRST, "request": old}, {**SECOND, "request": new}]
    assert samples("responses", record)[0]["messages"] == [{"role": "system", "content": "New."}, *WHOLE]
    assert fates("responses", record) == [
        ("$[0].request.instructions", "dropped", "instructions that a later request replaces", True)
    ]


def test_continuation_of_what_is_not_there_is_refused():
    refusal = read_whole(FORMATS["responses"], SECOND).refusal
    assert refusal is not None
    assert refusal.says == "it continues the response 'r1', which no record before it holds"


def test_conversation_object_is_joined_by_its_id():
    first, second = (
        leg("r1", None, "x", CALLS, conversation="c1"),
        leg("r2", None, [RESULT], SAYS, conversation={"id": "c1"}),
    )
    assert joined_lines([first, second]) == [[first, second]]
    assert samples("responses", [first, second])[0]["messages"] == WHOLE
    refusal = read_whole(FORMATS["responses"], second).refusal
    assert refusal is not None
    assert refusal.says == "it continues the conversation 'c1', which no record before it holds"


def test_ids_do_not_join_records_of_different_sources():
    lines = [{"source_file": "a", **FIRST}, {"source_file": "b", **SECOND}]
    assert joined_lines(lines) == [[lines[0]], [lines[1]]]


# Streams.


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", **fields}


def stream(cuts: list[int], *, ids: bool = True, ended: bool = True) -> list[dict[str, Any]]:
    """A reasoned call as events, its arguments cut at some places; without its items in the last event."""
    made = [event("created", response={"id": "r1", "object": "response", "output": [], "model": "m"})]
    made.append(event("output_item.added", output_index=0, item=item("reasoning", summary=[])))
    made += [event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta=char) for char in "th"]
    made.append(event("output_item.added", output_index=1, item={**CALLS, "arguments": "", "id": "f0"}))
    text = '{"a": 1}'
    for n, (start, end) in enumerate(zip([0, *cuts], [*cuts, len(text)], strict=True)):
        named = {"item_id": f"f{n}"} if ids else {}
        made.append(event("function_call_arguments.delta", output_index=1, delta=text[start:end], **named))
    if ended:
        made.append(event("completed", response={"id": "r2", "object": "response", "output": [], "model": "m"}))
    return made


STREAMED = [{"role": "assistant", "content": "", "reasoning_content": "th", "tool_calls": [CALLED]}]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 8)).map(sorted), st.booleans())
def test_stream_split_elsewhere_gives_the_same_sample(cuts: list[int], ids: bool):
    (made,) = samples("responses", stream(cuts, ids=ids))
    assert made["messages"] == STREAMED
    assert made["metadata"] == {"model": "m"}


def test_last_response_of_a_stream_counts_before_its_pieces():
    events = [*stream([3], ended=False), event("completed", response=answer(SAYS))]
    assert samples("responses", events)[0]["messages"] == [{"role": "assistant", "content": "y"}]


def test_stream_that_breaks_off_is_unfinished():
    (made,) = samples("responses", stream([3], ended=False))
    assert made["messages"] == STREAMED
    assert made["metadata"] == {"model": "m", "finish_reason": "unfinished"}


def test_call_whose_arguments_never_began_is_left_out():
    events = stream([], ended=False)[:-1]
    assert samples("responses", events)[0]["messages"] == [
        {"role": "assistant", "content": "", "reasoning_content": "th"}
    ]


@pytest.mark.parametrize(
    ("events", "says"),
    [
        (
            [event("created", response={}), {"type": "error", "sequence_number": 1, "error": {"message": "no money"}}],
            "the stream ends in an error: no money",
        ),
        (
            [event("created", response={}), event("failed", response={"error": {"message": "no money"}})],
            "the stream ends in an error: no money",
        ),
        ([event("created", response={}), event("in_progress", response={})], "the stream holds no answer"),
    ],
)
def test_stream_without_an_answer_is_refused(events: list[Any], says: str):
    refusal = read_whole(FORMATS["responses"], events).refusal
    assert refusal is not None
    assert refusal.says == says


def test_lines_of_two_streams_are_two_records():
    one, two = stream([2]), stream([5], ended=False)
    assert joined_lines([*one, *two, *one]) == [one, two, one]


# Codex rollouts.


def line(kind: str, **payload: Any) -> dict[str, Any]:
    return {"timestamp": "t", "type": kind, "payload": payload}


def message_line(role: str, text: str) -> dict[str, Any]:
    return line("response_item", type="message", role=role, content=[{"type": "input_text", "text": text}])


META = line("session_meta", id="s", cwd="/", base_instructions={"text": "Be brief."})
ASKED = message_line("user", "x")
CALLED_LINE, RESULT_LINE, SAID_LINE = (line("response_item", **one) for one in (CALLS, RESULT, SAYS))
SYSTEM = {"role": "system", "content": "Be brief."}


def test_rollout_is_the_conversation_of_its_items():
    echo = line("event_msg", type="user_message", message="x")
    record = [META, ASKED, echo, CALLED_LINE, RESULT_LINE, SAID_LINE, line("turn_context", model="m")]
    assert samples("codex", record) == [
        {"messages": [SYSTEM, *WHOLE], "id": "s", "metadata": {"cwd": "/", "model": "m"}},
    ]
    assert fates("codex", record) == [
        ("$[2]", "merged", "repeats an item for the screen", False),
        ("$[6]", "dropped", "settings of the session", False),
    ]


def test_rollout_keeps_the_place_of_a_message_between_call_and_result():
    record = [META, ASKED, CALLED_LINE, message_line("developer", "Approved."), RESULT_LINE]
    turns = samples("codex", record)[0]["messages"]
    assert [turn["role"] for turn in turns] == ["system", "user", "assistant", "system", "tool"]


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ("1", "1"),
        ('{"output": "1", "metadata": {}}', '{"output": "1", "metadata": {}}'),
        ({"content": "1", "success": True}, "1"),
        ({"output": "1"}, '{"output": "1"}'),
        ([{"type": "input_text", "text": "1"}], "1"),
    ],
)
def test_rollout_result_is_what_the_model_saw_of_it(output: Any, content: str):
    record = [META, ASKED, CALLED_LINE, line("response_item", **{**RESULT, "output": output})]
    assert samples("codex", record)[0]["messages"][-1]["content"] == content


def test_compaction_without_its_history_leaves_out_what_follows():
    record = [META, ASKED, SAID_LINE, line("compacted", message="Summary."), ASKED, SAID_LINE]
    (made,) = samples("codex", record)
    assert made["messages"] == [SYSTEM, {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert [fate[2:] for fate in fates("codex", record)] == [
        ("a summary in place of a history that is not recorded", True),
        ("behind a compaction whose new history is not recorded", True),
        ("behind a compaction whose new history is not recorded", True),
    ]


def test_compaction_at_the_end_is_no_sample():
    record = [META, ASKED, SAID_LINE, line("compacted", message="", replacement_history=[ASKED["payload"]])]
    assert len(samples("codex", record)) == 1
    assert fates("codex", record) == [
        ("$[3].payload.replacement_history[0]", "dropped", "a history that no model was asked with", False)
    ]


def test_rollback_at_the_end_is_no_sample():
    back = line("event_msg", type="thread_rolled_back", num_turns=1)
    echo = line("event_msg", type="user_message", message="x")
    record = [META, ASKED, echo, SAID_LINE, back]
    assert [len(sample["messages"]) for sample in samples("codex", record)] == [3]


def test_instructions_of_older_rollouts_are_the_system_turn_unless_an_item_holds_them():
    older = line("session_meta", id="s", instructions="Be brief.")
    assert samples("codex", [older, ASKED])[0]["messages"][0] == SYSTEM
    repeated = message_line("user", "<user_instructions>\nBe brief.\n</user_instructions>")
    assert [turn["role"] for turn in samples("codex", [older, repeated, ASKED])[0]["messages"]] == ["user", "user"]


@pytest.mark.parametrize(
    ("first", "second", "one"),
    [
        (META, line("session_meta", id="s"), True),
        (META, line("session_meta", id="other"), False),
        (line("session_meta", id="s", forked_from_id="other"), line("session_meta", id="other"), True),
        (META, {"type": "new_in_some_version", "payload": {}}, True),
        (META, {"type": "message", "role": "user"}, False),
    ],
)
def test_line_goes_on_with_a_session(first: Any, second: Any, one: bool):
    joins = FORMATS["codex"].joins
    assert joins is not None
    assert joins((), first)
    assert joins([first, ASKED], second) is one


def test_rollout_without_a_turn_is_refused():
    refusal = read_whole(FORMATS["codex"], [META, line("turn_context", model="m")]).refusal
    assert refusal is not None
    assert refusal.says == "no line of the rollout is a turn of a chat"


# The state of a run of the OpenAI Agents SDK.


def state(*generated: Any, **fields: Any) -> dict[str, Any]:
    return {"$schemaVersion": "1.13", "original_input": "x", "generated_items": list(generated), **fields}


def wrapped(kind: str, raw: Any) -> dict[str, Any]:
    return {"type": kind, "raw_item": raw, "agent": {"name": "a"}}


def test_items_of_a_run_are_one_conversation():
    items = [("tool_call_item", CALLS), ("tool_call_output_item", RESULT), ("message_output_item", SAYS)]
    record = state(*(wrapped(*one) for one in items), model_responses=[{"output": [CALLS]}, {"output": [SAYS]}])
    assert samples("openai_agents", record)[0]["messages"] == WHOLE
    assert [fate[:2] for fate in fates("openai_agents", record)] == [
        ("$.model_responses[0].output[0]", "merged"),
        ("$.model_responses[1].output[0]", "merged"),
    ]


def test_call_that_waits_for_approval_is_one_call():
    waits = wrapped("tool_approval_item", CALLS)
    for record in (state(wrapped("tool_call_item", CALLS), waits), state(waits)):
        assert samples("openai_agents", record)[0]["messages"] == WHOLE[:2]


def test_item_that_the_history_lost_is_told():
    record = state(wrapped("message_output_item", SAYS), session_items=[wrapped("tool_call_item", CALLS)])
    assert fates("openai_agents", record) == [
        ("$.session_items[0]", "dropped", "an item that the history of the run does not hold", True)
    ]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (state(**{"$schemaVersion": "999.0"}), "schema version '999.0' of a RunState is not known"),
        (state(**{"$schemaVersion": 1}), "schema version 1 of a RunState is not known"),
        (state({"type": "tool_call_item"}), "an item of the run has no raw_item"),
        (state(original_input=[]), "no event of the record is a turn of a chat"),
    ],
)
def test_state_without_an_exact_reading_is_refused(record: Any, says: str):
    refusal = read_whole(FORMATS["openai_agents"], record).refusal
    assert refusal is not None
    assert refusal.says == says


# Properties.


PAIR = [
    (item("function_call", name="f", arguments="{}", call_id=c), item("function_call_output", call_id=c, output=c))
    for c in "abc"
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_results_in_any_order_are_the_same_sample_once_shaped(order: tuple[int, ...]):
    items = [{"role": "user", "content": "x"}, *(asked for asked, _ in PAIR), *(PAIR[i][1] for i in order)]
    (found,) = FORMATS["responses"].read({"input": items, "tools": [FLAT]}).conversations
    shaped_one, _ = shaped(found, Transcript(found.sample, Settings()), Settings())
    assert [turn.get("content") for turn in shaped_one.sample["messages"]] == ["x", "", "a", "b", "c"]


@pytest.mark.parametrize("given_arguments", ['{"a": 1}', '{"a":1}', '"{\\"a\\": 1}"', {"a": 1}])
def test_arguments_in_any_encoding_are_the_same_sample(given_arguments: Any):
    assert samples("responses", {"items": [{**CALLS, "arguments": given_arguments}]})[0]["messages"] == WHOLE[1:2]


# Real traces.


@needs_real_data
@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("nemo-gym", {"records": 70, "samples": 70, "messages": 716}),
        (
            "pydantic-ai/openai-responses.jsonl",
            {"records": 146, "samples": 138, "messages": 505, "refused": 8, "lossy": 53},
        ),
        ("simonw-llm/openai-responses.jsonl", {"records": 13, "samples": 13, "messages": 48, "lossy": 7}),
        (
            "vercel-ai/openai/src/responses/__fixtures__/openai-*.chunks.txt",
            {"records": 26, "samples": 19, "messages": 19, "refused": 7, "lossy": 8},
        ),
    ],
)
def test_real_responses_are_read_whole(source: str, counts: dict[str, int]):
    seen: Counter[str] = Counter()
    for record in records_of(TRACES / source):
        if record.fault is not None or recognised(record.data) != ["responses"]:
            continue
        reading = read_whole(FORMATS["responses"], record.data)
        seen["records"] += 1
        seen["refused"] += reading.refusal is not None
        seen["samples"] += len(reading.conversations)
        seen["lossy"] += any(event.loses for event in reading.aside)
        for conversation in reading.conversations:
            assert [error.message for error in schema().iter_errors(conversation.sample)] == []
            assert conversation.sample["messages"][0]["role"] != "tool"
            seen["messages"] += len(conversation.sample["messages"])
    assert {key: n for key, n in seen.items() if n} == counts


@needs_real_data
def test_real_run_states_are_read_whole():
    seen: Counter[str] = Counter()
    for record in records_of(TRACES / "openai-agents-runstate"):
        assert recognised(record.data) == ["openai_agents"]
        reading = read_whole(FORMATS["openai_agents"], record.data)
        (conversation,) = reading.conversations
        assert conversation.sample["messages"][0] == {"role": "user", "content": "historical input"}
        seen.update(event.fate for event in reading.aside)
        seen["messages"] += len(conversation.sample["messages"])
    assert seen == {"messages": 10, "merged": 7, "dropped": 4}
