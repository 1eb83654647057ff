"""The Chat Completions message, which many formats hold inside their own record."""

from typing import Any

from qwen_sft.normalize import call, reasoning, text, with_reasoning
from qwen_sft.sample import Message, ToolCall, is_list, is_object

ALIASES = {"developer": "system", "function": "tool"}
"""Roles of the same API under other names, and what they are called in a sample."""


def message(given: dict[str, Any]) -> Message:
    """One message of a sample, from one message of the API, its older spellings and its reasoning aliases.

    A role that is no string stays what it is, and so do calls that are no objects: the schema rule names them.
    """
    role: Any = given.get("role")
    made: Message = {
        "role": ALIASES.get(role, role) if isinstance(role, str) else role,
        "content": text(given.get("content")),
    }
    if role == "assistant":
        made = with_reasoning(made, reasoning(given))
        made_calls = calls(given)
        if made_calls:
            made["tool_calls"] = made_calls
    if role in ("tool", "function"):
        if given.get("tool_call_id") not in (None, ""):
            made["tool_call_id"] = given["tool_call_id"]
        if given.get("name") not in (None, ""):
            made["name"] = given["name"]
    return made


def calls(given: dict[str, Any]) -> list[ToolCall]:
    """The calls of an assistant message: `tool_calls`, nested or flat, or the older `function_call`."""
    made: list[Any] = []
    listed = given.get("tool_calls")
    for item in listed if is_list(listed) else []:
        if is_object(item):
            function = item.get("function")
            named = function if is_object(function) else item
            made.append(call(named.get("name"), named.get("arguments"), item.get("id")))
        else:
            made.append(item)
    older = given.get("function_call")
    if is_object(older) and not made:
        made.append(call(older.get("name"), older.get("arguments")))
    return made
