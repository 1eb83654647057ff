"""TOL011 arguments-violate-schema."""

import json
from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.schema import Validator, meant
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Path, json_path
from qwen_sft.text.quote import quoted

_MOST = 10
_FIX = "correct the arguments, or the schema of the tool"


@rule(
    code="TOL011", name="arguments-violate-schema", severity="error", since="0.1.0", stage="sample", traits=("calls",)
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A call's arguments break the schema of its tool.

    What it catches: arguments that the declared `parameters` do not allow: a required one is missing, one has the
        wrong type or is none of an enum, one is not declared where others are forbidden. Foreign spellings in the
        schema are read as TOL012 writes them; a tool whose schema stays invalid is not checked.

    Why it matters: the declaration is printed above the call. The model learns that it need not keep to it, and the
        server hands such calls to the tool, which fails.

    Fix: correct the arguments, or the schema where the tool takes them as they are. Where the value only has another
        case or spelling than one of an enum, is a number or a boolean in quotes, or a number without quotes where a
        text is declared, the finding says what to write.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"town": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "Error: no city"},
          {"role": "assistant", "content": "That failed."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: JSON Schema draft 2020-12, or the draft that `$schema` names; `format` rejects nothing.
    """
    if not transcript.exchanges:
        return
    validators = transcript.declarations.validators
    for exchange in transcript.exchanges:
        for k, call in enumerate(exchange.calls):
            function = call.get("function", {})
            arguments: Any = function.get("arguments")
            declared = validators.get(function.get("name", ""), [])
            if not isinstance(arguments, dict) or not declared:
                continue
            if not any(validator is None or validator.accepts(arguments) for validator in declared):
                place = ("messages", exchange.turn, "tool_calls", k, "function", "arguments")
                yield from _violations(declared[0], function.get("name", ""), arguments, place)


def _violations(declared: Validator | None, name: str, arguments: Any, place: Path) -> Iterator[Finding]:
    if declared is None:
        return
    called = f"the call of {quoted(name)}"
    violations = declared.violations(arguments, most=_MOST + 1)
    for path, says in violations[:_MOST]:
        argument = f", argument {json_path(path)[2:]}" if path else ""
        value = meant(declared.schema, arguments, path)
        fix = _FIX if value is None else f"write {json.dumps(value, ensure_ascii=False)}, which the schema allows"
        yield Finding((*place, *path), f"{called}{argument}: {says}", fix)
    if len(violations) > _MOST:
        yield Finding(place, f"{called}: more than {_MOST} places break the schema", _FIX)
