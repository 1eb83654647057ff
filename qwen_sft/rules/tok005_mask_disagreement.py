"""TOK005 mask-disagreement."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK005", name="mask-disagreement", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """Two independent computations of what is trained disagree.

    What it catches: a turn that is not, token for token, what the server would have sent and the model would have had
        to answer: the prompt of that turn by the model's chat template, then the answer up to its stop token, and
        nothing else trained. `build --verify all` asks for every sample, the default for a sample of them, `validate
        --model` likewise.

    Why it matters: a mask that is off by a token trains the model to write headers, or never to stop. The loss goes
        down all the same.

    Fix: report it with the record: this is a fault of qwen-sft, or a template that behaves unlike any it has seen. The
        row is not written.

    Bad (unit=yes):
        {"messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello!"}]}

    Good (model=qwen3):
        {"messages": [
          {"role": "user", "content": "Hello!"},
          {"role": "assistant", "content": "Hello! How can I help?"}]}

    Source: the definition of "trained" in the README.
    """
    for turn, ours, theirs in encoded.disagreements:
        path = ("messages", turn) if turn >= 0 else ("messages",)
        yield Finding(
            path, f"our row has {ours!r}, the server {theirs!r}", "report it with this record; it is not written"
        )
