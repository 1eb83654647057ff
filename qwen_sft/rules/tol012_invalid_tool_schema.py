"""TOL012 invalid-tool-schema."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Path

_MOST = 5
_FIX = "spell the parameters as JSON Schema"
_DONE = "leave it: rows are built with it; qwen-sft fix writes it into the data"


@rule(code="TOL012", name="invalid-tool-schema", severity="error", since="0.1.0", stage="sample", traits=("tools",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A tool's parameters are not valid JSON Schema.

    What it catches: names of types that are Python's, Java's or Gemini's ("dict", "float", "str, optional",
        "HashMap", "STRING"), null where Arrow filled in another row's keyword, `required` beside the parameters or
        as true inside a property: these have one reading, are rewritten when rows are built, and are warnings.
        Everything else that the meta-schema refuses, and a `$ref` that leads out of the schema, is an error.

    Why it matters: the declaration is printed into the prompt, in a spelling that no server sends at inference.
        Arguments cannot be checked against a schema that nobody can read. Nulls that were filled in teach the model
        parameters that its tool does not have.

    Fix: spell the parameters as JSON Schema: object, array, string, integer, number, boolean, null. Where one
        reading is left, rows are built with it, and `qwen-sft fix` writes it into the data.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "dict", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "town"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: 9,464 "dict" and 1,690 "float" stand in the schemas of one public benchmark; draft 2020-12 knows
        neither.
    """
    declarations = transcript.declarations
    for index, ((_, changes), broken) in enumerate(zip(declarations.functions, declarations.faults, strict=True)):
        if not changes and not broken:
            continue
        place: Path = ("tools", index, "function")
        found = [Finding((*place, "parameters", *path), says, _FIX) for path, says in broken]
        found += [Finding((*place, *path), says, _DONE, Severity.WARNING) for path, says in changes]
        yield from found[:_MOST]
        if len(found) > _MOST:
            says = f"{len(found) - _MOST} more places of this tool are no JSON Schema"
            yield Finding(place, says, _FIX if broken else _DONE, None if len(broken) > _MOST else Severity.WARNING)
