"""MSG004 repeated-role."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG004", name="repeated-role", severity="warning", since="0.1.0", stage="sample", traits=("repeats",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """Two turns of the same speaker follow each other.

    What it catches: a user message behind a user message, or an assistant message behind an assistant message. Left to
        others are a call that is followed by an assistant message (TOL001) and a second system message (MSG008). Tool
        messages may follow each other: they are the results of parallel calls.

    Why it matters: between two turns of one speaker there was often a turn that got lost. Where nothing got lost, the
        template still prints two turns, and no server asks a model for a turn right behind its own.

    Fix: join the two, or restore the turn between them. `--merge-user` joins turns of a user.

    Bad:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "user", "content": "And is 9?"},
          {"role": "assistant", "content": "7 is, 9 is not."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime? And is 9?"},
          {"role": "assistant", "content": "7 is, 9 is not."}]}

    Source: the Qwen templates print one ChatML turn for each message; only tool messages are joined.
    """
    before = None
    for index, message in enumerate(transcript.messages):
        role = message.get("role")
        if role == before and role in ("user", "assistant"):
            yield Finding(
                ("messages", index, "role"),
                f"this {role!r} turn follows another one",
                f"join the two{' (--merge-user does)' if role == 'user' else ''}, or restore the turn between them",
            )
        # An assistant turn behind a call stands where the result should be: that is TOL001's.
        before = None if role == "assistant" and message.get("tool_calls") else role
