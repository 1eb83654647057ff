"""SET011 uneven-lengths."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census
from qwen_sft.rule import rule


@rule(code="SET011", name="uneven-lengths", severity="info", since="0.1.0", stage="set", needs="model")
def check(census: Census) -> Iterator[Finding]:
    """Some samples are many times as long as most.

    What it catches: with `--model`, the longest twentieth of the samples has more than 10 times (the threshold) the
        tokens of the median sample, where there are 100 samples or more (the threshold `samples`). A sample counts
        with its longest row.

    Why it matters: a batch takes the time and memory of its longest row, so that padding is most of what is computed;
        and where each token counts the same, a few long samples outweigh all others.

    Fix: let the trainer pack rows or sort them by length, or set `--max-length`.

    Bad (model=qwen3, thresholds={"samples":1,"SET011":1.5}):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]}
        {"messages": [{"role": "user", "content": "Which fruits are there?"},
          {"role": "assistant", "content": "Apple, pear, plum, cherry, fig, lemon, grape, melon, peach, quince."}]}

    Good (model=qwen3, thresholds={"samples":1}):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]}

    Source: Krell et al., Efficient Sequence Packing without Cross-contamination (2021).
    """
    most = census.threshold("SET011", 10)
    n, at = census.at_shares("NULLIF(longest, 0)", (0.5, 0.95))
    if census.is_enough(n) and at[1] > most * at[0]:
        says = (
            f"the longest 5 % of {n:,} samples have {at[1] / at[0]:.3g} times the tokens of the median or more; more "
            f"than {most:.3g}; of all samples {census.spread('NULLIF(longest, 0)', '{:,}'.format)}"
        )
        yield Finding((), says, "let the trainer pack rows, or set --max-length")
