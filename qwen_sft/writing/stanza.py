"""The part of an axolotl config that names the files of a build."""

from collections.abc import Sequence

from qwen_sft.writer import TRAIN, Part

FOLDER = "PATH/TO/THIS/FOLDER"
"""What a reader has to replace by the place of the build."""


def axolotl_stanza(parts: Sequence[Part], lines: Sequence[str]) -> str:
    """YAML for an axolotl config: the split `train` to train on, and any others to evaluate on.

    Args:
        lines: what an entry says beside its place.
    """
    splits = list(dict.fromkeys(part.split for part in parts if part.split is not None))
    made = ["# For your axolotl config. Put the place of the folder that holds README.md and data/ for its path."]
    for key, named in (
        ("datasets", [split for split in splits if split == TRAIN]),
        ("test_datasets", [split for split in splits if split != TRAIN]),
    ):
        made += [f"{key}:"] if named else []
        for split in named:
            made += [f"  - path: {FOLDER}", f"    split: {split}", *(f"    {line}" for line in lines)]
    return "\n".join(made) + "\n"
