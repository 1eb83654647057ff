"""What speaks to Qwen: Chat Completions, DashScope, Ollama and Qwen-Agent, their streams and their habits."""

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import FORMATS, fates, read_whole, recognised, records_of, samples
from real import TRACES, needs_real_data

from qwen_sft.api import apis
from qwen_sft.decoding.sse import payloads
from qwen_sft.format import formats
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.gather import gathered
from qwen_sft.record import Record, Where
from qwen_sft.sample import json_path
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped

ASKED: dict[str, Any] = {"model": "qwen3-max", "messages": [{"role": "user", "content": "x"}]}
USER = {"role": "user", "content": "x"}


def sse(events: list[Any], prefix: str = "data: ", end: str = "\n") -> str:
    return "".join(f"{prefix}{e if isinstance(e, str) else json.dumps(e)}{end}{end}" for e in events)


def call(name: str, arguments: Any, call_id: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if call_id is None else {**made, "id": call_id}


def chunk(delta: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    choices: list[Any] = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "c1", "object": "chat.completion.chunk", "model": "qwen3-max", "choices": choices, **fields}


def calls(*pieces: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(pieces)})


def piece(**fields: Any) -> dict[str, Any]:
    """A piece of a call: `name` and `arguments` stand in its function, all else beside it."""
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return {**fields, "function": function}


def said(name: str, record: Any) -> Any:
    """The one answer in a record."""
    (made,) = samples(name, record)
    return made["messages"][-1]


def refusal(name: str, record: Any) -> tuple[str, str]:
    assert recognised(record) == [name]
    found = read_whole(FORMATS[name], record).refusal
    assert found is not None
    return json_path(found.path), found.says


def joined_lines(values: list[Any]) -> list[Any]:
    """The data of the records that a file of these lines comes to."""
    lines = [Record(Where("f", i), value, json.dumps(value).encode()) for i, value in enumerate(values, start=1)]
    return [record.data for record in gathered(lines, [kind for kind in formats().values() if kind.joins])]


# Streams of chat.completion.chunk.

END = [chunk({}, "tool_calls"), chunk(usage={"total_tokens": 3})]
F = call("f", {"a": 1}, "i1")
G = call("g", {"b": 2}, "i2")
QUIRKS: dict[str, tuple[list[Any], list[Any]]] = {
    "an empty id and an empty name say nothing": (
        [
            calls(piece(index=0, id="i1", name="f", arguments="")),
            calls(piece(index=0, id="i1", name="", arguments='{"a"')),
            calls(piece(index=0, id="", arguments=": 1}")),
            calls(piece(index=0, id="", arguments=None)),
        ],
        [F],
    ),
    "id and name repeated in every chunk": (
        [calls(piece(index=0, id="i1", name="f", arguments=text)) for text in ("", '{"a": ', "1}")],
        [F],
    ),
    "all in one chunk": ([calls(piece(index=0, id="i1", name="f", arguments='{"a": 1}'))], [F]),
    "an id, then neither id nor name": (
        [calls(piece(index=0, id="f:0", name="f")), calls(piece(index=0, arguments='{"a": 1}'))],
        [{**F, "id": "f:0"}],
    ),
    "arguments null": ([calls(piece(index=0, id="0", name="f", arguments=None))], [call("f", {}, "0")]),
    "arguments absent": ([calls(piece(index=0, id="0", name="f"))], [call("f", {}, "0")]),
    "arguments an object": ([calls(piece(index=0, id="i1", name="f", arguments={"a": 1}))], [F]),
    "arguments an empty string": ([calls(piece(index=0, id="0", name="f", arguments=""))], [call("f", {}, "0")]),
    "no index": (
        [
            calls(piece(id="i1", name="f", arguments='{"a"')),
            calls(piece(arguments=": 1}")),
            calls(piece(id="i2", name="g", arguments='{"b": 2}')),
        ],
        [F, G],
    ),
    "one index for parallel calls": (
        [
            calls(piece(index=0, id="i1", name="f", arguments='{"a": 1}')),
            calls(piece(index=0, id="i2", name="g", arguments='{"b"')),
            calls(piece(index=0, arguments=": 2}")),
        ],
        [F, G],
    ),
    "one index and no ids, whole calls in one chunk": (
        [calls(piece(index=0, name="f", arguments='{"a": 1}'), piece(index=0, name="f", arguments='{"a": 2}'))],
        [call("f", {"a": 1}), call("f", {"a": 2})],
    ),
    "one index and no ids, whole calls in their chunks": (
        [calls(piece(index=0, name="f", arguments='{"a": 1}')), calls(piece(index=0, name="g", arguments='{"b": 2}'))],
        [call("f", {"a": 1}), call("g", {"b": 2})],
    ),
    "pieces of parallel calls by turns": (
        [
            calls(piece(index=0, id="i1", name="f", arguments=""), piece(index=1, id="i2", name="g", arguments="")),
            calls(piece(index=1, arguments='{"b"')),
            calls(piece(index=0, arguments='{"a": 1}')),
            calls(piece(index=1, arguments=": 2}")),
        ],
        [F, G],
    ),
    "a fresh id with every piece": (
        [
            calls(piece(index=0, id="i1", name="f", arguments="")),
            calls(piece(index=0, id="i7", arguments='{"a": ')),
            calls(piece(index=0, id="i8", arguments="1}")),
        ],
        [F],
    ),
    "arguments cut off": ([calls(piece(index=0, id="i1", name="f", arguments='{"a": '))], [call("f", '{"a": ', "i1")]),
    "the older function_call": (
        [chunk({"function_call": {"name": "f", "arguments": '{"a"'}}), chunk({"function_call": {"arguments": ": 1}"}})],
        [call("f", {"a": 1})],
    ),
}


