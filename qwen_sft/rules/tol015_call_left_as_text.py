"""TOL015 call-left-as-text."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import rule
from qwen_sft.transcript import Transcript


@rule(code="TOL015", name="call-left-as-text", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A call stands in the text of an assistant turn.

    What it catches: whole `<tool_call>` blocks in an assistant's content, in JSON or as `<function=`, with nothing
        behind them. Broken ones are TOL016's, ones with text behind them TOL017's.

    Why it matters: a call as text is printed as it stands, in its own dialect: JSON in a row for a model that calls
        in XML, or the other way round. Its arguments are not checked, and its result answers no call.

    Fix: move the call to `tool_calls`, or let `--lift-calls auto` do that: it takes calls to declared tools out of the
        text of samples that make no real call.

    Bad (lift_calls=never):
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant",
           "content": "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Oslo\"}}\n</tool_call>"},
          {"role": "tool", "content": "4 degrees, rain"},
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

    Source: the serving parsers of vLLM and SGLang take such blocks out of the text; a log that was not parsed still
        has them.
    """
    for leak in transcript.leaks:
        if leak.kind == "call":
            yield Finding(leak.path, leak.says, "move the call to tool_calls")
