"""TOL001 call-without-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.leak import results_in, texts
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL001", name="call-without-result", severity="error", since="0.1.0", stage="sample", traits=("unpaired",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A call has no result.

    What it catches: a call in the middle of a sample that no tool message answers, neither behind its turn nor
        elsewhere. Calls at the end are TOL002's, results with the wrong id TOL003's and TOL006's, late results
        TOL018's.

    Why it matters: the model learns to call a tool and to go on without having read an answer. In a turn with
        several calls the answers that are there shift: Qwen templates print no call id, so the model matches
        results to calls by position.

    Fix: restore the result, or take the call out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "assistant", "content": "It may rain."}],
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

    Source: no Qwen chat template prints `tool_call_id`; the next turn follows the call as if nothing were missing.
    """
    ending = transcript.trailing
    for exchange in transcript.exchanges:
        if None not in exchange.answers or exchange is ending or transcript.unexplained(exchange):
            continue
        if _told_by_user(transcript, exchange.turn + 1):
            continue
        for k in transcript.unanswered(exchange):
            name = exchange.calls[k].get("function", {}).get("name")
            yield Finding(
                ("messages", exchange.turn, "tool_calls", k),
                f"no result answers this call of {quoted(name)}",
                "restore the result, or take the call out",
            )


def _told_by_user(transcript: Transcript, following: int) -> bool:
    """True if the turn behind the calls is a user's that holds their results: TOL013's."""
    if following == len(transcript.messages) or transcript.messages[following].get("role") != "user":
        return False
    return any(results_in(text) for _, text in texts(transcript.messages[following], following))
