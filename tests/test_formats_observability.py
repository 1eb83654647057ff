"""Observability tools: OTLP traces, Langfuse and LangSmith exports, HTTP archives."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from reading import FORMATS, fates, read_whole, recognised, records_of, samples
from real import TRACES, needs_real_data

from qwen_sft.reading.gather import gathered
from qwen_sft.reading.recorded import answered, asked
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_object

TOOL = {
    "type": "function",
    "function": {"name": "f", "description": "F.", "parameters": {"type": "object", "properties": {"a": {}}}},
}
FLAT = {"type": "function", **TOOL["function"]}
USER = {"role": "user", "content": "x"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}, "id": "c1"}
CALLING = {"role": "assistant", "content": "", "tool_calls": [CALL]}
RESULT = {"role": "tool", "content": "1", "tool_call_id": "c1"}
ANSWER = {"role": "assistant", "content": "y"}
WHOLE = [USER, CALLING, RESULT, ANSWER]

WIRE_CALL = {"role": "assistant", "content": None, "tool_calls": [
    {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
]}  # fmt: skip


def messages(name: str, record: Any) -> list[Any]:
    return [one["messages"] for one in samples(name, record)]


def joined(name: str, rows: list[Any]) -> list[Any]:
    """The data of the records that some lines come to."""
    lines = [Record(Where("x.jsonl", i + 1, 0), row, json.dumps(row).encode()) for i, row in enumerate(rows)]
    return [record.data for record in gathered(lines, [FORMATS[name]])]


# -- OTLP --------------------------------------------------------------------------------------------------------------


def value(given: Any) -> Any:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, str):
        return {"stringValue": given}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(one) for one in given]}}
    return {"kvlistValue": {"values": attributes(given)}}


def attributes(given: dict[str, Any]) -> list[Any]:
    return [{"key": key, "value": value(one)} for key, one in given.items()]


def span(given: dict[str, Any], own: str = "s1", trace: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"traceId": trace, "spanId": own, "name": "chat", "attributes": attributes(given), **fields}


def export(*spans: dict[str, Any], scopes: str = "scopeSpans") -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {"attributes": []}, scopes: [{"scope": {}, "spans": list(spans)}]}]}


def part(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


ASKED = {"role": "user", "parts": [part("text", content="x")]}
CALLED = {"role": "assistant", "parts": [part("tool_call", id="c1", name="f", arguments={"a": 1})]}
RETURNED = {"role": "tool", "parts": [part("tool_call_response", id="c1", response="1")]}
SAID = {"role": "assistant", "parts": [part("text", content="y")], "finish_reason": "stop"}


def genai(given: Any, said: Any, *, structured: bool = False, **more: Any) -> dict[str, Any]:
    dump = (lambda one: one) if structured else json.dumps
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.input.messages": dump(given),
        "gen_ai.output.messages": dump(said),
        "gen_ai.tool.definitions": dump([FLAT]),
        **more,
    }


@pytest.mark.parametrize("structured", [False, True])
@pytest.mark.parametrize("scopes", ["scopeSpans", "instrumentationLibrarySpans", "scope_spans"])
def test_messages_of_parts_are_read_from_json_and_from_structured_values(structured: bool, scopes: str):
    data = genai([ASKED, CALLED, RETURNED], [SAID], structured=structured, **{"gen_ai.usage.input_tokens": 7})
    assert samples("otlp", export(span(data), scopes=scopes)) == [
        {
            "messages": WHOLE,
            "tools": [TOOL],
            "id": "s1",
            "metadata": {"trace_id": "t1", "input_tokens": 7, "finish_reason": "stop"},
        }
    ]


def test_parts_of_a_turn_are_one_turn_and_results_are_messages_of_their_own():
    given = [
        {"role": "system", "parts": [part("text", content="s")]},
        {"role": "user", "parts": [part("text", content="x"), part("blob", mime_type="image/png", content="aGk=")]},
        {"role": "assistant", "parts": [
            part("reasoning", content="r"), part("text", content="Wait."),
            part("tool_call", id="c1", name="f", arguments='{"a": 1}'), part("tool_call", id="c2", name="f"),
        ]},
        {"role": "user", "parts": [
            part("tool_call_response", id="c1", result=[1]), part("tool_call_response", id="c2", response=None),
            part("text", content="Go on."),
        ]},
    ]  # fmt: skip
    empty = {"type": "function", "function": {"name": "f", "arguments": {}}, "id": "c2"}
    assert messages("otlp", export(span(genai(given, [SAID])))) == [[
        {"role": "system", "content": "s"},
        {"role": "user", "content": [
            {"type": "text", "text": "x"}, {"type": "blob", "mime_type": "image/png", "content": "aGk="},
        ]},
        {"role": "assistant", "content": "Wait.", "reasoning_content": "r", "tool_calls": [CALL, empty]},
        {"role": "tool", "content": "[1]", "tool_call_id": "c1"},
        {"role": "tool", "content": "", "tool_call_id": "c2"},
        {"role": "user", "content": "Go on."},
        ANSWER,
    ]]  # fmt: skip


@pytest.mark.parametrize(
    "instructions",
    [json.dumps([{"type": "text", "content": "s"}]), "s", json.dumps([{"role": "system", "content": "s"}])],
    ids=["parts", "text", "message"],
)
def test_instructions_are_the_system_message(instructions: str):
    data = genai([ASKED], [SAID], **{"gen_ai.system_instructions": instructions})
    assert messages("otlp", export(span(data))) == [[{"role": "system", "content": "s"}, USER, ANSWER]]


def test_messages_may_stand_in_an_event_and_in_chat_form():
    body = genai([{"role": "user", "content": "x"}, WIRE_CALL, RESULT], [{"role": "assistant", "content": "y"}])
    event = {"name": "gen_ai.client.inference.operation.details", "attributes": attributes(body)}
    assert messages("otlp", export(span({}, events=[event]))) == [WHOLE]


def test_answers_that_each_say_why_they_ended_are_choices():
    other = {"role": "assistant", "parts": [part("text", content="z")], "finish_reason": "length"}
    made = samples("otlp", export(span(genai([ASKED], [SAID, other]))))
    assert [(one["messages"], one["metadata"]["finish_reason"]) for one in made] == [
        ([USER, ANSWER], "stop"),
        ([USER, {"role": "assistant", "content": "z"}], "length"),
    ]


def flattened(given: list[Any], said: list[Any], prompt: str = "gen_ai.prompt", completion: str = "gen_ai.completion"):
    made: dict[str, Any] = {}
    for prefix, turns in ((prompt, given), (completion, said)):
        for i, turn in enumerate(turns):
            calls = turn.get("tool_calls", [])
            made |= {f"{prefix}.{i}.{key}": one for key, one in turn.items() if key != "tool_calls"}
            for j, call in enumerate(calls):
                at = f"{prefix}.{i}.tool_calls.{j}"
                function = call["function"]
                made |= {f"{at}.id": call["id"], f"{at}.name": function["name"]}
                made[f"{at}.arguments"] = json.dumps(function["arguments"])
    return made


FUNCTION = {
    "llm.request.functions.0.name": "f",
    "llm.request.functions.0.description": "F.",
    "llm.request.functions.0.parameters": json.dumps(TOOL["function"]["parameters"]),  # type: ignore[index]
}


@pytest.mark.parametrize("prefixes", [("gen_ai.prompt", "gen_ai.completion"), ("llm.prompts", "llm.completions")])
def test_openllmetry_is_put_together_whatever_the_order_of_the_attributes(prefixes: tuple[str, str]):
    data = flattened([USER, CALLING, RESULT], [{**ANSWER, "finish_reason": "stop"}], *prefixes) | FUNCTION
    for order in (list(data), list(reversed(data)), sorted(data)):
        (made,) = samples("otlp", export(span({key: data[key] for key in order})))
        assert (made["messages"], made["tools"]) == (WHOLE, [TOOL])
        assert made["metadata"] == {"trace_id": "t1", "finish_reason": "stop"}


def test_openllmetry_keeps_blocks_of_anthropic_as_json():
    blocks = [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]
    result = [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]
    given = [
        USER,
        {"role": "assistant", "content": json.dumps(blocks)},
        {"role": "user", "content": json.dumps(result)},
    ]
    assert messages("otlp", export(span(flattened(given, [ANSWER])))) == [WHOLE]


def inference(given: list[Any], said: list[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"openinference.span.kind": "LLM", "llm.model_name": "m"}
    for side, turns in (("input", given), ("output", said)):
        for i, turn in enumerate(turns):
            at = f"llm.{side}_messages.{i}.message"
            made |= {f"{at}.{key}": turn[key] for key in ("role", "content", "tool_call_id") if turn.get(key)}
            for j, call in enumerate(turn.get("tool_calls", [])):
                inside = f"{at}.tool_calls.{j}.tool_call"
                function = call["function"]
                made |= {f"{inside}.id": call["id"], f"{inside}.function.name": function["name"]}
                made[f"{inside}.function.arguments"] = json.dumps(function["arguments"])
    return made


@pytest.mark.parametrize("schema", [TOOL, FLAT, {k: v for k, v in FLAT.items() if k != "type"}])
def test_openinference_is_read_with_its_tools(schema: dict[str, Any]):
    data = inference([USER, CALLING, RESULT], [ANSWER]) | {"llm.tools.0.tool.json_schema": json.dumps(schema)}
    assert samples("otlp", export(span(data))) == [
        {"messages": WHOLE, "tools": [TOOL], "id": "s1", "metadata": {"trace_id": "t1", "model": "m"}}
    ]


def test_openinference_reads_reasoning_and_text_from_contents():
    data = inference([USER], [{"role": "assistant"}])
    at = "llm.output_messages.0.message.contents"
    for k, (kind, said) in enumerate([("reasoning", "r"), ("text", "y")]):
        data |= {f"{at}.{k}.message_content.type": kind, f"{at}.{k}.message_content.text": said}
    assert messages("otlp", export(span(data))) == [[USER, {**ANSWER, "reasoning_content": "r"}]]


@pytest.mark.parametrize(("n", "expected"), [(2, 2), (None, 1)])
def test_openinference_answers_are_choices_only_where_several_were_asked_for(n: int | None, expected: int):
    said = [{"role": "assistant", "content": "y"}, {"role": "assistant", "content": "z"}]
    data = inference([USER], said) | ({"llm.invocation_parameters": json.dumps({"n": n})} if n else {})
    made = messages("otlp", export(span(data)))
    assert len(made) == expected
    assert made[0] == [USER, {"role": "assistant", "content": "y" if n else "y\nz"}]


def test_openinference_system_prompt_and_tools_may_stand_among_the_parameters():
    schema = {"name": "f", "description": "F.", "input_schema": TOOL["function"]["parameters"]}  # type: ignore[index]
    data = inference([USER], [ANSWER]) | {"llm.invocation_parameters": json.dumps({"system": "s", "tools": [schema]})}
    (made,) = samples("otlp", export(span(data)))
    assert (made["messages"], made["tools"]) == ([{"role": "system", "content": "s"}, USER, ANSWER], [TOOL])


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_event_for_each_message_is_read_in_order(wrapped: bool):
    told = [
        ("gen_ai.user.message", {"content": "x"}),
        ("gen_ai.assistant.message", {"tool_calls": WIRE_CALL["tool_calls"]}),
        ("gen_ai.tool.message", {"id": "c1", "content": "1"}),
        ("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "y"}}),
    ]
    events = [
        {"name": name, "attributes": attributes({"gen_ai.event.content": json.dumps(body)} if wrapped else body)}
        for name, body in told
    ]
    (made,) = samples("otlp", export(span({"gen_ai.operation.name": "chat"}, events=events)))
    assert (made["messages"], made["metadata"]["finish_reason"]) == (WHOLE, "stop")


def sdk(own: str, given: list[Any], *, calls: list[Any] | None = None, said: str = "") -> dict[str, Any]:
    answer = {"ai.response.toolCalls": json.dumps(calls)} if calls else {"ai.response.text": said}
    tool = {"type": "function", "name": "f", "description": "F.", "inputSchema": TOOL["function"]["parameters"]}  # type: ignore[index]
    common = {"ai.operationId": "ai.generateText.doGenerate", "ai.model.id": "m", "ai.response.finishReason": "stop"}
    return span(
        {**common, "ai.prompt.messages": json.dumps(given), "ai.prompt.tools": [json.dumps(tool)], **answer}, own
    )


def test_spans_of_the_vercel_sdk_are_read_from_an_export_as_well():
    user = {"role": "user", "content": [{"type": "text", "text": "x"}]}
    call = {"type": "tool-call", "toolCallId": "c1", "toolName": "f", "input": {"a": 1}}
    result = {"type": "tool-result", "toolCallId": "c1", "toolName": "f", "output": {"type": "text", "value": "1"}}
    history = [user, {"role": "assistant", "content": [call]}, {"role": "tool", "content": [result]}]
    outer = span({"ai.operationId": "ai.generateText", "ai.prompt": '{"prompt": "x"}', "ai.response.text": "y"}, "s0")
    asked_for = {"toolCallId": "c1", "toolName": "f", "input": '{"a": 1}'}
    record = export(outer, sdk("s1", [user], calls=[asked_for]), sdk("s2", history, said="y"))
    (made,) = samples("otlp", record)
    assert (made["id"], made["tools"]) == ("s2", [TOOL])
    assert made["messages"] == [USER, CALLING, {**RESULT, "name": "f"}, ANSWER]
    assert [fate[1] for fate in fates("otlp", record)] == ["dropped", "merged"]


@pytest.mark.parametrize("context", ["context", "spanContext", None])
def test_single_spans_as_sdks_print_them_are_read_and_joined_by_trace(context: str | None):
    def printed(own: str, data: dict[str, Any], trace: str = "t1") -> dict[str, Any]:
        ids = {"trace_id": trace, "span_id": own}
        return {"name": "chat", **({context: ids} if context else ids), "attributes": data, "events": []}

    rows = [
        printed("s1", flattened([USER], [CALLING])),
        printed("s2", flattened([USER, CALLING, RESULT], [ANSWER])),
        printed("s3", genai([ASKED], [SAID], structured=True), "t2"),
    ]
    assert joined("otlp", rows) == [rows[:2], rows[2]]
    assert [(one["id"], one["messages"]) for one in samples("otlp", rows[:2])] == [("s2", WHOLE)]
    assert samples("otlp", rows[2])[0]["tools"] == [TOOL]
    assert samples("otlp", rows[2])[0]["metadata"] == {"trace_id": "t2", "finish_reason": "stop"}


def test_generations_that_a_later_one_repeats_are_merged_in_any_order():
    first = span(genai([ASKED], [{**CALLED, "parts": [part("reasoning", content="r"), *CALLED["parts"]]}]), "s1")
    second = span(genai([ASKED, CALLED, RETURNED], [SAID]), "s2")
    tool = span({"gen_ai.operation.name": "execute_tool"}, "s3")
    agent = span({**genai([ASKED], [SAID]), "gen_ai.operation.name": "invoke_agent"}, "s4")
    whole = [USER, {**CALLING, "reasoning_content": "r"}, RESULT, ANSWER]
    for order in ([agent, first, tool, second], [second, tool, first, agent]):
        record = export(*order)
        (made,) = samples("otlp", record)
        assert (made["id"], made["messages"]) == ("s2", whole)
        at = {order[k]["spanId"]: f"$.resourceSpans[0].scopeSpans[0].spans[{k}]" for k in range(4)}
        agents = "a span of an agent: its calls of the model are spans of their own"
        assert sorted(fates("otlp", record)) == sorted(
            [
                (at["s1"], "merged", "repeated by a later generation", False),
                (at["s3"], "dropped", "a span without messages", False),
                (at["s4"], "dropped", agents, False),
            ]
        )


def test_same_generation_twice_is_one_sample_and_agents_in_parallel_are_two():
    twice = [span(genai([ASKED], [SAID]), own) for own in ("s1", "s2")]
    (made,) = samples("otlp", export(*twice))
    assert made["id"] == "s2"
    other = {"role": "user", "parts": [part("text", content="z")]}
    both = [span(genai([one], [SAID]), own) for one, own in ((ASKED, "s1"), (other, "s2"))]
    assert [one["id"] for one in samples("otlp", export(*both))] == ["s1", "s2"]


def test_agent_whose_calls_were_not_recorded_is_refused():
    agent = span({**genai([ASKED], [SAID]), "gen_ai.operation.name": "invoke_agent"})
    refusal = read_whole(FORMATS["otlp"], export(span({}, "s2"), agent)).refusal
    assert refusal is not None
    assert refusal.path == ("resourceSpans", 0, "scopeSpans", 0, "spans", 1)
    assert refusal.says == "a span of an agent: its calls of the model are spans of their own"


def test_lines_of_one_trace_are_one_record_and_others_stay_apart():
    def line(own: str, trace: str, *more: Any) -> Any:
        return export(span(genai([ASKED], [SAID]), own, trace), *more)

    mixed = line("s4", "t2", span({}, "s5", "t3"))
    rows = [line("s1", "t1"), line("s2", "t1"), line("s3", "t2"), mixed, line("s6", "t2")]
    assert joined("otlp", rows) == [rows[:2], rows[2], mixed, rows[4]]
    assert [one["id"] for one in samples("otlp", rows[:2])] == ["s2"]


CUT = "a span whose attributes were cut off by a limit of the exporter"


@pytest.mark.parametrize(
    ("changed", "fields", "reason"),
    [
        ({"gen_ai.input.messages": '[{"role": "user", "parts": [{"ty'}, {}, "messages of no known shape"),
        ({"gen_ai.input.messages": "[{'role': 'user'}]"}, {}, "messages of no known shape"),
        ({"gen_ai.input.messages_truncated": True}, {}, CUT),
        ({}, {"droppedAttributesCount": 3}, CUT),
        ({"gen_ai.input.messages": "[]"}, {}, "an answer to a request that was not recorded"),
        ({"gen_ai.output.messages": "[3]"}, {}, "an answer of no known shape"),
    ],
    ids=["cut", "python", "marked", "counted", "unasked", "unknown"],
)
def test_span_that_cannot_be_read_exactly_is_refused(changed: dict[str, Any], fields: dict[str, Any], reason: str):
    record = export(span({**genai([ASKED], [SAID]), **changed}, **fields))
    refusal = read_whole(FORMATS["otlp"], record).refusal
    assert refusal is not None
    assert refusal.says == reason
    beside = export(*record["resourceSpans"][0]["scopeSpans"][0]["spans"], span(genai([ASKED], [SAID]), "s2"))
    assert [one["id"] for one in samples("otlp", beside)] == ["s2"]
    assert [fate[1:] for fate in fates("otlp", beside)] == [("dropped", reason, True)]


def test_flattened_message_that_is_missing_is_seen():
    data = flattened([USER, CALLING, RESULT], [ANSWER])
    gap = {key: one for key, one in data.items() if not key.startswith("gen_ai.prompt.1.")}
    refusal = read_whole(FORMATS["otlp"], export(span(gap))).refusal
    assert refusal is not None
    assert refusal.says == "a span in which a message is missing"


def test_failed_call_is_dropped_and_one_whose_answer_was_not_recorded_is_kept():
    given = {"gen_ai.input.messages": json.dumps([ASKED])}
    record = export(span(given, "s1", status={"code": 2, "message": "429"}), span(given, "s2"))
    assert messages("otlp", record) == [[USER]]
    assert [fate[1:3] for fate in fates("otlp", record)] == [("dropped", "a request that failed: 429")]


@needs_real_data
def test_real_export_without_a_chat_is_refused_in_one_sentence():
    found = list(records_of(TRACES / "otlp-open-agent-traces"))
    assert len(found) == 2
    for record in found:
        assert recognised(record.data) == ["otlp"]
        refusal = read_whole(FORMATS["otlp"], record.data).refusal
        assert refusal is not None
        assert refusal.says == "no span holds the messages of a chat"


# -- Langfuse ----------------------------------------------------------------------------------------------------------


def observation(own: str = "o1", kind: str = "GENERATION", trace: str = "t1", **fields: Any) -> dict[str, Any]:
    return {"id": own, "traceId": trace, "type": kind, "startTime": "2026-01-01T00:00:00Z", **fields}


ANTHROPIC = {
    "messages": [
        USER,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]},
    ],
    "tools": [{"name": "f", "description": "F.", "input_schema": TOOL["function"]["parameters"]}],  # type: ignore[index]
}
GEMINI = [
    {"role": "user", "parts": [{"text": "x"}]},
    {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": 1}, "id": "c1"}}]},
    {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "c1", "response": {"result": "1"}}}]},
]
LANGCHAIN = [
    {"role": "user", "content": "x"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "f", "args": {"a": 1}, "id": "c1"}]},
    {"role": "tool", "content": "1", "tool_call_id": "c1"},
]
ITEMS = [
    {"type": "message", "role": "user", "content": "x"},
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
    {"type": "function_call_output", "call_id": "c1", "output": "1"},
]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([USER, WIRE_CALL, RESULT], {"role": "assistant", "content": "y"}),
        ({"messages": [USER, WIRE_CALL, RESULT], "tools": [TOOL]}, "y"),
        ([USER, WIRE_CALL, RESULT], {"choices": [{"message": {"role": "assistant", "content": "y"}}]}),
        (ANTHROPIC, {"type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "y"}]}),
        (ANTHROPIC["messages"], [{"type": "text", "text": "y"}]),
        (LANGCHAIN, {"role": "assistant", "content": "y", "additional_kwargs": {}}),
        ({"messages": LANGCHAIN}, {"completion": "y"}),
        (ITEMS, [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]}]),
        ({"input": ITEMS}, {"content": "y"}),
        ([ASKED, CALLED, RETURNED], [SAID]),
    ],
    ids=[
        "chat", "request", "response", "anthropic", "blocks", "langchain", "state", "items", "input", "parts",
    ],
)  # fmt: skip
@pytest.mark.parametrize("as_text", [False, True], ids=["values", "json"])
def test_langfuse_reads_every_dialect_of_input_and_output(given: Any, said: Any, as_text: bool):
    if as_text:
        told = is_object(said) and ("role" in said or "choices" in said or "type" in said)
        given, said = json.dumps(given), json.dumps(said) if told else said
    assert messages("langfuse", observation(input=given, output=said)) == [WHOLE]


def test_langfuse_result_of_gemini_is_the_text_of_its_response():
    (made,) = messages(
        "langfuse", observation(input=GEMINI, output={"candidates": [{"content": {"parts": [{"text": "y"}]}}]})
    )
    assert [turn["role"] for turn in made] == ["user", "assistant", "tool", "assistant"]
    assert made[1]["tool_calls"] == [CALL]


@pytest.mark.parametrize("words", ['{"city": "Paris"}', "[1, 2]", '{"answer": [', "[note] y"])
def test_json_that_a_model_wrote_stays_its_words(words: str):
    assert messages("langfuse", observation(input="x", output=words)) == [
        [USER, {"role": "assistant", "content": words}]
    ]
    assert messages("langfuse", observation(input=words, output="y")) == [[{"role": "user", "content": words}, ANSWER]]


def test_langfuse_row_tells_its_labels_tools_and_scores():
    row = observation(
        input=[USER],
        output=ANSWER,
        model="m",
        modelParameters={"tools": [TOOL]},
        usageDetails={"input": 3, "output": 4},
        costDetails={"input": 0.1, "total": 0.2},
        metadata={"tenant": "a"},
        name="call",
    )
    scores = [{"name": "reward", "value": 1}, {"name": "tone", "value": 0, "stringValue": "kind"}]
    record = {"trace": {"id": "t1", "sessionId": "s"}, "observations": [row], "scores": scores}
    assert samples("langfuse", record) == [
        {
            "messages": [USER, ANSWER],
            "tools": [TOOL],
            "id": "o1",
            "metadata": {
                "reward": 1, "tone": "kind", "session_id": "s", "trace_id": "t1", "model": "m", "cost": 0.2,
                "input_tokens": 3, "output_tokens": 4, "name": "call", "tenant": "a",
            },
        }
    ]  # fmt: skip


def test_langfuse_blob_rows_are_spelled_otherwise_and_say_the_same():
    row = {
        "id": "o1", "trace_id": "t1", "type": "GENERATION", "start_time": "2026-01-01", "provided_model_name": "m",
        "input": json.dumps([USER]), "output": json.dumps(ANSWER), "usage_details": '{"input": 3}', "total_cost": 0.2,
        "metadata": '{"tools": [' + json.dumps(TOOL) + "]}",
    }  # fmt: skip
    (made,) = samples("langfuse", row)
    assert made["messages"] == [USER, ANSWER]
    assert made["tools"] == [TOOL]
    assert made["metadata"] == {"trace_id": "t1", "model": "m", "cost": 0.2, "input_tokens": 3}


def test_langfuse_rows_of_one_trace_are_one_record_and_prefixes_are_merged():
    rows = [
        observation("o3", input=[USER, WIRE_CALL, RESULT], output="y"),  # the API lists the newest first
        observation("o2", "TOOL", input={"a": 1}, output="1"),
        observation("o1", input=[USER], output=WIRE_CALL),
        observation("o4", trace="t2", input=[USER], output="y"),
    ]
    assert joined("langfuse", rows) == [rows[:3], rows[3]]
    for record, at in ((rows[:3], "$"), ({"data": rows[:3], "meta": {"page": 1}}, "$.data")):
        assert messages("langfuse", record) == [WHOLE]
        assert fates("langfuse", record) == [
            (f"{at}[1]", "dropped", "an observation that is no generation", False),
            (f"{at}[2]", "merged", "repeated by a later generation", False),
        ]


def test_langfuse_generation_that_failed_is_dropped():
    failed = observation("o1", input=[USER], output=None, level="ERROR", statusMessage="no quota")
    record = [failed, observation("o2", input=[USER], output=ANSWER)]
    assert messages("langfuse", record) == [[USER, ANSWER]]
    assert fates("langfuse", record) == [("$[0]", "dropped", "a request that failed: no quota", False)]
    refusal = read_whole(FORMATS["langfuse"], failed).refusal
    assert refusal is not None
    assert refusal.says == "a request that failed: no quota"


# -- LangSmith ---------------------------------------------------------------------------------------------------------


def run(own: str, kind: str, inputs: Any, outputs: Any, **fields: Any) -> dict[str, Any]:
    return {"id": own, "trace_id": "t1", "run_type": kind, "inputs": inputs, "outputs": outputs, **fields}


def dump(kind: str, **fields: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", kind], "kwargs": fields}


HUMAN = dump("HumanMessage", content="x")
AI_CALL = dump("AIMessage", content="", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c1"}])
AI_RESULT = dump("ToolMessage", content="1", tool_call_id="c1")
AI = dump("AIMessage", content="y")
EXTRA = {"invocation_params": {"model": "m", "tools": [TOOL]}, "metadata": {"thread_id": "th"}}


def generated(message: Any) -> dict[str, Any]:
    return {"generations": [[{"text": "", "message": message, "generation_info": {"finish_reason": "stop"}}]]}


def test_langsmith_tree_gives_the_call_that_repeats_the_others():
    tree = run("r1", "chain", {"messages": [HUMAN]}, {"messages": [HUMAN, AI_CALL, AI_RESULT, AI]}, child_runs=[
        run("r2", "chain", {}, {}, child_runs=[
            run("r3", "llm", {"messages": [[HUMAN]]}, generated(AI_CALL), extra=EXTRA),
        ]),
        run("r4", "tool", {"input": "1"}, {"output": "1"}),
        run("r5", "llm", {"messages": [[HUMAN, AI_CALL, AI_RESULT]]}, generated(AI), extra=EXTRA,
            feedback_stats={"reward": {"n": 2, "avg": 0.5}}, total_cost=0.1),
    ])  # fmt: skip
    assert samples("langsmith", tree) == [
        {
            "messages": WHOLE,
            "tools": [TOOL],
            "id": "r5",
            "metadata": {
                "trace_id": "t1", "model": "m", "cost": 0.1, "session_id": "th", "reward": 0.5, "thread_id": "th",
                "finish_reason": "stop",
            },
        }
    ]  # fmt: skip
    silent = "a run that is no call of a model"
    assert fates("langsmith", tree) == [
        ("$", "dropped", silent, False),
        ("$.child_runs[0]", "dropped", silent, False),
        ("$.child_runs[1]", "dropped", silent, False),
        ("$.child_runs[0].child_runs[0]", "merged", "repeated by a later generation", False),
    ]


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ({"messages": [HUMAN, AI_CALL, AI_RESULT]}, AI),
        ({"messages": [USER, WIRE_CALL, RESULT]}, {"choices": [{"message": {"role": "assistant", "content": "y"}}]}),
        ({"messages": [USER, WIRE_CALL, RESULT]}, {"role": "assistant", "content": "y"}),
        ({"messages": [USER, WIRE_CALL, RESULT]}, {"message": {"role": "assistant", "content": "y"}}),
        ({"messages": [USER, WIRE_CALL, RESULT]}, {"messages": [{"role": "assistant", "content": "y"}]}),
        ({"messages": [USER, WIRE_CALL, RESULT]}, {"output": "y"}),
        (ANTHROPIC, {"type": "message", "model": "m", "content": [{"type": "text", "text": "y"}]}),
        ({"input": ITEMS}, {"output": [{"type": "message", "role": "assistant", "content": "y"}]}),
    ],
)
@pytest.mark.parametrize("as_text", [False, True], ids=["values", "json"])
def test_langsmith_reads_every_dialect(inputs: Any, outputs: Any, as_text: bool):
    if as_text:
        inputs, outputs = json.dumps(inputs), json.dumps(outputs)
    assert messages("langsmith", run("r1", "llm", inputs, outputs)) == [WHOLE]


def test_langsmith_runs_of_one_trace_are_one_record():
    rows = [
        run("r1", "llm", {"messages": [USER]}, {"choices": [{"message": WIRE_CALL}]}),
        run("r2", "llm", {"messages": [USER, WIRE_CALL, RESULT]}, {"output": "y"}),
        {**run("r3", "llm", {"messages": [USER]}, {"output": "y"}), "trace_id": "t2"},
    ]
    assert joined("langsmith", rows) == [rows[:2], rows[2]]
    assert messages("langsmith", rows[:2]) == messages("langsmith", {"runs": rows[:2]}) == [WHOLE]


def test_langsmith_completion_and_failed_call_are_named():
    runs = [
        run("r1", "llm", {"prompts": ["Human: x"]}, {"generations": [[{"text": "y"}]]}),
        run("r2", "llm", {"messages": [USER]}, None, error="Timeout"),
        run("r3", "llm", {"messages": [USER]}, {"output": "y"}),
    ]
    assert messages("langsmith", runs) == [[USER, ANSWER]]
    assert fates("langsmith", runs) == [
        ("$[0]", "dropped", "a prompt to be completed, not a chat", True),
        ("$[1]", "dropped", "a request that failed: Timeout", False),
    ]


# -- HAR ---------------------------------------------------------------------------------------------------------------


def entry(body: Any, answer: Any, status: int = 200, encoding: str | None = None) -> dict[str, Any]:
    text = answer if isinstance(answer, str) or answer is None else json.dumps(answer)
    content = {"text": text, **({"encoding": encoding} if encoding else {})}
    post = {"postData": {"text": json.dumps(body)}} if body is not None else {}
    request = {"method": "POST", "url": "https://api.example/v1", **post}
    return {"request": request, "response": {"status": status, "content": content}}


def archive(*entries: Any) -> dict[str, Any]:
    return {"log": {"version": "1.2", "entries": list(entries)}}


def chunk(delta: dict[str, Any], reason: str | None = None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return "data: " + json.dumps({"id": "i", "object": "chat.completion.chunk", "choices": [choice]}) + "\n\n"


def streamed(pieces: list[str]) -> str:
    function = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": ""}}
    more = [chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}) for piece in pieces]
    return "".join([chunk({"tool_calls": [function]}), *more, chunk({}, "tool_calls"), "data: [DONE]\n\n"])


REQUEST = {"model": "m", "messages": [USER], "tools": [TOOL]}
REPLY = {"choices": [{"message": {"role": "assistant", "content": "y"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("pieces", [['{"a": 1}'], ['{"a"', ": ", "1}"]])
@pytest.mark.parametrize("encoding", [None, "base64"])
def test_har_reads_streams_however_they_were_cut_and_encoded(pieces: list[str], encoding: str | None):
    text = streamed(pieces)
    text = base64.b64encode(text.encode()).decode() if encoding else text
    made = samples("har", archive(entry(REQUEST, text, encoding=encoding)))
    assert made == [
        {
            "messages": [USER, CALLING],
            "tools": [TOOL],
            "id": "i",
            "metadata": {"url": "https://api.example/v1", "model": "m", "finish_reason": "tool_calls"},
        }
    ]


def test_har_keeps_the_exchanges_that_no_later_one_repeats():
    later = {**REQUEST, "messages": [USER, WIRE_CALL, RESULT]}
    record = archive(
        entry(None, "<html>"),
        entry(REQUEST, streamed(['{"a": 1}'])),
        entry(later, {"error": {"message": "slow down"}}, status=429),
        entry(later, REPLY),
        entry({"q": 1}, {"a": 2}),
        entry(ANTHROPIC, {"type": "message", "model": "c", "content": [{"type": "text", "text": "z"}]}),
    )
    assert messages("har", record) == [WHOLE, [*WHOLE[:3], {"role": "assistant", "content": "z"}]]
    assert fates("har", record) == [
        ("$.log.entries[0]", "dropped", "no request of a chat API", False),
        ("$.log.entries[2]", "dropped", "the request failed with status 429: slow down", False),
        ("$.log.entries[4]", "dropped", "no request of a chat API", False),
        ("$.log.entries[1]", "merged", "repeated by a later generation", False),
    ]


def test_har_answer_in_a_binary_protocol_is_named():
    sent = base64.b64encode(b"\x00\x00\xff\xfe").decode()
    refusal = read_whole(FORMATS["har"], archive(entry(REQUEST, sent, encoding="base64"))).refusal
    assert refusal is not None
    assert refusal.says == "the answer was recorded undecoded"


def test_har_request_without_an_answer_is_kept_unless_it_was_given_up():
    assert messages("har", archive(entry(REQUEST, None))) == [[USER]]
    refusal = read_whole(FORMATS["har"], archive(entry(REQUEST, None, status=0))).refusal
    assert refusal is not None
    assert refusal.says == "a request that failed: it was given up"


def test_request_that_goes_on_from_what_the_provider_keeps_is_not_the_whole_conversation():
    body = {"model": "m", "input": "x", "previous_response_id": "r0", "store": True}
    reply = {"id": "r1", "object": "response", "output": [{"type": "message", "role": "assistant", "content": "y"}]}
    for record, name, says in (
        (archive(entry(body, reply)), "har", "it goes on from an answer that the provider keeps"),
        (
            observation(input=body, output=reply),
            "langfuse",
            "messages that cannot be read: it goes on from an answer that the provider keeps",
        ),
    ):
        refusal = read_whole(FORMATS[name], record).refusal
        assert refusal is not None
        assert refusal.says == says
    again = {key: one for key, one in body.items() if key != "previous_response_id"}
    assert messages("har", archive(entry(again, reply))) == [[USER, ANSWER]]


def test_har_is_found_in_a_folder_by_its_suffix(tmp_path: Path):
    (tmp_path / "session.har").write_text(json.dumps(archive(entry(REQUEST, REPLY)), indent=1))
    (record,) = records_of(tmp_path)
    assert messages("har", record.data) == [[USER, ANSWER]]


def test_har_without_a_chat_is_refused():
    refusal = read_whole(FORMATS["har"], archive(entry(None, "<html>"))).refusal
    assert refusal is not None
    assert refusal.says == "no entry is a request of a chat API"


# -- what somebody recorded --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "", [], {}])
def test_nothing_is_no_answer_and_no_question(given: Any):
    found = asked(given)
    assert found is not None
    assert found.messages == []
    assert answered(given) == []


@pytest.mark.parametrize("given", [3, {"city": "Paris"}, [1], [[], []], {"messages": 3}, '[{"role": "user", "con'])
def test_what_has_no_known_shape_is_not_guessed(given: Any):
    assert asked(given) is None
    assert answered(given) is None


# -- real conversations, recorded call by call -------------------------------------------------------------------------


def as_parts(turn: dict[str, Any]) -> dict[str, Any]:
    if turn["role"] == "tool":
        return {
            "role": "tool",
            "parts": [part("tool_call_response", id=turn["tool_call_id"], response=turn["content"])],
        }
    said = [part("text", content=turn["content"])] if turn["content"] else []
    made = [
        part("tool_call", id=call["id"], **call["function"]) for call in turn.get("tool_calls", [])
    ]  # fmt: skip
    return {"role": turn["role"], "parts": [*said, *made]}


def as_wire(turn: dict[str, Any]) -> dict[str, Any]:
    calls = [
        {**call, "function": {**call["function"], "arguments": json.dumps(call["function"]["arguments"])}}
        for call in turn.get("tool_calls", [])
    ]
    return {**turn, "content": turn["content"] or None, **({"tool_calls": calls} if calls else {})}


def as_langchain(turn: dict[str, Any]) -> dict[str, Any]:
    kind = {"system": "SystemMessage", "user": "HumanMessage", "assistant": "AIMessage", "tool": "ToolMessage"}
    fields = {key: one for key, one in turn.items() if key not in ("role", "tool_calls")}
    if "tool_calls" in turn:
        fields["tool_calls"] = [
            {"name": call["function"]["name"], "args": call["function"]["arguments"], "id": call["id"]}
            for call in turn["tool_calls"]
        ]
    return dump(kind[turn["role"]], **fields)


WAYS: dict[str, tuple[str, Any]] = {
    "genai": ("otlp", lambda own, given, said: export(
        span(genai([*map(as_parts, given)], [{**as_parts(said), "finish_reason": "stop"}]), own))),
    "openllmetry": ("otlp", lambda own, given, said: export(span(flattened(given, [said]), own))),
    "openinference": ("otlp", lambda own, given, said: export(span(inference(given, [said]), own))),
    "langfuse": ("langfuse", lambda own, given, said: observation(
        own, input=json.dumps([*map(as_wire, given)]), output=json.dumps(as_wire(said)))),
    "langsmith": ("langsmith", lambda own, given, said: run(
        own, "llm", {"messages": [[*map(as_langchain, given)]]}, generated(as_langchain(said)))),
    "har": ("har", lambda _, given, said: entry(
        {"model": "m", "messages": [*map(as_wire, given)]}, {"choices": [{"message": as_wire(said)}]})),
}  # fmt: skip
"""How a call of a model, its messages in a sample's shape, looks in each way of recording it."""


@needs_real_data
@pytest.mark.parametrize("way", WAYS)
def test_real_conversations_recorded_call_by_call_come_back_whole(way: str):
    name, recorded = WAYS[way]
    n_generations = 0
    for record in records_of(TRACES / "tau-bench/**/*airline*.json"):
        (conversation,) = FORMATS["tau_bench"].read(record.data).conversations
        turns = [{key: one for key, one in turn.items() if key != "name"} for turn in conversation.sample["messages"]]
        calls = [k for k, turn in enumerate(turns) if turn["role"] == "assistant"]
        rows = [recorded(f"g{k}", turns[:k], turns[k]) for k in calls]
        n_generations += len(rows)
        (made,) = messages(name, archive(*rows) if name == "har" else rows)
        assert made == turns[: calls[-1] + 1]
    assert n_generations == 360
