"""MSG012 trained-prompt."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="MSG012", name="trained-prompt", severity="warning", since="0.1.0", stage="sample", traits=("weights",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A message that no model writes asks to be trained.

    What it catches: `train: true` or a `weight` above 0 on a system, user or tool message.

    Why it matters: only what the model would have had to produce is trained, so the wish is not followed. Trainers that
        follow it teach the model to speak as the user, or to make results up.

    Fix: take the flag off the message.

    Bad:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?", "train": true},
          {"role": "assistant", "content": "It is 4."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?", "train": false},
          {"role": "assistant", "content": "It is 4.", "train": true, "weight": 0.5}]}

    Source: axolotl's per-message `train` and OpenAI's per-message `weight`, as fields of the message.
    """
    for index, message in enumerate(transcript.messages):
        if message.get("role") != "assistant":
            key = "train" if message.get("train") else "weight" if message.get("weight") else ""
            if key:
                says = f"{key} is {message.get(key)!r} on a {message.get('role')} message, which no model writes"
                yield Finding(("messages", index, key), says, "take it off: it is not followed")
