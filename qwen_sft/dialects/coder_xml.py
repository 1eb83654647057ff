"""Qwen3-Coder's XML: `<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`.

Values are text. One is read only if its schema says what it is, and it is exactly that: a text where the schema wants a
string, JSON of the wanted type elsewhere. Booleans and null may also be True, False and None, as the template prints
them.
"""

import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.dialect import Dialect
from qwen_sft.inspecting.schema import normalised
from qwen_sft.sample import Tool, ToolCall, is_list, is_object
from qwen_sft.text.markup import blocks, lift_results
from qwen_sft.text.normalize import call, decode_json

_FUNCTION = ("<function=", "</function>")
_PARAMETER = ("<parameter=", "</parameter>")
_TAG = re.compile(r"</?(?:tool_call|function|parameter)[=>]")
_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}
_PRINTED = {"True": "true", "False": "false", "None": "null"}


def _calls(text: str, tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    """The calls, if nothing but white space stands between and behind them."""
    found = blocks(text, "tool_call")
    made: list[ToolCall] = []
    end = found[0].start if found else 0
    for block in found:
        parsed = _call(block.inner.strip(), tools) if block.opened and block.closed else None
        if parsed is None or text[end : block.start].strip():
            return None
        made.append(parsed)
        end = block.end
    if not made or text[end:].strip():
        return None
    before = text[: found[0].start]
    return None if _TAG.search(before) else (before.rstrip("\n"), made)


def _call(text: str, tools: Sequence[Tool]) -> ToolCall | None:
    opened = _tag(text, *_FUNCTION)
    if opened is None or opened[2] < len(text):
        return None
    arguments = _arguments(opened[1], _properties(opened[0], tools))
    return None if arguments is None else call(opened[0], arguments)


def _tag(text: str, opening: str, closing: str, at: int = 0) -> tuple[str, str, int] | None:
    """The name in a tag that stands at a place, what it encloses, and where it ends."""
    if not text.startswith(opening, at):
        return None
    named, closed = text.find(">", at), text.find(closing, at)
    name = text[at + len(opening) : named]
    if not -1 < named < closed or not name.strip() or "<" in name or "\n" in name:
        return None
    return name.strip(), text[named + 1 : closed], closed + len(closing)


def _properties(name: str, tools: Sequence[Any]) -> dict[str, Any]:
    for tool in tools:
        function: Any = tool.get("function") if is_object(tool) else None
        if is_object(function) and function.get("name") == name:
            parameters, _ = normalised(function.get("parameters"))
            properties: Any = parameters.get("properties") if is_object(parameters) else None
            return properties if is_object(properties) else {}
    return {}


def _arguments(body: str, properties: dict[str, Any]) -> dict[str, Any] | None:
    made: dict[str, Any] = {}
    body = body.strip()
    at = 0
    while at < len(body):
        found = _tag(body, *_PARAMETER, at)
        if found is None or _TAG.search(found[1]) or found[0] in made or found[0] not in properties:
            return None
        name, value, at = found
        try:
            made[name] = _typed(value.removeprefix("\n").removesuffix("\n"), properties[name])
        except ValueError:
            return None
        while at < len(body) and body[at].isspace():
            at += 1
    return made


def _typed(value: str, schema: Any) -> Any:
    """The value as its schema wants it.

    Raises:
        ValueError: the schema leaves it open, or the value is not of its type.
    """
    kind: Any = schema.get("type") if is_object(schema) else None
    kinds: list[Any] = kind if is_list(kind) else [kind]
    if kinds == ["string"]:
        return value
    if not kinds or not all(isinstance(k, str) and k in _TYPES for k in kinds):
        raise ValueError("the schema does not say what it is")
    made = decode_json(_PRINTED.get(value, value))
    wanted = tuple(python for k in kinds for python in _TYPES[k])
    if not isinstance(made, wanted) or (isinstance(made, bool) and bool not in wanted):
        raise ValueError("it is of another type")
    return made


DIALECT = Dialect(
    name="coder_xml",
    title="<tool_call><function=name><parameter=key>value</parameter></function></tool_call>",
    marks=("<function=",),
    calls=_calls,
    results=lift_results,
)
