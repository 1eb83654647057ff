"""TOL025 undeclared-argument."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import is_object
from qwen_sft.text.quote import quoted

_LONGEST, _MOST = 64, 100
_SAYS_MORE = frozenset(
    {"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames", "$ref", "$dynamicRef"}
    | {"allOf", "anyOf", "oneOf", "if", "dependentSchemas"}
)


@rule(code="TOL025", name="undeclared-argument", severity="warning", since="0.1.0", stage="sample", traits=("calls",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A call gives an argument that its tool does not declare.

    What it catches: an argument that is none of the schema's `properties`, where the schema does not say whether it
        allows others. One that the schema forbids is TOL011's, one that is null is TOL022's. A schema that says
        `additionalProperties`, or that is put together with `$ref`, `anyOf` and the like, is not looked at.

    Why it matters: JSON Schema allows what it does not forbid, so that the call is valid; but the model made the
        argument up, and the tool ignores it or fails.

    Fix: take the argument out, correct its name, or declare it.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo", "units": "metric"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the tool declarations of the chat APIs, whose `properties` are all that a prompt says of the arguments.
    """
    for exchange in transcript.exchanges:
        for k, call in enumerate(exchange.calls):
            function = call.get("function", {})
            name, given = function.get("name", ""), function.get("arguments")
            schema: Any = transcript.declared.get(name)
            if not is_object(given) or not is_object(schema) or not _SAYS_MORE.isdisjoint(schema):
                continue
            properties: Any = schema.get("properties")
            if not is_object(properties):
                continue
            for argument, value in given.items():
                if argument in properties or value is None:
                    continue
                close = get_close_matches(argument[:_LONGEST], [p[:_LONGEST] for p in islice(properties, _MOST)], 1)
                meant = f", or name {close[0]!r}" if close else ""
                yield Finding(
                    ("messages", exchange.turn, "tool_calls", k, "function", "arguments", argument),
                    f"{quoted(name)} declares no argument {quoted(argument)}",
                    f"take it out{meant}, or declare it",
                )
