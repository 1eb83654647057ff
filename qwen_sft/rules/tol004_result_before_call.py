"""TOL004 result-before-call."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL004", name="result-before-call", severity="error", since="0.1.0", stage="sample", traits=("unpaired",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A tool result stands before the call that it answers.

    What it catches: a tool message whose `tool_call_id` is that of a call in a later turn which has no result of
        its own, while no earlier call of that id is open.

    Why it matters: the template prints the turns as they stand: the model would read the answer first, and then
        learn to ask for what it has just been told and to go on without an answer.

    Fix: move the result behind its call.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
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

    Source: the Qwen chat templates print messages in the order of the list.
    """
    for result, (turn, _) in transcript.misplaced.items():
        if turn > result:
            wanted = transcript.messages[result].get("tool_call_id")
            yield Finding(
                ("messages", result, "tool_call_id"),
                f"{quoted(wanted)} is the id of a later call, in messages[{turn}]",
                "move the result behind its call",
            )
