"""Pieces of a traced rendering to spans: where each assistant's turn stands, and what of it is what.

Data say by their field what they are. What the template wrote between two of them goes with the one that is not the
answer in words: `\\n<tool_call>\\n{"name": "` belongs to the call, `\\n</think>\\n\\n` to the reasoning.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from qwen_sft.errors import TemplateError
from qwen_sft.sample import Message
from qwen_sft.tokens import Kind, Span
from qwen_sft.tracing.trace import Piece, described

_OPEN, _CLOSE = "<think>", "</think>"

_KIND_OF_FIELD = {
    "reasoning_content": Kind.REASONING,
    "thinking": Kind.REASONING,
    "reasoning": Kind.REASONING,
    "tool_calls": Kind.CALL,
}

_KIND_OF_ROLE = {"system": Kind.SYSTEM, "developer": Kind.SYSTEM, "tool": Kind.RESULT, "assistant": Kind.CONTENT}


def spans_of(
    pieces: Iterable[Piece], messages: Sequence[Message], stops: Sequence[str], headers: Sequence[str]
) -> list[Span]:
    """The spans of a rendering: joined, they are its text.

    Args:
        stops: the last one that the template writes behind a turn's last data ends the turn.
        headers: how a turn may begin, the longest first.

    Raises:
        TemplateError: an assistant message has no text of its own, or its text has another message's in it, or no stop
            token behind it; or turns stand in another order than the messages.
    """
    spans: list[Span] = []
    done: list[int] = []
    for owner, group in groupby(pieces, lambda piece: piece.message):
        if owner < 0 or messages[owner].get("role") != "assistant":
            spans += [_other(piece, owner, messages) for piece in group]
            continue
        if done and owner <= done[-1]:
            what = "in two places" if owner in done else f"behind messages[{done[-1]}]"
            raise TemplateError(f"the chat template prints messages[{owner}] {what}")
        done.append(owner)
        turn = list(group)
        lead = _lead(turn)
        header = next((one for one in headers if lead.startswith(one)), "")
        if not header:
            spans, header = _taken(spans, headers)
            spans += [Span(Kind.HEADER, owner, header)] if header else []
            header = ""
        spans += _turn(turn, owner, header, stops)
    missing = [i for i, one in enumerate(messages) if one.get("role") == "assistant" and i not in done]
    if missing:
        raise TemplateError(f"the chat template prints no text of its own for messages[{missing[0]}]")
    return spans


def _other(piece: Piece, owner: int, messages: Sequence[Message]) -> Span:
    """The span of a piece that stands in no assistant's turn."""
    if not piece.source or _is_written(piece):
        return Span(Kind.SCAFFOLD, owner, piece.text)
    if piece.source[0] == "tools":
        return Span(Kind.TOOLS, owner, piece.text)
    role = messages[owner].get("role", "") if owner >= 0 else ""
    return Span(_KIND_OF_ROLE.get(role, Kind.USER), owner, piece.text)


def _is_written(piece: Piece) -> bool:
    """True for the template's own text; a role and an option are part of it."""
    source = piece.source
    return source is None or (bool(source) and (source[0] not in ("messages", "tools") or source[2:] == ("role",)))


def _lead(turn: Sequence[Piece]) -> str:
    """What the template writes before a turn's first data."""
    lead = ""
    for piece in turn:
        if not _is_written(piece):
            break
        lead += piece.text
    return lead


def _taken(spans: list[Span], headers: Sequence[str]) -> tuple[list[Span], str]:
    """A header that the template wrote at the end of the message before, cut off from that."""
    if spans and spans[-1].kind is Kind.SCAFFOLD:
        last = spans[-1]
        for header in headers:
            if last.text.endswith(header):
                rest = last.text.removesuffix(header)
                return spans[:-1] + ([Span(last.kind, last.message, rest)] if rest else []), header
    return spans, ""


