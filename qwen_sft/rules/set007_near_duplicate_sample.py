"""SET007 near-duplicate-sample."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.inspecting.near import ALIKE
from qwen_sft.rule import rule


@rule(
    code="SET007",
    name="near-duplicate-sample",
    severity="warning",
    since="0.1.0",
    stage="set",
    heuristic=True,
    needs="near_duplicates",
)
def check(census: Census) -> Iterator[Finding]:
    """Samples of the set are alike but for a few words.

    What it catches: with `--near-duplicates`, samples that have at least 0.8 of their runs of three words in common
        with an earlier one (Jaccard similarity, estimated by MinHash: from about 0.75 to 0.85 either answer is
        possible). System prompts, tools, ids, case and punctuation do not count. What SET001 counts is not counted
        again, nor are samples of one record, such as one conversation from the sides of several agents. The threshold
        is the share of samples that may be so: 0.

    Why it matters: the same run logged by two tools, the same template filled in twice, an answer generated again: the
        set is smaller than it looks, and what is in it most often is learnt by heart.

    Fix: keep one sample of each group.

    Bad (near_duplicates=true):
        {"messages": [
          {"role": "user", "content": "Write a note to the tenants: no water on Monday from eight to noon."},
          {"role": "assistant", "content": "Dear tenants, on Monday from eight to noon there will be no water."},
          {"role": "user", "content": "Say why: the old pipes in the cellar are replaced, and we are sorry for that."},
          {"role": "assistant", "content": "The old pipes in the cellar are replaced. We are sorry for the trouble."},
          {"role": "user", "content": "And whom do they call if something goes wrong? The caretaker, I think."},
          {"role": "assistant", "content": "If anything goes wrong, call the caretaker: his number is at the door."}]}
        {"messages": [
          {"role": "user", "content": "Write a note to the tenants: no water on Friday from eight to noon."},
          {"role": "assistant", "content": "Dear tenants, on Friday from eight to noon there will be no water."},
          {"role": "user", "content": "Say why: the old pipes in the cellar are replaced, and we are sorry for that."},
          {"role": "assistant", "content": "The old pipes in the cellar are replaced. We are sorry for the trouble."},
          {"role": "user", "content": "And whom do they call if something goes wrong? The caretaker, I think."},
          {"role": "assistant", "content": "If anything goes wrong, call the caretaker: his number is at the door."}]}

    Good (near_duplicates=true):
        {"messages": [{"role": "system", "content": "You write for a housing company, in short and friendly words."},
          {"role": "user", "content": "Write a note: no water on Monday from eight to noon."},
          {"role": "assistant", "content": "Dear tenants, on Monday from eight to noon there will be no water."}]}
        {"messages": [{"role": "system", "content": "You write for a housing company, in short and friendly words."},
          {"role": "user", "content": "Thank Mr Berg for the flowers in the yard."},
          {"role": "assistant", "content": "Dear Mr Berg, how lovely the yard looks since you care for it."}]}

    Source: Lee et al., Deduplicating Training Data Makes Language Models Better (2022); Broder (1997) for MinHash.
    """
    n, example = 0, (0, 0)
    for later, first in census.near_repeats():
        if not _is_known(census, later, first):
            n, example = n + 1, example if n else (later, first)
    if n > census.threshold("SET007", 0) * census.n_samples:
        later, first = map(census.place, example)
        says = (
            f"{percent(n, census.n_samples)} samples nearly repeat an earlier one, with {ALIKE} or more of "
            f"their runs of three words in common; {later} nearly repeats {first}"
        )
        yield Finding((), says, "keep one sample of each group")


def _is_known(census: Census, later: int, first: int) -> bool:
    """True if the one repeats the other word for word, which is what SET001 says, or both are of one record."""
    return census.is_same("said", later, first) or census.place(later) == census.place(first)
