"""TOL006 unmatched-parallel-results."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(
    code="TOL006",
    name="unmatched-parallel-results",
    severity="error",
    since="0.1.0",
    stage="sample",
    traits=("parallel",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """The results of parallel calls do not match the calls.

    What it catches: a turn with more than one call behind which a result stands that answers none of them: its id
        is no call's, or its call has a result already, or there are more results than calls. Results that are only
        missing are TOL001's.

    Why it matters: Qwen templates print results without ids, one behind the other. The model reads the first as the
        answer to the first call and so on: one result too many, or one of another call, shifts all that follow.

    Fix: give each call one result with its id, in one tool message each.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo and Rome?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "tool_call_id": "a", "content": "4 degrees, rain"},
          {"role": "tool", "tool_call_id": "x", "content": "21 degrees, sun"},
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

    Source: no Qwen chat template prints `tool_call_id`, and consecutive tool messages become one user turn.
    """
    for exchange in transcript.exchanges:
        unmatched = transcript.unexplained(exchange)
        if len(exchange.calls) < 2 or not unmatched:
            continue
        wanted = [transcript.messages[result].get("tool_call_id", "no id") for result in unmatched]
        missing = [exchange.calls[k].get("id", "no id") for k in transcript.unanswered(exchange)]
        calls = f"calls without a result: {quoted(missing)}" if missing else "every call has its result"
        yield Finding(
            ("messages", exchange.turn, "tool_calls"),
            f"results that answer none of these {len(exchange.calls)} calls: {quoted(wanted)}; {calls}",
            "give each call one result with its id",
        )
