"""Cohere's Chat API, version 2: Chat Completions messages with a plan before the calls, documents as tool results.

`tool_plan` is what the model said to itself before its calls: Cohere's own templates print it between the marks of
thinking, and so do servers that speak OpenAI's protocol for these models. It is reasoning here, behind the thinking
blocks if there are both. A tool's result is a list of documents: the data of each, as JSON where it is no text.
Citations are no words. The documents of a request are shown to the model in a way that no message has: dropped as lost.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.block_stream import Pieces
from qwen_sft.reading.blocks import empty_answer, no_object, refusal, turns, written
from qwen_sft.reading.chat import have_parts, keys_of, message
from qwen_sft.reading.delta import UNFINISHED
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS

_ROLES = ("system", "user", "assistant", "tool", "developer")
_OWN_KEYS = frozenset({"citation_options", "safety_mode", "strict_tools"})
_SAID = ("content", "tool_calls", "tool_plan")
_NO_LABELS = frozenset({*ID_KEYS, "stream", "tool_choice"})
_EVENTS = (
    "message-start",
    "content-start",
    "content-delta",
    "content-end",
    "tool-plan-delta",
    "tool-call-start",
    "tool-call-delta",
    "tool-call-end",
    "citation-start",
    "citation-end",
    "message-end",
)


# -- recognising -------------------------------------------------------------------------------------------------------


def is_request(body: Any) -> bool:
    """Messages, and something that only Cohere has: a plan, documents as a tool's result, thinking beside calls."""
    messages: Any = body.get("messages") if is_object(body) else None
    if not is_list(messages) or not messages:
        return False
    own = "tool_plan" in keys_of(messages) or not body.keys().isdisjoint(_OWN_KEYS)
    if not (own or have_parts(messages)) or not all(is_object(m) and m.get("role") in _ROLES for m in messages):
        return False
    if own:
        return True
    kinds = {(given["role"], kind) for given in messages for kind in _kinds(given.get("content"))}
    calls = any("tool_calls" in given for given in messages)
    return ("tool", "document") in kinds or (calls and ("assistant", "thinking") in kinds)


def _kinds(content: Any) -> list[str]:
    """The types of content's parts; of a document or a thought only where they hold one as Cohere's do."""
    parts = [part for part in content if is_object(part)] if is_list(content) else []
    made = ["document" for part in parts if part.get("type") == "document" and is_object(part.get("document"))]
    return made + ["thinking" for part in parts if part.get("type") == "thinking" and _thought(part)]


def _thought(part: dict[str, Any]) -> bool:
    return isinstance(part.get("thinking"), str) and "signature" not in part


def is_response(body: Any) -> bool:
    """A message of the assistant, and why it ended in capital letters."""
    said: Any = body.get("message") if is_object(body) else None
    reason: Any = body.get("finish_reason") if is_object(body) else None
    return is_object(said) and said.get("role") == "assistant" and isinstance(reason, str) and reason.isupper()


def is_event(value: Any) -> bool:
    """One of the named events: with what it adds, or the index of what it ends."""
    kind: Any = value.get("type") if is_object(value) else None
    if not isinstance(kind, str) or kind not in _EVENTS:
        return False
    return is_object(value.get("delta")) or (kind.endswith("-end") and "index" in value)


# -- requests and answers ----------------------------------------------------------------------------------------------


def places(body: Any) -> list[Path]:
    """Each message and each document of a request; the message of an answer."""
    made: list[Path] = []
    for key in ("messages", "documents"):
        items: Any = body.get(key)
        made += [(key, i) for i in range(len(items) if is_list(items) else 0)]
    return [*made, ("message",)] if is_response(body) else made


def asked(body: Any) -> Turns:
    """Every message is kept."""
    messages: Any = body.get("messages")
    if not is_list(messages):
        return refusal(("messages",), "no list of messages", "write {messages: [...]}")
    story = Story()
    for i, given in enumerate(messages):
        if not is_object(given):
            return no_object(("messages", i), given)
        story.keep(("messages", i), _message(given))
    documents: Any = body.get("documents")
    for i in range(len(documents) if is_list(documents) else 0):
        story.drop(("documents", i), "a document beside the messages", loses=True)
    return turns(story, body.get("tools"), metadata(body, without=_NO_LABELS))


