"""Ids and mask that cannot differ in length: both come from one list of spans."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

IGNORE = -100
"""The label of a token that is not trained, as torch's cross entropy reads it."""


class Kind(IntEnum):
    """What a piece of rendered text is. The number is stored per token; numbers are never reused."""

    SCAFFOLD = 0
    """Written by the template around somebody's words: turn headers, the tools preamble, tags around a result."""
    SYSTEM = 1
    """The system message's own text."""
    TOOLS = 2
    """Tool declarations."""
    USER = 3
    """A user's words."""
    RESULT = 4
    """What a tool answered."""
    HEADER = 5
    """`<|im_start|>assistant` and its newline: the server sends it."""
    PREFILL = 6
    """The rest of the generation prompt, such as an empty think block: the server sends it."""
    REASONING = 7
    """The model's reasoning with its think tags, as far as the model itself has to write them."""
    CONTENT = 8
    """The model's answer in words."""
    CALL = 9
    """The model's tool calls with their tags."""
    STOP = 10
    """The stop token that ends a turn of the model: it has to produce it."""
    AFTER = 11
    """The newline behind the stop token: nobody generates it."""


GENERATED = frozenset({Kind.REASONING, Kind.CONTENT, Kind.CALL, Kind.STOP})
"""The kinds that the model produces at inference."""


class Span(msgspec.Struct, frozen=True, gc=False):  # a dataclass takes four times as long to make, and there are many
    """A piece of rendered text that one source wrote.

    Attributes:
        kind: what it is.
        message: index into the sample's messages of the turn that it belongs to; -1 for the tools and system preamble
            that belongs to no message.
        text: the text, exactly as rendered.
    """

    kind: Kind
    message: int
    text: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """One training row.

    Attributes:
        input_ids: int32, n tokens.
        loss_mask: bool, n tokens; True where the model would have produced the token at inference.
        kinds: int8, n tokens; the Kind of the span in which the token's first byte lies.
        messages: int32, n tokens; index into the sample's messages of the token's message, -1 for none.
        turns: indices into the sample's messages of the assistant turns that this row trains.
        n_messages: how many of the sample's messages the row shows: it ends with the last trained turn.
        regions: for each of `turns`, the token range [start, end) that the model would have produced.
        boundary: how a turn was encoded whose first token would straddle its prompt in the whole text: "inference",
            apart from the prompt; "text", as part of the whole, without that token being trained; "clean" where no
            turn of the row is such.
        straddling: those turns.
        weights: float32, n tokens; how much each token counts, 0 where it is not trained. None: 1 for each trained one.
    """

    input_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.bool_]
    kinds: npt.NDArray[np.int8]
    messages: npt.NDArray[np.int32]
    turns: tuple[int, ...]
    n_messages: int
    regions: tuple[tuple[int, int], ...]
    boundary: Literal["clean", "inference", "text"] = "clean"
    straddling: tuple[int, ...] = ()
    weights: npt.NDArray[np.float32] | None = None

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """input_ids where trained, -100 elsewhere; int64, n tokens."""
        ids: npt.NDArray[Any] = self.input_ids.astype(np.int64)
        return np.where(self.loss_mask, ids, IGNORE)

    @property
    def n_trained_tokens(self) -> int:
        """How many tokens carry loss."""
        return int(np.count_nonzero(self.loss_mask))
