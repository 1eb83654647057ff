"""What many formats need to turn their own spelling into a sample's: arguments, text, tools, reasoning.

Nothing here guesses: a value that has no exact reading stays as it was, for the rules to report.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from qwen_sft.sample import MOST_NESTED, Message, ToolCall, is_list, is_object, is_too_deep

_decoder = msgspec.json.Decoder()

REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""The keys under which servers and SDKs give a turn's reasoning, in the order in which transformers prefers them."""

ID_KEYS = ("id", "sample_id", "conversation_id", "task_id", "uuid")
"""The keys under which traces name a conversation."""


def decode_json(text: str) -> Any:
    """The value of a JSON text; integers of any size stay exact.

    Raises:
        ValueError: the text is no JSON, or has more than MOST_NESTED levels.
    """
    try:
        value = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
        raise ValueError(str(error)) from error
    if text.count("[") + text.count("{") > MOST_NESTED and is_too_deep(value):
        raise ValueError(f"it is nested deeper than {MOST_NESTED} levels")
    return value


def decoded(value: Any) -> Any:
    """What a field holds that may have been written as JSON text: the value, or the text where it is no JSON."""
    if not isinstance(value, str):
        return value
    try:
        return decode_json(value)
    except ValueError:
        return value


def arguments(value: Any) -> Any:
    """A call's arguments as a dict, from a dict, a JSON string, a string encoded twice, or nothing.

    "", "null" and None stand for no arguments and give {}. What is not a JSON object comes back as it stood, or as
    the value that it parses to.
    """
    parsed: Any = value
    for _ in range(2):
        if not isinstance(parsed, str):
            break
        if not parsed.strip():
            parsed = None
            break
        try:
            parsed = decode_json(parsed)
        except ValueError:
            return value
    return {} if parsed is None else parsed


def call(name: Any, given: Any, call_id: Any = None) -> ToolCall:
    """A tool call of a sample; an empty id counts as none."""
    made: ToolCall = {"type": "function", "function": {"name": name, "arguments": arguments(given)}}
    if call_id is not None and call_id != "":
        made["id"] = call_id
    return made


def text(content: Any) -> Any:
    """Content as one string: parts that are all text are joined by newlines, as servers join them; None gives "".

    A list with any other part, and any other value, comes back as it is.
    """
    if content is None:
        return ""
    if not is_list(content):
        return content
    texts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif is_object(part) and is_text_part(part):
            texts.append(part["text"])
        else:
            return content
    return "\n".join(texts)


def is_text_part(part: Mapping[str, Any]) -> bool:
    """True for {"type": "text" | "input_text" | "output_text", "text": "..."} and for {"text": "..."}."""
    kind = part.get("type", "text")
    return kind in ("text", "input_text", "output_text") and isinstance(part.get("text"), str)


def reasoning(message: Mapping[str, Any]) -> str:
    """A turn's reasoning, under whichever of REASONING_KEYS holds text; "" if none does."""
    for key in REASONING_KEYS:
        value = message.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def tools(declared: Any) -> Any:
    """Tool declarations as a list in the nested shape, from a list, a JSON string of one, or a list of JSON strings.

    Flat declarations ({"name", "parameters"}, with or without "type": "function") are nested under "function"; nested
    ones stay as they are, key order and all. None and "" give []. What has no exact reading comes back as it is.
    """
    if isinstance(declared, str):
        if not declared.strip():
            return []
        try:
            declared = decode_json(declared)
        except ValueError:
            return declared
    if declared is None:
        return []
    if is_object(declared):
        declared = [declared]
    if not is_list(declared):
        return declared
    return [_tool(tool) for tool in declared]


def _tool(declared: Any) -> Any:
    if isinstance(declared, str):
        try:
            declared = decode_json(declared)
        except ValueError:
            return declared
    if not is_object(declared) or "function" in declared or "name" not in declared:
        return declared
    function = {key: value for key, value in declared.items() if key != "type" and value is not None}
    return {"type": "function", "function": function}


def with_reasoning(message: Message, thought: str) -> Message:
    """The message with its reasoning, if there is any."""
    return {**message, "reasoning_content": thought} if thought else message


def sample_id(record: Mapping[str, Any]) -> str | None:
    """The trace's own name for the conversation, under the first of ID_KEYS; None if that holds no text or number."""
    key = find_key(record, ID_KEYS)
    name = record[key] if key else None
    return str(name) if isinstance(name, str | int) and not isinstance(name, bool) and name != "" else None


def find_key(record: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """The first of some keys that a record has."""
    return next((key for key in keys if key in record), None)
