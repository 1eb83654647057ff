"""TOL007 duplicate-call-id."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL007", name="duplicate-call-id", severity="error", since="0.1.0", stage="sample", traits=("parallel",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """Two calls of one turn have the same id.

    What it catches: an assistant turn in which a call's id is also that of an earlier call of the turn. One id in
        two turns is no fault: a quarter of the episodes of a public benchmark repeat one.

    Why it matters: a result says by its id which call it answers. With one id on two calls it answers either, so a
        result can be trained as the answer to the wrong call.

    Fix: give each call of the turn an id of its own, and its result the same.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo and Rome?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "tool_call_id": "a", "content": "4 degrees, rain"},
          {"role": "tool", "tool_call_id": "a", "content": "21 degrees, sun"},
          {"role": "assistant", "content": "Rain in Oslo, sun in Rome."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo and Rome?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "tool_call_id": "a", "content": "4 degrees, rain"},
          {"role": "tool", "tool_call_id": "b", "content": "21 degrees, sun"},
          {"role": "assistant", "content": "Rain in Oslo, sun in Rome."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the Chat Completions API joins a result to its call by `tool_call_id`.
    """
    for exchange in transcript.exchanges:
        if len(exchange.calls) < 2:
            continue
        first: dict[str, int] = {}
        for k, call in enumerate(exchange.calls):
            if "id" in call and first.setdefault(call["id"], k) != k:
                yield Finding(
                    ("messages", exchange.turn, "tool_calls", k, "id"),
                    f"{quoted(call['id'])} is the id of tool_calls[{first[call['id']]}] too",
                    "give each call of the turn an id of its own, and its result the same",
                )
