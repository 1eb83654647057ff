"""THK001 reasoning-in-content."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="THK001", name="reasoning-in-content", severity="warning", since="0.1.0", stage="sample", marks=("think>",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """The reasoning of a turn stands in its content.

    What it catches: an assistant's content that begins with a whole `<think>` block, its first tag or not, in a turn
        without `reasoning_content`. A sample is told once, at the first such turn.

    Why it matters: templates differ in what they make of it. Qwen3's takes the block out and prints it as reasoning,
        Qwen3.8's prints it as words behind another block, and Qwen2.5's keeps it in every earlier turn, where a server
        with a reasoning parser would not send it.

    Fix: put what stands between the tags into `reasoning_content`, and what stands behind them into `content`.

    Bad:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "<think>Two and two.</think>It is 4."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "Two and two.", "content": "It is 4."}]}

    Source: the official chat templates: those that read `reasoning_content` print it in every model's own form.
    """
    found = [tags for tags in transcript.think_tags if tags.kind == "leading"]
    if found:
        others = f"; {len(found)} turns have it so" if len(found) > 1 else ""
        yield Finding(
            found[0].path, found[0].says + others, "put it into reasoning_content, and the words behind it into content"
        )
