"""What a build needs of an outcome, and no more: what is left of it on the way from another process."""

from collections.abc import Sequence

from qwen_sft.finding import Diagnostic
from qwen_sft.format import Conversation, Reading
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.record import Record
from qwen_sft.rule import Encoded
from qwen_sft.sample import Sample
from qwen_sft.writer import Row


def lean(pipeline: Pipeline, batch: Sequence[Outcome]) -> list[Outcome]:
    """Some outcomes without what no build asks for, if its writer writes tokens: the words of the samples.

    The outcomes are changed in place: nobody else has them. A record that may yet be kept as rejected stays as it is:
    that is one without rows, and where samples are curated, each.
    """
    return [_lean(one, pipeline, talks=False) for one in batch]


def lean_talks(pipeline: Pipeline, batch: Sequence[Outcome]) -> list[Outcome]:
    """The same for a writer of conversations: rows keep theirs."""
    return [_lean(one, pipeline, talks=True) for one in batch]


def _lean(outcome: Outcome, pipeline: Pipeline, *, talks: bool) -> Outcome:
    settings = pipeline.settings
    needs_record = settings.is_curated or not outcome.rows
    outcome.reading = None if outcome.conversations or outcome.reading is None else _places(outcome.reading)
    outcome.n_bytes = len(outcome.record.raw)
    if not needs_record:
        outcome.record, outcome.hushed = Record(outcome.record.where, None, b""), None
    if needs_record or settings.baseline is not None:
        outcome.diagnostics = [one.settled() for one in outcome.diagnostics]
    else:
        outcome.diagnostics = [counted(one) for one in outcome.diagnostics]
    outcome.conversations = [_stub(one) for one in outcome.conversations]
    outcome.rows = outcome.rows if talks else [without_words(row) for row in outcome.rows]
    outcome.events = [()] * len(outcome.events)
    outcome.encoded = None if outcome.encoded is None else [_of_rows(one) for one in outcome.encoded]
    return outcome


def counted(found: Diagnostic) -> Diagnostic:
    """A finding that is counted and no more: without its words, and without its fingerprint."""
    return Diagnostic(found.code, found.name, found.severity, found.where, (), (), "", "", "")


def _places(reading: Reading) -> Reading:
    return Reading([_stub(one) for one in reading.conversations])


def _stub(conversation: Conversation) -> Conversation:
    """The places of a conversation's messages, and its name."""
    sample: Sample = {"id": conversation.sample["id"]} if "id" in conversation.sample else {}
    return Conversation(sample, conversation.origins, conversation.rebuilt)


def without_words(row: Row) -> Row:
    """A row that can be written as tokens, and not as a conversation."""
    if row.conversation is None:
        return row
    told = (row.tokens, row.where, row.sample_id, row.sample)
    return Row(*told, options=row.options, split=row.split, copy=row.copy, counted=row.calls)


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