@pytest.mark.parametrize(("events", "made"), QUIRKS.values(), ids=list(QUIRKS))
def test_streamed_calls_are_put_together_however_servers_cut_them(events: list[Any], made: list[Any]):
    events = [chunk({"role": "assistant", "content": ""}), *events, *END]
    answer = {"role": "assistant", "content": "", "tool_calls": made}
    (lines,) = joined_lines(events)
    records = [
        events,
        lines,
        {"request": ASKED, "response_sse": sse([*events, "[DONE]"])},
        {"request": ASKED, "chunks": events},
        {"request": ASKED, "response": sse(events, "data:", "\r\n")},
        {"response": "".join(json.dumps(event) + "\n" for event in events)},
    ]
    assert [said("openai_chat", record) for record in records] == [answer] * len(records)


def test_stream_keeps_each_of_its_events_in_the_books():
    events = [chunk({"content": "y"}), chunk({"content": "z"}), chunk({}, "stop")]
    piece_of = "a piece of the streamed answer that begins before it"
    assert fates("openai_chat", events) == [(f"$[{i}]", "merged", piece_of, False) for i in (1, 2)]
    assert fates("openai_chat", {"request": ASKED, "response_sse": sse(events)}) == []


@pytest.mark.parametrize(
    ("deltas", "answer"),
    [
        (
            [{"reasoning_content": "a"}, {"reasoning_content": "b", "content": None}, {"content": "c"}],
            {"content": "c", "reasoning_content": "ab"},
        ),
        ([{"reasoning": "a"}, {"reasoning": "b"}, {"content": "c"}], {"content": "c", "reasoning_content": "ab"}),
        (
            [
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "a"}]}]},
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "b"}]}]},
                {"content": [{"type": "text", "text": "c"}]},
                {"content": "d"},
            ],
            {"content": "cd", "reasoning_content": "ab"},
        ),
        ([{"refusal": "n"}, {"refusal": "o"}], {"content": [{"type": "refusal", "refusal": "no"}]}),
        (
            [{"content": "c"}, {"content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
            {"content": [{"type": "text", "text": "c"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        ),
        (
            [{"audio": {"id": "a1", "transcript": "y"}}, {"audio": {"transcript": "z"}}],
            {"content": [{"type": "audio", "audio": {"transcript": "yz"}}]},
        ),
    ],
)
def test_streamed_words_and_reasoning_are_kept_apart(deltas: list[Any], answer: Any):
    events = [*map(chunk, deltas), chunk({}, "stop")]
    assert said("openai_chat", events) == {"role": "assistant", **answer}


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        (
            [calls(piece(index=0, name="f")), calls(piece(index=0, name="g"))],
            "$",
            "the stream has pieces of 'f' and of 'g' that cannot be told apart",
        ),
        ([chunk({"content": "a"}), chunk({}, id="c2")], "$", "the stream holds chunks of several answers"),
        ([chunk(), chunk(usage={})], "$", "the stream holds no answer"),
        ({"choices": [{"message": {"content": "y"}}, {"text": "z"}]}, "$.choices[1]", "a choice has no message"),
        ({"messages": [USER, 3]}, "$.messages[1]", "a turn is int, not an object"),
        (
            {
                "request": ASKED,
                "response_sse": sse([chunk({"content": "a"}), {"error": {"message": "Overloaded\nnow"}}]),
            },
            "$.response_sse",
            "the stream ends in an error: Overloaded now",
        ),
        (
            {"request": ASKED, "response_sse": 'data: {"choices"\n\n' + sse([chunk({"content": "a"})])},
            "$.response_sse",
            "an event of the stream is no JSON",
        ),
        (
            {"request": ASKED, "response": {"error": {"message": "No API key.", "code": "401"}}, "status": 401},
            "$.response",
            "the request failed with status 401: No API key.",
        ),
        ({"request": ASKED, "response": "Bad gateway"}, "$.response", "the request failed: Bad gateway"),
        (
            {"request": ASKED, "response": None, "status": 503},
            "$",
            "the request failed with status 503: it has no answer",
        ),
        ({"request": ASKED, "response": {"detail": "slow down"}}, "$.response", "the request failed: slow down"),
    ],
)
def test_what_holds_no_exact_answer_is_refused(record: Any, place: str, says: str):
    assert refusal("openai_chat", record) == (place, says)


@pytest.mark.parametrize(
    ("finish", "told"), [("stop", "stop"), ("length", "length"), (None, "unfinished"), ("null", "unfinished")]
)
def test_stream_tells_whether_it_was_cut_off(finish: Any, told: str):
    (made,) = samples("openai_chat", [chunk({"content": "a"}), chunk({}, finish)])
    assert made["metadata"] == {"finish_reason": told, "model": "qwen3-max"}


def test_stream_that_the_server_ended_is_whole_though_it_names_no_reason():
    record = {"request": ASKED, "response_sse": sse([chunk({"content": "a"}), "[DONE]"])}
    assert samples("openai_chat", record)[0]["metadata"] == {"model": "qwen3-max"}


def test_stream_cut_off_inside_an_event_is_unfinished():
    text = sse([chunk({"content": "a"}), chunk({"content": "b"})]) + 'data: {"id": "c1", "choi'
    (made,) = samples("openai_chat", {"request": ASKED, "response_sse": text})
    assert made["messages"][-1] == {"role": "assistant", "content": "ab"}
    assert made["metadata"]["finish_reason"] == "unfinished"


def test_lines_of_several_streams_are_told_apart():
    def stream(text: str, **fields: Any) -> list[Any]:
        return [chunk({"content": text}, **fields), chunk({}, "stop", **fields), chunk(usage={"n": 1}, **fields)]

    azure = [{"choices": [], "id": "", "prompt_filter_results": []}, *stream("c", id="c3")]
    lines = [*stream("a"), *stream("b", id="c2"), *azure, *stream("d", id=""), *stream("e", id="")]
    assert [said("openai_chat", data)["content"] for data in joined_lines(lines)] == ["a", "b", "c", "d", "e"]


def test_stream_of_several_choices_is_a_sample_for_each():
    events = [
        {"id": "c1", "choices": [{"index": i, "delta": {"content": text}, "finish_reason": finish}]}
        for i, text, finish in [(1, "b", None), (0, "a", "stop"), (1, "B", "stop")]
    ]
    assert [made["messages"][-1]["content"] for made in samples("openai_chat", events)] == ["a", "bB"]


def test_answer_beside_its_request_in_one_object_is_read_with_it():
    answer = {"choices": [{"message": {"role": "assistant", "content": "y"}, "finish_reason": "stop"}]}
    for record in ({**ASKED, "response": answer}, {**ASKED, **answer}):
        assert samples("openai_chat", record)[0]["messages"] == [USER, {"role": "assistant", "content": "y"}]


def test_bodies_as_text_are_read_like_the_bodies():
    answer = {"id": "r", "choices": [{"message": {"content": "y"}, "finish_reason": "stop"}]}
    asked = {**ASKED, "messages": [{"role": "system", "content": "s"}, USER]}
    record = {"request_body": json.dumps(asked), "response_body": json.dumps(answer)}
    assert samples("openai_chat", record) == samples("openai_chat", {"request": asked, "response": answer})
    (conversation,) = read_whole(FORMATS["openai_chat"], record).conversations
    assert conversation.origins == [("request_body",), ("request_body",), ("response_body",)]
    assert conversation.rebuilt


def test_fields_of_zero_values_say_nothing():
    zero = {"audio": {"data": "", "expires_at": 0}, "refusal": "", "function_call": {"arguments": "", "name": ""}}
    answer = {"choices": [{"message": {"role": "assistant", "content": "", "tool_calls": [F], **zero}}]}
    assert said("openai_chat", {"response": answer}) == {"role": "assistant", "content": "", "tool_calls": [F]}


@pytest.mark.parametrize(
    "record",
    [
        {"object": "text_completion", "choices": [{"text": "a", "index": 0}], "usage": {}},
        {"object": "text_completion", "choices": [], "usage": {}},
        {
            "object": "list",
            "data": [{"object": "embedding", "embedding": [0.1], "index": 0}],
            "model": "text-embedding-v4",
        },
        {"object": "list", "data": [{"id": "qwen-max", "object": "model"}]},
        {"request": {"model": "text-embedding-v4", "input": ["a"]}, "response": {"data": []}},
        {"model": "qwen3:8b", "response": "a", "done": False},
        {"model": "cosyvoice", "input": {"text": "a"}, "parameters": {"voice": "x"}},
        {"models": [{"name": "qwen3:8b", "size": 1}]},
        "data: 1\n\n",
    ],
)
def test_traffic_that_is_no_chat_is_not_recognised(record: Any):
    assert recognised(record) == []


MIXED = "its chunks have no id, and begin twice and end twice: they are of several answers"
LATE = "the stream goes on behind its end (finish reason 'stop')"


def nameless(delta: Any, finish: Any = None) -> dict[str, Any]:
    return {key: value for key, value in chunk(delta, finish).items() if key != "id"}


def begins(words: str) -> dict[str, Any]:
    return {"role": "assistant", "content": words}


@pytest.mark.parametrize(
    ("events", "why"),
    [
        (
            [begins("AA "), begins("BB "), {"content": "a"}, {"content": "b"}, "stop", "stop"],
            MIXED,
        ),
        ([begins("A"), {"content": "a"}, "stop", {"content": " late"}], LATE),
        ([begins("A"), "stop", {"tool_calls": [piece(index=0, name="f", arguments="{}")]}], LATE),
        ([begins("A"), "stop", {"reasoning_content": "hm"}, "stop"], LATE),
    ],
)
def test_chunks_of_several_answers_are_refused(events: list[Any], why: str):
    chunks = [nameless({}, one) if isinstance(one, str) else nameless(one) for one in events]
    assert refusal("openai_chat", {"request": ASKED, "chunks": chunks}) == ("$.chunks", why)
    named = [{**one, "id": "c"} for one in chunks]
    if why == LATE:
        assert refusal("openai_chat", {"request": ASKED, "chunks": named}) == ("$.chunks", why)
    else:  # a server that names the speaker, and the end, more than once
        assert said("openai_chat", {"request": ASKED, "chunks": named}) == begins("AA BB ab")


def test_chunks_that_say_nothing_may_follow_the_end():
    chunks = [nameless(begins("a")), nameless({}, "stop"), nameless({"content": ""}), nameless({"role": "assistant"})]
    assert said("openai_chat", {"request": ASKED, "chunks": chunks}) == begins("a")


# Batch files, and what else wraps a body.

CHAT = {"id": "c", "choices": [{"index": 0, "finish_reason": "stop", "message": begins("y")}]}
ITEMS = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "y"}]}]
CLAUDE = {"type": "message", "role": "assistant", "content": [{"type": "text", "text": "y"}], "stop_reason": "end_turn"}
NO_ERROR = {"id": "batch_req_1", "custom_id": "one", "error": None}


