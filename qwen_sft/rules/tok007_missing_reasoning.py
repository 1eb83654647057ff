"""TOK007 missing-reasoning."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK007", name="missing-reasoning", severity="warning", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """A turn has no reasoning, and the model's prompt opens a think block.

    What it catches: a trained turn without `reasoning_content` (or think tags in its content) whose generation prompt
        ends with `<think>` and a newline: under QwQ and Thinking-2507, which have no other prompt, and under Qwen3.5,
        3.6 and 3.8 where `--thinking` is `on` or `as-is`. With `auto` such a turn is asked for with thinking off.

    Why it matters: the model stands inside its reasoning when it starts to speak. Trained on this turn it learns to
        close the think block at once and to answer without thinking.

    Fix: keep the reasoning of the traces, or train a model whose prompt can be without one.

    Bad (model=qwen3_5, thinking=on):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Good (model=qwen3_5, thinking=on):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "2 + 2 = 4", "content": "It is 4."}]}

    Source: the official chat templates, what they append with add_generation_prompt=True.
    """
    for turn in encoded.unreasoned:
        says = "no reasoning here, and the prompt opens a think block: the model learns to close it at once"
        yield Finding(("messages", turn), says, "keep the traces' reasoning, or choose a model that does not think")
