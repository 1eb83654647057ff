"""TOL003 orphan-tool-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import rule
from qwen_sft.transcript import Transcript


@rule(code="TOL003", name="orphan-tool-result", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    """A tool result answers no call.

    What it catches: a tool message whose `tool_call_id` no call of the sample has, or that stands where no call is
        open. Parallel results that do not match their calls one to one are TOL006's, results that come too early
        TOL004's, too late TOL018's.

    Why it matters: the template prints every tool message as a `<tool_response>`. The model learns to read answers to
        questions that it never asked, and every later result is off by one, because Qwen templates match results to
        calls by position alone.

    Fix: give the result the id of the call that it answers, restore the lost call, or take the result out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "tool", "tool_call_id": "c9", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c9", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c9", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the Qwen templates print no call id, so that order is all the model sees.
    """
    known = {call.get("id") for exchange in transcript.exchanges for call in exchange.calls} - {None}
    orphans = list(transcript.stray_results)
    for exchange in transcript.exchanges:
        if len(exchange.calls) == 1 or None not in exchange.answers:
            orphans += exchange.unmatched
    for index in sorted(orphans):
        wanted = transcript.messages[index].get("tool_call_id")
        if wanted is None:
            yield Finding(
                ("messages", index),
                "this tool result stands where no call is open",
                "restore the call in the assistant turn before it, or take the result out",
            )
        elif wanted not in known:
            yield Finding(
                ("messages", index, "tool_call_id"),
                f"{wanted!r} answers no call",
                "give it the id of the call that it answers, or take the result out",
            )
