"""Items of the OpenAI Responses API, which rollouts, logs and SDKs keep: calls and results are items of their own.

What the provider runs itself (web search, code interpreter, MCP) has no exact reading as a call and its result: such
items are left out, and so are the results of calls that are left out.
"""

import json
from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.chat import ITEM_TYPES, keys_of, message
from qwen_sft.reading.metadata import cut_off
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call, text, tools

Item = tuple[Path, Any]
"""An item and its place; a prompt that is one string is the item {role, content} at its place."""

TOOL_LISTS = ("additional_tools", "tool_search_output")
"""Items that tell the model of more tools."""

_RESULTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output")
_TYPES = ITEM_TYPES | {"message", "custom_tool_call_output", "local_shell_call"}
_GIST = ("role", "name", "arguments", "input", "call_id", "output", "summary")
_FREE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
}


def kind(item: Any) -> str:
    """The type of an item; a message may leave it out."""
    given: Any = item.get("type", "message" if "role" in item else "") if is_object(item) else ""
    return given if isinstance(given, str) else repr(given)


def has_items(listed: Any) -> bool:
    """True for a list of items, or of lists of items, of which one at least has the type of an item."""
    if not is_list(listed):
        return False
    if listed and is_list(listed[0]) and all(map(is_list, listed)):
        return any(has_items(state) for state in listed)
    return "type" in keys_of(listed) and any(
        "type" in item and kind(item) in _TYPES for item in listed if is_object(item)
    )


def placed(place: Path, value: Any, role: str) -> list[Item]:
    """The items of a prompt that is a text or a list of items; none where it is neither."""
    if is_list(value):
        return [((*place, i), item) for i, item in enumerate(value)]
    return [(place, {"role": role, "content": value})] if isinstance(value, str) and value else []


def repeats(items: Sequence[Item], start: Sequence[Item]) -> bool:
    """True if the items begin with those of `start`, whatever ids and status they carry."""
    return [_gist(item) for _, item in items[: len(start)]] == [_gist(item) for _, item in start]


def _gist(item: Any) -> Any:
    return [kind(item), text(item.get("content")), *(item.get(key) for key in _GIST)] if is_object(item) else item


def turns(items: Sequence[Item]) -> Turns:
    """The turns that some items come to: the reasoning, text and calls between two inputs are one assistant turn.

    A turn with an item whose status is "incomplete" was cut off.

    Whitespace-only text of the assistant is left out: it is what a server's parser leaves of the template's own line
    breaks between reasoning and calls. `tools` are those of TOOL_LISTS, as the items spell them.
    """
    story, declared = Story(), list[Any]()
    unread: set[Any] = set()
    for place, item in items:
        if not is_object(item):
            fault = Finding(place, f"an item is {type(item).__name__}, not an object", "write {type, role, content}")
            return Turns(refusal=fault)
        if kind(item) in TOOL_LISTS and is_list(item.get("tools")):
            declared += item["tools"]
            story.merge(place, "it only declares tools, which are the sample's tools now")
            continue
        made = _message(item, unread)
        if isinstance(made, str):
            story.drop(place, made, loses=made not in _SILENT)
            if kind(item) not in ("message", "reasoning"):
                unread.add(_key(item))
        else:
            (made,) = cut_off([made], item.get("status"))
            story.join(place, made)
    return Turns(story.messages, story.origins, story.aside, declared or None)


_BLANK = "text of the assistant that is only whitespace"
_NO_THOUGHT = "reasoning without text"
_INNER = "a call that a program made, and no model"
_INNER_RESULT = "a result that a program got, and no model"
_SILENT = (_BLANK, _NO_THOUGHT, _INNER, _INNER_RESULT)
"""Why an item is left out that no model said or saw."""


def _key(item: dict[str, Any]) -> str:
    return repr(item.get("call_id"))


