"""Traces of agent frameworks: Inspect, LangChain, Pydantic AI, the Vercel AI SDK and AutoGen."""

from collections import Counter
from typing import Any

import pytest
from reading import FORMATS, fates, read_whole, recognised, records_of, samples
from real import TRACES, needs_real_data

from qwen_sft.sample import json_path


def messages(name: str, record: Any) -> list[Any]:
    """The messages of the one sample that a record comes to."""
    (sample,) = samples(name, record)
    return sample["messages"]


def refusal(name: str, record: Any) -> tuple[str, str]:
    found = read_whole(FORMATS[name], record).refusal
    assert found
    return json_path(found.path), found.says


def said_call(name: str, arguments: Any, call_id: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if call_id is None else {**made, "id": call_id}


def totals(name: str, source: str) -> dict[str, Any]:
    """What a source of real traces comes to: records by format, samples, messages, and what was not kept."""
    seen: Counter[Any] = Counter()
    for record in records_of(TRACES / source):
        found = recognised(record.data) or ["unrecognised"]
        seen.update(found)
        if name in found:
            reading = read_whole(FORMATS[name], record.data)
            seen["samples"] += len(reading.conversations)
            seen["messages"] += sum(len(one.sample["messages"]) for one in reading.conversations)
            seen.update((event.fate, event.reason) for event in reading.aside)
            seen.update([reading.refusal.says] if reading.refusal else [])
    return dict(seen)


# Inspect.

U1 = {"id": "u1", "role": "user", "content": "x"}
A1 = {"id": "a1", "role": "assistant", "content": "y"}
U2 = {"id": "u2", "role": "user", "content": "z"}
A2 = {"id": "a2", "role": "assistant", "content": "w"}


def inspect_sample(*given: Any, **fields: Any) -> dict[str, Any]:
    return {"id": 1, "epoch": 1, "target": "", "messages": list(given), **fields}


def model_event(asked: list[Any], answer: Any, **fields: Any) -> dict[str, Any]:
    return {"event": "model", "input": asked, "output": {"choices": [{"message": answer}]}, **fields}


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (
            {"role": "assistant", "content": [{"type": "reasoning", "reasoning": "t"}, {"type": "text", "text": "y"}]},
            [{"role": "assistant", "content": "y", "reasoning_content": "t"}],
        ),
        (
            {"role": "assistant", "content": "y", "reasoning": "t"},
            [{"role": "assistant", "content": "y", "reasoning_content": "t"}],
        ),
        (
            {"role": "assistant", "content": [{"type": "text", "text": "y"}, {"type": "reasoning", "reasoning": "t"}]},
            [
                {"role": "assistant", "content": "y"},
                {"role": "assistant", "content": "", "reasoning_content": "t"},
            ],
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [{"id": "c", "function": "f", "arguments": {"a": 1}}]},
            [{"role": "assistant", "content": "", "tool_calls": [said_call("f", {"a": 1}, "c")]}],
        ),
        (
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "c",
                        "function": "f",
                        "arguments": {},
                        "parse_error": "Error parsing the following tool call arguments:\n\n{'a'\n\nError details: e",
                    }
                ],
            },
            [{"role": "assistant", "content": "", "tool_calls": [said_call("f", "{'a'", "c")]}],
        ),
        (
            {"role": "tool", "content": "", "tool_call_id": "c", "function": "f", "error": {"message": "too slow"}},
            [{"role": "tool", "content": "too slow", "tool_call_id": "c", "name": "f"}],
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image", "image": "attachment://i"}]},
            [{"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image", "image": "data:,"}]}],
        ),
    ],
)
def test_inspect_message_becomes_a_turn(given: Any, made: Any):
    assert messages("inspect_ai", inspect_sample(given, attachments={"i": "data:,"})) == made


