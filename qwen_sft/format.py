"""What a format is: how one kind of trace is recognised and read into samples, with nothing lost.

A file on the shelf `formats/` defines one `Format`. Its functions see the parsed record and never change it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from qwen_sft.finding import Finding
from qwen_sft.sample import Path, Sample, is_object, json_path
from qwen_sft.shelf import shelf
from qwen_sft.text.glance import ONE_RECORD


class Event(msgspec.Struct, frozen=True):
    """One event of a record that did not become a message of its own, and why.

    `loses` is True where the event held words or calls that a model would have seen or said.
    """

    path: Path
    fate: Literal["merged", "dropped"]
    reason: str
    loses: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """A sample, and for each of its messages the place in the record where it came from.

    `rebuilt` is True where messages were put together from pieces, such as the chunks of a stream: then a finding can
    name the first piece and nothing inside it, whatever the format's `keeps_fields`.
    """

    sample: Sample
    origins: list[Path]
    rebuilt: bool = False


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
        recognises: True if a record has this shape; must be cheap and never raise. Of all formats that are not
            `generic`, one at most may recognise a record.
        events: the place of each event in a record, in order: counted apart from `read`, to check it.
        read: the record's samples and the fate of its events.
        keeps_fields: True if an event has the fields of our own messages, so that a finding can point into it.
        generic: True for a shape that others refine (a list of chat messages, say): the format yields to any other that
            recognises the record.
        joins: for a format whose records stretch over several lines of a file, such as a session log or a stream:
            whether a line (its value) continues the lines gathered so far; with none gathered, whether a record may
            begin with it. Must be cheap and never raise: it is asked of every line. A record of several lines has the
            list of their values as its data; a record of one line has that line's value.
        fields: an object that is a record of this format, or a line that begins one, has at least one of these fields;
            None if no such set is known. It changes no answer, it only spares asking.
    """

    name: str
    title: str
    recognises: Callable[[Any], bool]
    events: Callable[[Any], list[Path]]
    read: Callable[[Any], Reading]
    keeps_fields: bool = False
    generic: bool = False
    joins: Callable[[Sequence[Any], Any], bool] | None = None
    fields: frozenset[str] | None = None


_NOWHERE = frozenset[Path]()
_MOST_FIELDS = 40
_MOST_LAYOUTS = 500


class Candidates:
    """Formats, and which of them to ask about a record that has these fields: most files have few sets of fields."""

    def __init__(self, formats: Iterable[Format]) -> None:
        self._formats = tuple(formats)
        self._by_fields: dict[tuple[str, ...], tuple[Format, ...]] = {}

    def of(self, data: Any) -> tuple[Format, ...]:
        """The formats that a record could be of."""
        if not is_object(data) or len(data) > _MOST_FIELDS:
            return self._formats
        fields = tuple(data)
        found = self._by_fields.get(fields)
        if found is None:
            if len(self._by_fields) >= _MOST_LAYOUTS:
                self._by_fields.clear()
            found = tuple(one for one in self._formats if one.fields is None or not one.fields.isdisjoint(fields))
            self._by_fields[fields] = found
        return found


def recognising(candidates: Iterable[Format], data: Any) -> list[Format]:
    """The formats that recognise a record; a generic one only where no other does."""
    with ONE_RECORD:
        found = [format for format in candidates if format.recognises(data)]
    return [format for format in found if not format.generic] or found


def unbalanced(events: list[Path], reading: Reading) -> list[str]:
    """Sentences for each event that has no fate or more than one; empty if the reading balances.

    A message may come from several events: one is its origin, the others are merged. Several messages may come from
    one event.
    """
    kept = _NOWHERE.union(*[conversation.origins for conversation in reading.conversations])
    set_aside = [event.path for event in reading.aside]
    named = kept.union(set_aside)
    if len(named) == len(kept) + len(set_aside) and named == frozenset(events):
        return []
    aside = Counter(set_aside)
    faults = [f"event {json_path(path)} was set aside twice" for path, times in aside.items() if times > 1]
    faults += [f"event {json_path(path)} was kept and set aside" for path in kept.intersection(aside)]
    faults += [f"event {json_path(path)} has no fate" for path in events if path not in named]
    faults += [f"{json_path(path)} is no event of the record" for path in named.difference(events)]
    return faults


def formats() -> dict[str, Format]:
    """The shelf `formats/`, by name."""
    return shelf("formats", Format, lambda thing: thing.name)
