"""TOK003 reasoning-dropped."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK003", name="reasoning-dropped", severity="warning", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The chat template drops an assistant's reasoning.

    What it catches: a turn with `reasoning_content` whose reasoning stands in no training row. Qwen2.5, the Coders and
        Instruct-2507 print none at all. (Qwen3 prints it only after the last query of the user; for earlier turns
        qwen-sft writes rows of their own, so nothing is lost and nothing is reported.) With `--thinking off` also every
        turn whose reasoning that takes out, from think tags in its content too.

    Why it matters: the model learns to answer without the thinking that the answer came from.

    Fix: choose a model that reasons, or drop the reasoning on purpose with `--ignore TOK003`.

    Bad (model=qwen2_5):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "2 + 2 = 4", "content": "It is 4."}]}

    Good (model=qwen3):
        {"messages": [
          {"role": "user", "content": "What is 2 + 2?"},
          {"role": "assistant", "reasoning_content": "2 + 2 = 4", "content": "It is 4."},
          {"role": "user", "content": "And 3 + 3?"},
          {"role": "assistant", "reasoning_content": "3 + 3 = 6", "content": "It is 6."}]}

    Source: the official chat templates; none of those three mentions `reasoning_content`.
    """
    for path, what in encoded.unshown:
        if what == "reasoning":
            says = (
                "--thinking off takes the reasoning out; it is not trained"
                if encoded.transcript.settings.thinking == "off"
                else "this model's chat template prints no reasoning here; it is not trained"
            )
            yield Finding(path, says, "choose a model that reasons, or ignore TOK003 if that is meant")
