"""TOL014 merged-tool-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.leak import LEAK_MARKS
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule

_FIX = "split the turn into call, tool result and answer"


@rule(code="TOL014", name="merged-tool-result", severity="error", since="0.1.0", stage="sample", marks=LEAK_MARKS)
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A tool's result stands in the assistant's own text.

    What it catches: a whole `<tool_response>` block in an assistant's content: call, result and answer were merged
        into one turn. As a warning, an `Observation:` behind an `Action Input:`, as ReAct writes results. What else the
        text holds of calls is not reported beside it.

    Why it matters: an assistant turn is trained in full: the model learns to make up the answers of its tools.

    Fix: split the turn: the call, a message with the role tool, the answer.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "<tool_response>\n4 degrees, rain\n</tool_response>\nIt is raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant",
           "content": "Action: weather\nAction Input: {\"city\": \"Oslo\"}\nObservation: 4 degrees\nIt is 4 degrees."}]}

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
        ReAct's harnesses stop the model before `Observation:`; some log what they add as the model's own words.
    """
    for leak in transcript.leaks:
        if leak.kind == "result":
            yield Finding(leak.path, leak.says, _FIX)
        elif leak.kind == "observation":
            yield Finding(leak.path, leak.says, _FIX, Severity.WARNING)