def sent_to(url: str, body: Any) -> dict[str, Any]:
    return {"custom_id": "one", "method": "POST", "url": url, "body": body}


@pytest.mark.parametrize(
    ("name", "record", "messages", "origins", "labels"),
    [
        (
            "openai_chat",
            {**NO_ERROR, "response": {"status_code": 200, "request_id": "r", "body": CHAT}},
            [begins("y")],
            ["$.response.body.choices[0].message"],
            {"custom_id": "one", "finish_reason": "stop"},
        ),
        (
            "responses",
            {**NO_ERROR, "response": {"status_code": 200, "body": {"object": "response", "output": ITEMS}}},
            [begins("y")],
            ["$.response.body.output[0]"],
            {"custom_id": "one"},
        ),
        (
            "anthropic",
            {"custom_id": "one", "result": {"type": "succeeded", "message": CLAUDE}},
            [begins("y")],
            ["$.result.message.content[0]"],
            {"custom_id": "one", "finish_reason": "end_turn"},
        ),
        (
            "openai_chat",
            sent_to("/v1/chat/completions", {"model": "m", "messages": [USER, begins("y"), USER]}),
            [USER, begins("y"), USER],
            ["$.body.messages[0]", "$.body.messages[1]", "$.body.messages[2]"],
            {"custom_id": "one", "model": "m"},
        ),
        (
            "responses",
            sent_to("/v1/responses", {"model": "m", "input": "x", "instructions": "s"}),
            [{"role": "system", "content": "s"}, USER],
            ["$.body.instructions", "$.body.input"],
            {"custom_id": "one", "model": "m"},
        ),
        (
            "anthropic",
            {"custom_id": "one", "params": {"model": "m", "system": "s", "messages": [USER]}},
            [{"role": "system", "content": "s"}, USER],
            ["$.params.system", "$.params.messages[0]"],
            {"custom_id": "one", "model": "m"},
        ),
        (
            "openai_chat",
            {"request": ASKED, "response": {"status_code": 200, "body": CHAT}},
            [USER, begins("y")],
            ["$.request.messages[0]", "$.response.body.choices[0].message"],
            {"model": "qwen3-max", "finish_reason": "stop"},
        ),
        (
            "openai_chat",
            {
                "request": {"method": "POST", "url": "u", "body": json.dumps(ASKED)},
                "response": {"status": 200, "headers": {}, "body": sse([chunk(begins("y"), "stop"), "[DONE]"])},
            },
            [USER, begins("y")],
            ["$.request.body", "$.response.body"],
            {"model": "qwen3-max", "finish_reason": "stop"},
        ),
        (
            "ollama",
            {"request": ASKED, "response": {"model": "q", "message": begins("y"), "done": False}},
            [USER, begins("y")],
            ["$.request.messages[0]", "$.response"],
            {"model": "q", "finish_reason": "unfinished"},
        ),
    ],
)
def test_body_in_a_batch_file_or_a_wrapper_is_read(
    name: str, record: Any, messages: list[Any], origins: list[str], labels: dict[str, Any]
):
    assert recognised(record) == [name]
    (conversation,) = read_whole(FORMATS[name], record).conversations
    assert conversation.sample["messages"] == messages
    assert [json_path(place) for place in conversation.origins] == origins
    assert conversation.sample.get("metadata") == labels


