"""TOL027 unsafe-integer."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_LIMIT = 2**53


@rule(code="TOL027", name="unsafe-integer", severity="info", since="0.1.0", stage="sample", marks=("[0-9]{16}",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """An argument is an integer that many readers would round.

    What it catches: an integer beyond 2^53 - 1, in the arguments of a call.

    Why it matters: qwen-sft keeps it exact. JavaScript and whatever else reads numbers as doubles rounds it: an id may
        have been rounded before the trace was written, and a harness in JavaScript will round what the model writes.

    Fix: declare such ids as strings, and write them as strings. An id that ends in several zeros was rounded: restore
        it.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"station": 9007199254740993}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"station": {"type": "integer"}}, "required": ["station"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"station": "9007199254740993"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"station": {"type": "string"}}, "required": ["station"]}}}]}

    Source: RFC 8259, section 6: integers in -(2^53)+1 to (2^53)-1 are the ones that implementations agree on.
    """
    for path, leaf in transcript.leaves:
        if isinstance(leaf, int) and not -_LIMIT < leaf < _LIMIT:
            yield Finding(path, f"{quoted(leaf)} is beyond 2^53 - 1", "write it as a string, and declare it as one")
