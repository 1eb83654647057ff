"""TOL015 call-left-as-text."""

from collections.abc import Iterator
from functools import cache

from qwen_sft.dialect import Dialect, dialects
from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule

_FIX = "move the call to tool_calls, or declare its tool so that it can be lifted"


@rule(code="TOL015", name="call-left-as-text", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A call stands in the text of an assistant turn.

    What it catches: whole `<tool_call>` blocks in an assistant's content, in JSON or as `<function=`, with nothing
        behind them. Broken ones are TOL016's, ones with text behind them TOL017's. A text that reads exactly as a call
        in another dialect (ReAct's Action Input, `<functioncall>`, a Python list of calls) is a warning.

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

    Bad (lift_calls=never):
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "[weather(city=\"Oslo\")]"}]}

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
    for index in transcript.turns:
        message = transcript.messages[index]
        text = message.get("content")
        if "tool_calls" not in message and isinstance(text, str):
            for dialect in _others():
                if not any(mark in text for mark in dialect.marks):
                    continue
                found = dialect.calls(text, transcript.tools)
                if found is not None:
                    names = ", ".join(repr(call["function"]["name"]) for call in found[1])
                    says = f"the text reads as a call of {names}, written as {dialect.title}"
                    yield Finding(("messages", index, "content"), says, _FIX, Severity.WARNING)


@cache
def _others() -> list[Dialect]:
    """The dialects without tags that only a call can have; those with them are told by their tags, broken or whole."""
    return [dialect for name, dialect in dialects().items() if name not in ("hermes", "coder_xml")]