@pytest.mark.parametrize(
    ("name", "record", "place", "says"),
    [
        (
            "openai_chat",
            {**NO_ERROR, "response": {"status_code": 400, "body": {"error": {"message": "no"}}}},
            "$.response",
            "the request failed with status 400: no",
        ),
        (
            "openai_chat",
            {**NO_ERROR, "response": None, "error": {"code": "batch_expired", "message": "too late"}},
            "$.error",
            "the request failed: too late",
        ),
        (
            "anthropic",
            {"custom_id": "one", "result": {"type": "errored", "error": {"type": "error", "error": {"message": "no"}}}},
            "$.result",
            "the request failed: no",
        ),
        (
            "anthropic",
            {"custom_id": "one", "result": {"type": "expired"}},
            "$.result",
            "the request failed: it is 'expired'",
        ),
        (
            "openai_chat",
            {"request": ASKED, "response": {"status_code": 500, "body": {"error": {"message": "no"}}}},
            "$.response.body",
            "the request failed with status 500: no",
        ),
        (
            "openai_chat",
            {"request": ASKED, "response": {"status_code": 200, "body": {"said": "y"}}},
            "$.response.body",
            "the answer has no shape of an API's: {'said': 'y'}",
        ),
    ],
)
def test_line_of_a_batch_file_without_an_answer_says_why(name: str, record: Any, place: str, says: str):
    assert refusal(name, record) == (place, says)


# Server-sent events.


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers() | st.text() | st.dictionaries(st.text(), st.text()), max_size=5), st.data())
def test_events_are_the_same_however_lines_end(values: list[Any], data: st.DataObject):
    text = ""
    for value in values:
        end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
        lines = json.dumps(value, indent=data.draw(st.sampled_from([None, 1]))).split("\n")
        text += data.draw(st.sampled_from(["", ": ping", "id: 7" + end + "event: x"])) + end
        text += "".join(f"data:{data.draw(st.sampled_from(['', ' ']))}{line}{end}" for line in lines) + end
    assert list(payloads(text.rstrip("\r\n"))) == values


# Answers and the streams that they could have been.

NAMES = st.sampled_from(["f", "g"])
ARGUMENTS = st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.integers() | st.booleans(), max_size=3)
ANSWERS = st.fixed_dictionaries(
    {
        "content": st.text(max_size=12),
        "reasoning_content": st.text(max_size=12),
        "tool_calls": st.lists(st.tuples(NAMES, ARGUMENTS), max_size=3),
    }
)


def cut(data: st.DataObject, text: str) -> list[str]:
    at = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return [text[a:b] for a, b in zip([0, *at], [*at, len(text)], strict=True)]


