"""MSG001 unknown-role."""

import reprlib
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import ROLES


@rule(code="MSG001", name="unknown-role", severity="error", since="0.1.0", stage="sample", traits=("odd-role",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A message has a role that no Qwen model knows.

    What it catches: any role but `system`, `user`, `assistant` and `tool`. Formats turn the aliases that they know
        (`developer`, `function`, `human`, `gpt`) into these first.

    Why it matters: the families treat such a message in three ways. Qwen2.5, Qwen3 and Qwen3-VL leave it out without a
        word, the Coder templates print the unknown role as a turn of its own, and Qwen3.5 and later raise an error.

    Fix: give the message the role that it plays: what was put to the model is the user's, what it wrote is the
        assistant's.

    Bad:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime?"},
          {"role": "critic", "content": "Answer in one word."},
          {"role": "assistant", "content": "Yes."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Is 7 a prime? Answer in one word."},
          {"role": "assistant", "content": "Yes."}]}

    Source: the official chat templates; Qwen3.5's says "Unexpected message role."
    """
    for index, message in enumerate(transcript.messages):
        role = message.get("role", "")
        if role not in ROLES:
            yield Finding(
                ("messages", index, "role"),
                f"{reprlib.repr(role)} is no role of a Qwen model",
                f"make it one of {', '.join(ROLES)}",
            )
