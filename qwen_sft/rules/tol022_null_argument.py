"""TOL022 null-argument."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Path, json_path
from qwen_sft.shaping.nullfill import DOUBT_KEY, may_be_filled, null_arguments, tool_schemas
from qwen_sft.text.quote import quoted

_SAID = {
    "undeclared": "which its tool does not declare",
    "free": "of which its tool's schema says nothing",
    "nullable": "which the schema allows: nothing tells whether the model wrote it or Arrow filled it in",
    "required": "where a value is required: nothing tells whether the model wrote it or Arrow filled it in",
}
_MOST = 5


@rule(code="TOL022", name="null-argument", severity="warning", since="0.1.0", stage="sample", marks=(r"[:\[,]null",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A call gives null for an argument that no one may have written.

    What it catches: null for an argument that the tool's schema does not declare though it declares others. In rows of
        Parquet and Arrow, where a struct has the fields of all rows, and in what `convert` wrote of them, also each
        null that the schema allows or that is required, and an error where the schema says nothing of it. A null of
        such a row that the schema forbids, on a property that is not required, is filled in for certain: it is taken
        out, and this rule is silent.

    Why it matters: the model learns to write the arguments of other tools, each of them null, into every call.

    Fix: leave the argument out. In a table, keep arguments as JSON text or as the `Json` feature of `datasets`: these
        fill nothing in.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [{"id": "c1", "type": "function",
            "function": {"name": "weather", "arguments": {"city": "Oslo", "query": null}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
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

    Source: Apache Arrow's columnar format: every value of a struct type has all of its fields.
    """
    if not any(leaf is None for _, leaf in transcript.leaves):
        return
    schemas = tool_schemas(transcript.tools)
    for exchange in transcript.exchanges:
        for k, call in enumerate(exchange.calls):
            function: Any = call.get("function", {})
            name, arguments = function.get("name", ""), function.get("arguments")
            if isinstance(arguments, dict):
                place = ("messages", exchange.turn, "tool_calls", k, "function", "arguments")
                yield from _nulls(transcript, name, arguments, schemas.get(name), place)


def _nulls(transcript: Transcript, name: str, arguments: Any, schema: Any, place: Path) -> Iterator[Finding]:
    columnar = bool(transcript.structs) or bool(transcript.sample.get("metadata", {}).get(DOUBT_KEY))
    by_kind: dict[str, list[Path]] = {}
    for path, kind in null_arguments(arguments, schema):
        if kind in (_SAID if columnar else ("undeclared",)) and may_be_filled(arguments, path, transcript.structs):
            by_kind.setdefault(kind, []).append(path)
    for kind, paths in by_kind.items():
        named = ", ".join(json_path(path)[2:] for path in paths[:_MOST]) + (", …" if len(paths) > _MOST else "")
        yield Finding(
            (*place, *paths[0]),
            f"the call of {quoted(name)} gives null for {named}, {_SAID[kind]}",
            "keep arguments as JSON text, which fills nothing in" if columnar else "leave it out",
            Severity.ERROR if columnar and kind in ("undeclared", "free") else None,
        )
