"""OpenAI Chat Completions traffic: messages as most tools export them, requests, answers, pairs, streams.

Rows of data sets have the system prompt and the last answer beside the messages: see reading.beside.
"""

from dataclasses import replace
from typing import Any

from qwen_sft.api import apis
from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.reading import exchange
from qwen_sft.reading.beside import ANSWERS, SYSTEMS, places_before, places_behind, with_beside
from qwen_sft.reading.exchange import Exchange, api_format, find
from qwen_sft.sample import Path, Sample, is_object
from qwen_sft.text.glance import shared

_BESIDE = frozenset({*SYSTEMS, *ANSWERS})
_API = apis()["openai_chat"]


@shared
def _found(record: Any) -> Exchange | None:
    return find(_API, record)


def _row(record: Any) -> Exchange | None:
    """The exchange of a record whose own fields are the request's, with any beside its messages; else None."""
    if not is_object(record) or record.keys().isdisjoint(_BESIDE):
        return None
    found = _found(record)
    return found if found and found.request is record else None


def recognises(record: Any) -> bool:
    """Messages alone, a request, an answer, a pair of both or a stream, as Chat Completions has them."""
    return _found(record) is not None


def events(record: Any) -> list[Path]:
    """Each message; a system prompt beside them, and the answer."""
    found, told = _row(record), exchange.events(_API, _found(record))
    if found is None:
        return told
    return [*places_before(record), *told, *(places_behind(record) if found.answer is None else [])]


def read(record: Any) -> Reading:
    """One sample, or one for each choice of the answer."""
    found, reading = _row(record), exchange.read(_API, record, _found(record))
    if found is None or reading.refusal:
        return reading
    own: Any = record.get("metadata")
    made: list[Conversation] = []
    aside: dict[Path, Event] = {}
    for one in reading.conversations:
        whole = with_beside(record, one.sample.get("messages", []), one.origins, answers=found.answer is None)
        told = whole.columns.difference(own if is_object(own) else ())
        labels = {key: value for key, value in one.sample.get("metadata", {}).items() if key not in told}
        sample: Sample = {**one.sample, "messages": whole.messages, "metadata": labels}
        if not labels:
            del sample["metadata"]
        made.append(Conversation(sample, whole.origins, one.rebuilt or whole.has_texts))
        aside |= {event.path: event for event in whole.aside}
    return Reading(made, [*reading.aside, *aside.values()])


FORMAT = replace(
    api_format(
        "openai_chat",
        "OpenAI Chat Completions messages, requests, answers and streams; older function_call spellings",
        keeps_fields=True,
        generic=True,
    ),
    recognises=recognises,
    events=events,
    read=read,
)
