"""What a token is by its place in a turn, and what can be wrong with its training."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Part(IntEnum):
    """What a token is, as far as the tokens around it tell. The value indexes arrays."""

    BEFORE = 0
    """Text before the first turn of a row: the rest of a turn that was cut, or no turn at all. It is not judged."""
    SYSTEM = 1
    """The words of the system turn: instructions and declared tools."""
    USER = 2
    """A user's words."""
    RESULT = 3
    """A tool's result, with the tags around it."""
    SCAFFOLD = 4
    """The header of a turn that is not the assistant's, its `<|im_end|>`, and the newline behind that."""
    HEADER = 5
    """`<|im_start|>assistant`."""
    HEADER_NEWLINE = 6
    """The newline that ends this header: the last token that the server sends, or the last before a think block."""
    BOUNDARY = 7
    """A token that begins in the prompt and ends in the answer: no server would send it, and no model write it."""
    PREFILL = 8
    """The think block, or the beginning of one, that the prompt itself writes."""
    REASONING = 9
    """The model's reasoning with its tags, as far as the model has to write them."""
    CONTENT = 10
    """The model's words."""
    CALL = 11
    """The model's tool calls."""
    STOP = 12
    """`<|im_end|>` behind an answer."""
    TRAILING_NEWLINE = 13
    """The newline behind that."""
    OUTSIDE = 14
    """What stands behind a turn and belongs to none: padding, a second end token."""

    @property
    def label(self) -> str:
        """Its name in reports."""
        return self.name.lower().replace("_", "-")


GENERATED = (Part.REASONING, Part.CONTENT, Part.CALL, Part.STOP)
"""What the model has to produce at inference: these are trained, and nothing else."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: as reports and `--allow` call it.
        says: what it means, in a line.
        fix: what to do about it.
    """

    name: str
    says: str
    fix: str


_TRAINED = "leave it out of the mask: labels of -100 there"
_ANSWER = "train it, or pass --allow with this name if it is meant"

MISALIGNED = Fault("misaligned", "the mask has another length than input_ids", "make the row again; it is not judged")
UNREADABLE = Fault("unreadable", "the row cannot be read", "mend the file; what was found is told with the row")
UNKNOWN_ID = Fault("unknown-id", "the tokenizer has no such id", "name the model whose tokenizer encoded the row")
NO_TURNS = Fault("no-turns", "the row has no <|im_start|>", "name the model whose tokenizer encoded the row")
SHIFTED = Fault("shifted", "the mask fits if it is moved by one token", "give each token its own label; models shift")
NOTHING_TRAINED = Fault("nothing-trained", "no token of the row is trained", "leave the row out, or train its answers")
EVERYTHING_TRAINED = Fault(
    "everything-trained", "every token of the row is trained, prompts included", "train the answers only"
)
FOREIGN_LABEL = Fault(
    "foreign-label", "a label is neither -100 nor the token's own id", "labels must repeat input_ids where trained"
)
UNSERVED_ANSWER = Fault(
    "unserved-answer",
    "an answer is trained that does not begin with its prompt's think block",
    "render the row with the model's own template, or choose its mode with --thinking",
)
UNTRAINED_ANSWER = Fault("untrained-answer", "a whole answer is trained in no row", _ANSWER)
MISSING_STOP = Fault(
    "missing-stop", "a trained answer has no <|im_end|> before the next turn", "end every answer with <|im_end|>"
)

TRAINED_WRONGLY: Mapping[Part, Fault] = {
    Part.SYSTEM: Fault("system-trained", "words of the system turn are trained", _TRAINED),
    Part.USER: Fault("user-trained", "a user's words are trained", _TRAINED),
    Part.RESULT: Fault("result-trained", "a tool's result is trained", _TRAINED),
    Part.SCAFFOLD: Fault(
        "scaffold-trained", "header or end of a turn that is not the assistant's is trained", _TRAINED
    ),
    Part.HEADER: Fault("header-trained", "<|im_start|>assistant is trained; the server sends it", _TRAINED),
    Part.HEADER_NEWLINE: Fault(
        "header-newline-trained", "the newline of the assistant's header is trained; the server sends it", _TRAINED
    ),
    Part.BOUNDARY: Fault(
        "boundary-token-trained", "a token is trained that reaches from the prompt into the answer", _TRAINED
    ),
    Part.PREFILL: Fault("prefill-trained", "a think tag that the prompt itself writes is trained", _TRAINED),
    Part.TRAILING_NEWLINE: Fault(
        "trailing-newline-trained", "the newline behind a stop token is trained; no model gets to write it", _TRAINED
    ),
    Part.OUTSIDE: Fault("outside-trained", "padding, or text that belongs to no turn, is trained", _TRAINED),
}
UNTRAINED_WRONGLY: Mapping[Part, Fault] = {
    Part.REASONING: Fault("reasoning-untrained", "the reasoning of a trained answer is not trained", _ANSWER),
    Part.CONTENT: Fault("content-untrained", "words of a trained answer are not trained", _ANSWER),
    Part.CALL: Fault("call-untrained", "tool calls of a trained answer are not trained", _ANSWER),
    Part.STOP: Fault("stop-untrained", "the stop token of a trained answer is not trained: it never ends", _ANSWER),
}

FAULTS: tuple[Fault, ...] = (
    UNREADABLE,
    MISALIGNED,
    UNKNOWN_ID,
    NO_TURNS,
    SHIFTED,
    NOTHING_TRAINED,
    EVERYTHING_TRAINED,
    FOREIGN_LABEL,
    *TRAINED_WRONGLY.values(),
    UNSERVED_ANSWER,
    *UNTRAINED_WRONGLY.values(),
    UNTRAINED_ANSWER,
    MISSING_STOP,
)
"""All kinds, in the order of reports; arrays are indexed by the place in it."""

NUMBER: Mapping[str, int] = {fault.name: number for number, fault in enumerate(FAULTS)}
"""Where each kind stands in FAULTS, by name."""
