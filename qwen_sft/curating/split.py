"""`--split train=0.98,eval=0.02`: each sample in a split by the hash of its task, or of what is asked."""

from collections.abc import Mapping, Sequence

from qwen_sft.inspecting.keys import Keys, chance


def split_of(group: bytes, shares: Mapping[str, float], seed: int) -> str:
    """The split of a group of samples: drawn by its own key, so it stays where it is whatever else comes to the set.

    Where the shares change, no more groups move than have to between two splits that are named one behind the other.

    Args:
        shares: of each split, which sum to 1.
    """
    drawn = chance("split", seed, group)
    reached = 0.0
    for name, share in shares.items():
        reached += share
        if drawn < reached:
            return name
    return list(shares)[-1]  # what is lost in adding up shares such as 0.1


def splits_of(record: Sequence[Keys], shares: Mapping[str, float], seed: int) -> list[str]:
    """The split of each sample of a record: that of its task; of the record's first task, or sample, if it has none.

    So a record is in one split, but for one that holds runs of several tasks, such as a whole benchmark.
    """
    lead = next((keys for keys in record if keys.is_task), record[0])
    return [split_of(keys.group if keys.is_task else lead.group, shares, seed) for keys in record]
