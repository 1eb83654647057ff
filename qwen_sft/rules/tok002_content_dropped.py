"""TOK002 content-dropped."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK002", name="content-dropped", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The chat template drops words of the sample.

    What it catches: a message whose text stands in no training row, or only in part. White space at the edges and the
        think tags themselves do not count.

    Why it matters: the model is trained on another conversation than the one in the file, and nothing says so. Qwen3
        prints of an assistant's content only what stands behind the last `</think>`, and before it what stands behind
        the last `<think>`: words before the first tag are gone.

    Fix: put reasoning into `reasoning_content`, and only the answer into `content`.

    Bad (model=qwen3):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "content": "Let me see. <think>2 + 2 = 4</think> It is 4."}]}

    Good (model=qwen3):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "2 + 2 = 4", "content": "It is 4."}]}

    Source: the Qwen3 chat template, the branch that splits content at its think tags.
    """
    for path, what in encoded.unshown:
        if what == "content":
            says = "the chat template drops words of this message"
            yield Finding(path, says, "put reasoning into reasoning_content and only the answer into content")