def test_inspect_sample_that_lacks_a_text_is_no_sample():
    missing = {"role": "user", "content": "attachment://" + "0" * 32}
    says = "a text of the sample is an attachment that the Inspect log does not hold"
    assert refusal("inspect_ai", inspect_sample(missing, A1)) == ("$", says)
    log = {"version": 2, "status": "success", "eval": {}, "samples": [inspect_sample(missing), inspect_sample(U1, A1)]}
    assert len(samples("inspect_ai", log)) == 1
    assert fates("inspect_ai", log) == [("$.samples[0].messages[0]", "dropped", says, True)]


def test_inspect_reasoning_that_is_encrypted_is_lost_and_said_so():
    hidden = {"type": "reasoning", "reasoning": "gAAA", "redacted": True}
    record = inspect_sample(U1, {"role": "assistant", "content": [hidden, {"type": "text", "text": "y"}]})
    assert messages("inspect_ai", record)[1] == {"role": "assistant", "content": "y"}
    assert fates("inspect_ai", record) == [
        ("$.messages[1].content[0]", "dropped", "reasoning that is encrypted or empty", True),
        ("$.messages[1].content[1]", "merged", "a part of its message", False),
    ]


def test_inspect_calls_of_a_model_that_the_messages_repeat_are_merged():
    record = inspect_sample(U1, A1, U2, A2, events=[model_event([U1], A1), model_event([U1, A1, U2], A2)])
    assert [turn["content"] for turn in messages("inspect_ai", record)] == ["x", "y", "z", "w"]
    reason = "a call of the model whose answer is in the messages"
    assert fates("inspect_ai", record) == [(f"$.events[{i}]", "merged", reason, False) for i in (0, 1)]


def test_inspect_messages_end_where_a_compacted_history_goes_on_apart():
    summary = {"id": "s", "role": "user", "content": "so far: x, y"}
    compacted = [model_event([U1], A1), model_event([summary, U2], A2)]
    first, then = samples("inspect_ai", inspect_sample(U1, A1, U2, A2, events=compacted))
    assert [turn["content"] for turn in first["messages"]] == ["x", "y", "z"]
    assert [turn["content"] for turn in then["messages"]] == ["so far: x, y", "z", "w"]


def test_inspect_scorers_call_of_a_model_is_no_sample():
    graded = [
        {"event": "span_begin", "id": "s", "type": "scorer"},
        model_event([U2], A2, span_id="s"),
        model_event([U2], {**A2, "id": "a3"}, role="grader"),
    ]
    record = inspect_sample(U1, A1, events=graded)
    assert len(samples("inspect_ai", record)) == 1
    assert [fate[1:3] for fate in fates("inspect_ai", record)] == [("dropped", "a scorer's call of a model")] * 2


@pytest.mark.parametrize(
    ("scores", "labels"),
    [
        ({"match": {"value": "C"}}, {"reward": 1.0, "success": True, "score_match": "C"}),
        ({"match": {"value": "P"}}, {"reward": 0.5, "score_match": "P"}),
        ({"a": {"value": 0.25}, "b": {"value": "I"}}, {"reward": 0.25, "score_a": 0.25, "score_b": "I"}),
        ({"a": {"value": {"x": 1}}}, {}),
    ],
)
def test_inspect_scores_are_labels(scores: Any, labels: Any):
    (sample,) = samples("inspect_ai", inspect_sample(U1, A1, scores=scores))
    assert sample.get("metadata", {}) == labels


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"version": 2, "status": "error", "eval": {}}, "the Inspect log holds no samples"),
        (
            {"version": 2, "status": "error", "eval": {}, "samples": [inspect_sample()]},
            "no sample of the Inspect log has a message",
        ),
        (
            [{"event": "state", "timestamp": "", "working_start": 0}],
            "these are events of an Inspect log, without their sample",
        ),
    ],
)
def test_inspect_log_without_messages_is_refused(record: Any, says: str):
    assert recognised(record) == ["inspect_ai"]
    assert refusal("inspect_ai", record) == ("$", says)


