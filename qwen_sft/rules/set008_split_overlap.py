"""SET008 split-overlap."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET008", name="split-overlap", severity="warning", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """The same conversation stands in two splits of the set.

    What it catches: samples of one split with all messages of a sample of another one; system prompts, tools, ids and
        metadata may differ, so that task ids and whole prompts, which SET002 compares, need not be the same. With
        `--near-duplicates` also those that are alike but for a few words (see SET007). Splits are told as for SET002.
        The threshold is the share of the samples of all splits that may be so: 0.

    Why it matters: who measures on what was trained measures memory; deduplication within each split leaves this.

    Fix: take the conversation out of one of the splits.

    Bad (ignore=SET002):
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "Hi."}], "metadata": {"split": "train"}}
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}],
         "metadata": {"split": "test"}}

    Bad (near_duplicates=true):
        {"messages": [
          {"role": "user", "content": "Write a note to the tenants: no water on Monday from eight to noon."},
          {"role": "assistant", "content": "Dear tenants, on Monday from eight to noon there will be no water."},
          {"role": "user", "content": "Say why: the old pipes in the cellar are replaced, and we are sorry for that."},
          {"role": "assistant", "content": "The old pipes in the cellar are replaced. We are sorry for the trouble."},
          {"role": "user", "content": "And whom do they call if something goes wrong? The caretaker, I think."},
          {"role": "assistant", "content": "If anything goes wrong, call the caretaker: his number is at the door."}],
         "metadata": {"split": "train"}}
        {"messages": [
          {"role": "user", "content": "Write a note to the tenants: no water on Friday from eight to noon."},
          {"role": "assistant", "content": "Dear tenants, on Friday from eight to noon there will be no water."},
          {"role": "user", "content": "Say why: the old pipes in the cellar are replaced, and we are sorry for that."},
          {"role": "assistant", "content": "The old pipes in the cellar are replaced. We are sorry for the trouble."},
          {"role": "user", "content": "And whom do they call if something goes wrong? The caretaker, I think."},
          {"role": "assistant", "content": "If anything goes wrong, call the caretaker: his number is at the door."}],
         "metadata": {"split": "test"}}

    Good:
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "Hi."}], "metadata": {"split": "train"}}
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}],
         "metadata": {"split": "test"}}

    Source: Lee et al., Deduplicating Training Data Makes Language Models Better (2022): of standard splits, over 4 % of
        the validation samples stand in the training set.
    """
    found = census.overlaps()
    n_split = sum(n for name, n, *_ in census.by_split() if name)
    if found.n > census.threshold("SET008", 0) * n_split:
        later, first = found.first, found.second
        same = "" if found.n_same == found.n else f", {found.n_same:,} of them word for word"
        how = "repeats" if census.is_same("conversation", later, first) else "nearly repeats"
        says = (
            f"{percent(found.n, n_split)} samples repeat a conversation of another split{same}: "
            f"{census.place(later)} ({census.split(later)}) {how} {census.place(first)} ({census.split(first)})"
        )
        yield Finding((), says, "take the conversation out of one of the splits")