def restreamed(data: st.DataObject, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The deltas of some stream of an answer."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    for key in ("reasoning_content", "content"):
        deltas += [{key: text} for text in cut(data, answer[key])]
    for i, (name, arguments) in enumerate(answer["tool_calls"]):
        for k, text in enumerate(cut(data, json.dumps(arguments))):
            beside = {"id": f"i{i}", "name": name} if k == 0 or data.draw(st.booleans()) else {"id": ""}
            deltas.append({"tool_calls": [piece(index=i, arguments=text, **beside)]})
    return deltas


def whole_message(answer: dict[str, Any]) -> dict[str, Any]:
    made = [call(name, json.dumps(arguments), f"i{i}") for i, (name, arguments) in enumerate(answer["tool_calls"])]
    return {"role": "assistant", **answer, "tool_calls": made}


@settings(max_examples=80, deadline=None)
@given(ANSWERS, st.data())
def test_chat_completions_answer_is_the_same_streamed_at_any_boundaries(answer: dict[str, Any], data: st.DataObject):
    body = {"id": "c1", "model": "qwen3-max", "choices": [{"message": whole_message(answer), "finish_reason": "stop"}]}
    events = [*map(chunk, restreamed(data, answer)), chunk({}, "stop"), chunk(usage={})]
    plain = samples("openai_chat", {"request": ASKED, "response": body})
    assert samples("openai_chat", {"request": ASKED, "response_sse": sse(events)}) == plain
    assert samples("openai_chat", {"request": ASKED, "chunks": events}) == plain


@settings(max_examples=80, deadline=None)
@given(ANSWERS, st.booleans(), st.data())
def test_dashscope_answer_is_the_same_streamed_in_pieces_or_snapshots(
    answer: dict[str, Any], incremental: bool, data: st.DataObject
):
    parameters = {"result_format": "message", "incremental_output": incremental}
    asked = {"model": "qwen-max", "input": {"messages": [USER]}, "parameters": parameters}
    deltas = restreamed(data, answer)
    said_so_far: dict[str, Any] = {}
    events: list[Any] = []
    for k, delta in enumerate(deltas):
        said_so_far = added(said_so_far, delta)
        events.append(output(delta if incremental else said_so_far, "stop" if k == len(deltas) - 1 else "null"))
    plain = samples("dashscope", {"request": asked, "response": output(whole_message(answer), "stop")})
    text = sse([json.dumps(event) for event in events], "id:1\nevent:result\n:HTTP_STATUS/200\ndata:")
    assert samples("dashscope", {"request": asked, "response_sse": text}) == plain


def added(so_far: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """The snapshot behind a delta."""
    made = json.loads(json.dumps(so_far))
    for key in ("content", "reasoning_content"):
        made[key] = made.get(key, "") + delta.get(key, "")
    made["tool_calls"] = made.get("tool_calls", [])
    for one in delta.get("tool_calls", []):
        if one["index"] == len(made["tool_calls"]):
            made["tool_calls"].append(one)
        else:
            made["tool_calls"][one["index"]]["function"]["arguments"] += one["function"]["arguments"]
    return made


# DashScope.


def output(message: Any, finish: Any = "null", request_id: str = "r1") -> dict[str, Any]:
    choice = {"message": {"role": "assistant", **message}, "index": 0, "finish_reason": finish}
    return {"output": {"choices": [choice]}, "usage": {"total_tokens": 3}, "request_id": request_id}


def text_of(text: str, finish: Any = "null") -> dict[str, Any]:
    return {"output": {"text": text, "finish_reason": finish}, "usage": {}, "request_id": "r1"}


def native(parameters: Any = None, **given_input: Any) -> dict[str, Any]:
    return {"model": "qwen-max", "input": given_input or {"prompt": "x"}, "parameters": parameters or {}}


@pytest.mark.parametrize(
    ("parameters", "texts", "whole"),
    [
        ({}, ["1", "1, 2", "1, 2, 3"], "1, 2, 3"),
        ({"incremental_output": False}, ["1", "1, 2", "1, 2, 3"], "1, 2, 3"),
        ({"incremental_output": True}, ["1", ", 2", ""], "1, 2"),
        ({}, ["1", ", 2", ""], "1, 2"),
        ({"incremental_output": True}, ["ha", "ha", ""], "haha"),
        ({}, ["ha", "ha"], "ha"),
        (None, ["1", "1, 2", "1, 2, 3"], "1, 2, 3"),
        (None, ["1", ", 2", ""], "1, 2"),
        (None, ["", "1", "1"], "?"),
        (None, ["1", "1, 2"], "?"),
        (None, ["", "1", ""], "1"),
        ({"incremental_output": False}, ["1", ", 2"], "!"),
    ],
)
@pytest.mark.parametrize("as_parts", [False, True])
def test_dashscope_snapshots_are_not_appended(parameters: Any, texts: list[str], whole: str, as_parts: bool):
    contents: list[Any] = [[{"text": text}] if as_parts else text for text in texts]
    ends = ["null"] * (len(texts) - 1) + ["stop"]
    events = [output({"content": content}, end) for content, end in zip(contents, ends, strict=True)]
    record: Any = events if parameters is None else {"request": native(parameters), "response_sse": sse(events)}
    refused = {
        "?": ("$", "its events can be read as pieces or as snapshots of the answer"),
        "!": ("$.response_sse", "the request asks for whole snapshots, which these are not"),
    }
    if whole in refused:
        assert refusal("dashscope", record) == refused[whole]
    else:
        assert said("dashscope", record) == {"role": "assistant", "content": whole}


def test_dashscope_lines_are_gathered_by_request_id():
    lines = [text_of("1"), text_of("1, 2"), text_of("1, 2, 3", "stop"), output({"content": "y"}, "stop", "r2")]
    assert [said("dashscope", data)["content"] for data in joined_lines(lines)] == ["1, 2, 3", "y"]


def test_dashscope_lines_without_ids_are_gathered_until_their_end():
    lines = [
        {"output": {"text": text, "finish_reason": end}, "usage": {}}
        for text, end in [("1", "null"), ("1, 2", None), ("1, 2, 3", "stop"), ("y", "stop")]
    ]
    assert [said("dashscope", data)["content"] for data in joined_lines(lines)] == ["1, 2, 3", "y"]


def test_dashscope_snapshots_show_an_image_once():
    image = {"image": "https://example.org/a.png"}
    contents = [[{"text": "a"}], [{"text": "ab"}, image], [{"text": "ab"}, image]]
    events = [output({"content": content}) for content in contents]
    record = {"request": native(), "response_sse": sse([{"request_id": "r1"}, *events])}
    assert said("dashscope", record)["content"] == [{"type": "text", "text": "ab"}, image]


def test_dashscope_stream_means_the_same_to_formats_that_hold_no_request():
    api = apis()["dashscope"]
    events = [text_of("1"), text_of("1, 2"), text_of("1, 2, 3", "stop")]
    (made,) = api.answered(api.whole(events))
    assert made.messages == [{"role": "assistant", "content": "1, 2, 3"}]


def test_dashscope_stream_without_an_end_is_unfinished():
    (made,) = samples("dashscope", {"request": native(), "response_sse": sse([text_of("1"), text_of("1, 2")])})
    assert made["metadata"] == {"model": "qwen-max", "finish_reason": "unfinished", "request_id": "r1"}


def test_dashscope_request_is_read_in_its_order():
    history = [{"user": "a", "bot": "b"}]
    record = native(
        {"tools": [{"type": "function", "function": {"name": "f"}}], "seed": 1}, history=history, prompt="c"
    )
    (made,) = samples("dashscope", record)
    assert [(turn["role"], turn["content"]) for turn in made["messages"]] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
    ]
    assert made["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert made["metadata"] == {"seed": 1, "model": "qwen-max"}


def test_dashscope_content_without_types_is_text():
    messages = [
        {"role": "user", "content": [{"text": "a"}, {"text": "b"}]},
        {"role": "user", "content": [{"image": "u"}]},
    ]
    (made,) = samples("dashscope", native(messages=messages))
    assert [turn["content"] for turn in made["messages"]] == ["a\nb", [{"image": "u"}]]


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        (
            {"request": native(prompt="a cat"), "response": {"output": {"task_id": "t"}, "request_id": "r"}},
            "$.response.output",
            "the output is a task that makes pictures, video or speech, no answer in a chat",
        ),
        (
            {"request": native(), "response": {"code": "InvalidApiKey", "message": "Invalid key.", "request_id": "r"}},
            "$.response",
            "the request failed: Invalid key.",
        ),
        (
            {"request": native(), "response_sse": sse([text_of("1"), {"code": "Throttling", "message": "Too many."}])},
            "$.response_sse",
            "the stream ends in an error: Too many.",
        ),
        (
            {"output": {"choices": [{"message": {}}, {"text": "y"}]}, "usage": {}},
            "$.output.choices[1].message",
            "a choice has no message",
        ),
        (
            [output({"tool_calls": [piece(index=0, name=name)]}) for name in "fg"],
            "$",
            "the stream has pieces of 'f' and of 'g' that cannot be told apart",
        ),
        ([text_of("1"), {**text_of("2"), "request_id": "r2"}], "$", "the stream holds events of several answers"),
        (native(messages=[USER, 3]), "$.input.messages[1]", "a turn is int, not an object"),
        (
            native({"use_raw_prompt": True}, prompt="<|im_start|>user\nx"),
            "$.input.prompt",
            "the prompt is the raw text of a template",
        ),
    ],
)
def test_dashscope_record_without_an_exact_reading_is_refused(record: Any, place: str, says: str):
    assert refusal("dashscope", record) == (place, says)


