"""The APIs of Anthropic, Google, Amazon and Cohere: what becomes of each block, streams, and real recordings."""

import json
from collections import Counter
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import FORMATS, fates, read_whole, recognised, records_of, samples, schema
from real import TRACES, needs_real_data

from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.metadata import TRUNCATED, cut_off, remedy
from qwen_sft.rule import rules
from qwen_sft.sample import json_path
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped


def user(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def assistant(*content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def said(content: Any = "", thought: str = "", calls: Any = ()) -> dict[str, Any]:
    made: dict[str, Any] = {"role": "assistant", "content": content}
    if thought:
        made["reasoning_content"] = thought
    if calls:
        made["tool_calls"] = list(calls)
    return made


def called(name: str, arguments: Any, call_id: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if call_id is None else {**made, "id": call_id}


def told(content: Any, call_id: str | None = None, name: str | None = None) -> dict[str, Any]:
    given_fields = {"tool_call_id": call_id, "name": name}
    return {"role": "tool", "content": content, **{k: v for k, v in given_fields.items() if v is not None}}


def turns(name: str, record: Any) -> list[Any]:
    """The messages of the one sample that a record comes to."""
    (sample,) = samples(name, record)
    return sample["messages"]


def refusal(name: str, record: Any) -> tuple[str, str]:
    """Where and why a record is refused."""
    assert recognised(record) == [name]
    found = read_whole(FORMATS[name], record).refusal
    assert found is not None
    return json_path(found.path), found.says


# Anthropic


def block(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, **fields}


def text(words: str, **fields: Any) -> dict[str, Any]:
    return block("text", text=words, **fields)


def use(call_id: str, arguments: Any = None, **fields: Any) -> dict[str, Any]:
    return block("tool_use", id=call_id, name="f", input={} if arguments is None else arguments, **fields)


def result(call_id: str, content: Any, **fields: Any) -> dict[str, Any]:
    return block("tool_result", tool_use_id=call_id, content=content, **fields)


F = called("f", {})
SERVER = block("server_tool_use", id="s", name="bash", input={"command": "ls"})
SERVED = block("bash_tool_result", tool_use_id="s", content={"stdout": "a\n"})
LIFTED = [said(calls=[called("bash", {"command": "ls"}, "s")]), told('{"stdout": "a\\n"}', "s")]


@pytest.mark.parametrize(
    ("content", "made"),
    [
        ([block("thinking", thinking="t", signature="x"), text("a"), use("c")], [said("a", "t", [{**F, "id": "c"}])]),
        ([use("c"), text("a")], [said(calls=[{**F, "id": "c"}]), said("a")]),
        ([use("c"), use("d", {"x": 1})], [said(calls=[{**F, "id": "c"}, called("f", {"x": 1}, "d")])]),
        ([text("a "), text("b", citations=[{}]), text(" c")], [said("a b c")]),
        ([text("a"), block("thinking", thinking="t"), use("c")], [said("a"), said("", "t", [{**F, "id": "c"}])]),
        ([SERVER, SERVED, text("a")], [*LIFTED, said("a")]),
        ([text("a"), use("c", "{"), text("")], [said("a", calls=[called("f", "{", "c")])]),
        ("a", [said("a")]),
        ("", [said("")]),
        ([text(""), text("")], [said("")]),
    ],
)
def test_anthropic_answer_becomes_turns_in_the_order_of_its_blocks(content: Any, made: Any):
    record = {"system": "s", "messages": [user("q"), {"role": "assistant", "content": content}]}
    assert turns("anthropic", record) == [{"role": "system", "content": "s"}, user("q"), *made]
    if isinstance(content, list):
        answer = block("message", role="assistant", content=content, stop_reason="end_turn")
        assert turns("anthropic", answer) == made
        assert turns("anthropic", {"request": {"messages": [user("q")]}, "response": answer}) == [user("q"), *made]


@pytest.mark.parametrize(
    ("content", "made"),
    [
        ([result("c", "1")], [told("1", "c")]),
        ([result("c", [text("1"), text("2")])], [told("1\n2", "c")]),
        ([result("c", None)], [told("", "c")]),
        ([result("c", "no such file", is_error=True)], [told("no such file", "c")]),
        ([text("a"), result("c", "1"), text("b")], [told("1", "c"), user("a\nb")]),
        ([result("c", [block("image", source={})])], [told([block("image", source={})], "c")]),
        ([text("a"), block("image", source={})], [user([text("a"), block("image", source={})])]),
        ([block("tool_result", content="1")], [told("1")]),
    ],
)
def test_anthropic_users_message_is_its_results_and_one_turn_behind_them(content: Any, made: Any):
    record = {"messages": [user("q"), assistant(use("c")), user(content)]}
    assert turns("anthropic", record) == [user("q"), said(calls=[{**F, "id": "c"}]), *made]


@pytest.mark.parametrize("order", list(permutations("cde")))
def test_order_of_parallel_results_in_one_message_changes_no_sample(order: tuple[str, ...]):
    def sample(ids: Any) -> Any:
        answers = [result(call_id, f"says {call_id}") for call_id in ids]
        record = {"messages": [user("q"), assistant(*map(use, "cde")), user([*answers, text("go on")])]}
        (conversation,) = read_whole(FORMATS["anthropic"], record).conversations
        transcript = Transcript(conversation.sample, Settings())
        return shaped(conversation, transcript, Settings())[0].sample["messages"]

    assert sample(order) == sample("cde")


def test_anthropic_blocks_that_no_message_holds_are_dropped_and_named():
    search = block("server_tool_use", id="w", name="web_search", input={"query": "x"})
    found = block("web_search_tool_result", tool_use_id="w", content=[{"url": "u", "encrypted_content": "gAAA"}])
    file = block("web_fetch_tool_result", tool_use_id="s", content={"source": {"type": "base64", "data": "JVBE"}})
    hidden = [block("thinking", thinking="", signature="x"), block("thinking", thinking="")]
    content = [
        *hidden,
        block("redacted_thinking", data="x"),
        search,
        found,
        block("compaction", content="c"),
        SERVER,
        file,
        block("hologram"),
        text("a"),
        None,
    ]
    record = {"messages": [user("q"), assistant(*content)]}
    assert turns("anthropic", record) == [user("q"), said("a")]
    assert fates("anthropic", record) == [
        (f"$.messages[1].content[{at}]", "dropped", why, loses)
        for at, why, loses in [
            (0, "thinking that is not shown", True),
            (1, "thinking that is not shown", False),
            (2, "thinking that is encrypted", True),
            (3, "'server_tool_use': its call or its result is missing or unreadable", True),
            (4, "'web_search_tool_result': its call or its result is missing or unreadable", True),
            (5, "a summary that took the place of the turns before it", True),
            (6, "'server_tool_use': its call or its result is missing or unreadable", True),
            (7, "'web_fetch_tool_result': its call or its result is missing or unreadable", True),
            (8, "a block of type 'hologram' has no place in a chat", True),
            (10, "a block of type None has no place in a chat", True),
        ]
    ]


def test_call_that_a_servers_code_made_is_no_words_of_the_model():
    coded = use("c", caller={"type": "code_execution_20250825", "tool_id": "s"})
    record = {
        "messages": [
            user("q"),
            assistant(text("a"), SERVER, coded),
            user([result("c", "6")]),
            assistant(SERVED, text("b")),
        ]
    }
    assert turns("anthropic", record) == [
        user("q"),
        said("a", calls=LIFTED[0]["tool_calls"]),
        LIFTED[1],
        said("b"),
    ]
    assert [fate[1:] for fate in fates("anthropic", record)] == [
        ("dropped", "a call by code that the server ran, which no model said", False),
        ("merged", "part of the assistant turn that begins before it", False),
        ("dropped", "the result of a call by code, which no model saw", False),
    ]
    direct = {"messages": [user("q"), assistant(use("c", caller={"type": "direct"}))]}
    assert turns("anthropic", direct)[1] == said(calls=[{**F, "id": "c"}])


def test_mcp_result_is_its_text():
    content = [
        block("mcp_tool_use", id="m", name="echo", server_name="e", input={}),
        block("mcp_tool_result", tool_use_id="m", is_error=False, content=[text("x")]),
    ]
    record = {"messages": [user("q"), assistant(*content)]}
    assert turns("anthropic", record)[1:] == [said(calls=[called("echo", {}, "m")]), told("x", "m")]


def test_anthropic_tools_take_openais_form_and_builtin_ones_are_named():
    parameters = {"type": "object", "properties": {}}
    tools = [
        {"name": "f", "description": "d", "input_schema": parameters, "cache_control": {"type": "ephemeral"}},
        {"name": "g", "type": "custom", "input_schema": parameters},
        {"name": "web_search", "type": "web_search_20250305", "max_uses": 3},
    ]
    record = {"model": "claude", "tools": tools, "messages": [user("q"), assistant(text("a"))]}
    (sample,) = samples("anthropic", record)
    assert sample["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": parameters}},
        {"type": "function", "function": {"name": "g", "parameters": parameters}},
    ]
    assert sample["metadata"] == {"model": "claude", "builtin_tools": ["web_search"]}


def test_system_turn_that_adds_a_tool_is_lost_only_where_the_tool_is_not_declared():
    def record(name: str) -> Any:
        added = {"role": "system", "content": [block("tool_addition", tool={"name": name})]}
        return {"tools": [{"name": "f", "input_schema": {}}], "messages": [user("q"), added, assistant(text("a"))]}

    assert [fates("anthropic", record(name)) for name in "fg"] == [
        [("$.messages[1].content[0]", "dropped", "adds the tool 'f'", False)],
        [("$.messages[1].content[0]", "dropped", "adds the tool 'g'", True)],
    ]


@pytest.mark.parametrize(
    ("reason", "label"),
    [("max_tokens", "max_tokens"), ("model_context_window_exceeded", "length"), ("pause_turn", "unfinished")],
)
def test_anthropic_answer_that_was_cut_off_says_so(reason: str, label: str):
    answer = block("message", role="assistant", model="claude", content=[text("a")], stop_reason=reason)
    (sample,) = samples("anthropic", answer)
    assert sample["metadata"] == {"model": "claude", "finish_reason": label}


START = block("message_start", message=block("message", id="m", role="assistant", model="claude", content=[]))
STREAM = [
    START,
    block("content_block_start", index=0, content_block=block("thinking", thinking="", signature="")),
    block("ping"),
    block("content_block_delta", index=0, delta=block("thinking_delta", thinking="Two ")),
    block("content_block_delta", index=0, delta=block("thinking_delta", thinking="calls.")),
    block("content_block_delta", index=0, delta=block("signature_delta", signature="x")),
    block("content_block_stop", index=0),
    block("content_block_start", index=1, content_block=text("Let ")),
    block("content_block_delta", index=1, delta=block("text_delta", text="me.")),
    block("content_block_delta", index=1, delta=block("citations_delta", citation={})),
    block("content_block_stop", index=1),
    block("content_block_start", index=2, content_block=use("c")),
    block("content_block_delta", index=2, delta=block("input_json_delta", partial_json="")),
    block("content_block_stop", index=2),
    block("content_block_start", index=3, content_block=use("d")),
    block("content_block_delta", index=3, delta=block("input_json_delta", partial_json='{"x": [1')),
    block("content_block_delta", index=3, delta=block("input_json_delta", partial_json=', "é"]}')),
    block("content_block_stop", index=3),
    block("message_delta", delta={"stop_reason": "tool_use"}, usage={}),
    block("message_stop"),
]
STREAMED = said("Let me.", "Two calls.", [{**F, "id": "c"}, called("f", {"x": [1, "é"]}, "d")])


def sse(events: list[Any]) -> str:
    return "".join(f"event: {event.get('type', 'x')}\ndata: {json.dumps(event)}\n\n" for event in events)


@pytest.mark.parametrize("shape", ["list", "response list", "text"])
def test_anthropic_stream_comes_to_the_answer_that_it_streams(shape: str):
    asked = {"messages": [user("q")]}
    record: Any = {
        "list": STREAM,
        "response list": {"request": asked, "response": STREAM},
        "text": {"request": asked, "response_sse": sse(STREAM)},
    }[shape]
    before = [] if shape == "list" else [user("q")]
    (sample,) = samples("anthropic", record)
    assert sample["messages"] == [*before, STREAMED]
    assert sample["metadata"] == {"model": "claude", "finish_reason": "tool_use"}


@pytest.mark.parametrize("end", range(8, len(STREAM) - 1))
def test_anthropic_stream_that_breaks_off_is_unfinished(end: int):
    (sample,) = samples("anthropic", STREAM[:end])
    assert sample["metadata"]["finish_reason"] == ("tool_use" if end > 18 else "unfinished")
    if end == 16:
        assert sample["messages"][0]["tool_calls"][1] == called("f", '{"x": [1', "d")


def test_anthropic_answer_that_is_begun_again_is_the_second_one():
    again = [*STREAM[:9], *STREAM]
    assert turns("anthropic", again) == [STREAMED]
    assert [fate[1:] for fate in fates("anthropic", again)].count(
        ("dropped", "the beginning of an answer that the stream began again", True)
    ) == 1
    assert turns("anthropic", [START, *STREAM]) == [STREAMED]
    assert {fate[1] for fate in fates("anthropic", [START, *STREAM])} == {"merged"}


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        ([*STREAM, *STREAM], "$", "the stream holds several answers"),
        (
            [*STREAM[:9], block("error", error={"type": "overloaded_error", "message": "Overloaded"})],
            "$",
            "the stream ends in an error: Overloaded",
        ),
        ([block("ping"), block("ping")], "$", "the stream holds no answer"),
        (
            block("message", role="assistant", content=[], stop_reason="refusal"),
            "$.content",
            "the answer is empty, its finish_reason is 'refusal'",
        ),
        (
            {
                "system": "s",
                "request": {"system": "s", "messages": [user("q")]},
                "response": {"error": {"message": "no"}},
            },
            "$.response",
            "the request failed: no",
        ),
    ],
)
def test_anthropic_record_without_an_answer_is_refused(record: Any, place: str, says: str):
    assert refusal("anthropic", record) == (place, says)


