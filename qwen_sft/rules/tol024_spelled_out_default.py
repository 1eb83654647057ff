"""TOL024 spelled-out-default."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import ToolCall, is_list, is_object, is_same
from qwen_sft.text.quote import quoted


@rule(code="TOL024", name="spelled-out-default", severity="info", since="0.1.0", stage="sample", marks=("default",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """Calls give arguments the value that they have by default.

    What it catches: an argument that equals the `default` of its schema and is not required. A sample is told once, at
        the first of them.

    Why it matters: it is no fault of the call. The model learns to spell out what it could leave out, which costs
        tokens in every call; and where some runs do it and others do not, it learns both.

    Fix: none is needed. Leave such arguments out, if the calls are to be short.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo", "unit": "celsius"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"},
             "unit": {"type": "string", "default": "celsius"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"},
             "unit": {"type": "string", "default": "celsius"}}, "required": ["city"]}}}]}

    Source: JSON Schema draft 2020-12, section 9.2: `default` is the value that is assumed for one that is absent.
    """
    found = [
        (("messages", exchange.turn, "tool_calls", k, "function", "arguments", name), value)
        for exchange in transcript.exchanges
        for k, call in enumerate(exchange.calls)
        for name, value in _defaults(transcript, call)
    ]
    if found:
        path, value = found[0]
        others = f"; {len(found)} arguments do" if len(found) > 1 else ""
        says = f"{quoted(path[-1])} is given its default, {quoted(value)}{others}"
        yield Finding(path, says, "leave it out, if calls are to be short")


def _defaults(transcript: Transcript, call: ToolCall) -> Iterator[tuple[str, Any]]:
    """The arguments of a call that have their default value."""
    function = call.get("function", {})
    schema: Any = transcript.declared.get(function.get("name", ""))
    given: Any = function.get("arguments")
    properties: Any = schema.get("properties") if is_object(schema) else None
    if not is_object(given) or not is_object(properties):
        return
    required: Any = schema.get("required")
    for name, value in given.items():
        declared = properties.get(name)
        if is_object(declared) and "default" in declared and not (is_list(required) and name in required):
            default = declared["default"]
            if default is not None and isinstance(default, bool) == isinstance(value, bool) and is_same(default, value):
                yield name, value