@needs_real_data
def test_real_inspect_logs():
    assert totals("inspect_ai", "inspect-ai/**/*log*/**/*.json") == {
        "inspect_ai": 4,
        "samples": 6,
        "messages": 26,
        ("merged", "a call of the model whose answer is in the messages"): 5,
        ("merged", "a part of its message"): 2,
    }


# LangChain.


def lc(kind: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": fields}


def chunk(content: Any = "", pieces: Any = (), own: str = "r1", **extra: Any) -> list[Any]:
    fields = {"content": content, "id": own, "tool_call_chunks": list(pieces), "additional_kwargs": extra}
    return ["messages", [lc("AIMessageChunk", **fields), {"langgraph_node": "agent"}]]


LC_CALL = {"name": "f", "args": {"a": 1}, "id": "c"}
CALLED = said_call("f", {"a": 1}, "c")
HUMAN = lc("HumanMessage", content="x", id="h")


@pytest.mark.parametrize(
    ("fields", "turns"),
    [
        ({"content": "y", "tool_calls": [LC_CALL]}, [{"content": "y", "tool_calls": [CALLED]}]),
        (
            {"content": [{"type": "text", "text": "y"}, {"type": "tool_use", "id": "c", "name": "f", "input": {}}]}
            | {"tool_calls": [LC_CALL]},
            [{"content": "y", "tool_calls": [CALLED]}],
        ),
        (
            {
                "content": [
                    {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}},
                    {"type": "text", "text": "y"},
                ]
            },
            [{"content": "", "tool_calls": [CALLED]}, {"content": "y"}],
        ),
        (
            {"content": [{"type": "reasoning", "reasoning": "t"}, {"type": "tool_call", **LC_CALL}]},
            [{"content": "", "reasoning_content": "t", "tool_calls": [CALLED]}],
        ),
        (
            {"content": [{"type": "function_call", "name": "f", "arguments": '{"a": 1}', "call_id": "c", "id": "fc"}]},
            [{"content": "", "tool_calls": [CALLED]}],
        ),
        (
            {"content": "", "additional_kwargs": {"reasoning": {"summary": [{"text": "t"}, {"text": "u"}]}}},
            [{"content": "", "reasoning_content": "t\nu"}],
        ),
        (
            {"content": [{"type": "reasoning_content", "reasoning_content": {"text": "t"}}, "y"]},
            [{"content": "y", "reasoning_content": "t"}],
        ),
        (
            {"content": "", "tool_calls": [LC_CALL], "invalid_tool_calls": [{"name": "g", "args": "{", "id": "b"}]}
            | {"additional_kwargs": {"tool_calls": [{"id": "b"}, {"id": "c"}]}},
            [{"content": "", "tool_calls": [said_call("g", "{", "b"), CALLED]}],
        ),
        (
            {
                "content": "",
                "additional_kwargs": {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": '{"a": 1}'}}]},
            },
            [{"content": "", "tool_calls": [CALLED]}],
        ),
        (
            {"content": [{"type": "image_url", "image_url": {}}]},
            [{"content": [{"type": "image_url", "image_url": {}}]}],
        ),
    ],
)
@pytest.mark.parametrize("shape", ["dump", "dict", "flat", "chunk"])
def test_langchain_answer_becomes_a_turn_however_it_was_serialised(fields: Any, turns: Any, shape: str):
    given = {
        "dump": lc("AIMessage", **fields),
        "dict": {"type": "ai", "data": fields},
        "flat": {"type": "ai", **fields},
        "chunk": {"type": "AIMessageChunk", **fields},
    }[shape]
    assert messages("langchain", {"messages": [given]}) == [{"role": "assistant", **turn} for turn in turns]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": "human", "content": "x"}, {"role": "user", "content": "x"}),
        (lc("ChatMessage", role="critic", content="x"), {"role": "critic", "content": "x"}),
        (
            {"type": "tool", "content": ["1", "2"], "tool_call_id": "c", "name": "f", "artifact": {}},
            {"role": "tool", "content": "1\n2", "tool_call_id": "c", "name": "f"},
        ),
        (lc("FunctionMessage", name="f", content="1"), {"role": "tool", "content": "1", "name": "f"}),
    ],
)
def test_langchain_message_has_its_role(given: Any, made: Any):
    assert messages("langchain", [given]) == [made]
    assert messages("langchain", given) == [made]