def begins(name: str) -> dict[str, Any]:
    return block("message_start", message={**START["message"], "id": name})


def says_at(index: int, words: str) -> dict[str, Any]:
    return block("content_block_delta", index=index, delta=block("text_delta", text=words))


OPENS = block("content_block_start", index=0, content_block=text(""))
CLOSES = block("content_block_stop", index=0)
ENDS = [block("message_delta", delta={"stop_reason": "end_turn"}), block("message_stop")]
TWICE = "block 0 begins twice: the stream holds pieces of several answers"
LATE = "block 0 goes on behind its end: the stream holds pieces of several answers"


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ([begins("m"), begins("n"), OPENS, says_at(0, "a"), OPENS, says_at(0, "B"), CLOSES, *ENDS], TWICE),
        ([begins("m"), begins("n"), OPENS, OPENS, says_at(0, "a"), says_at(0, "B"), CLOSES, CLOSES, *ENDS], TWICE),
        ([begins("m"), OPENS, says_at(0, "a"), CLOSES, OPENS, says_at(0, "B"), CLOSES, *ENDS], TWICE),
        ([begins("m"), says_at(0, "a"), OPENS, says_at(0, "B"), CLOSES, *ENDS], TWICE),
        ([begins("m"), OPENS, begins("n"), OPENS, says_at(0, "a"), CLOSES, says_at(0, "B"), CLOSES, *ENDS], LATE),
        (
            [begins("m"), OPENS, begins("n"), OPENS, says_at(0, "a"), says_at(0, "B"), CLOSES, CLOSES, *ENDS],
            "it begins twice and ends twice: the stream holds pieces of several answers",
        ),
        (
            [begins("m"), OPENS, begins("n"), OPENS, says_at(0, "B"), CLOSES, *ENDS, *ENDS],
            "it begins twice and ends twice: the stream holds pieces of several answers",
        ),
        ([begins("m"), OPENS, says_at(0, "a"), CLOSES, *ENDS, says_at(0, "B")], "the stream holds several answers"),
    ],
)
def test_anthropic_stream_with_pieces_of_several_answers_is_refused(events: list[Any], why: str):
    asked = {"model": "claude", "messages": [user("q")], "tools": [{"name": "f", "input_schema": {}}]}
    assert refusal("anthropic", {"request": asked, "response_events": events}) == ("$.response_events", why)


