"""TOL002 trailing-call."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule

_POLICIES = {
    "error": ("", "add the result, or set trailing-calls to drop-turn or keep", None),
    "drop-turn": ("; the turn is left out", "check that the task does not end in this call", Severity.INFO),
    "keep": ("; it is trained as the last turn", "check that the task ends in this call", Severity.INFO),
}
"""For each setting of trailing-calls: what becomes of the turn, what to do, how severe it is."""


@rule(code="TOL002", name="trailing-call", severity="error", since="0.1.0", stage="sample", traits=("unpaired",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """The sample ends with a call that has no result.

    What it catches: a last assistant turn with calls of which some or all have no result, and nothing behind it but
        the results that are there. The setting trailing-calls says what becomes of it: `error` rejects the sample,
        `drop-turn` leaves the turn and its results out when rows are built, `keep` trains it as the last turn; the
        last two make this an info.

    Why it matters: a run that was stopped at a limit ends like this, and so does one that hands over by a last call
        such as `finish`. The first is no ending to learn, the second is. Only the owner of the trace knows which it
        is.

    Fix: add the result and the answer, or set trailing-calls to drop-turn or keep.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Bad (trailing_calls=keep):
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]}],
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

    Source: 71 % of the runs of one public harness end in a call without a result; others do so by design.
    """
    last = transcript.trailing
    if last is None:
        return
    missing, calls = len(transcript.unanswered(last)), len(last.calls)
    which = "a call" if calls == 1 else f"{missing} of {calls} calls"
    without = "has no result" if missing == 1 else "have no result"
    outcome, fix, severity = _POLICIES[transcript.settings.trailing_calls]
    yield Finding(
        ("messages", last.turn, "tool_calls"), f"the sample ends here, and {which} {without}{outcome}", fix, severity
    )
