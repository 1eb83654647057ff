"""TOL005 unlabelled-parallel-results."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="TOL005",
    name="unlabelled-parallel-results",
    severity="warning",
    since="0.1.0",
    stage="sample",
    traits=("parallel",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """Which of several results answers which of several calls is not said.

    What it catches: a turn with more than one call and more than one result, where results or calls have no id and
        the results do not name their tools, or name one that is called twice. They are paired by position.

    Why it matters: results of parallel calls come back in the order in which they finish. If that is not the order
        of the calls, every call of the turn is trained with another call's answer, and no later check can see it.

    Fix: write the ids of the calls into the trace; if the order is known to be right, ignore this rule.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo and Rome?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "content": "4 degrees, rain"},
          {"role": "tool", "content": "21 degrees, sun"},
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

    Source: the Chat Completions API joins a result to its call by `tool_call_id`; ShareGPT and Glaive records have
        no such field.
    """
    for exchange in transcript.exchanges:
        if len(exchange.calls) < 2 or len(exchange.results) < 2 or transcript.unexplained(exchange):
            continue
        unproven = sum(
            answer is not None and not transcript.is_proven(exchange, k) for k, answer in enumerate(exchange.answers)
        )
        if unproven:
            yield Finding(
                ("messages", exchange.turn, "tool_calls"),
                f"{unproven} of the results of these {len(exchange.calls)} calls are paired by position alone",
                "give the calls ids and the results the same ones as tool_call_id",
            )
