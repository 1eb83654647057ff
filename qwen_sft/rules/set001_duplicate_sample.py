"""SET001 duplicate-sample."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET001", name="duplicate-sample", severity="warning", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Samples of the set are alike, word for word.

    What it catches: samples with the same messages and tools as an earlier one; ids and metadata may differ. The
        threshold is the share of samples that may be repetitions: 0.

    Why it matters: what stands twice is trained twice in each epoch, and more easily learnt by heart. It is often a
        file that was given twice, or a run that was logged twice.

    Fix: take the repetitions out. If they are meant as weights, set `thresholds = {SET001 = 1}`.

    Bad:
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}], "id": "2"}

    Good:
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]}
        {"messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]}

    Source: Lee et al., Deduplicating Training Data Makes Language Models Better (2022).
    """
    found = census.repeats()
    if found.n > census.threshold("SET001", 0) * census.n_samples:
        says = (
            f"{percent(found.n, census.n_samples)} samples repeat an earlier one word for word; "
            f"{census.place(found.second)} repeats {census.place(found.first)}"
        )
        yield Finding((), says, "take the repetitions out")
