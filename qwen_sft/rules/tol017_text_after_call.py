"""TOL017 text-after-call."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.leak import LEAK_MARKS
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="TOL017", name="text-after-call", severity="error", since="0.1.0", stage="sample", marks=LEAK_MARKS)
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""Text stands behind a call in the same turn.

    What it catches: whole `<tool_call>` blocks in an assistant's content with other text between or behind them.

    Why it matters: the templates print calls at the end of a turn, and a model that calls must stop there. What
        stands behind a call was written without its result, so the model learns to guess the result and go on.

    Fix: move the call to `tool_calls`, and the text before it or into the turn behind the result.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant",
           "content": "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call> Rain."}],
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

    Source: the Qwen chat templates print `tool_calls` behind the content, and nothing behind them.
    """
    for leak in transcript.leaks:
        if leak.kind == "text-after":
            yield Finding(leak.path, leak.says, "move the call to tool_calls, and the text to its own turn")