def test_langchain_reasoning_that_is_encrypted_is_lost_and_said_so():
    record = [lc("AIMessage", content=[{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "y"}])]
    assert messages("langchain", record) == [{"role": "assistant", "content": "y"}]
    assert fates("langchain", record)[0] == ("$[0].kwargs.content[0]", "dropped", "reasoning that is encrypted", True)


PIECES = [
    {"index": 0, "id": "c", "name": "f", "args": '{"a"'},
    {"index": 0, "id": None, "name": None, "args": ": 1}"},
    {"index": 1, "id": "d", "name": "g", "args": ""},
]
BOTH = [CALLED, said_call("g", {}, "d")]


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk("y", PIECES, reasoning_content="t")],
        [chunk(reasoning_content="t"), chunk("y"), *(chunk(pieces=[piece]) for piece in PIECES), chunk()],
        [
            chunk([{"type": "thinking", "thinking": "t", "index": 0}]),
            chunk([{"type": "text", "text": "y", "index": 1}]),
            chunk([{"type": "input_json_delta", "index": 2}], PIECES),
        ],
        [
            chunk([{"type": "text", "text": part, "index": 1}], reasoning_content="t"[k:])
            for k, part in enumerate(["", "y"])
        ]
        + [chunk(pieces=PIECES[:1]), chunk(pieces=PIECES[1:])],
    ],
)
def test_langgraph_chunks_come_to_the_same_turn_wherever_they_were_cut(chunks: Any):
    turn = {"role": "assistant", "content": "y", "reasoning_content": "t", "tool_calls": BOTH}
    assert messages("langchain", chunks) == [turn]


FULL = lc("AIMessage", content="y", id="r1")


@pytest.mark.parametrize(
    "stream",
    [
        [["values", {"messages": [HUMAN]}], chunk("y")],
        [["values", {"messages": [HUMAN]}], chunk("y"), ["values", {"messages": [HUMAN, FULL]}]],
        [["updates", {"start": {"messages": HUMAN}}], chunk("y"), ["updates", {"agent": {"messages": [FULL]}}]],
        [["updates", {"start": {"messages": [HUMAN]}}], ["updates", {"agent": None}], chunk("y")],
        [[[], "values", {"messages": [HUMAN]}], [["agent:1"], "messages", chunk("y")[1]]],
        [
            {"event": "metadata", "data": {"run_id": "r"}},
            {"event": "values", "data": {"messages": [HUMAN]}},
            {"event": "messages/partial", "data": [lc("AIMessageChunk", content="so far", id="r1")]},
            {"event": "messages/partial", "data": [FULL]},
            {"event": "end", "data": None},
        ],
    ],
)
def test_langgraph_modes_that_say_the_same_are_read_once(stream: Any):
    assert [(turn["role"], turn["content"]) for turn in messages("langchain", stream)] == [
        ("user", "x"),
        ("assistant", "y"),
    ]
    assert not any(loses for *_, loses in fates("langchain", stream))
    assert all(FORMATS["langchain"].joins(stream[:k], line) for k, line in enumerate(stream))


def test_langgraph_answer_behind_the_last_state_is_unfinished():
    (sample,) = samples("langchain", [["values", {"messages": [HUMAN]}], chunk("y")])
    assert sample["metadata"] == {"finish_reason": "unfinished"}


