"""TOL023 misnamed-result."""

import re
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_PREFIX = re.compile(r"__|[.:/]")


@rule(code="TOL023", name="misnamed-result", severity="warning", since="0.1.0", stage="sample", traits=("calls",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A result names another tool than the call that it answers.

    What it catches: a tool message whose `name` is not that of the call that has its id, or that it answers by its
        place where there are no ids. Names that differ only in a prefix (`functions.weather`) are the same.

    Why it matters: either the id or the name is wrong. The Qwen templates print neither, so that the model reads the
        result as the answer to the call before it, whichever it belongs to.

    Fix: correct the id or the name; if the result belongs to another call, move it there.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "name": "time", "content": "12:30"},
          {"role": "assistant", "content": "It is half past twelve."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the chat APIs' tool messages, whose `name` is that of the function that was called.
    """
    for exchange in transcript.exchanges:
        for k, result in enumerate(exchange.answers):
            given = None if result is None else transcript.messages[result].get("name")
            called = exchange.calls[k].get("function", {}).get("name", "")
            if result is None or not given or given == called or _last(given) == _last(called):
                continue
            yield Finding(
                ("messages", result, "name"),
                f"the result is {quoted(given)}'s by its name, and the call that it answers is {quoted(called)}'s",
                "correct the name, or the id that pairs them",
            )


def _last(name: str) -> str:
    """A tool's name without its prefix and in one case: `mcp__github__search` and `functions.Search` are `search`."""
    return _PREFIX.split(name)[-1].lower()
