"""TOK006 too-long."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.rule import Encoded, Shortened, rule


@rule(code="TOK006", name="too-long", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """A training row is longer than `--max-length`.

    What it catches: a row with more tokens than the limit. With `--on-too-long drop-turns` its last turns are left out
        until it fits; with `split-at-user` and `drop-oldest-results` its sample becomes several that fit. Then this is
        only a warning, which says what was left out; where not even one turn fits, it stays an error.

    Why it matters: trainers cut long rows at the limit, as a rule in the middle of a call, and TRL's own limit is 1,024
        tokens if nobody sets it.

    Fix: raise `--max-length` to what you train with, or choose what is left out with `--on-too-long`.

    Bad (model=qwen3, max_length=16):
        {"messages": [
          {"role": "user", "content": "Tell me in one sentence what a chat template is for."},
          {"role": "assistant", "content": "It turns messages into the exact text that the model was trained on."}]}

    Good (model=qwen3, max_length=64):
        {"messages": [
          {"role": "user", "content": "Tell me in one sentence what a chat template is for."},
          {"role": "assistant", "content": "It turns messages into the exact text that the model was trained on."}]}

    Source: TRL 1.16's SFTConfig, `max_length`.
    """
    limit = encoded.transcript.settings.row_limit
    if encoded.shortened is not None:
        yield Finding((), _told(encoded.shortened, limit), "raise --max-length to train it whole", Severity.WARNING)
    for turn, n_tokens, n_dropped in encoded.too_long:
        says = f"the row that ends with this turn has {n_tokens} tokens, more than {limit}"
        if n_dropped:
            says += f"; its last {n_dropped} turns are left out"
            yield Finding(("messages", turn), says, "raise --max-length to train them", Severity.WARNING)
        else:
            yield Finding(("messages", turn), says, "raise --max-length, or see --on-too-long")


def _told(one: Shortened, limit: int | None) -> str:
    """What became of a sample that is too long."""
    samples = "1 sample" if one.n_samples == 1 else f"{one.n_samples} samples"
    says = f"a row of this sample has {one.n_tokens} tokens, more than {limit}; it became {samples}"
    if one.n_results:
        says += f", {one.n_results} of its results stand as a placeholder in later ones"
    if one.n_turns:
        says += f", {one.n_turns} of its turns fit into none and are left out"
    return f"{says} (--on-too-long {one.policy})"
