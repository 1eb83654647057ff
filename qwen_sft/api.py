"""What a chat API is: the request, the answer and the stream of one provider's protocol, read into messages.

A file on the shelf `apis/` defines one `Api`. Formats that hold such bodies inside records of their own (recorded HTTP,
spans, logs) ask this shelf; `reading.exchange.api_format` makes a format of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.format import Event
from qwen_sft.sample import Message, Path
from qwen_sft.shelf import shelf


@dataclass(frozen=True, slots=True)
class Turns:
    """What one body says.

    Attributes:
        messages: its turns.
        origins: for each message the place in the body where it came from.
        aside: the body's other events: merged into a message, or dropped with a reason.
        tools: the declared tools as `normalize.tools` takes them (OpenAI function form, nested or flat); None for none.
        metadata: labels of the run (see `qwen_sft.reading.metadata`); an answer that was cut off has a `finish_reason`
        of
            `metadata.TRUNCATED`.
        refusal: why nothing could be read, where nothing could.
    """

    messages: list[Message] = field(default_factory=list[Message])
    origins: list[Path] = field(default_factory=list[Path])
    aside: list[Event] = field(default_factory=list[Event])
    tools: Any = None
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    refusal: Finding | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """One provider's protocol. No function raises or changes what it is given.

    Attributes:
        name: of the protocol; the file's name.
        bare: the field of a request that holds its messages. A list of messages alone is read as {bare: list}.
        is_request: True if a body is a request that only this protocol sends (for the generic one: that it could send).
        is_response: True if a body is a whole, successful answer of this protocol.
        is_event: True if a value is one event of this protocol's stream.
        places: the place of each event in a request or a response, in order: one for each message, or for each block or
            item of a message where the protocol has these. Counted apart from `asked` and `answered`, to check them.
        asked: what a request says.
        answered: what a response says: one for each choice.
        whole: the response that a stream's events come to, as if it had not been streamed, with finish_reason
            "unfinished" (or what the protocol calls it) where the stream breaks off; a finding where it comes to none.
        continues: whether an event belongs to the same answer as the events before it.
        whole_of: as `whole`, told the request (None where there is none), for a protocol whose events mean this or that
            by what was asked for; where given, it is asked instead of `whole`.
        fields: a request, an answer or an event of this protocol has at least one of these fields; None if no such set
            is known.
    """

    name: str
    bare: str
    is_request: Callable[[Any], bool]
    is_response: Callable[[Any], bool]
    is_event: Callable[[Any], bool]
    places: Callable[[Any], list[Path]]
    asked: Callable[[Any], Turns]
    answered: Callable[[Any], list[Turns]]
    whole: Callable[[Sequence[Any]], Any]
    continues: Callable[[Sequence[Any], Any], bool]
    whole_of: Callable[[Any, Sequence[Any]], Any] | None = None
    fields: frozenset[str] | None = None


def apis() -> dict[str, Api]:
    """The shelf `apis/`, by name."""
    return shelf("apis", Api, lambda thing: thing.name)
