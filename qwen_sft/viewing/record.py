"""A record of a trace as a sheet: its conversations and rows, what was found, and the record as it stands."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qwen_sft.finding import Diagnostic
from qwen_sft.format import Conversation
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.rule import Encoded
from qwen_sft.sample import Path, is_list, is_object, is_too_deep, json_path, value_at
from qwen_sft.shaping.redact import hushed, redacted
from qwen_sft.viewing.json_text import spelled
from qwen_sft.viewing.sheet import Called, Said, Sheet, Talk

if TYPE_CHECKING:
    from qwen_sft.showing.view import View


def sheet_of(outcome: Outcome, pipeline: Pipeline, *, safe: bool = False) -> Sheet:
    """What is shown of a record.

    Args:
        safe: without secrets, for pages that are sent around; where a sample holds some, its tokens are not shown.
    """
    record = outcome.record
    quiet = hushed(record) if safe else outcome.hushed
    if quiet is not None:
        record = quiet.record
    read = outcome.conversations or (outcome.reading.conversations if outcome.reading else [])
    shown = [redacted(one) for one in read] if quiet is not None else read
    is_hushed = safe and (record is not outcome.record or any(a is not b for a, b in zip(shown, read, strict=True)))
    encoded = [] if is_hushed else outcome.encoded or []
    encodings: list[Encoded | None] = [*encoded, *[None] * (len(shown) - len(encoded))]
    is_text = record.fault is not None or is_too_deep(record.data)
    found = [
        replace(one, says=quiet.text(one.says), fix=quiet.text(one.fix)) if quiet else one
        for one in outcome.diagnostics
    ]
    return Sheet(
        f"{record.where.file}:{record.where.line}",
        _facts(outcome, shown),
        [_talk(one, pipeline, made) for one, made in zip(shown, encodings, strict=True)],
        found,
        None if is_text else record.data,
        record.raw.decode("utf-8", "backslashreplace") if is_text else None,
        [_place(one, outcome) for one in found],
        "It holds what --redact would take out; its tokens are not shown." if is_hushed and outcome.rows else "",
    )


def _facts(outcome: Outcome, read: list[Conversation]) -> list[str]:
    facts = [outcome.format or "no format", "rejected" if outcome.rejected else "passes"]
    if len(read) > 1:
        facts.append(f"{len(read):,} conversations")
    if outcome.rows:
        n_tokens = sum(len(row.tokens.input_ids) for row in outcome.rows)
        n_trained = sum(row.tokens.n_trained_tokens for row in outcome.rows)
        facts += [
            f"{len(outcome.rows):,} training row{'' if len(outcome.rows) == 1 else 's'}",
            f"{n_tokens:,} tokens",
            f"{n_trained:,} trained",
        ]
    return facts


def _talk(conversation: Conversation, pipeline: Pipeline, encoded: Encoded | None) -> Talk:
    sample: Any = conversation.sample
    messages: Any = sample.get("messages")
    told: Any = sample.get("tools")
    origins = conversation.origins
    said = [
        _said(message, index, json_path(origins[index]) if index < len(origins) else "")
        for index, message in enumerate(messages if is_list(messages) else ())
    ]
    views = [] if encoded is None else list(views_of(encoded, pipeline))
    return Talk(said, told if is_list(told) else (), views, sample.get("id"))


def views_of(encoded: Encoded, pipeline: Pipeline) -> "Iterator[View]":
    """The rows of a sample, each with its turns' requests and what is read back of them."""
    from qwen_sft.showing.view import view

    encoder = pipeline.encoder
    left = iter(encoded.requests)
    for row in encoded.rows:
        yield view(row, [next(left) for _ in row.turns], encoded.transcript.tools, encoder.model, encoder.parser)


def _said(message: Any, index: int, place: str) -> Said:
    """A message as it is shown, whatever shape it has."""
    if not is_object(message):
        return Said("?", index, place, _text(message))
    made: Any = message.get("tool_calls")
    return Said(
        str(message.get("role")),
        index,
        place,
        _text(message.get("content")),
        _text(message.get("reasoning_content")),
        tuple(map(_called, made if is_list(made) else ())),
        _text(message.get("tool_call_id")),
    )


def _called(call: Any) -> Called:
    function: Any = value_at(call, ("function",))
    if not is_object(function):
        return Called("?", call)
    return Called(_text(function.get("name")), function.get("arguments"), _text(value_at(call, ("id",))))


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else spelled(value)


def _place(found: Diagnostic, outcome: Outcome) -> Path | None:
    """The place in the record that a finding is about; None where that is all of it, or another record."""
    record = outcome.record
    if record.parts and found.where in record.parts:
        return (record.parts.index(found.where), *found.path)
    return found.path or None
