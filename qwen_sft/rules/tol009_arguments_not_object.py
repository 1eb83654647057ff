"""TOL009 arguments-not-object."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL009", name="arguments-not-object", severity="error", since="0.1.0", stage="sample", traits=("calls",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A call's arguments are JSON, but not an object.

    What it catches: arguments that are a list, a number, true, false or null. Text is TOL008's.

    Why it matters: a call gives its arguments by name. The templates of Qwen3-Coder and later ones go through the
        arguments as pairs of name and value and refuse such a row; the others print a call that no tool can take.

    Fix: write the arguments as an object, each under its name; {} for none.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ["Oslo"]}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
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

    Source: the `arguments|items` of the Qwen3-Coder and Qwen3.5 chat templates.
    """
    for exchange in transcript.exchanges:
        for k, call in enumerate(exchange.calls):
            given = call.get("function", {}).get("arguments")
            if not isinstance(given, dict | str):
                yield Finding(
                    ("messages", exchange.turn, "tool_calls", k, "function", "arguments"),
                    f"{quoted(given)} is not an object",
                    "write each argument under its name, and {} for none",
                )