def test_anthropic_stream_that_says_its_end_twice_is_one_answer():
    assert turns("anthropic", [begins("m"), OPENS, says_at(0, "a"), CLOSES, CLOSES, *ENDS, *ENDS]) == [said("a")]


def test_bedrock_invoke_body_is_read_as_anthropics():
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 9,
        "messages": [user("q"), {"role": "assistant", "content": "a"}],
    }
    assert turns("anthropic", body) == [user("q"), said("a")]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [user("q"), {"role": "assistant", "content": "a"}]},
        {"messages": [user([text("q")])], "max_tokens": 9, "model": "claude"},
        {"messages": [user("q"), {**assistant(use("c")), "tool_calls": []}]},
        {"messages": [user("q"), {"role": "tool", "content": "1"}], "system": "s"},
        [user([{"text": "q"}])],
    ],
)
def test_plain_chat_is_left_to_the_generic_format(record: Any):
    assert recognised(record) == ["openai_chat"]


# Gemini


def content(role: str | None, *parts: Any) -> dict[str, Any]:
    return {"parts": list(parts)} if role is None else {"role": role, "parts": list(parts)}


def calls(name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": {"a": 1}, **fields}}


def returns(response: Any, name: str = "f", **fields: Any) -> dict[str, Any]:
    return {"functionResponse": {"name": name, "response": response, **fields}}


FA = called("f", {"a": 1})


@pytest.mark.parametrize(
    ("contents", "made"),
    [
        (
            [content("user", {"text": "q"}), content("model", {"text": "t", "thought": True}, {"text": "a"}, calls())],
            [user("q"), said("a", "t", [FA])],
        ),
        (
            [
                content(None, {"text": "q"}),
                content("model", calls(id="c")),
                content("function", returns({"x": 1}, id="c")),
            ],
            [user("q"), said(calls=[{**FA, "id": "c"}]), told('{"x": 1}', "c", "f")],
        ),
        (
            [content("user", {"text": "q"}), content("model", calls(), returns({"output": "1"}), {"text": "a"})],
            [user("q"), said(calls=[FA]), told("1", name="f"), said("a")],
        ),
        (
            [content("user", {"text": "q"}), content("model", {"text": "a"}, {"text": "b"}, {"thoughtSignature": "x"})],
            [user("q"), said("ab")],
        ),
        (
            [
                content("user", {"text": "q"}),
                content("model", {"function_call": {"name": "f", "args": {"a": 1}}}),
                content("user", {"function_response": {"name": "f", "response": {"error": "no"}}}, {"text": "again"}),
            ],
            [user("q"), said(calls=[FA]), told('{"error": "no"}', name="f"), user("again")],
        ),
        (
            [
                content("user", {"text": "q"}),
                content(
                    "model",
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
                    {"text": "a"},
                ),
            ],
            [
                user("q"),
                said(calls=[called("code_execution", {"language": "PYTHON", "code": "1"})]),
                told("1\n"),
                said("a"),
            ],
        ),
        ([content("user", {"text": "q"}, {"inlineData": {}})], [user([text("q"), {"inlineData": {}}])]),
        ([content("user", {"text": "q"}), content("model", {"text": ""})], [user("q"), said("")]),
    ],
)
@pytest.mark.parametrize("system", ["systemInstruction", "system_instruction", None])
def test_gemini_contents_become_turns(contents: Any, made: Any, system: str | None):
    told_system = {"parts": [{"text": "s"}, {"text": "t"}]}
    record = {"contents": contents, **({system: told_system} if system else {})}
    assert turns("gemini", record) == [*([{"role": "system", "content": "s\nt"}] if system else []), *made]
    assert turns("gemini", contents) == made


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ({"result": "1"}, "1"),
        ({"content": "1"}, "1"),
        ({"result": 1}, '{"result": 1}'),
        ({"result": "1", "x": 2}, '{"result": "1", "x": 2}'),
        ({"answer": "é"}, '{"answer": "é"}'),
        ({}, "{}"),
        ("1", "1"),
        (None, ""),
    ],
)
def test_gemini_functions_answer_is_its_json_or_its_only_text(response: Any, words: str):
    record = {
        "contents": [content("user", {"text": "q"}), content("model", calls()), content("user", returns(response))]
    }
    assert turns("gemini", record)[2] == told(words, name="f")