def test_langgraph_state_that_was_shortened_begins_another_sample():
    summary = lc("SystemMessage", content="so far: x", id="s")
    stream = [["values", {"messages": [HUMAN, FULL]}], ["values", {"messages": [summary]}]]
    stream += [["values", {"messages": [summary, lc("AIMessage", content="z", id="r2")]}]]
    assert [[turn["content"] for turn in one["messages"]] for one in samples("langchain", stream)] == [
        ["x", "y"],
        ["so far: x", "z"],
    ]


def test_langgraph_message_of_a_sub_graph_is_lost_and_said_so():
    stream = [["values", {"messages": [HUMAN]}], chunk("hidden", own="r0"), ["values", {"messages": [HUMAN, FULL]}]]
    assert len(messages("langchain", stream)) == 2
    reason = "a message that is in no state of the stream, such as a sub-graph's"
    assert ("$[1][1]", "dropped", reason, True) in fates("langchain", stream)


@pytest.mark.parametrize(
    "record",
    [
        {"type": "system", "content": "x", "uuid": "u"},
        {"type": "user", "content": "x"},
        ["values", {}],
        {"messages": [{"role": "user", "type": "human", "content": "x"}]},
    ],
)
def test_langchain_recognises_only_its_own(record: Any):
    assert "langchain" not in recognised(record)


@needs_real_data
def test_real_langgraph_stream():
    assert totals("langchain", "vercel-ai/langchain") == {
        "langchain": 1,
        "samples": 1,
        "messages": 5,
        ("merged", "the same message once more, or a piece of it"): 176,
        ("dropped", "a piece that says nothing"): 1,
    }


# Pydantic AI.


def request(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"kind": "request", "parts": list(parts), **fields}


def response(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"kind": "response", "parts": list(parts), **fields}


def part(kind: str, content: Any = None, **fields: Any) -> dict[str, Any]:
    return {"part_kind": kind, "content": content, **fields}


PROMPT = part("user-prompt", "x")
MADE_CALL = part("tool-call", tool_name="f", args={"a": 1}, tool_call_id="c")


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (part("user-prompt", ["x", {"kind": "text-content", "content": "y"}]), {"role": "user", "content": "x\ny"}),
        (
            part("user-prompt", ["x", {"kind": "image-url", "url": "u"}, {"kind": "cache-point"}]),
            {"role": "user", "content": ["x", {"type": "image-url", "kind": "image-url", "url": "u"}]},
        ),
        (
            part("tool-return", {"a": [1, None]}, tool_name="f", tool_call_id="c"),
            {"role": "tool", "content": '{"a":[1,null]}', "tool_call_id": "c", "name": "f"},
        ),
        (part("tool-return", None, tool_name="f"), {"role": "tool", "content": "", "name": "f"}),
        (
            part("retry-prompt", "no", tool_name="f", tool_call_id="c"),
            {"role": "tool", "content": "no\n\nFix the errors and try again.", "tool_call_id": "c", "name": "f"},
        ),
        (
            part("retry-prompt", "no", tool_name=None),
            {"role": "user", "content": "Validation feedback:\nno\n\nFix the errors and try again."},
        ),
    ],
)
def test_pydantic_ai_part_of_a_request_is_a_turn(given: Any, made: Any):
    assert messages("pydantic_ai", [request(given)]) == [made]
    assert messages("pydantic_ai", request(given)) == [made]


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}', '{"a":1}'])
def test_pydantic_ai_response_is_one_turn(arguments: Any):
    said = [part("thinking", "t"), part("text", "y"), {**MADE_CALL, "args": arguments}]
    turn = {"role": "assistant", "content": "y", "reasoning_content": "t", "tool_calls": [CALLED]}
    assert messages("pydantic_ai", [request(PROMPT), response(*said)])[1:] == [turn]
    assert messages("pydantic_ai", [request(PROMPT), response(said[1]), response(said[2])])[1:] == [
        {"role": "assistant", "content": "y"},
        {"role": "assistant", "content": "", "tool_calls": [CALLED]},
    ]


