"""What a build needs of an outcome, and no more: what is left of it on the way from another process."""

from collections.abc import Sequence
from dataclasses import replace

from qwen_sft.format import Conversation, Reading
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.record import Record
from qwen_sft.rule import Encoded
from qwen_sft.sample import Sample
from qwen_sft.writer import Row


def lean(pipeline: Pipeline, batch: Sequence[Outcome]) -> list[Outcome]:
    """Some outcomes without what no build asks for, if its writer writes tokens: the words of the samples.

    A record that may yet be kept as rejected stays as it is: that is one without rows, and where samples are curated,
    each.
    """
    return [_lean(one, pipeline, talks=False) for one in batch]


def lean_talks(pipeline: Pipeline, batch: Sequence[Outcome]) -> list[Outcome]:
    """The same for a writer of conversations: rows keep theirs."""
    return [_lean(one, pipeline, talks=True) for one in batch]


def _lean(outcome: Outcome, pipeline: Pipeline, *, talks: bool) -> Outcome:
    needs_record = pipeline.settings.is_curated or not outcome.rows
    record = outcome.record
    reading = None
    if not outcome.conversations and outcome.reading is not None:
        reading = Reading([_stub(one) for one in outcome.reading.conversations])
    return replace(
        outcome,
        record=record if needs_record else _bare(record),
        diagnostics=[one.settled() for one in outcome.diagnostics],
        reading=reading,
        conversations=[_stub(one) for one in outcome.conversations],
        rows=[row if talks else _counted(row) for row in outcome.rows],
        events=[()] * len(outcome.events),
        encoded=None if outcome.encoded is None else [_of_rows(one) for one in outcome.encoded],
        hushed=outcome.hushed if needs_record else None,
    )


def _bare(record: Record) -> Record:
    """A record of which only its place is wanted, and how long it is."""
    return Record(record.where, None, record.raw)


def _stub(conversation: Conversation) -> Conversation:
    """The places of a conversation's messages, and its name."""
    sample: Sample = {"id": conversation.sample["id"]} if "id" in conversation.sample else {}
    return Conversation(sample, conversation.origins, conversation.rebuilt)


def _counted(row: Row) -> Row:
    return replace(row, conversation=None, counted=row.calls)


def _of_rows(one: Encoded) -> Encoded:
    """What is counted of an encoded sample."""
    return Encoded(
        _stub(one.conversation),
        None,  # pyright: ignore[reportArgumentType]  # rules ask for the transcript, and they have run
        rows=one.rows,
        too_long=one.too_long,
        shortened=one.shortened,
        expansion=one.expansion,
        requests=one.requests,
    )