def test_gemini_tools_keep_their_schemas_and_builtin_ones_are_named():
    upper = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}
    plain = {"type": "object", "properties": {}}
    declared = [
        {"functionDeclarations": [{"name": "f", "description": "d", "parameters": upper}]},
        {"function_declarations": [{"name": "g", "parameters_json_schema": plain}, {"name": "h"}]},
        {"googleSearch": {}},
    ]
    (sample,) = samples("gemini", {"contents": [content("user", {"text": "q"})], "tools": declared})
    assert [tool["function"] for tool in sample["tools"]] == [
        {"name": "f", "description": "d", "parameters": upper},
        {"name": "g", "parameters": plain},
        {"name": "h"},
    ]
    assert sample["metadata"] == {"builtin_tools": ["googleSearch"]}


def test_gemini_part_that_no_message_holds_is_dropped_and_named():
    parts = [{"toolCall": {"toolType": "GOOGLE_SEARCH_WEB"}}, {"executableCode": {"code": "1"}}, {"text": "a"}]
    record = {"contents": [content("user", {"text": "q"}), content("model", *parts)]}
    assert turns("gemini", record) == [user("q"), said("a")]
    assert fates("gemini", record) == [
        ("$.contents[1].parts[0]", "dropped", "a part with toolCall has no place in a chat", True),
        ("$.contents[1].parts[1]", "dropped", "a part with executableCode has no place in a chat", True),
    ]


def chunk(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": content("model", *parts), **fields}],
        "responseId": "r",
        "modelVersion": "gemini",
    }


def piece(path: str, more: bool = True, **value: Any) -> dict[str, Any]:
    pieces = [{"jsonPath": path, **value}]
    return chunk({"functionCall": {"partialArgs": pieces, **({"willContinue": True} if more else {})}})


