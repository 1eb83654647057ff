"""Tool schemas derived from the calls of a sample: what was used, which may be less than what was offered."""

from collections.abc import Iterable
from typing import Any

from qwen_sft.sample import Message, Sample, Tool, is_list, is_object

_KINDS: tuple[tuple[type[Any], str], ...] = (
    (bool, "boolean"),  # before int, which it is in Python
    (int, "integer"),
    (float, "number"),
    (dict, "object"),
    (list, "array"),
    (type(None), "null"),
)


def inferred_tools(messages: Iterable[Message]) -> list[Tool]:
    """One tool for each name that is called, in the order of the first calls.

    A property is each argument that some call has, with the types that its values have; it is required if every call
    has it. Calls without a name or with arguments that are no object say nothing. Nothing is said of values not
    seen: no enumeration, no bounds.
    """
    calls: dict[str, list[dict[str, Any]]] = {}
    for message in messages:
        listed: Any = message.get("tool_calls")
        for call in listed if is_list(listed) else []:
            function: Any = call.get("function") if is_object(call) else None
            if is_object(function) and isinstance(function.get("name"), str) and is_object(function.get("arguments")):
                calls.setdefault(function["name"], []).append(function["arguments"])
    return [{"type": "function", "function": {"name": n, "parameters": _object(given)}} for n, given in calls.items()]


def tool_names(sample: Sample) -> set[str]:
    """The names of the tools that a sample declares."""
    names: set[str] = set()
    declared: Any = sample.get("tools")
    for tool in declared if is_list(declared) else []:
        function: Any = tool.get("function") if is_object(tool) else None
        if is_object(function) and isinstance(function.get("name"), str):
            names.add(function["name"])
    return names


def _object(values: list[dict[str, Any]]) -> dict[str, Any]:
    seen: dict[str, list[Any]] = {}
    for value in values:
        for key, inner in value.items():
            seen.setdefault(key, []).append(inner)
    made: dict[str, Any] = {"type": "object", "properties": {key: _schema(given) for key, given in seen.items()}}
    required = [key for key, given in seen.items() if len(given) == len(values)]
    return {**made, "required": required} if required else made


def _kind(value: Any) -> str:
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "string")


def _schema(values: list[Any]) -> dict[str, Any]:
    kinds = list(dict.fromkeys(_kind(value) for value in values))
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    if kinds == ["object"]:
        return _object(values)
    made: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    items = [item for value in values if is_list(value) for item in value]
    return {**made, "items": _schema(items)} if "array" in kinds and items else made