def test_pydantic_ai_what_no_chat_can_hold_is_lost_and_said_so():
    said = [part("thinking", "", signature="x"), part("builtin-tool-call", tool_name="web"), part("text", "y")]
    record = [request(PROMPT), response(*said)]
    assert messages("pydantic_ai", record)[1] == {"role": "assistant", "content": "y"}
    assert fates("pydantic_ai", record) == [
        ("$[1].parts[0]", "dropped", "reasoning that is encrypted", True),
        ("$[1].parts[1]", "dropped", "a part of the kind 'builtin-tool-call' has no place in a chat", True),
    ]


def test_pydantic_ai_instructions_are_part_of_one_system_message():
    first = request(part("system-prompt", "s"), part("system-prompt", "t"), PROMPT, instructions="i")
    record = [first, response(part("text", "y")), request(PROMPT, instructions="i"), request(PROMPT, instructions="j")]
    assert [turn["content"] for turn in messages("pydantic_ai", record)] == ["s\n\nt\n\ni", "x", "y", "x", "x"]
    one = "joined to the system prompt before it, as Pydantic AI does for an API that takes one"
    assert fates("pydantic_ai", record) == [
        ("$[0].parts[1]", "merged", one, False),
        ("$[0].instructions", "merged", one, False),
        ("$[2].instructions", "merged", "repeats the instructions", False),
        ("$[3].instructions", "dropped", "instructions that differ from those at the start", True),
    ]
    assert messages("pydantic_ai", [request(PROMPT, instructions="i")])[0] == {"role": "system", "content": "i"}


# The Vercel AI SDK.


def ui(role: str, *parts: Any) -> dict[str, Any]:
    return {"id": "m", "role": role, "parts": list(parts)}


def ui_text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


UI_CALL = {"type": "tool-f", "toolCallId": "c", "state": "output-available", "input": {"a": 1}, "output": {"b": 2}}
STEP = {"type": "step-start"}
CALL_TURN = {"role": "assistant", "content": "", "tool_calls": [CALLED]}
RESULT_TURN = {"role": "tool", "content": '{"b":2}', "tool_call_id": "c", "name": "f"}


@pytest.mark.parametrize(
    ("parts", "turns"),
    [
        (
            [STEP, {"type": "reasoning", "text": "t"}, UI_CALL, STEP, ui_text("y")],
            [{**CALL_TURN, "reasoning_content": "t"}, RESULT_TURN, {"role": "assistant", "content": "y"}],
        ),
        ([{**UI_CALL, "type": "dynamic-tool", "toolName": "f"}], [CALL_TURN, RESULT_TURN]),
        (
            [{**UI_CALL, "state": "output-error", "output": None, "errorText": "no"}],
            [CALL_TURN, {**RESULT_TURN, "content": "no"}],
        ),
        ([{**UI_CALL, "state": "input-available"}], [CALL_TURN]),
        (
            [UI_CALL, {**UI_CALL, "toolCallId": "d"}],
            [
                {**CALL_TURN, "tool_calls": [CALLED, {**CALLED, "id": "d"}]},
                RESULT_TURN,
                {**RESULT_TURN, "tool_call_id": "d"},
            ],
        ),
        (
            [{**UI_CALL, "providerExecuted": True}, ui_text("y")],
            [CALL_TURN, RESULT_TURN, {"role": "assistant", "content": "y"}],
        ),
        (
            [{"type": "tool-invocation", "toolInvocation": {"toolName": "f", "toolCallId": "c", "args": {"a": 1}}}],
            [CALL_TURN],
        ),
        ([ui_text("y"), ui_text("z"), {"type": "data-chart", "data": {}}], [{"role": "assistant", "content": "y\nz"}]),
    ],
)
def test_ui_message_is_a_turn_for_each_step_and_its_results(parts: Any, turns: Any):
    assert messages("vercel_ai", [ui("user", ui_text("x")), ui("assistant", *parts)])[1:] == turns


