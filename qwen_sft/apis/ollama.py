"""Ollama's own chat protocol (/api/chat): arguments are objects, calls need no ids, streams are lines of JSON.

A request has its sampling `options`, or `keep_alive`, beside the messages, whose `images` stand beside the content and
whose results name their tool in `tool_name`. An answer is {model, message, done, done_reason}; a stream has such a line
for every piece, `done` in the last one. Calls arrive whole, one or several in a line.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.chat import Dialogue, dialogue, message
from qwen_sft.reading.delta import UNFINISHED, Pieces
from qwen_sft.reading.metadata import metadata
from qwen_sft.sample import Message, Path, is_list, is_object

_DURATIONS = ("created_at", "done", "done_reason", "eval_duration", "load_duration", "prompt_eval_duration")
_NO_LABELS = frozenset({*_DURATIONS, "total_duration"})


def is_request(body: Any) -> bool:
    """Messages, with `options` or `keep_alive` beside them or `images` or `tool_name` in them."""
    found = _dialogue(body) if is_object(body) and isinstance(body.get("model"), str) else None
    if found is None:
        return False
    return is_object(body.get("options")) or "keep_alive" in body or any(map(_is_own, found.turns))


def _dialogue(body: Any) -> Dialogue | None:
    """The messages of a request; without anything of Ollama's own in it, its answer tells whose it is."""
    found = dialogue(body) if is_object(body) else None
    return found if found and found.speaker == "role" and found.root == ("messages",) else None


def _is_own(given: Any) -> bool:
    return is_object(given) and (
        (given.get("role") == "tool" and isinstance(given.get("tool_name"), str)) or is_list(given.get("images"))
    )


def is_response(body: Any) -> bool:
    """A whole message, done."""
    return is_event(body) and body["done"]


def is_event(value: Any) -> bool:
    """A message, or a piece of one, with a model and whether it is done."""
    if not is_object(value) or not isinstance(value.get("done"), bool) or not isinstance(value.get("model"), str):
        return False
    return is_object(value.get("message")) and "choices" not in value


def places(body: Any) -> list[Path]:
    """Each message of a request; the message of a response."""
    found = _dialogue(body)
    return [*(found.places if found else []), *([("message",)] if is_response(body) else [])]


def asked(body: Any) -> Turns:
    """Every message is kept."""
    found = _dialogue(body)
    if found is None or found.fault:
        return Turns(refusal=found.fault if found else Finding((), "no list of messages", "write {messages: [...]}"))
    options: Any = body.get("options")
    messages = [_message(given) for given in found.turns]
    return Turns(messages, found.places, tools=body.get("tools"), metadata=metadata(body, options))


def _message(given: dict[str, Any]) -> Message:
    """A message; its images become parts of its content, the `tool_name` of a result its name."""
    fields = {**given}
    if isinstance(given.get("tool_name"), str):
        fields["name"] = given["tool_name"]
    if is_list(given.get("images")) and given["images"] and isinstance(given.get("content", ""), str):
        words = [{"type": "text", "text": given["content"]}] if given.get("content") else []
        fields["content"] = [*words, *({"type": "image", "image": image} for image in given["images"])]
    return message(fields)


def answered(body: Any) -> list[Turns]:
    """The message."""
    labels = metadata({"finish_reason": body.get("done_reason")}, body, without=_NO_LABELS)
    return [Turns([_message({"role": "assistant", **body["message"]})], [("message",)], metadata=labels)]


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """A line of the same model, until one is done."""
    return not gathered[-1]["done"] and gathered[-1]["model"] == event["model"]


def whole(events: Sequence[Any]) -> Any:
    """The response that the lines of a stream come to."""
    pieces = Pieces()
    calls: list[Any] = []
    last: dict[str, Any] = {}
    for event in filter(is_object, events):
        if event.get("error"):
            return Finding((), f"the stream ends in an error: {event['error']}"[:200], "leave failed requests out")
        if last.get("done"):
            return Finding((), "the stream holds several answers", "split it behind each line that is done")
        given: Any = event.get("message")
        if is_object(given):
            listed: Any = given.get("tool_calls")
            calls += listed if is_list(listed) else []
            pieces.add({**given, "tool_calls": None})
            last = event
    if not last:
        return Finding((), "the stream holds no answer", "record it again")
    said = {**pieces.message(), **({"tool_calls": calls} if calls else {})}
    reason: Any = last.get("done_reason") if last.get("done") else UNFINISHED
    return {**last, "message": said, "done": True, "done_reason": reason}


API = Api(
    name="ollama",
    bare="messages",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
    fields=frozenset({"model"}),
)