# Ollama.


def line(message: Any, done: bool = False, **fields: Any) -> dict[str, Any]:
    return {"model": "qwen3:8b", "created_at": "t", "message": {"role": "assistant", **message}, "done": done, **fields}


OLLAMA_CALLS = [{"function": {"name": "f", "arguments": {"a": 1}}}, {"function": {"name": "g", "arguments": {"b": 2}}}]
OLLAMA_STREAM = [
    line({"content": "", "thinking": "t"}),
    line({"content": "", "thinking": "u"}),
    line({"content": "y", "tool_calls": OLLAMA_CALLS[:1]}),
    line({"content": "", "tool_calls": OLLAMA_CALLS[1:]}),
    line({"content": ""}, True, done_reason="stop"),
]


def test_ollama_stream_is_the_answer_that_it_could_have_been():
    message = {"content": "y", "thinking": "tu", "tool_calls": OLLAMA_CALLS}
    answer = line(message, True, done_reason="stop")
    made = {
        "role": "assistant",
        "content": "y",
        "reasoning_content": "tu",
        "tool_calls": [call("f", {"a": 1}), call("g", {"b": 2})],
    }
    lines = "".join(json.dumps(event) + "\n" for event in OLLAMA_STREAM)
    records = [
        answer,
        OLLAMA_STREAM,
        {"response": answer},
        {"request": ASKED, "response": lines},
        {"chunks": OLLAMA_STREAM},
    ]
    assert [said("ollama", record) for record in records] == [made] * len(records)
    twice = joined_lines([*OLLAMA_STREAM, *OLLAMA_STREAM, answer])
    assert [said("ollama", data) for data in twice] == [made] * 3


def test_ollama_lines_break_at_line_ends_alone_and_may_break_off():
    events = [line({"content": "a\u2028b\x85"}), line({"content": "c"}, True, done_reason="stop")]
    text = "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)
    assert said("ollama", {"request": ASKED, "response": text})["content"] == "a\u2028b\x85c"
    (made,) = samples("ollama", {"request": ASKED, "response": text[:-40]})
    assert made["messages"][-1]["content"] == "a\u2028b\x85"
    assert made["metadata"]["finish_reason"] == "unfinished"


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (OLLAMA_STREAM, "stop"),
        (OLLAMA_STREAM[:3], "unfinished"),
        ([line({"content": "y"}), line({"content": ""}, True, done_reason="length")], "length"),
    ],
)
def test_ollama_stream_tells_whether_it_was_cut_off(events: list[Any], told: str):
    (made,) = samples("ollama", events)
    assert made["metadata"] == {"finish_reason": told, "model": "qwen3:8b"}


def test_ollama_request_names_its_tools_and_shows_its_images():
    messages = [
        {"role": "user", "content": "x", "images": ["iVBO"]},
        {"role": "assistant", "content": "", "tool_calls": OLLAMA_CALLS[:1]},
        {"role": "tool", "tool_name": "f", "content": "1"},
    ]
    (made,) = samples("ollama", {"model": "qwen3:8b", "messages": messages, "options": {"num_ctx": 9}})
    assert made["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image", "image": "iVBO"}]},
        {"role": "assistant", "content": "", "tool_calls": [call("f", {"a": 1})]},
        {"role": "tool", "content": "1", "name": "f"},
    ]
    assert made["metadata"] == {"model": "qwen3:8b", "num_ctx": 9}


