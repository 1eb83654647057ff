"""What to train: which assistant turns, and of them which kinds of token.

The definition (what the model would have had to produce) gives each row its mask. A policy only takes from it, but for
the newline behind a stop token, which a setting can add. Selectors:

    assistant        every turn of the assistant; so it is without a selector
    last-turn        the last one of the sample
    last-run         those behind the last message of the user: one tool loop
    calls            those that make calls
    final-answers    those that make none and stand before a user's message, or last
    none-of:KINDS    every kind of token but these: reasoning, content, call, stop (joined by +)
    only:KINDS       these kinds alone

Selectors of turns add up; selectors of kinds narrow down. A message can say of itself `train: false`, or which
`weight` its tokens have; a weight of 0 is the same as `train: false`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qwen_sft.asking.selection import selection
from qwen_sft.sample import Message
from qwen_sft.settings import Settings, TrainEot
from qwen_sft.tokens import GENERATED, Kind, Tokens

_NAMES = {kind.name.lower(): kind for kind in sorted(GENERATED)}


@dataclass(frozen=True, slots=True)
class Policy:
    """Which turns and tokens are trained.

    Attributes:
        turns: names of selectors of turns.
        kinds: the kinds of token that are trained.
        eot: whose stop tokens are trained.
        newline: whether the newline behind a trained stop token is trained too.
    """

    turns: tuple[str, ...]
    kinds: frozenset[Kind]
    eot: TrainEot
    newline: bool

    @property
    def is_definition(self) -> bool:
        """True if it trains what the definition says, but for turns that it leaves out."""
        return self.kinds == GENERATED and self.eot == "turn" and not self.newline

    def wanted(self, messages: Sequence[Message]) -> list[int]:
        """The assistant turns that are to be trained, as the policy and the messages themselves have it."""
        spoken = [i for i, message in enumerate(messages) if message.get("role") == "assistant"]
        chosen = {turn for name in self.turns for turn in _SELECTORS[name](messages, spoken)}
        return [turn for turn in spoken if turn in chosen and weight_of(messages[turn])]

    def applied(self, row: Tokens, messages: Sequence[Message]) -> Tokens:
        """A row with the mask that the policy makes of its own, and weights where a message names one."""
        mask = row.loss_mask
        if not self.is_definition:
            mask = mask & np.isin(row.kinds, sorted(self.kinds))
            stops = row.kinds == Kind.STOP
            if self.eot == "none":
                mask &= ~stops
            elif self.eot == "last":
                mask &= ~stops | (row.messages == row.turns[-1])
            if self.newline:
                mask |= self._newlines(row, mask)
        weights = {turn: weight_of(messages[turn]) for turn in row.turns}
        if all(weight == 1 for weight in weights.values()):
            return row if mask is row.loss_mask else replace(row, loss_mask=mask)
        table = np.zeros(row.n_messages, dtype=np.float32)
        table[list(weights)] = list(weights.values())
        return replace(row, loss_mask=mask, weights=np.where(mask, table[row.messages], np.float32(0)))

    def _newlines(self, row: Tokens, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """The tokens behind a trained stop token that belong to its turn."""
        after = row.kinds == Kind.AFTER
        stopped = {int(message) for message in row.messages[mask & (row.kinds == Kind.STOP)]}
        return after & np.isin(row.messages, sorted(stopped))


def weight_of(message: Message) -> float:
    """How much a message's tokens count, by its own `weight` and `train`; 1 where it says nothing."""
    return float(message.get("weight", 1)) if message.get("train", True) else 0.0


def policy(settings: Settings) -> Policy:
    """The policy of the settings.

    Raises:
        UsageError: a selector that there is not, or selectors that leave nothing to train.
    """
    chosen = selection(settings.train, trains_stops=settings.train_eot != "none")
    kinds = frozenset(_NAMES[name] for name in chosen.kinds)
    return Policy(chosen.turns, kinds, settings.train_eot, settings.train_newline)


_Selector = Callable[[Sequence[Message], list[int]], list[int]]


def _last_run(messages: Sequence[Message], spoken: list[int]) -> list[int]:
    asked = max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    return [turn for turn in spoken if turn > asked]


def _final(messages: Sequence[Message], turn: int) -> bool:
    return not messages[turn].get("tool_calls") and (
        turn + 1 == len(messages) or messages[turn + 1].get("role") == "user"
    )


# Each takes the messages and the indices of all assistant turns.
_SELECTORS: Mapping[str, _Selector] = {
    "assistant": lambda _, spoken: spoken,
    "last-turn": lambda _, spoken: spoken[-1:],
    "last-run": _last_run,
    "calls": lambda messages, spoken: [turn for turn in spoken if messages[turn].get("tool_calls")],
    "final-answers": lambda messages, spoken: [turn for turn in spoken if _final(messages, turn)],
}