def answered(body: Any) -> list[Turns]:
    """The message of the answer."""
    said: dict[str, Any] = body["message"]
    reason: Any = body.get("finish_reason")
    if not any(said.get(key) for key in _SAID):
        return [empty_answer(("message",), reason)]
    story = Story()
    story.keep(("message",), _message({**said, "role": "assistant"}))
    return [turns(story, None, metadata({"finish_reason": reason}))]


def _message(given: dict[str, Any]) -> Message:
    """One message of a sample."""
    content: Any = given.get("content")
    parts: list[Any] = content if is_list(content) else []
    if given.get("role") == "tool" and parts:
        return message({**given, "content": [_document(part) for part in parts]})
    if given.get("role") != "assistant":
        return message(given)
    is_thought = [is_object(part) and part.get("type") == "thinking" and _thought(part) for part in parts]
    thoughts = [part["thinking"] for part, thinks in zip(parts, is_thought, strict=True) if thinks]
    plan: Any = given.get("tool_plan")
    reasoning = "\n".join(words for words in [*thoughts, plan] if isinstance(words, str) and words)
    made = {**given, "reasoning_content": reasoning} if reasoning else given
    if is_list(content):
        made = {**made, "content": [part for part, thinks in zip(parts, is_thought, strict=True) if not thinks]}
    return message(made)


def _document(part: Any) -> Any:
    """A part of a tool's result; a document becomes the text of its data."""
    document: Any = part.get("document") if is_object(part) and part.get("type") == "document" else None
    if is_object(document):
        return {"type": "text", "text": written(document.get("data", document.get("text")))}
    return part


# -- streams -----------------------------------------------------------------------------------------------------------


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """Every event but a message-start, which begins another answer."""
    return not gathered or event.get("type") != "message-start"


def whole(events: Sequence[Any]) -> Any:
    """The answer that some events come to."""
    content, calls = Pieces(), Pieces()
    plan: list[str] = []
    body: dict[str, Any] = {}
    for event in filter(is_object, events):
        kind, index, delta = event.get("type"), event.get("index"), event.get("delta")
        if kind == "message-start":
            if content or calls or plan:
                return Finding((), "the stream holds several answers", "make each of them a record of its own")
            body = {"id": event["id"]} if isinstance(event.get("id"), str) else {}
        if not is_object(delta):
            continue
        if kind == "message-end":
            body["finish_reason"] = delta.get("finish_reason")
            if delta.get("error"):
                return Finding((), f"the stream ends in an error: {delta['error']}"[:200], "leave failed requests out")
        said: Any = delta.get("message")
        if is_object(said) and kind != "message-start":
            _add(content, calls, index, said)
            plan += [said["tool_plan"]] if isinstance(said.get("tool_plan"), str) else []
    made: dict[str, Any] = {"role": "assistant", "content": content.blocks(), "tool_plan": "".join(plan)}
    if calls:
        made["tool_calls"] = [_finished(one) for one in calls.blocks()]
    if not body and not any(made[key] for key in _SAID if key in made):
        return Finding((), "the stream holds no answer", "record it again")
    return {**body, "message": made, "finish_reason": body.get("finish_reason") or UNFINISHED}


def _add(content: Pieces, calls: Pieces, index: Any, said: dict[str, Any]) -> None:
    """Takes what an event adds to the content's part, or the call, of its index."""
    part, one = said.get("content"), said.get("tool_calls")
    if is_object(part):
        for key in ("text", "thinking"):
            content.add(index, {"type": key}, key, part.get(key))
    function: Any = one.get("function") if is_object(one) else None
    if is_object(function):
        calls.add(index, one, "given", function.get("arguments"))


def _finished(one: Any) -> Any:
    """A call from its start and the pieces of its arguments."""
    return {**one, "function": {**one["function"], "arguments": one.get("given", "")}}


API = Api(
    name="cohere",
    bare="messages",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
    fields=frozenset({"messages", "message", "type"}),
)
