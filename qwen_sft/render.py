"""Sample, family and tokenizer to training rows: the first computation of what is trained, from spans.

The words of every turn come as spans of known kind (`Family.serialize`), so the mask is a fact of construction: of
the trained turns, everything behind the generation prompt up to the stop token. Text is encoded in pieces that begin
and end where trained regions do, so that a region is a range of tokens and never half of one.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qwen_sft.family import Family, Run
from qwen_sft.sample import Message, Tool
from qwen_sft.tokenizer import Tokenizer
from qwen_sft.tokens import GENERATED, Kind, Span, Tokens


@dataclass(frozen=True, slots=True)
class Rendering:
    """One row before it is encoded.

    Attributes:
        spans: the text of the row.
        turns: the assistant turns that are trained in it.
        n_messages: how many messages it shows.
        pieces: ranges of spans [start, end) that are encoded on their own, and whether the piece is trained.
    """

    spans: list[Span]
    turns: tuple[int, ...]
    n_messages: int
    pieces: list[tuple[int, int, bool]]


def renderings(
    messages: Sequence[Message], tools: Sequence[Tool], family: Family, tokenizer: Tokenizer
) -> list[Rendering]:
    """The rows of one sample: each assistant turn that has a prompt is trained in exactly one of them.

    A turn whose first token would melt into the newline of its header (words that begin with white space) ends its row,
    where it is encoded apart, as the server would have it; as history of later turns it is encoded as part of the
    whole, again as the server would have it.

    Raises:
        TemplateError: the template would reject the sample.
    """
    made: list[Rendering] = []
    pending = list(reversed(family.runs(messages)))
    while pending:
        # Nobody can ask a server for a first message: it is shown and not trained (MSG010).
        run = Run(tuple(t for t in pending.pop().turns if t))
        if not run.turns:
            continue
        spans = _spans(messages, tools, family, run)
        melting = _melting(spans, run.turns[:-1], tokenizer)
        if melting:
            edges = [0, *(run.turns.index(turn) + 1 for turn in melting), len(run.turns)]
            pending += [Run(run.turns[a:b]) for a, b in reversed(list(pairwise(edges)))]
            continue
        made.append(Rendering(spans, run.turns, run.n_messages, _pieces(spans, run.turns)))
    return sorted(made, key=lambda rendering: rendering.turns)


def _spans(messages: Sequence[Message], tools: Sequence[Tool], family: Family, run: Run) -> list[Span]:
    last = run.turns[-1]
    spans = family.serialize(messages[: run.n_messages], tools)
    if run.turns == (last,) and last and messages[last - 1].get("role") == "assistant":
        # As the last turn of the prompt the neighbour may be printed otherwise than before this turn.
        history = family.serialize(messages[:last], tools)
        return history + [span for span in spans if span.message == last]
    return spans


def _melting(spans: Sequence[Span], turns: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """The turns whose header and words, encoded as one text, have no token boundary between them."""
    suspects: set[int] = set()
    begun: set[int] = set()
    for span in spans:
        if span.kind in GENERATED and span.message not in begun:
            begun.add(span.message)
            if not span.text[0].isascii() or span.text[0].isspace():
                suspects.add(span.message)
    return [turn for turn in turns if turn in suspects and _melts(spans, turn, tokenizer)]


def _melts(spans: Sequence[Span], turn: int, tokenizer: Tokenizer) -> bool:
    words = "".join(span.text for span in spans if span.message == turn and span.kind in GENERATED)
    header = "".join(span.text for span in spans if span.message == turn and span.kind in (Kind.HEADER, Kind.PREFILL))
    whole = tokenizer.encode(header + words)
    apart = np.concatenate([tokenizer.encode(header), tokenizer.encode(words)])
    return not np.array_equal(whole, apart)


def _pieces(spans: Sequence[Span], turns: Sequence[int]) -> list[tuple[int, int, bool]]:
    trained = set(turns)
    pieces: list[tuple[int, int, bool]] = []
    start = 0
    was = False
    for i, span in enumerate(spans):
        now = span.kind in GENERATED and span.message in trained
        if now != was:
            if i > start:
                pieces.append((start, i, was))
            start, was = i, now
    pieces.append((start, len(spans), was))
    return pieces


def encode(rows: Sequence[Rendering], tokenizer: Tokenizer) -> list[Tokens]:
    """The tokens of renderings, in one call of the tokenizer and a few array operations for all of them."""
    if not rows:
        return []
    pieces = [(row.spans[a:b], trained) for row in rows for a, b, trained in row.pieces]
    texts = ["".join([span.text for span in spans]) for spans, _ in pieces]
    ids, offsets = tokenizer.encode_batch(texts)
    n_tokens = np.diff(offsets)
    loss_mask = np.repeat(np.array([trained for _, trained in pieces], dtype=np.bool_), n_tokens)

    # A token belongs to the span in which its first byte lies.
    sizes = [size for (spans, _), text in zip(pieces, texts, strict=True) for size in _sizes(spans, text, tokenizer)]
    span_ends = np.cumsum(sizes)
    lengths = tokenizer.byte_lengths[ids]
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    owners = np.searchsorted(span_ends, starts, side="right")
    # A character that NFC composes over the edge of the very last span is counted to neither side.
    np.minimum(owners, len(span_ends) - 1, out=owners)
    kinds = np.array([span.kind for spans, _ in pieces for span in spans], dtype=np.int8)[owners]
    messages = np.array([span.message for spans, _ in pieces for span in spans], dtype=np.int32)[owners]

    made: list[Tokens] = []
    piece = 0
    for row in rows:
        edges = offsets[piece : piece + len(row.pieces) + 1].tolist()
        first, last = edges[0], edges[-1]
        regions = tuple(
            (start - first, end - first)
            for (_, _, trained), start, end in zip(row.pieces, edges[:-1], edges[1:], strict=True)
            if trained
        )
        here = slice(first, last)
        made.append(Tokens(ids[here], loss_mask[here], kinds[here], messages[here], row.turns, row.n_messages, regions))
        piece += len(row.pieces)
    return made


def _sizes(spans: Sequence[Span], text: str, tokenizer: Tokenizer) -> list[int]:
    """How many of the bytes that the tokenizer sees are each span's; their sum is exact for the piece."""
    if text.isascii():
        return [len(span.text) for span in spans]
    if not tokenizer.normalizes_nfc or unicodedata.is_normalized("NFC", text):
        return [len(span.text.encode()) for span in spans]
    # The tokenizer normalizes between control tokens, not the whole: only it knows how long a text becomes.
    prefixes: list[str] = []
    for span in spans:
        prefixes.append(prefixes[-1] + span.text if prefixes else span.text)
    ids, offsets = tokenizer.encode_batch(prefixes)
    total = np.concatenate([[0], np.cumsum(tokenizer.byte_lengths[ids], dtype=np.int64)])
    ends = total[offsets[1:]] - total[offsets[:-1]]
    return np.diff(ends, prepend=0).tolist()
