"""MSG011 call-outside-assistant."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="MSG011",
    name="call-outside-assistant",
    severity="error",
    since="0.1.0",
    stage="sample",
    traits=("misplaced-calls",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A message that is not the assistant's holds tool calls.

    What it catches: `tool_calls` in a user, system or tool message.

    Why it matters: templates print calls in assistant turns only, so these would be gone without a word, and with them
        the reason for the results behind them.

    Fix: give the message the role `assistant`, or take the calls out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "assistant", "content": "It is 4 degrees."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Source: the Qwen templates read `tool_calls` in their assistant branch alone.
    """
    for index, message in enumerate(transcript.messages):
        if "tool_calls" in message and message.get("role") != "assistant":
            yield Finding(
                ("messages", index, "tool_calls"),
                f"a {message.get('role')!r:.40} message calls tools; no template prints that",
                "give the message the role assistant, or take the calls out",
            )
