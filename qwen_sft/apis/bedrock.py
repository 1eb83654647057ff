"""Bedrock Converse, and the bodies of Amazon's Nova models: content in blocks that are named by their only field.

Bodies of Anthropic's models that are sent to Bedrock by
InvokeModel are read by qwen_sft.apis.anthropic.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.bedrock_blocks import block
from qwen_sft.reading.block_stream import Pieces
from qwen_sft.reading.blocks import (
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
from qwen_sft.reading.delta import UNFINISHED, failure
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS

_OWN_BLOCKS = ("toolUse", "toolResult", "reasoningContent", "cachePoint", "guardContent", "citationsContent")
_OWN_KEYS = ("toolConfig", "inferenceConfig", "modelId", "guardrailConfig", "additionalModelRequestFields")
_ENDS = {"model_context_window_exceeded": "length"}
_NO_LABELS = frozenset({*ID_KEYS, "system", "schemaVersion"})
_EVENTS = {
    "messageStart": "role",
    "contentBlockStart": "start",
    "contentBlockDelta": "delta",
    "contentBlockStop": "contentBlockIndex",
    "messageStop": "stopReason",
    "metadata": "usage",
}
"""The events of a stream, each of them the only field of its value, and a field of what it holds."""

_PIECES = ("contentBlockStart", "contentBlockDelta")
_ERROR = "Exception"


# -- recognising -------------------------------------------------------------------------------------------------------


def is_request(body: Any) -> bool:
    """Messages of blocks without a type, and something that only Bedrock has: a block, a field of the request, a
    system prompt of such blocks.
    """
    messages: Any = body.get("messages") if is_object(body) else None
    if not is_list(messages) or not messages:
        return False
    if not all(is_object(m) and m.get("role") in ("user", "assistant") and is_list(m.get("content")) for m in messages):
        return False
    parts = [part for message in messages for part in message["content"]]
    if not parts or not all(is_object(part) and "type" not in part for part in parts):
        return False
    system: Any = body.get("system")
    own_system = is_list(system) and bool(system) and all(is_object(b) and "type" not in b for b in system)
    return own_system or any(k in body for k in _OWN_KEYS) or any(k in part for part in parts for k in _OWN_BLOCKS)


def is_response(body: Any) -> bool:
    """The message that is the output, and why it ended."""
    return is_object(body) and "stopReason" in body and is_list(_said(body))


def _said(body: dict[str, Any]) -> Any:
    output: Any = body.get("output")
    message: Any = output.get("message") if is_object(output) else None
    return message.get("content") if is_object(message) else None


def is_event(value: Any) -> bool:
    """One of the named events; an exception counts as the end of a stream."""
    if not is_object(value) or len(value) != 1:
        return False
    ((kind, held),) = value.items()
    if kind in _EVENTS:
        return is_object(held) and _EVENTS[kind] in held
    return kind.endswith(_ERROR) and is_object(held) and isinstance(held.get("message"), str)


# -- requests and answers ----------------------------------------------------------------------------------------------


def body_places(body: Any) -> list[Path]:
    """Each block of the system prompt, of the messages and of the answer."""
    made = system_places(body.get("system"))
    if "messages" in body:
        made += places(("messages",), "content", body["messages"])
    if is_response(body):
        made += [("output", "message", "content", i) for i in range(len(_said(body)))]
    return made


def asked(body: Any) -> Turns:
    """The system prompt and the messages."""
    messages: Any = body.get("messages")
    if not is_list(messages):
        return refusal(("messages",), "no list of messages", "write {messages: [...]}")
    story = Story()
    system: Any = body.get("system")
    prompt: list[tuple[Path, Any]] = [(("system", i), b) for i, b in enumerate(system)] if is_list(system) else []
    if not is_list(system) and system not in (None, ""):
        prompt = [(("system",), system)]
    tell(story, "system", [block(place, part, "system") for place, part in prompt])
    for i, message in enumerate(messages):
        if not is_object(message):
            return no_object(("messages", i), message)
        role: Any = message.get("role")
        tell(story, role, [block(place, part, role) for place, part in listed(("messages", i), "content", message)])
    declared, own = _tools(body.get("toolConfig"))
    return turns(story, declared, {**metadata(body, without=_NO_LABELS), **builtin(own)})


def answered(body: Any) -> list[Turns]:
    """The blocks of the answer."""
    root: Path = ("output", "message", "content")
    parts: list[Any] = _said(body)
    reason: Any = body.get("stopReason")
    if not parts:
        return [empty_answer(root, reason)]
    story = Story()
    tell(story, "assistant", [block((*root, i), part, "assistant") for i, part in enumerate(parts)])
    end = _ENDS.get(reason, reason) if isinstance(reason, str) else None
    return [turns(story, None, metadata({"finish_reason": end}))]


def _tools(config: Any) -> tuple[Any, list[Any]]:
    """The tools with a schema, in OpenAI's form, and the names of those that Amazon runs."""
    declared: Any = config.get("tools") if is_object(config) else None
    if not is_list(declared):
        return declared, []
    kept: list[Any] = []
    own: list[Any] = []
    for tool in declared:
        spec: Any = tool.get("toolSpec") if is_object(tool) else None
        hosted: Any = tool.get("systemTool") if is_object(tool) else None
        if is_object(spec):
            schema: Any = spec.get("inputSchema")
            kept.append(function(spec, schema.get("json", schema) if is_object(schema) else schema))
        elif is_object(hosted):
            own.append(hosted.get("name"))
        elif not (is_object(tool) and "cachePoint" in tool):
            kept.append(tool)
    return kept, own


