"""TOL010 undeclared-tool."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

# difflib takes time by the square of a name's length
_LONGEST = 80
_MOST = 200


@rule(code="TOL010", name="undeclared-tool", severity="error", since="0.1.0", stage="sample", traits=("calls",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A call names a tool that is not declared.

    What it catches: a call whose name is none of those in `tools`. A sample that declares no tools at all is
        TOL020's.

    Why it matters: the template prints the declared tools at the top, and the model learns to call another one. At
        inference that is a call to a tool that does not exist.

    Fix: declare the tool, or give the call the name of a declared one.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "wether", "arguments": {"city": "Oslo"}}}]},
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

    Source: public tool-use records call a tool by the name of its API instead of the declared function.
    """
    declared = transcript.declared
    if not declared:
        return
    for exchange in transcript.exchanges:
        for k, call in enumerate(exchange.calls):
            name = call.get("function", {}).get("name", "")
            if name in declared:
                continue
            close = get_close_matches(name[:_LONGEST], [n[:_LONGEST] for n in islice(declared, _MOST)], 1)
            closest = f"; the closest that is declared is {quoted(close[0])}" if close else ""
            yield Finding(
                ("messages", exchange.turn, "tool_calls", k, "function", "name"),
                f"{quoted(name)} is not declared{closest}",
                "declare the tool, or name a declared one",
            )
