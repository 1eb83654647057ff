"""Anthropic Messages, at Anthropic, on Bedrock (`anthropic_version`, no model) and Vertex: content in blocks.

A tool's result is a block of a user's message; several stand in one, and the user's own words behind them. See
qwen_sft.reading.anthropic_blocks on the tools that Anthropic runs.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.anthropic_blocks import RESTARTED, Known
from qwen_sft.reading.block_stream import Pieces
from qwen_sft.reading.blocks import (
    Block,
    builtin,
    empty_answer,
    function,
    listed,
    no_object,
    places,
    refusal,
    system_places,
    tell,
    turns,
)
from qwen_sft.reading.chat import keys_of
from qwen_sft.reading.delta import UNFINISHED, failure
from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.reading.story import Story
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS

_ROLES = ("user", "assistant", "system")
_OWN_BLOCKS = {
    "tool_use": "input",
    "tool_result": "tool_use_id",
    "server_tool_use": "input",
    "mcp_tool_use": "input",
    "redacted_thinking": "data",
}
"""Blocks that nobody else has, and a field that each of them has; so is a thought that is one text."""

_FOREIGN_KEYS = frozenset({"inferenceConfig", "toolConfig", "citation_options", "safety_mode", "strict_tools"})
_NO_LABELS = frozenset({*ID_KEYS, "system", "role", "type", "stream", "anthropic_version", "service_tier"})
_EVENTS = {
    "message_start": "message",
    "content_block_start": "content_block",
    "content_block_delta": "delta",
    "content_block_stop": None,
    "message_delta": "delta",
    "message_stop": None,
    "ping": None,
    "error": "error",
}
"""The events of a stream, and the object that each of them holds."""

_ENDS = {"model_context_window_exceeded": "length", "pause_turn": "unfinished"}
"""Stop reasons of answers that go on elsewhere or nowhere, and the `finish_reason` that says so."""

_PIECES = ("content_block_start", "content_block_delta")
_DELTAS = {"text": "text", "thinking": "thinking", "partial_json": "input"}
_STARTS = {"text": {"type": "text"}, "thinking": {"type": "thinking"}}
"""What the pieces of a stream go on, and the block that some of them can begin where its own beginning was lost."""


# -- recognising -------------------------------------------------------------------------------------------------------


def is_request(body: Any) -> bool:
    """Messages of users and assistants, and something that only Anthropic has: its blocks, its tools, a system prompt
    beside the messages.
    """
    messages: Any = body.get("messages") if is_object(body) else None
    if not is_list(messages) or not messages or not body.keys().isdisjoint(_FOREIGN_KEYS):
        return False
    if "tool_calls" in keys_of(messages) or not all(is_object(m) and m.get("role") in _ROLES for m in messages):
        return False
    if isinstance(body.get("anthropic_version"), str) or _is_system(body.get("system")):
        return True
    tools: Any = body.get("tools")
    if is_list(tools) and any(is_object(tool) and "input_schema" in tool for tool in tools):
        return True
    contents: list[Any] = [message.get("content") for message in messages]
    return any(_is_own(block) for content in contents if is_list(content) for block in content)


def _is_system(system: Any) -> bool:
    if is_list(system):
        return bool(system) and all(is_object(block) and block.get("type") == "text" for block in system)
    return isinstance(system, str) and system != ""


def _is_own(block: Any) -> bool:
    kind: Any = block.get("type") if is_object(block) else None
    if kind == "thinking":
        return isinstance(block.get("thinking"), str)
    return isinstance(kind, str) and kind in _OWN_BLOCKS and _OWN_BLOCKS[kind] in block


def is_response(body: Any) -> bool:
    """A message with a list of blocks, and what its model or its end was."""
    if not is_object(body) or body.get("type") != "message" or not is_list(body.get("content")):
        return False
    blocks: list[Any] = body["content"]
    is_item = any(is_object(block) and block.get("type") in ("output_text", "input_text") for block in blocks)
    return ("stop_reason" in body or "model" in body) and not is_item


def is_event(value: Any) -> bool:
    """One of the named events, with what it holds; an error of OpenAI's has a sequence number."""
    kind: Any = value.get("type") if is_object(value) else None
    if not isinstance(kind, str) or kind not in _EVENTS or "sequence_number" in value:
        return False
    held = _EVENTS[kind]
    return is_object(value.get(held)) if held else kind != "content_block_stop" or "index" in value


# -- requests and answers ----------------------------------------------------------------------------------------------


def body_places(body: Any) -> list[Path]:
    """Each block of the system prompt and of the messages; those of an answer."""
    made = system_places(body.get("system"))
    if "messages" in body:
        made += places(("messages",), "content", body["messages"])
    if is_response(body):
        made += [("content", i) for i in range(len(body["content"]))]
    return made


