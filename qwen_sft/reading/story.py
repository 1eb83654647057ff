"""How a format tells what became of a record: messages kept, pieces merged into them, the rest dropped."""

from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.reading.chat import joined, sample
from qwen_sft.sample import Message, Path

JOINED = "part of the assistant turn that begins before it"


class Story:
    """One conversation while it is being read, event by event in the order of the record.

    An event that was kept stays kept: what is said of it later (a second message from the same event, a merge) changes
    nothing in the books.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.origins: list[Path] = []
        self.aside: list[Event] = []
        self._told: set[Path] = set()

    def keep(self, place: Path, message: Message) -> None:
        """The event is a message of its own, or the first piece of one."""
        self.messages.append(message)
        self.origins.append(place)
        self._told.add(place)

    def join(self, place: Path, piece: Message, reason: str = JOINED) -> None:
        """The event is a piece of the assistant turn before it, if that can hold it (chat.joined); else a turn."""
        whole = joined(self.messages[-1], piece) if self.messages else None
        if whole is None:
            self.keep(place, piece)
        else:
            self.messages[-1] = whole
            self.merge(place, reason)

    def merge(self, place: Path, reason: str) -> None:
        """What the event says is in another event's message."""
        self._aside(Event(place, "merged", reason))

    def drop(self, place: Path, reason: str, *, loses: bool = False) -> None:
        """The event is left out; `loses` if a model saw or said it."""
        self._aside(Event(place, "dropped", reason, loses))

    def _aside(self, event: Event) -> None:
        if event.path not in self._told:
            self._told.add(event.path)
            self.aside.append(event)

    def conversation(
        self,
        declared: Any = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        rebuilt: bool = False,
    ) -> Conversation:
        """The conversation, with its tools as the trace spells them (normalize.tools), its id and its metadata."""
        return Conversation(sample(self.messages, declared, name, metadata), self.origins, rebuilt)

    def reading(
        self,
        declared: Any = None,
        name: str | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        rebuilt: bool = False,
    ) -> Reading:
        """The reading of a record that holds this one conversation; a refusal where nothing was kept."""
        if not self.messages:
            return refused((), "no event of the record is a turn of a chat", "give at least one message")
        return Reading([self.conversation(declared, name, metadata, rebuilt=rebuilt)], self.aside)


def refused(place: Path, says: str, fix: str) -> Reading:
    """The reading of a record that no sample can be made of, and why, in one sentence."""
    return Reading(refusal=Finding(place, says, fix))