OPEN = chunk({"functionCall": {"name": "f", "willContinue": True}})


@pytest.mark.parametrize(
    ("pieces", "arguments"),
    [
        ([], {}),
        ([piece("$.a", stringValue="x"), piece("$.a", stringValue="y")], {"a": "xy"}),
        ([piece("$.a[0].b", numberValue=1), piece("$.a[1].b", boolValue=False)], {"a": [{"b": 1}, {"b": False}]}),
        ([piece("$['a b'][0]", nullValue="NULL_VALUE")], {"a b": [None]}),
        ([piece("$.a[7]", numberValue=1)], '[{"jsonPath": "$.a[7]", "numberValue": 1}]'),
        ([piece("$..a", numberValue=1)], '[{"jsonPath": "$..a", "numberValue": 1}]'),
    ],
)
def test_gemini_arguments_are_put_together_from_their_pieces(pieces: list[Any], arguments: Any):
    end = [chunk({"functionCall": {}}), chunk({"text": ""}, finishReason="STOP")]
    (sample,) = samples("gemini", [OPEN, *pieces, *end])
    (call,) = sample["messages"][0]["tool_calls"]
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == call["function"]["arguments"]
    assert sample["metadata"] == {"model": "gemini", "finish_reason": "STOP"}


def test_gemini_call_that_never_ends_is_cut_off_and_its_last_piece_may_end_it():
    end = chunk({"text": ""}, finishReason="STOP")
    for record, reason in (
        ([OPEN, piece("$.a", stringValue="x"), end], "unfinished"),
        ([OPEN, OPEN, chunk({"functionCall": {}}), end], "unfinished"),
        ([OPEN, piece("$.a", more=False, stringValue="x"), end], "STOP"),
        ([chunk({"text": "a"}), chunk({"text": "b"})], "unfinished"),
    ):
        (sample,) = samples("gemini", record)
        assert sample["metadata"]["finish_reason"] == reason


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        ({"promptFeedback": {"blockReason": "SAFETY"}}, "$", "the answer is empty, its finish_reason is 'SAFETY'"),
        (
            {"candidates": [{"finishReason": "MAX_TOKENS", "content": {"role": "model"}}]},
            "$",
            "the answer is empty, its finish_reason is 'MAX_TOKENS'",
        ),
        (
            {
                "request": {"contents": [content("user", {"text": "q"})]},
                "response": {"error": {"code": 429, "message": "quota"}},
            },
            "$.response",
            "the request failed: quota",
        ),
        (
            [chunk({"text": "a"}), {**chunk({"text": "b"}), "responseId": "s"}],
            "$",
            "the stream holds chunks of several answers",
        ),
        (
            [chunk({"text": "a"}), chunk({"text": "b"}), {"error": {"message": "internal"}}],
            "$",
            "the stream ends in an error: internal",
        ),
    ],
)
def test_gemini_record_without_an_answer_is_refused(record: Any, place: str, says: str):
    assert refusal("gemini", record) == (place, says)


def test_each_candidate_is_a_sample():
    candidates = [{"content": content("model", {"text": words}), "finishReason": "STOP"} for words in "ab"]
    record = {"request": {"contents": [content("user", {"text": "q"})]}, "response": {"candidates": candidates}}
    assert [sample["messages"] for sample in samples("gemini", record)] == [[user("q"), said(w)] for w in "ab"]


# Bedrock


@pytest.mark.parametrize(
    ("messages", "made"),
    [
        (
            [
                user([{"text": "q"}]),
                assistant(
                    {"reasoningContent": {"reasoningText": {"text": "t"}}},
                    {"text": "a"},
                    {"toolUse": {"toolUseId": "c", "name": "f", "input": {"a": 1}}},
                ),
            ],
            [user("q"), said("a", "t", [{**FA, "id": "c"}])],
        ),
        (
            [
                user(
                    [
                        {"text": "go on"},
                        {"toolResult": {"toolUseId": "c", "status": "error", "content": [{"text": "no"}]}},
                    ]
                )
            ],
            [told("no", "c"), user("go on")],
        ),
        (
            [user([{"toolResult": {"toolUseId": "c", "content": [{"json": {"x": 1}}, {"text": "y"}]}}])],
            [told('{"x": 1}\ny', "c")],
        ),
        (
            [user([{"guardContent": {"text": {"text": "q"}}}, {"cachePoint": {"type": "default"}}])],
            [user("q")],
        ),
        (
            [
                user([{"text": "q"}, {"image": {"format": "png"}}]),
                assistant(
                    {"reasoningContent": {"redactedContent": "x"}},
                    {"citationsContent": {"content": [{"text": "a "}, {"text": "b"}]}},
                ),
            ],
            [user([text("q"), {"image": {"format": "png"}}]), said("a b")],
        ),
    ],
)
def test_bedrock_messages_become_turns(messages: Any, made: Any):
    record = {"system": [{"text": "s"}], "messages": messages, "inferenceConfig": {}}
    assert turns("bedrock", record) == [{"role": "system", "content": "s"}, *made]


def test_bedrock_tools_take_openais_form_and_builtin_ones_are_named():
    schema_ = {"type": "object", "properties": {}}
    declared = [
        {"toolSpec": {"name": "f", "inputSchema": {"json": schema_}}},
        {"systemTool": {"name": "code"}},
        {"cachePoint": {}},
    ]
    (sample,) = samples("bedrock", {"messages": [user([{"text": "q"}])], "toolConfig": {"tools": declared}})
    assert sample["tools"] == [{"type": "function", "function": {"name": "f", "parameters": schema_}}]
    assert sample["metadata"] == {"builtin_tools": ["code"]}


