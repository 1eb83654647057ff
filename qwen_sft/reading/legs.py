"""Exchanges that continue each other on the provider's side: a request names the response that it goes on from.

The input of such a request is only what is new, so that it can be read only behind what it continues.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen_sft.decoding.sse import is_events, payloads
from qwen_sft.reading.exchange import Exchange
from qwen_sft.sample import Path, is_list, is_object


@dataclass(frozen=True, slots=True)
class Leg:
    """A request and its response: the record, or the line of it at `at`."""

    at: Path
    record: Any
    found: Exchange

    @property
    def previous(self) -> str:
        """The id of the response that it continues; "" for none."""
        bodies = [body for body in (self.found.request, self.found.answer) if is_object(body)]
        return next(filter(None, (_text(body.get("previous_response_id")) for body in bodies)), "")

    @property
    def conversation(self) -> str:
        """The id of the conversation that the provider keeps; "" for none."""
        given: Any = self.found.request.get("conversation") if is_object(self.found.request) else None
        return _text(given.get("id") if is_object(given) else given)

    @property
    def answer_id(self) -> str:
        """The id of the response, or of the one that its stream tells of last; "" for none."""
        answer: Any = self.found.answer
        if isinstance(answer, str):
            try:
                answer = list(payloads(answer)) if is_events(answer) else None
            except ValueError:
                return ""
        told: list[Any] = (
            [event.get("response") for event in answer if is_object(event)] if is_list(answer) else [answer]
        )
        return next(filter(None, (_text(body.get("id")) for body in reversed(told) if is_object(body))), "")

    @property
    def source(self) -> Any:
        """The file that the record says it was taken from: ids need not be unique beyond it."""
        return self.record.get("source_file") if is_object(self.record) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def parent_of(legs: Sequence[Leg], leg: Leg) -> int | None:
    """Which of the exchanges before it one continues: the last that fits."""
    return next((i for i in reversed(range(len(legs))) if continues(legs[i], leg)), None)


def continues(before: Leg, leg: Leg) -> bool:
    """True if an exchange goes on from another one, or is of the same conversation."""
    previous, conversation = leg.previous, leg.conversation
    if not (previous or conversation) or before.source != leg.source:
        return False
    return before.answer_id == previous if previous else before.conversation == conversation
