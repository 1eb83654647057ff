"""What `--train` can name: selectors of turns, and of the kinds of token that a model generates.

Apart from `qwen_sft.encoding.train`, which applies them, so that settings are checked without numpy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qwen_sft.errors import UsageError

TURNS = ("assistant", "last-turn", "last-run", "calls", "final-answers")
KINDS = ("reasoning", "content", "call", "stop")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which turns are trained, and which kinds of their tokens, by name."""

    turns: tuple[str, ...]
    kinds: frozenset[str]


def selection(selectors: Sequence[str], *, trains_stops: bool = True) -> Selection:
    """What selectors name together.

    Args:
        trains_stops: whether any stop token is trained.

    Raises:
        UsageError: no selector, one that there is not, or selectors that leave nothing to train.
    """
    known = f"{', '.join(TURNS)}, none-of:KINDS, only:KINDS with KINDS of {'+'.join(KINDS)}"
    if not selectors:
        raise UsageError(f"train names no selector; it can be {known}")
    turns: list[str] = []
    kinds = set(KINDS)
    for selector in selectors:
        how, _, named = selector.partition(":")
        if selector in TURNS:
            turns.append(selector)
        elif how in ("none-of", "only") and named and set(named.split("+")) <= set(KINDS):
            these = set(named.split("+"))
            kinds = kinds - these if how == "none-of" else kinds & these
        else:
            raise UsageError(f"train is {selector!r}; it can be {known}")
    if not kinds or (kinds == {"stop"} and not trains_stops):
        raise UsageError(f"train {','.join(selectors)} leaves no kind of token to train")
    return Selection(tuple(turns) or ("assistant",), frozenset(kinds))