@pytest.mark.parametrize(
    ("record", "place", "says"),
    [
        (
            {"request": {**ASKED, "options": {}}, "response": {"error": "model not found"}},
            "$.response",
            "the request failed: model not found",
        ),
        (
            {"request": ASKED, "chunks": [line({"content": "y"}), {"error": "out of memory"}]},
            "$.chunks",
            "the stream ends in an error: out of memory",
        ),
        ([line({"content": "y"}, True), line({"content": "z"}, True)], "$", "the stream holds several answers"),
    ],
)
def test_ollama_record_without_an_answer_is_refused(record: Any, place: str, says: str):
    assert refusal("ollama", record) == (place, says)


# Qwen-Agent.


def spoken(content: Any = "", call_id: str | None = None, name: str = "", arguments: str = "", **fields: Any) -> Any:
    made = {"role": "assistant", "content": content, **fields}
    if name:
        made["function_call"] = {"name": name, "arguments": arguments}
    return {**made, "extra": {"function_id": call_id}} if call_id else made


def result(content: str, call_id: str | None = None, name: str = "f") -> dict[str, Any]:
    made = {"role": "function", "name": name, "content": content}
    return {**made, "extra": {"function_id": call_id}} if call_id else made


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        pytest.param(
            [
                spoken(reasoning_content="t"),
                spoken([{"text": "y"}, {"text": "z"}]),
                spoken([], "i1", "f", '{"a": 1}'),
                spoken([], "i2", "g", '{"b": 2}'),
                result("1", "i1"),
                result("2", "i2", "g"),
            ],
            [
                {"role": "assistant", "content": "yz", "reasoning_content": "t", "tool_calls": [F, G]},
                {"role": "tool", "content": "1", "tool_call_id": "i1", "name": "f"},
                {"role": "tool", "content": "2", "tool_call_id": "i2", "name": "g"},
            ],
            id="one turn in four messages",
        ),
        pytest.param(
            [spoken(reasoning_content="t"), spoken(name="f", arguments='{"a": 1}'), result("1", "1")],
            [
                {"role": "assistant", "content": "", "reasoning_content": "t", "tool_calls": [call("f", {"a": 1})]},
                {"role": "tool", "content": "1", "name": "f"},
            ],
            id="the id 1 names no call",
        ),
        pytest.param(
            [spoken(call_id="1", name="f", arguments='{"a": 1}'), result("1", "1")],
            [
                {"role": "assistant", "content": "", "tool_calls": [call("f", {"a": 1}, "1")]},
                {"role": "tool", "content": "1", "tool_call_id": "1", "name": "f"},
            ],
            id="unless a call has it",
        ),
        pytest.param(
            [
                {"role": "assistant", "content": "", "tool_calls": [F], "extra": {"function_id": "i1"}},
                {"role": "tool", "content": "1", "id": "i1", "extra": {"function_id": "i1"}},
            ],
            [
                {"role": "assistant", "content": "", "tool_calls": [F]},
                {"role": "tool", "content": "1", "tool_call_id": "i1"},
            ],
            id="results in the newer spelling have the call's id as theirs",
        ),
        pytest.param(
            [spoken("y"), spoken(name="f", arguments='{"a": 1}'), result("1")],
            [
                {"role": "assistant", "content": "y", "tool_calls": [call("f", {"a": 1})]},
                {"role": "tool", "content": "1", "name": "f"},
            ],
            id="words and a call, and no ids at all",
        ),
        pytest.param(
            [
                spoken("y", reasoning_content="t", call_id="i1", name="f", arguments='{"a": 1}'),
                result("1", "i1"),
                spoken("z", name="", reasoning_content="u"),
            ],
            [
                {"role": "assistant", "content": "y", "reasoning_content": "t", "tool_calls": [F]},
                {"role": "tool", "content": "1", "tool_call_id": "i1", "name": "f"},
                {"role": "assistant", "content": "z", "reasoning_content": "u"},
            ],
            id="reasoning beside the words",
        ),
        pytest.param(
            [
                {**spoken("y"), "name": "Alice"},
                {**spoken(call_id="i1", name="f", arguments='{"a": 1}'), "name": "Bob"},
                result("1", "i1"),
            ],
            [
                {"role": "assistant", "content": "y"},
                {"role": "assistant", "content": "", "tool_calls": [F]},
                {"role": "tool", "content": "1", "tool_call_id": "i1", "name": "f"},
            ],
            id="agents of a group chat stay apart",
        ),
        pytest.param(
            [spoken([{"text": "y"}, {"image": "u"}]), result("1")],
            [
                {"role": "assistant", "content": [{"text": "y"}, {"image": "u"}]},
                {"role": "tool", "content": "1", "name": "f"},
            ],
            id="an image stays a part",
        ),
    ],
)
def test_qwen_agent_messages_of_one_turn_are_joined(messages: list[Any], turns: list[Any]):
    assert samples("qwen_agent", [USER, *messages])[0]["messages"] == [USER, *turns]
    assert samples("qwen_agent", {"messages": [USER, *messages]})[0]["messages"] == [USER, *turns]


def ended(reason: Any) -> dict[str, Any]:
    return {"extra": {"model_service_info": {"output": {"choices": [{"finish_reason": reason}]}}}}


