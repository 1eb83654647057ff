"""TOL018 late-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="TOL018", name="late-result", severity="error", since="0.1.0", stage="sample", traits=("unpaired",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A tool result stands behind other turns than its call.

    What it catches: a tool message that answers a call of an earlier turn which has no result yet, while other
        turns stand between the two. A result without an id counts as late if the last turn with calls still waits
        for one.

    Why it matters: the template prints the turns as they stand. The model learns to go on without the answer, and
        then reads it as the answer to something else, as Qwen templates print no call ids.

    Fix: move the result to directly behind the turn that calls.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "user", "content": "Are you there?"},
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

    Source: no Qwen chat template prints `tool_call_id`; consecutive tool messages become one user turn behind the
        call.
    """
    for result, (turn, _) in transcript.misplaced.items():
        if turn < result:
            yield Finding(
                ("messages", result),
                f"this result answers a call in messages[{turn}], and other turns stand between",
                "move the result to directly behind the turn that calls",
            )