# -- streams -----------------------------------------------------------------------------------------------------------


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """Every event but a messageStart, which begins another answer."""
    return not gathered or "messageStart" not in event


def whole(events: Sequence[Any]) -> Any:
    """The answer that some events come to."""
    pieces = Pieces()
    reason: Any = None
    for event in filter(is_object, events):
        for kind, held in event.items():
            if kind.endswith(_ERROR):
                return Finding((), f"the stream ends in an error: {failure(held)}", "leave failed requests out")
            if (kind == "messageStart" and pieces) or (reason and kind in _PIECES):
                return Finding((), "the stream holds several answers", "make each of them a record of its own")
            if not is_object(held):
                continue
            if kind == "messageStop":
                reason = held.get("stopReason") or reason
            elif kind == "contentBlockStart":
                pieces.begin(held.get("contentBlockIndex"), held.get("start"))
            elif kind == "contentBlockStop":
                pieces.end(held.get("contentBlockIndex"))
            elif kind == "contentBlockDelta" and is_object(held.get("delta")):
                _add(pieces, held.get("contentBlockIndex"), held["delta"])
    if not pieces:
        return Finding((), "the stream holds no answer", "record it again")
    if pieces.fault:
        return Finding((), pieces.fault, "make each of them a record of its own")
    said = [_finished(part) for part in pieces.blocks()]
    return {"output": {"message": {"role": "assistant", "content": said}}, "stopReason": reason or UNFINISHED}


def _add(pieces: Pieces, index: Any, delta: dict[str, Any]) -> None:
    used, thought = delta.get("toolUse"), delta.get("reasoningContent")
    pieces.add(index, {}, "text", delta.get("text"))
    if is_object(used):
        pieces.add(index, None, "input", used.get("input"))
    if is_object(thought):
        pieces.add(index, {}, "thought", thought.get("text"))
        pieces.add(index, {}, "redacted", thought.get("redactedContent"))


def _finished(block: Any) -> Any:
    """A block as an answer that was not streamed has it, from its start and the pieces of its fields."""
    if not is_object(block):
        return block
    if is_object(block.get("toolUse")):
        return {"toolUse": {**block["toolUse"], "input": block.get("input")}}
    if "thought" in block:
        return {"reasoningContent": {"reasoningText": {"text": block["thought"]}}}
    return {"reasoningContent": {"redactedContent": block["redacted"]}} if "redacted" in block else block


API = Api(
    name="bedrock",
    bare="messages",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=body_places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
)
