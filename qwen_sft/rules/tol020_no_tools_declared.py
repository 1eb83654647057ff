"""TOL020 no-tools-declared."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="TOL020", name="no-tools-declared", severity="warning", since="0.1.0", stage="sample", traits=("calls",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A sample calls tools and declares none.

    What it catches: calls in a sample whose `tools` are absent or empty.

    Why it matters: the prompt would not name the tools that the model calls. It learns to call without being asked
        to, from memory, and neither the names nor the arguments of the calls can be checked.

    Fix: add the tools that the agent was given. Many harnesses keep them beside their traces: `--tools FILE` reads them
        from there. `--infer-tools` derives them from the calls where nobody has them.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the Qwen chat templates print how to call, and the tools, only where `tools` is given.
    """
    if transcript.tools or not transcript.exchanges:
        return
    calls = sum(len(exchange.calls) for exchange in transcript.exchanges)
    yield Finding(
        ("messages", transcript.exchanges[0].turn, "tool_calls"),
        f"the sample makes {calls} call{'' if calls == 1 else 's'} and declares no tools",
        "add the tools that the agent was given (--tools FILE), or derive them (--infer-tools)",
    )