@pytest.mark.parametrize(
    ("output", "content"),
    [
        ({"output": {"type": "text", "value": "1"}}, "1"),
        ({"output": {"type": "json", "value": {"a": 1}}}, '{"a":1}'),
        ({"output": {"type": "error-text", "value": "no"}}, "no"),
        ({"output": {"type": "content", "value": [{"type": "text", "text": "1"}]}}, "1"),
        ({"output": {"type": "execution-denied", "reason": "never"}}, "never"),
        ({"result": [1]}, "[1]"),
        ({"result": "1"}, "1"),
    ],
)
def test_model_message_holds_calls_and_results(output: Any, content: str):
    asked = {"type": "tool-call", "toolCallId": "c", "toolName": "f", "input": {"a": 1}}
    result = {"type": "tool-result", "toolCallId": "c", "toolName": "f", **output}
    record = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [{"type": "reasoning", "text": "t"}, asked]},
        {"role": "tool", "content": [result]},
    ]
    assert messages("vercel_ai", record) == [
        {"role": "user", "content": "x"},
        {**CALL_TURN, "reasoning_content": "t"},
        {**RESULT_TURN, "content": content},
    ]


def span(operation: str, trace: str = "t", **fields: Any) -> dict[str, Any]:
    return {"name": operation, "traceId": trace, "attributes": {"ai.operationId": operation, **fields}}


ASKED = '[{"role": "user", "content": "x"}]'
SPAN_CALLS = '[{"toolCallId": "c", "toolName": "f", "args": "{\\"a\\": 1}"}]'


def test_span_that_runs_a_tool_holds_the_result_that_no_later_call_repeats():
    first = span("ai.generateText.doGenerate", **{"ai.prompt.messages": ASKED, "ai.response.toolCalls": SPAN_CALLS})
    fields = {"ai.toolCall.name": "f", "ai.toolCall.id": "c", "ai.toolCall.result": '{"b": 2}'}
    assert messages("vercel_ai", [first, span("ai.toolCall", **fields)])[1:] == [CALL_TURN, RESULT_TURN]


def test_outer_span_alone_is_a_sample_and_beside_its_inner_one_it_is_none():
    inner = span("ai.streamText.doStream", **{"ai.prompt.messages": ASKED, "ai.response.text": "y"})
    outer = span("ai.streamText", **{"ai.prompt": '{"prompt": "x"}', "ai.response.text": "y"})
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert messages("vercel_ai", [outer]) == turns
    assert messages("vercel_ai", [outer, inner]) == turns
    assert fates("vercel_ai", [outer, inner]) == [("$[0]", "merged", "a call that another span repeats", False)]


def test_span_of_an_embedding_is_refused():
    assert refusal("vercel_ai", span("ai.embed")) == ("$", "no span is a call of a chat model with its answer")


def test_spans_of_one_trace_and_ui_messages_are_gathered():
    joins = FORMATS["vercel_ai"].joins
    assert joins is not None
    assert joins([], span("ai.embed"))
    assert joins([span("ai.embed")], span("ai.embed"))
    assert not joins([span("ai.embed")], span("ai.embed", "another"))
    assert joins([ui("user", ui_text("x"))], ui("assistant", STEP))


@needs_real_data
def test_real_spans_of_the_vercel_sdk():
    assert totals("vercel_ai", "openinference/js/**/*v6-spans*/*.json") == {
        "vercel_ai": 9,
        "unrecognised": 1,  # a summary of the capture
        "samples": 12,
        "messages": 33,
        ("dropped", "a span that holds no call of a chat model with its answer"): 2,
        ("merged", "a call that another span repeats"): 4,
    }


# AutoGen.


def said(name: str, content: str, role: str = "user") -> dict[str, Any]:
    return {"name": name, "role": role, "content": content}


def chat_message(kind: str, source: str, content: Any, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "source": source, "content": content, **fields}


