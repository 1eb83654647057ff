"""TOL028 repeated-call."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Path, is_same
from qwen_sft.text.quote import quoted

_LEAST = 3


@rule(
    code="TOL028",
    name="repeated-call",
    severity="warning",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    traits=("calls",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """The same call is made three times in a row, with the same result.

    What it catches: heuristic: three or more calls behind each other with the same name, arguments and result, and no
        user's turn between. A loop is told once, at its third call. Waiting for something looks the same.

    Why it matters: an agent that is stuck repeats itself. Each turn of it is trained, and the model learns that doing
        the same again is what one does.

    Fix: keep one of the calls, or take the sample out. If the repetition is meant, let the results differ, or ignore
        this rule.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "Error: timeout"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c2", "content": "Error: timeout"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c3", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c3", "content": "Error: timeout"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "Error: timeout"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c2", "content": "Error: timeout"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c3", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c3", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the loops in which runs of coding agents end at their step limit.
    """
    before: Any = None
    length = 0
    at: Path = ()
    for place, seen in _calls(transcript):
        if seen is not None and is_same(seen, before):
            length += 1
            at = place if length == _LEAST else at
            continue
        if length >= _LEAST:
            yield _loop(at, before, length)
        before, length = seen, 1
    if length >= _LEAST:
        yield _loop(at, before, length)


def _loop(at: Path, seen: Any, length: int) -> Finding:
    says = f"{quoted(seen[0])} is called {length} times in a row with the same arguments and result"
    return Finding(at, says, "keep one of the calls, or take the sample out")


def _calls(transcript: Transcript) -> Iterator[tuple[Path, Any]]:
    """Name, arguments and result of each call with its place; None where a user speaks, or there is no result."""
    messages = transcript.messages
    end = 0
    for exchange in transcript.exchanges:
        if any(message.get("role") == "user" for message in messages[end : exchange.turn]):
            yield (), None
        end = exchange.turn + 1
        for k, call in enumerate(exchange.calls):
            answer, function = exchange.answers[k], call.get("function", {})
            place = ("messages", exchange.turn, "tool_calls", k)
            if answer is None:
                yield place, None
            else:
                yield place, (function.get("name"), function.get("arguments"), messages[answer].get("content"))