def _message(item: dict[str, Any], unread: set[Any]) -> Message | str:
    """The message that an item is, or is a part of; the reason where it is none.

    Args:
        unread: the calls that were left out.
    """
    given = kind(item)
    caller: Any = item.get("caller")
    if is_object(caller) and caller.get("type") == "program":
        return _INNER_RESULT if given in _RESULTS else _INNER
    if given in _RESULTS:
        if item.get("call_id") is not None and _key(item) in unread:
            return "the result of a call that has no place in a chat"
        return message({"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")})
    said = _call(given, item)
    if said:
        return {"role": "assistant", "content": "", "tool_calls": [said]}
    if given == "reasoning":
        thought = _thought(item)
        if thought:
            return {"role": "assistant", "content": "", "reasoning_content": thought}
        return "reasoning that is encrypted" if item.get("encrypted_content") else _NO_THOUGHT
    if given != "message":
        return f"an item of type {given!r} has no place in a chat"
    made = message(item)
    content: Any = made.get("content")
    said_nothing = isinstance(content, str) and not content.strip() and set(made) == {"role", "content"}
    return _BLANK if made.get("role") == "assistant" and said_nothing else made


def _call(given: str, item: dict[str, Any]) -> Any:
    """The call that an item is; None where it is none. The text of a custom call is its argument `input`."""
    named: Any = item.get("call_id") or item.get("id")
    if given == "function_call":
        return call(item.get("name"), item.get("arguments"), named)
    if given == "custom_tool_call":
        return call(item.get("name"), {"input": item.get("input")}, named)
    return call("local_shell", item.get("action"), named) if given == "local_shell_call" else None


def _thought(item: dict[str, Any]) -> str:
    """The text of a reasoning item: `content` if it has any, else `summary`, which is the whole of it in vLLM's."""
    for key in ("content", "summary"):
        parts: Any = item.get(key)
        listed: list[Any] = parts if is_list(parts) else [{"text": parts}]
        texts = [part["text"] for part in listed if is_object(part) and isinstance(part.get("text"), str)]
        if any(texts):
            return "\n".join(texts)
    return ""


def declared(given: Any, more: Any = None) -> tuple[Any, dict[str, Any]]:
    """The functions among declared tools, and labels for what is none.

    Tools that the provider runs itself are no functions: they become the label `hosted_tools`. A custom tool takes
    free text: it becomes a function of the one argument `input`, and the label `tools_original` keeps its declaration.
    A namespace becomes its functions.

    Args:
        given: `tools` of a request or a response.
        more: tools that were declared later; those already declared are not declared again.
    """
    if more is None and not is_list(given):
        return given, {}
    functions: list[Any] = []
    hosted: list[Any] = []
    first: list[Any] = given if is_list(given) else [] if given is None else [given]
    for tool in _flattened(first):
        (hosted if _is_hosted(tool) else functions).append(tool)
    known = [_name(tool) for tool in functions]
    for tool in _flattened(more if is_list(more) else []):
        if _is_hosted(tool):
            hosted.append(tool)
        elif _name(tool) not in known:
            known.append(_name(tool))
            functions.append(tool)
    custom = [tool for tool in functions if _is_custom(tool)]
    labels = {"hosted_tools": hosted, "tools_original": custom}
    return [_function(tool) for tool in functions], {key: listed for key, listed in labels.items() if listed}


def _flattened(listed: list[Any]) -> list[Any]:
    made: list[Any] = []
    for tool in listed:
        inner: Any = tool.get("tools") if is_object(tool) and tool.get("type") == "namespace" else None
        made += inner if is_list(inner) else [tool]
    return made


def _is_custom(tool: Any) -> bool:
    return is_object(tool) and tool.get("type") == "custom" and isinstance(tool.get("name"), str)


def _is_hosted(tool: Any) -> bool:
    """True for a tool that is no function: one without a name and parameters of its own."""
    if not is_object(tool) or "function" in tool or _is_custom(tool) or tool.get("type") in (None, "function"):
        return False
    return not isinstance(tool.get("name"), str) or tool.get("parameters") is None


def _function(tool: Any) -> Any:
    if not _is_custom(tool):
        return tool
    named = {key: tool[key] for key in ("name", "description") if tool.get(key) is not None}
    return {"type": "function", **named, "parameters": _FREE_TEXT}


def _name(tool: Any) -> Any:
    (nested,) = tools([tool])
    function: Any = nested.get("function") if is_object(nested) else None
    return function.get("name") if is_object(function) else None


def output_text(value: Any) -> Any:
    """What a model saw of a tool's output that a log keeps as an object: its `content`, or the object as JSON."""
    if not is_object(value):
        return value
    return value["content"] if "content" in value else json.dumps(value, ensure_ascii=False)
