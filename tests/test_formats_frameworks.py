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
        [chunk([{"type": "thinking", "thinking": "t", "index": 0}]), chunk([{"type": "text", "text": "y", "index": 1}])]
        + [chunk([{"type": "input_json_delta", "index": 2}], PIECES)],
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
        [{"event": "metadata", "data": {"run_id": "r"}}, {"event": "values", "data": {"messages": [HUMAN]}}]
        + [{"event": "messages/partial", "data": [lc("AIMessageChunk", content="so far", id="r1")]}]
        + [{"event": "messages/partial", "data": [FULL]}, {"event": "end", "data": None}],
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
