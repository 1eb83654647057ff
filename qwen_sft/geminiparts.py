"""Gemini's parts, as the sessions of Gemini CLI and Qwen Code keep them: what each is to a chat."""

from typing import Any

from qwen_sft.blocks import Block, written
from qwen_sft.normalize import call, text
from qwen_sft.sample import Message, Path, is_list, is_object


def listed(content: Any) -> list[Any]:
    """The parts of a content that is a list of them, one of them, or a text."""
    return content if is_list(content) else [] if content in (None, "") else [content]


def block(place: Path, part: Any) -> Block:
    """A part as a block: a thought is reasoning; what is neither text, call nor result stays as it is."""
    if isinstance(part, str):
        return Block(place, "text", part)
    if not is_object(part):
        return Block(place, "dropped", "a part that is no object", loses=True)
    called: Any = part.get("functionCall")
    if is_object(called):
        return Block(place, "call", call(called.get("name"), called.get("args"), called.get("id")))
    told: Any = part.get("functionResponse")
    if is_object(told):
        return Block(place, "result", result([part], told.get("id"), told.get("name")))
    said: Any = part.get("text")
    if isinstance(said, str):
        if said or not part.get("thoughtSignature"):
            return Block(place, "reasoning", said) if part.get("thought") is True and said else Block(place, "text", said)
        return Block(place, "dropped", "reasoning that is encrypted", loses=True)
    return Block(place, "part", part)


def result(parts: Any, call_id: Any = None, name: Any = None) -> Message:
    """A tool's message from the parts of its result; parts that are no text or response, such as images, stay.

    {output: "..."} and {error: "..."} stand for their text, any other response for itself as JSON.
    """
    made: list[Any] = []
    for part in listed(parts):
        told: Any = part.get("functionResponse") if is_object(part) else None
        if not is_object(told):
            made.append({"type": "text", "text": part["text"]} if _is_text(part) else part)
            continue
        made.append({"type": "text", "text": _response(told.get("response"))})
        inner: Any = told.get("parts")
        made += inner if is_list(inner) else []
    message: Message = {"role": "tool", "content": text(made)}
    if call_id not in (None, ""):
        message["tool_call_id"] = call_id
    if name not in (None, ""):
        message["name"] = name
    return message


def _is_text(part: Any) -> bool:
    return is_object(part) and isinstance(part.get("text"), str)


def _response(given: Any) -> str:
    if is_object(given) and len(given) == 1:
        ((key, value),) = given.items()
        if key in ("output", "error") and isinstance(value, str):
            return value
    return written(given)