CONVERSE = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "t1 "}}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "t2"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": "x"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "a"}}},
    {"contentBlockStart": {"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "c", "name": "f"}}}},
    {"contentBlockStop": {"contentBlockIndex": 2}},
    {"contentBlockStart": {"contentBlockIndex": 3, "start": {"toolUse": {"toolUseId": "d", "name": "f"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 3, "delta": {"toolUse": {"input": '{"a":'}}}},
    {"contentBlockDelta": {"contentBlockIndex": 3, "delta": {"toolUse": {"input": " 1}"}}}},
    {"messageStop": {"stopReason": "tool_use"}},
    {"metadata": {"usage": {}}},
]


def test_bedrock_stream_comes_to_the_answer_that_it_streams():
    (sample,) = samples("bedrock", CONVERSE)
    assert sample["messages"] == [said("a", "t1 t2", [{**F, "id": "c"}, {**FA, "id": "d"}])]
    assert sample["metadata"] == {"finish_reason": "tool_use"}
    (sample,) = samples("bedrock", CONVERSE[:9])
    assert sample["messages"][0]["tool_calls"][1] == called("f", '{"a":', "d")
    assert sample["metadata"] == {"finish_reason": "unfinished"}


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        (
            {"request": {"messages": [user([{"text": "q"}])], "inferenceConfig": {}}, "response_undecoded": True},
            "$.response_undecoded",
            "the answer was recorded undecoded",
        ),
        (
            {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "guardrail_intervened"},
            "$.output.message.content",
            "the answer is empty, its finish_reason is 'guardrail_intervened'",
        ),
        (
            [*CONVERSE[:5], {"throttlingException": {"message": "slow down"}}],
            "$",
            "the stream ends in an error: slow down",
        ),
        ([*CONVERSE, *CONVERSE], "$", "the stream holds several answers"),
        ([CONVERSE[0], CONVERSE[-1]], "$", "the stream holds no answer"),
    ],
)
def test_bedrock_record_without_an_answer_is_refused(record: Any, place: str, says: str):
    assert refusal("bedrock", record) == (place, says)


# Cohere


PLANNED = {
    "role": "assistant",
    "tool_plan": "p",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "null"}}],
}


def test_cohere_plan_is_reasoning_and_documents_are_a_result():
    documents = [block("document", document={"data": '{"x": 1}'}), block("document", document={"data": {"y": 2}})]
    record = {
        "messages": [user("q"), PLANNED, {"role": "tool", "tool_call_id": "c", "content": documents}],
        "documents": ["d"],
    }
    assert turns("cohere", record) == [user("q"), said("", "p", [{**F, "id": "c"}]), told('{"x": 1}\n{"y": 2}', "c")]
    assert fates("cohere", record) == [("$.documents[0]", "dropped", "a document beside the messages", True)]


@pytest.mark.parametrize(
    ("message", "made"),
    [
        ({"content": [text("a")], "citations": [{}]}, said("a")),
        ({"content": [block("thinking", thinking="t"), text("a")]}, said("a", "t")),
        ({**PLANNED, "content": [block("thinking", thinking="t")]}, said("", "t\np", [{**F, "id": "c"}])),
        ({"content": "a", "tool_plan": ""}, said("a")),
    ],
)
def test_cohere_answer_is_one_turn(message: Any, made: Any):
    answer = {"id": "x", "message": {"role": "assistant", **message}, "finish_reason": "COMPLETE"}
    assert turns("cohere", answer) == [made]
    assert turns("cohere", {"request": {"messages": [user("q")]}, "response": answer}) == [user("q"), made]


def event(kind: str, index: int | None = None, **said_: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"type": kind, "delta": {"message": said_}}
    return made if index is None else {**made, "index": index}


COHERE = [
    {"id": "x", **event("message-start", role="assistant", content=[], tool_plan="", tool_calls=[])},
    event("tool-plan-delta", tool_plan="I "),
    event("tool-plan-delta", tool_plan="plan."),
    event("tool-call-start", 0, tool_calls={"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}),
    {"type": "tool-call-end", "index": 0},
    event("tool-call-start", 1, tool_calls={"id": "d", "type": "function", "function": {"name": "f", "arguments": ""}}),
    event("tool-call-delta", 1, tool_calls={"function": {"arguments": '{"a":'}}),
    event("tool-call-delta", 1, tool_calls={"function": {"arguments": "1}"}}),
    {"type": "tool-call-end", "index": 1},
    {"type": "message-end", "delta": {"finish_reason": "TOOL_CALL"}},
]


def test_cohere_stream_comes_to_the_answer_that_it_streams():
    (sample,) = samples("cohere", COHERE)
    assert sample["messages"] == [said("", "I plan.", [{**F, "id": "c"}, {**FA, "id": "d"}])]
    assert sample["metadata"] == {"finish_reason": "TOOL_CALL"}
    (sample,) = samples("cohere", COHERE[:7])
    assert sample["messages"][0]["tool_calls"][1] == called("f", '{"a":', "d")
    assert sample["metadata"] == {"finish_reason": "unfinished"}
    thinking = [
        event("content-start", 0, content=block("thinking", thinking="")),
        event("content-delta", 0, content={"thinking": "t"}),
    ]
    assert turns("cohere", [COHERE[0], *thinking, event("content-delta", 1, content={"text": "a"})]) == [said("a", "t")]


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (
            {"message": {"role": "assistant"}, "finish_reason": "ERROR"},
            "the answer is empty, its finish_reason is 'ERROR'",
        ),
        ([*COHERE, *COHERE], "the stream holds several answers"),
        (
            [COHERE[0], {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "boom"}}],
            "the stream ends in an error: boom",
        ),
    ],
)
def test_cohere_record_without_an_answer_is_refused(record: Any, says: str):
    assert refusal("cohere", record)[1] == says


