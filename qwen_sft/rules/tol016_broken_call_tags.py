"""TOL016 broken-call-tags."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.leak import LEAK_MARKS
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="TOL016", name="broken-call-tags", severity="error", since="0.1.0", stage="sample", marks=LEAK_MARKS)
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""The tags of a call in an assistant turn are broken.

    What it catches: in an assistant's content: `<tool_call>` that is not closed, closed twice or opened inside
        another, a block that does not hold one call, `<function=` outside of a block.

    Why it matters: this is a call that failed at the server: the parser could not read it and left it as text.
        Trained on, it is the very fault that tool training is to remove.

    Fix: mend the call and move it to `tool_calls`, or take the turn out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant",
           "content": "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Os"},
          {"role": "user", "content": "Well?"},
          {"role": "assistant", "content": "It failed."}],
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

    Source: a Qwen3-Coder rollout of a public harness leaked a `<tool_call>` with broken JSON; servers return it as
        content.
    """
    for leak in transcript.leaks:
        if leak.kind == "broken":
            yield Finding(leak.path, leak.says, "mend the call and move it to tool_calls, or take the turn out")
