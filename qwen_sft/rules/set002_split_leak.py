"""SET002 split-leak."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, Column
from qwen_sft.rule import rule


@rule(code="SET002", name="split-leak", severity="warning", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """The same task stands in two splits of the set.

    What it catches: samples of different splits with one task id (`task_id` or `instance_id` of the trace), or with
        the same messages before the first answer. The split of a sample is what its metadata say, or else what the
        names of its file and folders say: train, test (eval, holdout), validation (dev, val). The threshold is the
        number of such tasks that there may be: 0. Whole conversations are compared by SET008.

    Why it matters: who measures on what was trained measures memory.

    Fix: take the task out of one of the splits. If the ids are numbers that several environments count for themselves,
        make them differ.

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}],
         "metadata": {"split": "train", "task_id": "t1"}}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
         "metadata": {"split": "test", "task_id": "t1"}}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}],
         "metadata": {"split": "train", "task_id": "t1"}}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
         "metadata": {"split": "test", "task_id": "t2"}}

    Source: Kapoor and Narayanan, Leakage and the Reproducibility Crisis in Machine-Learning-Based Science (2023).
    """
    asked: tuple[tuple[Column, str], ...] = (("task", "task ids"), ("opening", "prompts"))
    for column, what in asked:
        found = census.leaks(column)
        if found.n > census.threshold("SET002", 0):
            says = (
                f"{found.n:,} {what if found.n > 1 else what[:-1]} in more than one split: that of "
                f"{census.place(found.first)} ({census.split(found.first)}) is also that of "
                f"{census.place(found.second)} ({census.split(found.second)})"
            )
            yield Finding((), says, "take the task out of one of the splits")
            return
