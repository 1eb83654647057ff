"""TOL014 merged-tool-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import rule
from qwen_sft.transcript import Transcript


@rule(code="TOL014", name="merged-tool-result", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A tool's result stands in the assistant's own text.

    What it catches: a whole `<tool_response>` block in an assistant's content: call, result and answer were merged
        into one turn. What else the text holds of calls is not reported beside it.

    Why it matters: an assistant turn is trained in full: the model learns to make up the answers of its tools.

    Fix: split the turn: the call, a message with the role tool, the answer.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "<tool_response>\n4 degrees, rain\n</tool_response>\nIt is raining."}],
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

    Source: the Qwen chat templates print `<tool_response>` in turns that are read, never in one that is produced.
    """
    for leak in transcript.leaks:
        if leak.kind == "result":
            yield Finding(leak.path, leak.says, "split the turn into call, tool result and answer")
