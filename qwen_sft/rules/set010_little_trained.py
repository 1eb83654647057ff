"""SET010 little-trained."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(
    code="SET010",
    name="little-trained",
    severity="warning",
    since="0.1.0",
    stage="set",
    heuristic=True,
    needs="model",
)
def check(census: Census) -> Iterator[Finding]:
    """Nearly all tokens of the set are prompt, and few are trained.

    What it catches: with `--model`, the share of the tokens of all rows that are trained is below the threshold, 0.02,
        where there are 100 samples or more (the threshold `samples`).

    Why it matters: the machine reads a hundred tokens to learn from one or two. Often long results of tools, or
        declarations of tools that no one calls, are the reason, or `--train` leaves out more than was meant.

    Fix: shorten results and declarations, leave out rows in which little is trained, or train more turns.

    Bad (model=qwen3, thresholds={"samples":1,"SET010":0.5}):
        {"messages": [{"role": "user", "content": "Is the word lantern in this list: apple, pear, plum, cherry, fig?"},
          {"role": "assistant", "content": "No."}]}

    Good (model=qwen3, thresholds={"samples":1}):
        {"messages": [{"role": "user", "content": "Is the word lantern in this list: apple, pear, plum, cherry, fig?"},
          {"role": "assistant", "content": "No."}]}

    Source: of the agents' traces that this was tried on, 17 to 48 % of the tokens are trained.
    """
    n_tokens, n_trained = census.total("n_tokens"), census.total("n_trained")
    least = census.threshold("SET010", 0.02)
    if census.is_enough(census.n_samples) and n_trained < least * n_tokens:
        shares = census.spread("100.0 * n_trained / NULLIF(n_tokens, 0)", "{:.3g} %".format)
        says = (
            f"{percent(n_trained, n_tokens)} tokens are trained; less than {least:.3g}; of a sample's tokens {shares}"
        )
        yield Finding((), says, "shorten results and declarations, or train more turns")
