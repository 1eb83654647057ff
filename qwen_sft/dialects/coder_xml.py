"""Qwen3-Coder's XML: `<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`.

Values are text. One is read only if its schema says what it is, and it is exactly that: a text where the schema wants a
string, JSON of the wanted type elsewhere.
"""

import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.dialect import Dialect
from qwen_sft.markup import lift_results
from qwen_sft.normalize import call, decode_json
from qwen_sft.sample import Tool, ToolCall, is_list, is_object

_CALL = re.compile(r"<tool_call>\s*<function=([^<>\n]+)>(.*?)</function>\s*</tool_call>", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([^<>\n]+)>(.*?)</parameter>", re.DOTALL)
_TAG = re.compile(r"</?(?:tool_call|function|parameter)[=>]")
_TYPES: dict[str, tuple[type, ...]] = {
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def _calls(text: str, tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    """The calls, if nothing but white space stands between and behind them."""
    found = list(_CALL.finditer(text))
    if not found:
        return None
    ends = [found[0].start(), *(match.end() for match in found)]
    starts = [*(match.start() for match in found), len(text)]
    if any(text[end:start].strip() for end, start in zip(ends[1:], starts[1:], strict=True)):
        return None
    made: list[ToolCall] = []
    for match in found:
        arguments = _arguments(match[2], _properties(match[1].strip(), tools))
        if arguments is None:
            return None
        made.append(call(match[1].strip(), arguments))
    before = text[: found[0].start()]
    return None if _TAG.search(before) else (before.rstrip("\n"), made)


def _properties(name: str, tools: Sequence[Tool]) -> dict[str, Any]:
    for tool in tools:
        function = tool.get("function", {})
        parameters: Any = function.get("parameters")
        if function.get("name") == name and is_object(parameters):
            properties: Any = parameters.get("properties")
            return properties if is_object(properties) else {}
    return {}


def _arguments(body: str, properties: dict[str, Any]) -> dict[str, Any] | None:
    made: dict[str, Any] = {}
    at = 0
    for match in _PARAMETER.finditer(body):
        if match.start() != at or _TAG.search(match[2]) or match[1] in made or match[1] not in properties:
            return None
        at = match.end()
        value = match[2].removeprefix("\n").removesuffix("\n")
        try:
            made[match[1]] = _typed(value, properties[match[1]])
        except ValueError:
            return None
    return None if body[at:].strip() else made


def _typed(value: str, schema: Any) -> Any:
    """The value as its schema wants it.

    Raises:
        ValueError: the schema leaves it open, or the value is not of its type.
    """
    kind: Any = schema.get("type") if is_object(schema) else None
    kinds = kind if is_list(kind) else [kind]
    if kinds == ["string"]:
        return value
    if not kinds or "string" in kinds or not all(isinstance(k, str) and k in _TYPES for k in kinds):
        raise ValueError("the schema does not say what it is")
    made = decode_json(value)
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
