"""MSG006 nothing-to-train."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG006", name="nothing-to-train", severity="error", since="0.1.0", stage="sample", traits=("no-assistant",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """No turn is the assistant's.

    What it catches: a sample without an assistant message.

    Why it matters: only what the assistant says is trained. Every token of such a row is masked: it takes a place in
        the batch and teaches nothing.

    Fix: restore the assistant's turns, or take the record out.

    Bad:
        {"messages": [{"role": "user", "content": "Is 7 a prime?"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "assistant", "content": "Yes."}]}

    Source: a token is trained only if the model would have had to produce it.
    """
    if not transcript.turns:
        yield Finding(
            ("messages",), "no message is the assistant's", "restore the assistant's turns, or take the record out"
        )
