"""MSG008 late-system-message."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="MSG008",
    name="late-system-message",
    severity="warning",
    since="0.1.0",
    stage="sample",
    traits=("late-system",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A system message is not the first message.

    What it catches: a system (or developer) message anywhere but at the beginning, a second one included.

    Why it matters: Qwen3-VL's template leaves it out without a word, and those of Qwen3.5 and later raise an error.
        Qwen2.5, Qwen3 and the Coder models print it where it stands.

    Fix: join it to the first system message, or give it to a user turn if it was put to the model at that point.

    Bad:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "system", "content": "Answer in one word."},
          {"role": "assistant", "content": "Yes."}]}

    Good:
        {"messages": [
          {"role": "system", "content": "Answer in one word."},
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "assistant", "content": "Yes."}]}

    Source: the Qwen3.5 chat template: "System message must be at the beginning."
    """
    for index, message in enumerate(transcript.messages):
        if index and message.get("role") == "system":
            yield Finding(
                ("messages", index, "role"),
                f"a system message stands at place {index + 1}",
                "join it to a system message at the beginning, or give it to a user turn",
            )
