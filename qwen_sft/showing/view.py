"""A training row as a reader looks at it: stretches of one kind, where each prompt ends, and what is read back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from qwen_sft.encoding.model import Model
from qwen_sft.parser import Parsed, ToolParser
from qwen_sft.sample import Tool
from qwen_sft.serving.parse import parse_turn
from qwen_sft.tokenizing.tokenizer import Tokenizer
from qwen_sft.tokens import Kind, Tokens


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its id, and its bytes as text (`<0xNN>` for each byte where they are no whole character)."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens of one kind, one message and one training.

    Attributes:
        weight: how much they count in the loss; 0 where they are not trained.
    """

    kind: Kind
    message: int
    weight: float
    tokens: list[Token]


@dataclass(frozen=True, slots=True)
class Turn:
    """A trained turn of a row.

    Attributes:
        message: its index in the sample.
        start: how many tokens the server sends before it.
        n_bytes: how many bytes of text these are.
        request: the template options that it sends them with, as JSON.
        straddles: the first token would straddle prompt and answer in the whole text.
        read: what the server's parser reads in the answer; None where it is not known which parser that is.
    """

    message: int
    start: int
    n_bytes: int
    request: str
    straddles: bool
    read: Parsed | None


@dataclass(frozen=True, slots=True)
class View:
    """A row: its stretches in order, its trained turns by message, and its text as bytes."""

    row: Tokens
    stretches: list[Stretch]
    turns: dict[int, Turn]
    text: bytes

    def prompt(self, turn: Turn) -> str:
        """What the server sends before a turn, as its template renders it."""
        return self.text[: turn.n_bytes].decode("utf-8", "replace")


def view(row: Tokens, requests: Sequence[str], tools: Sequence[Tool], model: Model, parser: ToolParser | None) -> View:
    """A row as a reader looks at it.

    Args:
        requests: for each trained turn the template options of its request, as JSON.
        parser: who reads the calls back.
    """
    turns: dict[int, Turn] = {}
    different, inverse = np.unique(row.input_ids, return_inverse=True)  # of a long row there are few different ones
    spelled: list[bytes] = [model.tokenizer.decode_bytes(different[i : i + 1]) for i in range(len(different))]
    places: list[int] = inverse.tolist()
    pieces = [spelled[place] for place in places]
    ends = [0, *accumulate(map(len, pieces))]
    declared = [dict(tool) for tool in tools]
    for turn, (start, end), request in zip(row.turns, row.regions, requests, strict=True):
        said = _said(row, start, end, model.tokenizer)
        thinking = model.thinking(json.loads(request), said)
        read = (
            None
            if parser is None
            else parse_turn(
                said, declared, parser=parser, thinking=thinking, reasoning_parser=model.family.reasoning_parser
            )
        )
        turns[turn] = Turn(turn, start, ends[start], request, turn in row.straddling, read)
    known = [Token(number, _text(data)) for number, data in zip(different.tolist(), spelled, strict=True)]
    return View(row, _stretches(row, [known[place] for place in places]), turns, b"".join(pieces))


def _said(row: Tokens, start: int, end: int, tokenizer: Tokenizer) -> str:
    """What the model says in a turn, without its stop token."""
    while end > start and row.kinds[end - 1] == Kind.STOP:
        end -= 1
    return tokenizer.decode(row.input_ids[start:end])


def _stretches(row: Tokens, tokens: Sequence[Token]) -> list[Stretch]:
    weights = row.loss_mask.astype(np.float32) if row.weights is None else row.weights
    changes = (np.diff(row.kinds) != 0) | (np.diff(row.messages) != 0) | (np.diff(weights) != 0)
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(tokens)]
    return [
        Stretch(Kind(int(row.kinds[start])), int(row.messages[start]), float(weights[start]), list(tokens[start:end]))
        for start, end in pairwise(edges)
        if end > start
    ]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in data)


_LONGEST = 200


def prompt_line(turn: Turn) -> str:
    """Where a turn's prompt ends, in words."""
    options = "" if turn.request == "{}" else f" with {turn.request}"
    apart = "; encoded apart from the answer, whose first token would straddle both" if turn.straddles else ""
    return f"the server sends the {turn.start:,} tokens above{options}{apart}"


def read_lines(read: Parsed) -> list[str]:
    """What a server reads in an answer, a line for each part."""
    lines = [f"reasoning {_short(read.reasoning)}"] if read.reasoning and read.reasoning.strip() else []
    lines += [f"content {_short(read.content)}"] if read.content and read.content.strip() else []
    lines += [f"call {name}({_short(json.dumps(given, ensure_ascii=False), '')})" for name, given in read.calls]
    return lines or ["nothing"]


def _short(text: str, quote: str = '"') -> str:
    line = " ".join(text.split())
    return (
        f"{quote}{line}{quote}"
        if len(line) <= _LONGEST
        else f"{quote}{line[:_LONGEST]}{quote} … ({len(text):,} characters)"
    )
