"""TOL003 orphan-tool-result."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL003", name="orphan-tool-result", severity="error", since="0.1.0", stage="sample", traits=("unpaired",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A tool result answers no call.

    What it catches: a tool message that stands where no call is open, or whose `tool_call_id` is that of no open call:
        an id that no call has, or one whose call has its result already. The call with the wrong id is not reported
        beside it. Behind a turn with several calls such a result is TOL006's; one that comes too early is TOL004's, too
        late TOL018's; one whose call stands as text is TOL015's to TOL017's.

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
    called_in_text = {leak.path[1] for leak in transcript.leaks if leak.kind != "result"}
    orphans = [i for i in transcript.stray_results if i not in transcript.misplaced]
    if called_in_text:
        orphans = [i for i in orphans if _turn_before(transcript, i) not in called_in_text]
    for exchange in transcript.exchanges:
        if len(exchange.calls) == 1:
            orphans += transcript.unexplained(exchange)
    for index in sorted(orphans):
        wanted = transcript.messages[index].get("tool_call_id")
        if wanted is None:
            yield Finding(
                ("messages", index),
                "this tool result stands where no call is open",
                "restore the call in the assistant turn before it, or take the result out",
            )
        else:
            yield Finding(
                ("messages", index, "tool_call_id"),
                f"{quoted(wanted)} answers no open call",
                "give it the id of the call that it answers, or take the result out",
            )


def _turn_before(transcript: Transcript, index: int) -> int:
    """The turn behind which a run of tool messages stands; -1 if it begins the sample."""
    while index >= 0 and transcript.messages[index].get("role") == "tool":
        index -= 1
    return index
