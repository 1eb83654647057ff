"""TOL021 duplicate-tool-declaration."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Tool
from qwen_sft.text.quote import quoted


@rule(
    code="TOL021", name="duplicate-tool-declaration", severity="error", since="0.1.0", stage="sample", traits=("tools",)
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """Two declared tools have one name.

    What it catches: a tool with the name of an earlier one: an error where the two differ, a warning where one is a
        copy of the other.

    Why it matters: both are printed. A call to the name does not say which of the two it means, and its arguments
        are checked against either. A copy only costs tokens.

    Fix: rename one of the tools, or take one out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
           {"type": "function", "function": {"name": "weather", "description": "The weather tomorrow.",
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

    Source: the Qwen chat templates print each entry of `tools`; a call names its tool and nothing else.
    """
    if len(transcript.declared) == len(transcript.tools):
        return
    first: dict[str, int] = {}
    for index, tool in enumerate(transcript.tools):
        name = tool.get("function", {}).get("name", "")
        earlier = first.setdefault(name, index)
        if earlier != index:
            same = _same(transcript.tools[earlier], tool)
            yield Finding(
                ("tools", index, "function", "name"),
                f"{quoted(name)} is {'declared' if same else 'another tool'} at tools[{earlier}] too",
                "take one out" if same else "rename one of the two, or take one out",
                Severity.WARNING if same else None,
            )


def _same(one: Tool, other: Tool) -> bool:
    try:
        return one == other
    except RecursionError:  # they nest deeper than Python's stack
        return False