# Properties


TEXTS = ("text", "thinking", "partial_json", "tool_plan", "arguments", "input")


def halved(value: Any, at: int) -> list[Any]:
    """The two events that one would be, had its piece of text been sent in two; an event without text stays one."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in TEXTS and isinstance(inner, str):
                return [{**value, key: inner[:at]}, {**value, key: inner[at:]}]
            parts = halved(inner, at) if key in ("delta", "message", "contentBlockDelta", *NESTED) else [inner]
            if len(parts) > 1:
                return [{**value, key: part} for part in parts]
    return [value]


NESTED = ("content", "tool_calls", "function", "toolUse", "reasoningContent")


def is_delta(value: Any) -> bool:
    kind = value.get("type", "")
    return "contentBlockDelta" in value or kind.endswith("-delta") or kind == "content_block_delta"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["anthropic", "bedrock", "cohere"]), st.lists(st.integers(0, 7), min_size=20, max_size=20))
def test_stream_that_is_cut_elsewhere_comes_to_the_same_sample(name: str, cuts: list[int]):
    stream = {"anthropic": STREAM, "bedrock": CONVERSE, "cohere": COHERE}[name]
    parts = [halved(value, at) if is_delta(value) else [value] for value, at in zip(stream, cuts, strict=False)]
    finer = [part for pair in parts for part in pair]
    assert len(finer) > len(stream)
    assert samples(name, finer) == samples(name, stream)


@given(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3))
def test_arguments_are_the_same_as_an_object_and_as_text(arguments: Any):
    for form in (arguments, json.dumps(arguments), json.dumps(arguments, ensure_ascii=False, indent=1)):
        record = {"messages": [user("q"), assistant(use("c", form))]}
        assert FORMATS["anthropic"].read(record).conversations[0].sample["messages"][1] == said(
            calls=[called("f", arguments, "c")]
        )


# Real recordings


@needs_real_data
@pytest.mark.parametrize(
    ("source", "name", "n_records", "n_samples", "n_messages", "n_lost", "n_refused"),
    [
        ("pydantic-ai/anthropic-messages.jsonl", "anthropic", 123, 123, 560, 21, 0),
        ("pydantic-ai/bedrock-invoke.jsonl", "anthropic", 2, 2, 8, 0, 0),
        ("vercel-ai/anthropic/**/*.json", "anthropic", 13, 11, 30, 5, 2),
        ("vercel-ai/anthropic/**/*.txt", "anthropic", 33, 19, 40, 9, 14),
        ("pydantic-ai/gemini.jsonl", "gemini", 107, 104, 373, 12, 3),
        ("vercel-ai/google/src/__fixtures__/*.json", "gemini", 4, 4, 4, 0, 0),
        ("vercel-ai/google/src/__fixtures__/*.txt", "gemini", 6, 6, 6, 0, 0),
        ("inspect-ai/agent/fixtures/live*.json", "gemini", 1, 1, 4, 0, 0),
        ("pydantic-ai/bedrock-converse.jsonl", "bedrock", 68, 62, 193, 3, 6),
        ("pydantic-ai/cohere-chat.jsonl", "cohere", 7, 7, 17, 0, 0),
        ("vercel-ai/cohere/src/__fixtures__/*", "cohere", 10, 10, 10, 0, 0),
    ],
)
def test_real_recordings_are_read_whole(
    source: str, name: str, n_records: int, n_samples: int, n_messages: int, n_lost: int, n_refused: int
):
    seen: Counter[str] = Counter()
    for record in records_of(TRACES / source):
        assert record.fault is None
        if recognised(record.data) != [name]:
            continue
        reading = read_whole(FORMATS[name], record.data)
        seen["records"] += 1
        seen["samples"] += len(reading.conversations)
        seen["messages"] += sum(len(found.origins) for found in reading.conversations)
        seen["lost"] += sum(one.loses for one in reading.aside)
        seen["refused"] += reading.refusal is not None
        for found in reading.conversations:
            assert schema().is_valid(found.sample)
    counted = {"records": n_records, "samples": n_samples, "messages": n_messages, "lost": n_lost, "refused": n_refused}
    assert dict(seen) == counted


# Answers that were cut off.


def msg013(*messages: Any, **labels: Any) -> list[tuple[str, str, str]]:
    sample: Any = {"messages": list(messages), "metadata": labels}
    found = rules()["MSG013"].check(Transcript(sample, Settings()))
    return [(json_path(one.path), one.says, one.fix) for one in found]


LIMIT, FILTER, FAILURE = (TRUNCATED[reason] for reason in ("length", "content_filter", "error"))


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        *((reason, LIMIT) for reason in ("length", "max_tokens", "MAX_TOKENS", "FinishReason.MAX_TOKENS")),
        *((reason, LIMIT) for reason in ("max_output_tokens", "model_length", "ERROR_LIMIT")),
        *((reason, FILTER) for reason in ("content_filter", "content-filter", "refusal", "guardrail_intervened")),
        *((reason, FILTER) for reason in ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")),
        *((reason, FAILURE) for reason in ("error", "ERROR", "abort", "OTHER", "MALFORMED_FUNCTION_CALL")),
        *((reason, FAILURE) for reason in ("unfinished", "pause_turn", "insufficient_system_resource")),
        *((reason, None) for reason in ("stop", "STOP", "end_turn", "stop_sequence", "tool_use", "tool_calls")),
        *((reason, None) for reason in ("COMPLETE", "TOOL_CALL", "function_call", "other", "", "null", None, 2, [])),
    ],
)
def test_finish_reason_tells_whether_an_answer_was_cut_off_and_what_to_do(reason: Any, fix: str | None):
    assert remedy(reason) == fix
    says = f"the answer was cut off (finish reason {reason!r})"
    at_end = [("$.messages[1]", says, fix)] if fix else []
    assert msg013(user("q"), said("a"), finish_reason=reason) == at_end
    assert msg013(user("q"), said("a"), told("r"), finish_reason=reason) == at_end
    marked = cut_off([user("q"), said("a")], reason)
    assert marked == [user("q"), {**said("a"), **({"finish_reason": reason} if fix else {})}]
    assert msg013(*marked, user("r"), said("b"), finish_reason="stop") == at_end
    assert msg013(*marked, finish_reason=reason) == at_end


@pytest.mark.parametrize("untrained", [{"train": False}, {"weight": 0}])
def test_answer_that_was_cut_off_may_be_history(untrained: dict[str, Any]):
    cut: dict[str, Any] = {**said("a"), "finish_reason": "length", **untrained}
    assert msg013(user("q"), cut, user("r"), said("b")) == []


CUT = {**said("a"), "finish_reason": "length"}
GO_ON: dict[str, Any] = {"role": "user", "content": "go on"}


def langchain(reason: str) -> list[Any]:
    first = {"type": "ai", "content": "a", "response_metadata": {"finish_reason": reason}}
    last = {"type": "ai", "content": "b", "response_metadata": {"finish_reason": "stop"}}
    return [{"type": "human", "content": "q"}, first, {"type": "human", "content": "go on"}, last]


def pydantic_ai(reason: str) -> list[Any]:
    def asks(words: str) -> Any:
        return {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": words}]}

    def answers(words: str, why: str) -> Any:
        return {"kind": "response", "parts": [{"part_kind": "text", "content": words}], "finish_reason": why}

    return [asks("q"), answers("a", reason), asks("go on"), answers("b", "stop")]


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("openai_chat", {"messages": [user("q"), CUT, GO_ON, {**said("b"), "finish_reason": "stop"}]}),
        (
            "anthropic",
            {"system": "", "max_tokens": 1, "tools": [{"name": "f", "input_schema": {}}]}
            | {"messages": [user("q"), {**assistant(text("a")), "stop_reason": "length"}, GO_ON, said("b")]},
        ),
        ("langchain", langchain("length")),
        ("pydantic_ai", pydantic_ai("length")),
    ],
)
def test_answer_that_was_cut_off_says_so_wherever_it_stands(name: str, record: Any):
    (sample,) = samples(name, record)
    messages: list[Any] = sample["messages"]
    assert messages == [user("q"), CUT, GO_ON, said("b")]
    assert [place for place, _, _ in msg013(*messages, **sample.get("metadata", {}))] == ["$.messages[1]"]
    assert schema().is_valid(sample)
    again = samples("openai_chat", sample)
    assert again[0]["messages"] == messages


def test_answers_of_inspect_say_which_call_of_the_model_cut_them_off():
    def call_of_model(asked: list[Any], answer: Any, reason: str) -> dict[str, Any]:
        return {"event": "model", "input": asked, "output": {"choices": [{"message": answer, "stop_reason": reason}]}}

    turns_given = [{**one, "id": str(i)} for i, one in enumerate([user("q"), said("a"), GO_ON, said("b")])]
    first = call_of_model(turns_given[:1], turns_given[1], "length")
    second = call_of_model(turns_given[:3], turns_given[3], "stop")
    log = {"id": 1, "epoch": 1, "target": "", "messages": turns_given, "events": [first, second]}
    assert turns("inspect_ai", log) == [user("q"), CUT, GO_ON, said("b")]
    apart = {**log, "messages": [user("z"), {**said("c"), "id": "9"}]}  # calls of another conversation
    main, other = samples("inspect_ai", apart)
    assert main["messages"] == [user("z"), said("c")]
    assert other["messages"] == [user("q"), CUT, GO_ON, said("b")]


def test_answers_of_the_vercel_sdk_say_which_span_cut_them_off():
    def span(asked: list[Any], answer: str, reason: str) -> dict[str, Any]:
        about = {"ai.prompt.messages": json.dumps(asked), "ai.response.text": answer}
        told_of = {"ai.operationId": "ai.streamText.doStream", "ai.response.finishReason": reason}
        return {"name": "ai.streamText.doStream", "traceId": "t", "attributes": {**about, **told_of}}

    spans = [span([user("q")], "a", "length"), span([user("q"), said("a"), GO_ON], "b", "stop")]
    assert turns("vercel_ai", spans) == [user("q"), CUT, GO_ON, said("b")]


def test_answer_that_was_cut_off_stays_so_in_the_next_request():
    def span(messages: list[Any], answer: str, reason: str) -> Any:
        given = [{"role": one["role"], "parts": [{"type": "text", "content": one["content"]}]} for one in messages]
        said_parts = [{"type": "text", "content": answer}]
        out = [{"role": "assistant", "parts": said_parts, "finish_reason": reason}]
        pairs = {"gen_ai.operation.name": "chat", "gen_ai.input.messages": given, "gen_ai.output.messages": out}
        listed = [{"key": key, "value": {"stringValue": json.dumps(one)}} for key, one in pairs.items()]
        listed[0]["value"] = {"stringValue": "chat"}
        return {"traceId": "t", "spanId": answer, "name": "chat", "attributes": listed}

    first, second = span([user("q")], "a", "length"), span([user("q"), said("a"), GO_ON], "b", "stop")
    record = {"resourceSpans": [{"scopeSpans": [{"spans": [first, second]}]}]}
    assert turns("otlp", record) == [user("q"), CUT, GO_ON, said("b")]