def asked(body: Any) -> Turns:
    """The system prompt and the messages."""
    messages: Any = body.get("messages")
    if not is_list(messages):
        return refusal(("messages",), "no list of messages", "write {messages: [...]}")
    story = Story()
    system: Any = body.get("system")
    prompt = list(enumerate(system)) if is_list(system) else []
    blocks = [Block(("system", i), "part", block) for i, block in prompt]
    if not is_list(system) and system not in (None, ""):
        blocks = [Block(("system",), "part", system)]
    tell(story, "system", blocks)
    given: list[tuple[dict[str, Any], list[tuple[Path, Any]]]] = []
    for i, message in enumerate(messages):
        if not is_object(message):
            return no_object(("messages", i), message)
        given.append((message, listed(("messages", i), "content", message)))
    known = Known([block for _, blocks in given for _, block in blocks], body.get("tools"))
    for message, blocks in given:
        role: Any = message.get("role")
        start = max(len(story.messages) - 1, 0)  # a turn of the model may go on from the one before it
        tell(story, role, [known.read(place, block, role) for place, block in blocks])
        story.messages[start:] = cut_off(story.messages[start:], message.get("stop_reason"))
    declared, own = _tools(body.get("tools"))
    return turns(story, declared, {**metadata(body, without=_NO_LABELS), **builtin(own)})


def answered(body: Any) -> list[Turns]:
    """The blocks of the answer."""
    blocks: list[Any] = body["content"]
    reason: Any = body.get("stop_reason")
    if not blocks:
        return [empty_answer(("content",), reason)]
    story = Story()
    known = Known(blocks, None)
    tell(story, "assistant", [known.read(("content", i), block, "assistant") for i, block in enumerate(blocks)])
    end = _ENDS.get(reason, reason) if isinstance(reason, str) else None
    return [turns(story, None, metadata({"finish_reason": end}, {"model": body.get("model")}))]


def _tools(declared: Any) -> tuple[Any, list[Any]]:
    """The tools with a schema, in OpenAI's form, and the names of those that Anthropic runs."""
    if not is_list(declared):
        return declared, []
    kept: list[Any] = []
    own: list[Any] = []
    for tool in declared:
        if not is_object(tool) or "function" in tool:
            kept.append(tool)
        elif "input_schema" in tool or tool.get("type") in (None, "custom"):
            kept.append(function(tool, tool.get("input_schema")))
        else:
            own.append(tool.get("name") or tool.get("type"))
    return kept, own


# -- streams -----------------------------------------------------------------------------------------------------------


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """Every event up to a message_start behind the end of the answer; one before that end begins the answer again."""
    return event.get("type") != "message_start" or all(before.get("type") != "message_stop" for before in gathered)


def whole(events: Sequence[Any]) -> Any:
    """The answer that some events come to. An answer that is begun again leaves a block in place of what it had said.

    The blocks of message_start, which a server sends where code of its own made calls, are blocks of the answer. Events
    do not say whose they are: what shows that two answers stand in one stream, side by side, is a block that begins
    twice or goes on behind its end, and behind a second message_start all that ends twice.
    """
    body: dict[str, Any] = {}
    pieces = Pieces()
    restarts: list[Any] = []
    n_starts = n_stops = 0
    for event in filter(is_object, events):
        kind: Any = event.get("type")
        delta: Any = event.get("delta")
        if kind == "error":
            return Finding((), f"the stream ends in an error: {failure(event)}", "leave failed requests out")
        if n_stops and (kind == "message_start" or kind in _PIECES):
            return Finding((), "the stream holds several answers", "make each of them a record of its own")
        if kind == "message_start" and is_object(event.get("message")):
            n_starts += 1
            restarts += [{"type": RESTARTED}] if pieces else []
            body = event["message"]
            pieces = Pieces(body.get("content"))
        elif kind == "message_delta" and is_object(delta) and delta.get("stop_reason"):
            body = {**body, "stop_reason": delta["stop_reason"]}
        elif kind == "content_block_start":
            pieces.begin(event.get("index"), event.get("content_block"))
        elif kind == "content_block_stop":
            pieces.end(event.get("index"))
        elif kind == "content_block_delta" and is_object(delta):
            for name, key in _DELTAS.items():
                pieces.add(event.get("index"), _STARTS.get(name), key, delta.get(name))
        n_stops += kind == "message_stop"
    if not body and not pieces:
        return Finding((), "the stream holds no answer", "record it again")
    fault = pieces.fault
    if fault is None and n_starts > 1 and (n_stops > 1 or pieces.ended_twice):
        fault = "it begins twice and ends twice: the stream holds pieces of several answers"
    if fault:
        return Finding((), fault, "make each of them a record of its own")
    end: Any = body.get("stop_reason") or UNFINISHED
    said = [*restarts, *pieces.blocks()]
    return {**body, "type": "message", "role": "assistant", "content": said, "stop_reason": end}


API = Api(
    name="anthropic",
    bare="messages",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=body_places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
    fields=frozenset({"messages", "type"}),
)