def _turn(turn: Sequence[Piece], owner: int, header: str, stops: Sequence[str]) -> list[Span]:
    """The spans of one assistant's turn."""
    # Texts with the kind of data; None where the template wrote them.
    parts: list[tuple[str, Kind | None]] = []
    foreign: list[tuple[int, Piece]] = []
    for piece in turn:
        if _is_written(piece):
            parts.append((piece.text, None))
        elif piece.source and piece.source[:2] == ("messages", owner):
            field = str(piece.source[2]) if len(piece.source) > 2 else ""
            parts.append((piece.text, _KIND_OF_FIELD.get(field, Kind.CONTENT)))
        else:
            foreign.append((len(parts), piece))
            parts.append((piece.text, None))
    last = max((i for i, (_, kind) in enumerate(parts) if kind is not None), default=-1)
    before = "".join(text for text, _ in parts[: last + 1]) or header
    text = "".join(text for text, _ in parts)
    n_ended, stop = _stop(text, len(before), stops)
    if not stop:
        raise TemplateError(f"the chat template writes no stop token behind messages[{owner}]")
    size = 0
    for index, (one, _) in enumerate(parts):
        inside = [piece for at, piece in foreign if at == index]
        if inside and size < n_ended:
            place = described(inside[0].source or ())
            raise TemplateError(f"the chat template prints {place} inside the turn of messages[{owner}]")
        size += len(one)
    spans = [Span(Kind.HEADER, owner, header)] if header else []
    spans += _body(_between(parts, len(header), n_ended - len(stop)), owner)
    spans.append(Span(Kind.STOP, owner, stop))
    after = text[n_ended:]
    return [*spans, Span(Kind.AFTER, owner, after)] if after else spans


def _stop(text: str, start: int, stops: Sequence[str]) -> tuple[int, str]:
    """Where the turn ends, and the token that ends it: the last one behind `start`.

    Not the first: a call may end in a control token of its own (`<｜tool▁calls▁end｜>`), and Cohere's turns end in two.
    """
    at, stop = max(((text.rfind(stop, start), stop) for stop in stops), default=(-1, ""))
    return (at + len(stop), stop) if at >= 0 else (0, "")


def _between(parts: Iterable[tuple[str, Kind | None]], start: int, end: int) -> list[tuple[str, Kind | None]]:
    """The parts of text[start:end], neighbours of one kind merged."""
    made: list[tuple[str, Kind | None]] = []
    at = 0
    for text, kind in parts:
        piece = text[max(start - at, 0) : max(end - at, 0)]
        at += len(text)
        if not piece:
            continue
        if made and made[-1][1] == kind:
            made[-1] = (made[-1][0] + piece, kind)
        else:
            made.append((piece, kind))
    return made


def _body(parts: Sequence[tuple[str, Kind | None]], owner: int) -> list[Span]:
    """What the model says, but for the stop token."""
    kinds: list[tuple[str, Kind | None]] = []
    thinking = False
    for text, kind in parts:
        if kind is None:
            thinking = text.rfind(_OPEN) > text.rfind(_CLOSE) or (thinking and _CLOSE not in text)
        # A template may take a turn's reasoning from its content.
        kinds.append((text, Kind.REASONING if thinking and kind is Kind.CONTENT else kind))
    spans: list[Span] = []
    for index, (text, kind) in enumerate(kinds):
        if kind is not None:
            _add(spans, kind, owner, text)
            continue
        left = kinds[index - 1][1] if index else None
        right = kinds[index + 1][1] if index + 1 < len(kinds) else None
        if _CLOSE in text:
            end = text.rindex(_CLOSE) + len(_CLOSE)
            end += len(text[end:]) - len(text[end:].lstrip())
            opening = text.find(_OPEN) if _OPEN in text[:end] and left is not Kind.REASONING else 0
            _add(spans, _neighbour(left, Kind.REASONING), owner, text[:opening])
            _add(spans, Kind.REASONING, owner, text[opening:end])
            _add(spans, _neighbour(None, right), owner, text[end:])
        else:
            _add(spans, _neighbour(left, right), owner, text)
    return spans


def _neighbour(left: Kind | None, right: Kind | None) -> Kind:
    """With which of two neighbours the template's text between them goes: the one that is not words, else the next."""
    if right is None or (right is Kind.CONTENT and left is not None):
        return left or Kind.CONTENT
    return right


def _add(spans: list[Span], kind: Kind, owner: int, text: str) -> None:
    if not text:
        return
    if spans and spans[-1].kind is kind:
        text = spans.pop().text + text
    spans.append(Span(kind, owner, text))