def test_qwen_agent_answers_that_were_cut_off_say_so():
    record = {
        "id": 7,
        "messages": [
            USER,
            {**spoken("a"), **ended("length")},
            USER,
            {**spoken("b"), **ended("null")},  # its turn goes on: the last message says why it ended
            {**spoken("c"), **ended("stop")},
            USER,
            {**spoken("y"), **ended("length")},
        ],
        "functions": [{"name": "f"}],
    }
    assert samples("qwen_agent", record) == [
        {
            "id": "7",
            "messages": [
                USER,
                {"role": "assistant", "content": "a", "finish_reason": "length"},
                USER,
                {"role": "assistant", "content": "b\nc"},
                USER,
                {"role": "assistant", "content": "y", "finish_reason": "length"},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "metadata": {"finish_reason": "length"},
        }
    ]


def test_qwen_agent_books_name_the_pieces_of_a_turn():
    record = [USER, spoken(reasoning_content="t"), spoken(call_id="i1", name="f"), result("1", "i1")]
    part = "part of the assistant turn that begins before it"
    assert fates("qwen_agent", record) == [("$[2]", "merged", part, False)]


def test_plain_legacy_calls_are_not_taken_for_qwen_agents():
    record = [USER, {"role": "assistant", "content": None, "function_call": {"name": "f"}}, result("1")]
    assert recognised(record) == ["openai_chat"]


# What holds for all of them.


def shaped_messages(name: str, record: Any) -> list[Any]:
    (conversation,) = read_whole(FORMATS[name], record).conversations
    return shaped(conversation, Transcript(conversation.sample, Settings()), Settings())[0].sample["messages"]


def test_parallel_results_in_any_order_give_the_same_sample():
    called = [spoken([], "i1", "f", '{"a": 1}'), spoken([], "i2", "g", '{"b": 2}')]
    results = [result("1", "i1"), result("2", "i2", "g")]
    agent = [shaped_messages("qwen_agent", [USER, *called, *order]) for order in (results, results[::-1])]
    assert agent[0] == agent[1]
    turns = [USER, {"role": "assistant", "content": "", "tool_calls": [F, G]}]
    tools = [{"role": "tool", "tool_call_id": i, "content": i} for i in ("i1", "i2")]
    for wrap, name in ((lambda m: {"messages": m}, "openai_chat"), (lambda m: native(messages=m), "dashscope")):
        orders = [shaped_messages(name, wrap([*turns, *order])) for order in (tools, tools[::-1])]
        assert orders[0] == orders[1]


@pytest.mark.parametrize("arguments", [{"a": 1}, '{"a": 1}', '"{\\"a\\": 1}"', ' {\n"a":1}'])
def test_arguments_in_any_encoding_give_the_same_sample(arguments: Any):
    turn = {"role": "assistant", "content": "", "tool_calls": [call("f", arguments, "i1")]}
    made = {"role": "assistant", "content": "", "tool_calls": [F]}
    assert said("openai_chat", {"messages": [USER, turn]}) == made
    assert said("dashscope", native(messages=[USER, turn])) == made
    assert said("ollama", {**ASKED, "messages": [USER, turn], "options": {}}) == made


# Real traces.


def real(name: str, source: str) -> list[Any]:
    return [record.data for record in records_of(TRACES / source) if name in recognised(record.data)]


@needs_real_data
@pytest.mark.parametrize(
    ("name", "source", "counts"),
    [
        (
            "dashscope",
            "loongsuite/dashscope-native.jsonl",
            {"samples": 44, "the output is a task that makes pictures, video or speech, no answer in a chat": 9},
        ),
        ("openai_chat", "loongsuite/openai-chat.jsonl", {"samples": 255, "the request failed with status 401": 6}),
        ("openai_chat", "simonw-llm/openai-chat.jsonl", {"samples": 13}),
        (
            "openai_chat",
            "pydantic-ai/openai-chat.jsonl",
            {
                "samples": 154,
                "the request failed with status 400": 3,
                "the request failed with status 429": 3,
                "the request failed": 1,
                "the answer has no shape of an API's": 1,
                "the stream ends in an error": 1,
            },
        ),
    ],
)
def test_real_traffic_is_read_or_refused_in_a_sentence(name: str, source: str, counts: dict[str, int]):
    seen: Counter[str] = Counter()
    for record in real(name, source):
        reading = read_whole(FORMATS[name], record)
        seen[reading.refusal.says.split(":")[0] if reading.refusal else "samples"] += 1
        assert not any(event.loses for event in reading.aside)
    assert seen == counts


@needs_real_data
@pytest.mark.parametrize(
    ("name", "source", "counts"),
    [
        ("dashscope", "loongsuite/dashscope-native.jsonl", {("whole", True): 1}),
        ("openai_chat", "loongsuite/openai-chat.jsonl", {("whole", True): 17, ("stream", False): 1}),
        ("openai_chat", "simonw-llm/openai-chat.jsonl", {("whole", True): 2, ("stream", True): 5}),
        ("openai_chat", "pydantic-ai/openai-chat.jsonl", {("whole", True): 22, ("stream", True): 4}),
    ],
)
def test_calls_that_were_read_are_those_that_the_client_sent_back(
    name: str, source: str, counts: dict[tuple[str, bool], int]
):
    """One differs: the recording shortened a path in the request, and not in the stream."""
    seen: Counter[tuple[str, bool]] = Counter()
    records = real(name, source)
    for record, after in pairwise(records):
        here = FORMATS[name].read(record).conversations
        then = FORMATS[name].read({"request": after["request"]}).conversations
        if record["source_file"] != after["source_file"] or not here or not then:
            continue
        prompt, answer = here[0].sample["messages"][:-1], here[0].sample["messages"][-1]
        sent = then[0].sample["messages"]
        n = len(prompt)
        if "tool_calls" in answer and sent[:n] == prompt and len(sent) > n and sent[n]["role"] == "assistant":
            # llm sends an empty turn before the one with the calls
            back = sent[n + 1] if sent[n] == {"role": "assistant", "content": ""} else sent[n]
            told = [[one["function"] for one in turn.get("tool_calls", [])] for turn in (answer, back)]
            seen["stream" if record.get("response_sse") else "whole", told[0] == told[1]] += 1
    assert seen == counts


@needs_real_data
def test_recorded_providers_streams_say_what_their_answers_say():
    root = TRACES / "vercel-ai"
    twins = 0
    for file in sorted(root.glob("*/src/**/*tool-call.chunks.txt")):
        twin = file.with_name(file.name.replace(".chunks.txt", ".json"))
        pair = [[r.data for r in records_of(one)] for one in (file, twin) if one.exists()]
        if len(pair) == 2 and all(recognised(data[0]) == ["openai_chat"] for data in pair):
            streamed, plain = (said("openai_chat", data[0])["tool_calls"] for data in pair)
            assert [one["function"] for one in streamed] == [one["function"] for one in plain]
            twins += 1
    assert twins == 4
