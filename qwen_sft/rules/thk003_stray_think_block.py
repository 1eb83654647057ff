"""THK003 stray-think-block."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="THK003", name="stray-think-block", severity="warning", since="0.1.0", stage="sample", marks=("think>",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A think block stands where no template looks for reasoning.

    What it catches: in an assistant's content, a think block behind other words or behind a call in text, a second
        closing tag, or a block in a turn that has `reasoning_content` too. Tags behind words are no fault in a turn
        that has `reasoning_content`: no template reads them there.

    Why it matters: Qwen3's template keeps what stands behind the last `</think>` as the answer and what stands behind
        the last `<think>` before it as the reasoning: all other words are gone. Other templates train the block as a
        part of the answer, which users would read.

    Fix: put all reasoning into `reasoning_content`. Where the turn only speaks of the tags, break them up, for example
        as `< think >`.

    Bad:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "Let me see. <think>Two and two.</think> It is 4."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "Two and two.", "content": "Let me see. It is 4."}]}

    Source: the Qwen3 chat template, the branch that splits content at its think tags.
    """
    for tags in transcript.think_tags:
        if tags.kind == "stray":
            yield Finding(tags.path, tags.says, "put all reasoning into reasoning_content, or break the tags up")
