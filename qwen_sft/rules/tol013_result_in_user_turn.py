"""TOL013 result-in-user-turn."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.leak import results_in, texts
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(
    code="TOL013",
    name="result-in-user-turn",
    severity="error",
    since="0.1.0",
    stage="sample",
    marks=("</tool_response>",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A tool's result stands in a user's turn.

    What it catches: a user message with a whole `<tool_response>` block. Results that are told in plain words are
        not seen.

    Why it matters: the templates print a tool message as exactly such a block. As a user's words it counts as the
        last user query where the message holds anything else, so reasoning is kept and dropped at the wrong turns;
        and the call that it answers has no result.

    Fix: give each result a message of its own with the role tool.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "user", "content": "<tool_response>\n4 degrees, rain\n</tool_response>"},
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

    Source: the Qwen3 chat template, which takes a user message as a query unless it begins and ends with the tags.
    """
    for index, message in enumerate(transcript.messages):
        if message.get("role") != "user":
            continue
        for path, text in texts(message, index):
            results = results_in(text)
            if results:
                count = "a tool result stands" if len(results) == 1 else f"{len(results)} tool results stand"
                yield Finding(
                    path,
                    f"{count} in a user's turn: {quoted(results[0].inner.strip())}",
                    "give each result a message of its own with the role tool",
                )
