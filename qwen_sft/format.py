"""What a format is: how one kind of trace is recognised and read into samples, with nothing lost.

A file on the shelf `formats/` defines one `Format`. Its functions see the parsed record and never change it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from qwen_sft.finding import Finding
from qwen_sft.sample import Path, Sample, json_path
from qwen_sft.shelf import shelf


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a record that did not become a message of its own, and why.

    `loses` is True where the event held words or calls that a model would have seen or said.
    """

    path: Path
    fate: Literal["merged", "dropped"]
    reason: str
    loses: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A sample, and for each of its messages the place in the record where it came from."""

    sample: Sample
    origins: list[Path]


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that came out of one record.

    The law: each event of the record (`Format.events`) is the origin of a message, or is named once in `aside`.

    Attributes:
        conversations: the samples, in the order of the record.
        aside: events that were merged into another's message or dropped, each with its reason.
        refusal: why no sample could be made, where none could.
    """

    conversations: list[Conversation] = field(default_factory=list[Conversation])
    aside: list[Event] = field(default_factory=list[Event])
    refusal: Finding | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of trace.

    Attributes:
        name: what `--format` takes; the file's name.
        title: one line for `qwen-sft formats`.
        recognises: True if a record has this shape; must be cheap, never raise, and be True for no other format's.
        events: the place of each event in a record, in order: counted apart from `read`, to check it.
        read: the record's samples and the fate of its events.
        keeps_fields: True if an event has the fields of our own messages, so that a finding can point into it.
    """

    name: str
    title: str
    recognises: Callable[[Any], bool]
    events: Callable[[Any], list[Path]]
    read: Callable[[Any], Reading]
    keeps_fields: bool = False


def unbalanced(events: list[Path], reading: Reading) -> list[str]:
    """Sentences for each event that has no fate or more than one; empty if the reading balances.

    A message may come from several events: one is its origin, the others are merged. Several messages may come from
    one event.
    """
    kept = {origin for conversation in reading.conversations for origin in conversation.origins}
    aside = Counter(event.path for event in reading.aside)
    named = kept.union(aside)
    faults = [f"event {json_path(path)} was set aside twice" for path, times in aside.items() if times > 1]
    faults += [f"event {json_path(path)} was kept and set aside" for path in kept.intersection(aside)]
    faults += [f"event {json_path(path)} has no fate" for path in events if path not in named]
    faults += [f"{json_path(path)} is no event of the record" for path in named.difference(events)]
    return faults


def formats() -> dict[str, Format]:
    """The shelf `formats/`, by name."""
    return shelf("formats", Format, lambda thing: thing.name)
