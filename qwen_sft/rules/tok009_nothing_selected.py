"""TOK009 nothing-selected."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK009", name="nothing-selected", severity="warning", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """Nothing of a sample is what is to be trained.

    What it catches: a sample in which `--train` selects no token, or whose own messages all say `train: false` or
        `weight: 0`. It gives no row, and its record goes to the rejects.

    Why it matters: a row without a trained token takes a place in the batch and teaches nothing. It is left out because
        you said so, and this says how often that was.

    Fix: none is needed if that is meant; else select more with `--train`.

    Bad (model=qwen3, train=calls):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Good (model=qwen3, train=final-answers):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "It is 4."}]}

    Source: `qwen_sft.encoding.train` lists the selectors.
    """
    if encoded.unselected:
        yield Finding(
            (), "nothing of it is selected for training, so it gives no row", "select more with --train if it should"
        )