def test_group_chat_has_a_sample_for_each_agent_that_a_model_speaks_for():
    turns = [said("a", "task", "assistant"), said("b", "code"), said("terminal", "1"), said("a", "done", "assistant")]
    record = {"history": turns, "system_prompt": {"a": "A", "b": "B", "c": "C"}, "is_correct": "False"}
    first, second = samples("autogen", record)
    assert first["messages"] == [
        {"role": "system", "content": "A"},
        {"role": "assistant", "content": "task", "train": False},
        {"role": "user", "content": "code"},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "done"},
    ]
    assert [turn["role"] for turn in second["messages"]] == ["system", "user", "assistant", "user", "user"]
    assert (first["metadata"], second["metadata"]) == (
        {"success": False, "agent": "a"},
        {"success": False, "agent": "b"},
    )
    assert fates("autogen", record) == [("$.system_prompt.c", "dropped", "an agent that never speaks", False)]


def test_log_with_agents_as_roles_is_refused():
    turns = [{"role": "human", "content": "x"}, {"role": "Orchestrator (thought)", "content": "y"}]
    says = "which agent a model speaks for is not recorded: a turn has the role 'human'"
    assert refusal("autogen", {"history": turns, "mistake_agent": "x", "mistake_step": "1"}) == ("$.history[0]", says)


USAGE = {"prompt_tokens": 1, "completion_tokens": 1}
REQUESTED = [{"id": "c", "name": "f", "arguments": '{"a": 1}'}]
RETURNED = [{"call_id": "c", "name": "f", "content": "1", "is_error": False}]
AGENT_CHAT = [
    chat_message("TextMessage", "user", "x"),
    chat_message("ToolCallRequestEvent", "a", REQUESTED, models_usage=USAGE),
    chat_message("ToolCallExecutionEvent", "a", RETURNED),
    chat_message("ToolCallSummaryMessage", "a", "1"),
]


def test_agent_chat_shows_calls_and_results_to_their_agent_and_the_summary_to_others():
    alone = [
        {"role": "user", "content": "x"},
        CALL_TURN,
        {"role": "tool", "content": "1", "tool_call_id": "c", "name": "f"},
    ]
    assert messages("autogen", AGENT_CHAT) == alone
    first, second = samples("autogen", [*AGENT_CHAT, chat_message("TextMessage", "b", "y", models_usage=USAGE)])
    assert first["messages"] == [*alone, {"role": "user", "content": "y"}]
    assert [turn["content"] for turn in second["messages"]] == ["x", "1", "y"]


def test_agent_chat_thought_is_the_text_beside_calls_or_else_reasoning():
    thought = chat_message("ThoughtEvent", "a", "t")
    calls = messages("autogen", [AGENT_CHAT[0], thought, *AGENT_CHAT[1:]])
    answer = messages("autogen", [AGENT_CHAT[0], thought, chat_message("TextMessage", "a", "y")])
    assert calls[1] == {**CALL_TURN, "content": "t"}
    assert answer[1] == {"role": "assistant", "content": "y", "reasoning_content": "t"}


def test_agent_chat_in_which_no_model_speaks_is_refused():
    says = "no message of the chat is a model's: none has tokens, calls or a thought"
    assert refusal("autogen", AGENT_CHAT[:1]) == ("$", says)


def test_streamed_pieces_of_an_agent_chat_are_dropped():
    piece = chat_message("ModelClientStreamingChunkEvent", "a", "y")
    record = [AGENT_CHAT[0], piece, chat_message("TextMessage", "a", "y", models_usage=USAGE)]
    assert len(messages("autogen", record)) == 2
    assert fates("autogen", record) == [("$[1]", "dropped", "an event that no model sees", False)]


@needs_real_data
def test_real_group_chats_of_who_and_when():
    assert totals("autogen", "who-and-when/**/*.json") == {
        "autogen": 20,
        "samples": 53,
        "messages": 528,
        ("dropped", "an agent that never speaks"): 6,
    }
