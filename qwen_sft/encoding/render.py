"""Sample, family and tokenizer to training rows: the first computation of what is trained, from spans.

The words of every turn come as spans of known kind (`Family.serialize`), so the mask is a fact of construction: of
the trained turns, everything behind the generation prompt up to the stop token. Text is encoded in pieces that begin
and end where trained regions do, so that a region is a range of tokens and never half of one.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from qwen_sft.asking.request import OptionsOf
from qwen_sft.errors import TemplateError
from qwen_sft.family import Family, Run
from qwen_sft.sample import Message, Tool
from qwen_sft.settings import Boundary
from qwen_sft.templating.reasoning import inlined
from qwen_sft.tokenizing.control import encode_batch, is_marked, unmarked
from qwen_sft.tokenizing.tokenizer import Tokenizer
from qwen_sft.tokens import GENERATED, Kind, Span, Tokens

_KINDS = sorted(GENERATED)


@dataclass(frozen=True, slots=True)
class Rendering:
    """One row before it is encoded.

    Attributes:
        spans: the text of the row.
        turns: the assistant turns that are trained in it.
        n_messages: how many messages it shows.
        pieces: ranges of spans [start, end) that are encoded on their own, and whether the piece is trained; None for
            a row in one piece, of which each token is judged by the span that it begins in.
        boundary: as in Tokens.
        straddling: as in Tokens.
    """

    spans: list[Span]
    turns: tuple[int, ...]
    n_messages: int
    pieces: list[tuple[int, int, bool | None]]
    boundary: Literal["clean", "inference", "text"]
    straddling: tuple[int, ...] = ()


def renderings(
    messages: Sequence[Message],
    tools: Sequence[Tool],
    runs: Sequence[Run],
    family: Family,
    tokenizer: Tokenizer,
    *,
    options_of: OptionsOf,
    boundary: Boundary = "inference",
) -> list[Rendering]:
    """The rows of one sample, as its family plans them: each turn of a run is trained in exactly one of them.

    With `inference` as boundary, a turn whose first token would melt into the end of its prompt (words that begin with
    white space) ends its row, where it is encoded apart, as the server would have it; as history of later turns it is
    encoded as part of the whole, again as the server would have it. With `text` it stays where it is.

    Raises:
        TemplateError: the template would reject the sample.
    """
    made: list[Rendering] = []
    pending = list(reversed(runs))
    while pending:
        run = pending.pop()
        spans = _spans(messages, tools, family, run, options_of)
        melting = _melting(spans, run.turns, tokenizer)
        says: Literal["clean", "inference", "text"] = boundary if melting else "clean"
        if boundary == "text":
            made.append(Rendering(spans, run.turns, run.n_messages, [(0, len(spans), None)], says, tuple(melting)))
            continue
        if melting and melting != [run.turns[-1]]:
            edges = sorted({0, *(run.turns.index(turn) + 1 for turn in melting), len(run.turns)})
            shorter = [run.turns[a:b] for a, b in reversed(list(pairwise(edges)))]
            pending += [Run(turns, options_of(turns[-1])) for turns in shorter]
            continue
        made.append(Rendering(spans, run.turns, run.n_messages, _pieces(spans, run.turns), says, tuple(melting)))
    return sorted(made, key=lambda rendering: rendering.turns)


def _spans(
    messages: Sequence[Message], tools: Sequence[Tool], family: Family, run: Run, options_of: OptionsOf
) -> list[Span]:
    last = run.turns[-1]
    shown = messages[: run.n_messages]
    spans = family.serialize(inlined(shown) if family.inline_reasoning else shown, tools, run.options)
    if run.turns == (last,) and last and messages[last - 1].get("role") == "assistant":
        # As the last turn of the prompt the neighbour may be printed otherwise than before this turn.
        history = family.serialize(messages[:last], tools, run.options)
        spans = history + [span for span in spans if span.message == last]
    prompts = {turn: family.generation_prompt(messages[:turn], tools, options_of(turn)) for turn in run.turns}
    return _prompted(spans, prompts)


def _prompted(spans: Sequence[Span], prompts: Mapping[int, str]) -> list[Span]:
    """The spans with what the server sends of each turn told apart from what the model says.

    Args:
        prompts: the generation prompt of each turn that is trained.

    Raises:
        TemplateError: a turn does not begin with its generation prompt.
    """
    made: list[Span] = []
    left = dict(prompts)  # what is still to come of each prompt
    for span in spans:
        sent = left.get(span.message, "")
        if not sent:
            # Where the header goes on behind the prompt, the model has to write that.
            late = span.kind is Kind.HEADER and span.message in prompts
            made.append(Span(Kind.CONTENT, span.message, span.text) if late else span)
        elif sent.startswith(span.text):
            made.append(span if span.kind is Kind.HEADER else Span(Kind.PREFILL, span.message, span.text))
            left[span.message] = sent[len(span.text) :]
        elif span.text.startswith(sent):
            header = span.kind is Kind.HEADER
            made.append(Span(Kind.HEADER if header else Kind.PREFILL, span.message, sent))
            made.append(Span(Kind.CONTENT if header else span.kind, span.message, span.text[len(sent) :]))
            left[span.message] = ""
        else:
            raise TemplateError(f"messages[{span.message}] does not begin with its generation prompt {sent[-80:]!r}")
    return made


def _melting(spans: Sequence[Span], turns: Sequence[int], tokenizer: Tokenizer) -> list[int]:
    """The turns whose prompt and words, encoded as one text, have no token boundary between them."""
    suspects: set[int] = set()
    begun: set[int] = set()
    for span in spans:
        if span.kind in GENERATED and span.message not in begun and (first := unmarked(span.text)[:1]):
            begun.add(span.message)
            if not first.isascii() or first.isspace():
                suspects.add(span.message)
    return [turn for turn in turns if turn in suspects and _melts(spans, turn, tokenizer)]


def _melts(spans: Sequence[Span], turn: int, tokenizer: Tokenizer) -> bool:
    words = "".join(span.text for span in spans if span.message == turn and span.kind in GENERATED)
    header = "".join(span.text for span in spans if span.message == turn and span.kind in (Kind.HEADER, Kind.PREFILL))
    ids, offsets = encode_batch([header + words, header, words], tokenizer)
    return not np.array_equal(ids[: offsets[1]], ids[offsets[1] :])


def _pieces(spans: Sequence[Span], turns: Sequence[int]) -> list[tuple[int, int, bool | None]]:
    trained = set(turns)
    pieces: list[tuple[int, int, bool | None]] = []
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
    ids, offsets = encode_batch(texts, tokenizer)
    n_tokens = np.diff(offsets)
    loss_mask = np.repeat(np.array([bool(trained) for _, trained in pieces], dtype=np.bool_), n_tokens)

    # A token belongs to the span in which its first byte lies.
    sizes = [size for (spans, _), text in zip(pieces, texts, strict=True) for size in _sizes(spans, text, tokenizer)]
    lengths = tokenizer.byte_lengths[ids]
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    ends = np.searchsorted(starts, np.cumsum(sizes))
    ends[-1] = len(ids)  # a character that NFC composes over the edge of the very last span is counted to neither side
    owned = np.diff(ends, prepend=0)
    kinds = np.repeat(np.array([span.kind for spans, _ in pieces for span in spans], dtype=np.int8), owned)
    messages = np.repeat(np.array([span.message for spans, _ in pieces for span in spans], dtype=np.int32), owned)

    made: list[Tokens] = []
    piece = 0
    for row in rows:
        edges = offsets[piece : piece + len(row.pieces) + 1].tolist()
        first, last = edges[0], edges[-1]
        here = slice(first, last)
        if row.pieces[0][2] is None:
            mask = np.isin(kinds[here], _KINDS) & np.isin(messages[here], row.turns)
            regions = _regions(messages[here], mask, row.turns)
        else:
            mask = loss_mask[here]
            regions = tuple(
                (start - first, end - first)
                for (_, _, trained), start, end in zip(row.pieces, edges[:-1], edges[1:], strict=True)
                if trained
            )
        made.append(
            Tokens(
                ids[here],
                mask,
                kinds[here],
                messages[here],
                row.turns,
                row.n_messages,
                regions,
                row.boundary,
                row.straddling,
            )
        )
        piece += len(row.pieces)
    return made


def _regions(
    messages: npt.NDArray[np.int32], mask: npt.NDArray[np.bool_], turns: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Where each turn's trained tokens are; the stop token is one of them, so there is always one."""
    found = [np.flatnonzero(mask & (messages == turn)) for turn in turns]
    return tuple((int(at[0]), int(at[-1]) + 1) for at in found)


def _sizes(spans: Sequence[Span], text: str, tokenizer: Tokenizer) -> list[int]:
    """How many of the bytes that the tokenizer sees are each span's; their sum is exact for the piece."""
    if text.isascii():
        return [len(span.text) for span in spans]
    if not is_marked(text) and (not tokenizer.normalizes_nfc or unicodedata.is_normalized("NFC", text)):
        return [len(span.text.encode()) for span in spans]
    # The tokenizer normalizes between control tokens, not the whole: only it knows how long a text becomes.
    prefixes: list[str] = []
    for span in spans:
        prefixes.append(prefixes[-1] + span.text if prefixes else span.text)
    ids, offsets = encode_batch(prefixes, tokenizer)
    total = np.concatenate([[0], np.cumsum(tokenizer.byte_lengths[ids], dtype=np.int64)])
    ends = total[offsets[1:]] - total[offsets[:-1]]
    return np.diff(ends, prepend=0).tolist()
