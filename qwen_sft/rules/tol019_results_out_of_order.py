"""TOL019 results-out-of-order."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL019", name="results-out-of-order", severity="info", since="0.1.0", stage="sample", traits=("parallel",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """The results of parallel calls stand in another order than the calls.

    What it catches: a turn whose results name their calls, by id or by a tool that is called once, but not in the
        order of the calls. They are put in that order when rows are built.

    Why it matters: Qwen templates print no call ids, so the model matches results to calls by position. Left as it
        is, each call would be trained with another call's answer.

    Fix: nothing: the results are reordered. Other readers of the trace may need the same.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo and Rome?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"id": "b", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "tool_call_id": "b", "content": "21 degrees, sun"},
          {"role": "tool", "tool_call_id": "a", "content": "4 degrees, rain"},
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

    Source: results come back in the order in which calls finish in logs of Claude Code, opencode and Bedrock.
    """
    for exchange in transcript.exchanges:
        order = [answer for answer in exchange.answers if answer is not None]
        if len(order) < 2 or transcript.unexplained(exchange) or order == sorted(order):
            continue
        if all(transcript.is_proven(exchange, k) for k, answer in enumerate(exchange.answers) if answer is not None):
            yield Finding(
                ("messages", exchange.turn, "tool_calls"),
                f"the results of these calls stand in another order, at messages {quoted(order)}",
                "leave it: the results are put in the order of the calls",
            )
