"""Think tags in an assistant's words, where reasoning should stand in `reasoning_content`."""

import re
from dataclasses import dataclass
from typing import Literal

from qwen_sft.sample import Path

Kind = Literal["stray", "unclosed", "empty", "leading"]

_TAG = re.compile(r"</?think>")


@dataclass(frozen=True, slots=True)
class ThinkTags:
    """What the think tags of one text are: the gravest in the order of Kind.

    Attributes:
        path: the text's place in the sample.
        kind: a block behind words, a second block, or one beside `reasoning_content`; a block that the text begins with
            and that never ends; one that holds nothing; one that holds the turn's reasoning.
        says: a sentence on it.
    """

    path: Path
    kind: Kind
    says: str


def think_tags(text: str, path: Path, *, reasoned: bool) -> ThinkTags | None:
    """What the think tags of an assistant's text are; None where it has none, or speaks of them.

    Args:
        reasoned: whether the turn has `reasoning_content`. Tags behind words are words there: no template reads them.
    """
    if "think>" not in text:
        return None
    tags = _TAG.findall(text)
    opens = text.lstrip().startswith("<think>")
    if "</think>" not in tags:
        says = "the text begins with '<think>', which is never closed"
        return ThinkTags(path, "unclosed", says) if opens else None
    if reasoned:
        says = "the content begins with a think block, and the turn has reasoning_content too"
        return ThinkTags(path, "stray", says) if opens else None
    before, _, _ = text.partition("<think>")
    if not opens and tags[0] == "<think>" and before.strip():
        return ThinkTags(path, "stray", "a think block stands behind other words")
    if tags.count("</think>") > 1:
        return ThinkTags(path, "stray", "a second '</think>' stands behind the first one")
    thought = text.partition("</think>")[0].replace("<think>", "")
    if not thought.strip():
        return ThinkTags(path, "empty", "the content begins with an empty think block")
    if not opens:
        return ThinkTags(
            path,
            "leading",
            "the content holds '</think>' and begins with no '<think>': what stands before is reasoning",
        )
    return ThinkTags(path, "leading", "the content begins with a think block")
