"""MSG005 untrained-tail."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG005", name="untrained-tail", severity="warning", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    """Messages stand behind the last assistant turn.

    What it catches: a sample that ends on a user's turn or on tool results. A sample without any assistant turn is
        MSG006's; one that ends in a call without a result is TOL002's.

    Why it matters: nothing behind the last assistant turn is trained, and it is left out of the rows. If an answer
        stood there, it is lost; if the run was stopped at a limit, the sample does not show how the task ends.

    Fix: restore the answer, or take the messages behind the last assistant turn out. Where a run ends in a call, such
        as one that submits, leave its result: a call without one is TOL002's.

    Bad:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "assistant", "content": "Yes."},
          {"role": "user", "content": "And is 9?"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "assistant", "content": "Yes."}]}

    Source: a token is trained only if the model would have had to produce it.
    """
    if not transcript.turns or transcript.trailing:
        return
    first = transcript.turns[-1] + 1
    tail = transcript.messages[first:]
    if not tail:
        return
    results = all(message.get("role") == "tool" for message in tail)
    what, train = ("tool result" if results else "message"), "trains"
    if len(tail) > 1:
        what, train = f"{what}s", "train"
    yield Finding(
        ("messages", first),
        f"{len(tail)} {what} behind the last assistant turn, which {train} nothing",
        f"restore the answer, or leave the {what}, if the run is to end in a call"
        if tail[0].get("role") == "tool"
        else f"restore the answer, or take the {what} out",
    )
