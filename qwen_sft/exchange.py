"""A chat API's traffic as records: a request, an answer, both, or the events of a stream; one format for each API."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen_sft.api import Api, Turns, apis
from qwen_sft.chat import sample
from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.metadata import metadata
from qwen_sft.normalize import ID_KEYS, sample_id
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.sse import is_events, payloads

REQUESTS = ("request", "responses_create_params", "request_body", "requestBody")
"""The fields under which logs keep a request."""

RESPONSES = ("response", "response_sse", "response_body", "responseBody", "response_events", "chunks")
"""The fields under which logs keep an answer: a body, the events of its stream, or their text as it was sent."""

_STREAM = "a piece of the streamed answer that begins before it"
_NO_LABELS = frozenset(
    {*ID_KEYS, *REQUESTS, *RESPONSES, "object", "uri", "url", "source_file", "interaction", "status"}
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer in one record.

    Attributes:
        request: the request's body; None where there is none.
        request_at: its place. A list of messages alone stands for the request {bare: list}: `bare` is then True.
        answer: the answer's body, a list of its stream's events, or the text of that stream.
        answer_at: its place.
    """

    request: Any = None
    request_at: Path = ()
    bare: bool = False
    answer: Any = None
    answer_at: Path = ()


def api_format(name: str, title: str, *, keeps_fields: bool = False, generic: bool = False) -> Format:
    """The format of an API's traffic: messages alone, requests, answers, pairs of both, and streams.

    Args:
        name: of the API on the shelf `apis/`, and of the format.
        title: one line for `qwen-sft formats`.
        keeps_fields, generic: see Format.
    """
    api = apis()[name]
    return Format(
        name=name,
        title=title,
        recognises=lambda record: find(api, record) is not None,
        events=lambda record: events(api, find(api, record)),
        read=lambda record: read(api, record, find(api, record)),
        keeps_fields=keeps_fields,
        generic=generic,
        joins=lambda gathered, line: joins(api, gathered, line),
    )


def find(api: Api, record: Any) -> Exchange | None:
    """The exchange that a record holds, if it is one of this API."""
    if is_list(record):
        if record and all(api.is_event(item) for item in record[:2]):
            return Exchange(answer=record)
        bare = {api.bare: record}
        return Exchange(request=bare, bare=True) if record and api.is_request(bare) else None
    if not is_object(record):
        return None
    request_key = next((key for key in REQUESTS if is_object(record.get(key))), None)
    answer_key = next((key for key in RESPONSES if record.get(key)), None)
    if request_key or answer_key:
        request: Any = record[request_key] if request_key else None
        answer: Any = record[answer_key] if answer_key else None
        known = _is_answer(api, answer) if answer_key else False
        if known or (request is not None and api.is_request(request) and not _of_another(api, answer)):
            return Exchange(
                request=request,
                request_at=(request_key,) if request_key else (),
                answer=answer,
                answer_at=(answer_key,) if answer_key else (),
            )
    if api.is_response(record):
        return Exchange(request=record if api.is_request(record) else None, answer=record)
    if api.is_request(record):
        return Exchange(request=record)
    return Exchange(answer=[record]) if api.is_event(record) else None


def _is_answer(api: Api, answer: Any) -> bool:
    if is_list(answer):
        return bool(answer) and api.is_event(answer[0])
    if isinstance(answer, str):
        events = _sent(answer)
        return bool(events) and api.is_event(events[0])
    return api.is_response(answer)


def _of_another(api: Api, answer: Any) -> bool:
    """True if an answer is another API's: a generic request does not make it ours."""
    return any(_is_answer(other, answer) for other in apis().values() if other.name != api.name)


def _sent(text: str) -> list[Any] | None:
    if not is_events(text):
        return None
    try:
        return payloads(text)
    except ValueError:
        return None


def events(api: Api, found: Exchange | None) -> list[Path]:
    """The events of an exchange: those of its request, and of its answer; of a stream, each of its events.

    A stream that is one text is one event.
    """
    if found is None:
        return []
    places = [_at(found, place) for place in api.places(found.request)] if found.request is not None else []
    if is_list(found.answer):
        return [*places, *((*found.answer_at, i) for i in range(len(found.answer)))]
    if isinstance(found.answer, str):
        return [*places, found.answer_at]
    if api.is_response(found.answer):
        answered = [(*found.answer_at, *place) for place in api.places(found.answer)]
        places += [place for place in answered if place not in places]
    return places


def _at(found: Exchange, place: Path) -> Path:
    return (*found.request_at, *(place[1:] if found.bare else place))


def read(api: Api, record: Any, found: Exchange | None) -> Reading:
    """One sample for each choice of the answer; one where there is no answer."""
    if found is None:
        return Reading()
    asked = api.asked(found.request) if found.request is not None else Turns()
    if asked.refusal:
        return Reading(refusal=_moved(asked.refusal, _at(found, asked.refusal.path)))
    choices = _answered(api, found)
    if isinstance(choices, Finding):
        return Reading(refusal=choices)
    asked_origins = [_at(found, place) for place in asked.origins]
    aside = {_at(found, event.path): _moved_event(event, _at(found, event.path)) for event in asked.aside}
    labels = metadata(record, without=_NO_LABELS) if is_object(record) else {}
    fields: list[Any] = [one for one in (record, found.request, found.answer) if is_object(one)]
    name = next(filter(None, map(sample_id, fields)), None)
    made: list[Conversation] = []
    rebuilt = not is_object(found.answer) and found.answer is not None
    for choice in choices or [Turns()]:
        if choice.refusal:
            return Reading(refusal=choice.refusal)
        messages = [*asked.messages, *choice.messages]
        if not messages:
            continue
        declared = asked.tools if asked.tools is not None else choice.tools
        given = {**labels, **asked.metadata, **choice.metadata}
        made.append(Conversation(sample(messages, declared, name, given), [*asked_origins, *choice.origins], rebuilt))
        for event in choice.aside:
            aside.setdefault(event.path, event)
    if not made:
        return Reading(refusal=Finding((), "nothing in it is a turn of a chat", "give at least one message"))
    kept = {place for conversation in made for place in conversation.origins}
    return Reading(made, [event for event in aside.values() if event.path not in kept])


def _moved(found: Finding, place: Path) -> Finding:
    return Finding(place, found.says, found.fix, found.severity)


def _moved_event(event: Event, place: Path) -> Event:
    return Event(place, event.fate, event.reason, event.loses)


def _answered(api: Api, found: Exchange) -> list[Turns] | Finding:
    """The choices of the answer, their places those of the record; none where there is no answer."""
    answer: Any = found.answer
    if answer is None:
        return []
    if is_list(answer) or isinstance(answer, str):
        sent = _sent(answer) if isinstance(answer, str) else answer
        whole = api.whole(sent) if sent else Finding((), "the stream holds no events", "record it again")
        if isinstance(whole, Finding):
            return _moved(whole, found.answer_at)
        n_events = len(answer) if is_list(answer) else 0
        first: Path = (*found.answer_at, 0) if n_events else found.answer_at
        pieces = [Event((*found.answer_at, i), "merged", _STREAM) for i in range(1, n_events)]
        return [_streamed(choice, first, pieces) for choice in api.answered(whole)]
    if not api.is_response(answer):
        return Finding(found.answer_at, f"the request failed: {_failure(answer)}", "leave failed requests out")
    return [_placed(choice, found.answer_at) for choice in api.answered(answer)]


def _streamed(choice: Turns, first: Path, pieces: list[Event]) -> Turns:
    """A choice of a stream: all of it came from the stream, whose first event stands for it.

    What the answer held and no message can (encrypted reasoning, say) is dropped at the place of an event of its own if
    the stream was a list: its last ones.
    """
    lost = [event for event in choice.aside if event.fate == "dropped"]
    if not choice.messages:
        reason = lost[0] if lost else Event(first, "dropped", "an answer without a word")
        return Turns(aside=[_moved_event(reason, first), *pieces], tools=choice.tools, metadata=choice.metadata)
    told = list(pieces)
    for k, event in enumerate(lost[: len(pieces)], start=1):
        told[-k] = _moved_event(event, pieces[-k].path)
    return Turns(choice.messages, [first] * len(choice.messages), told, choice.tools, choice.metadata, choice.refusal)


def _placed(choice: Turns, at: Path) -> Turns:
    refusal = choice.refusal and _moved(choice.refusal, (*at, *choice.refusal.path))
    origins = [(*at, *place) for place in choice.origins]
    aside = [_moved_event(event, (*at, *event.path)) for event in choice.aside]
    return Turns(choice.messages, origins, aside, choice.tools, choice.metadata, refusal)


def _failure(answer: Any) -> str:
    """What an error body says, in short."""
    error: Any = answer.get("error", answer) if is_object(answer) else answer
    says: Any = error.get("message", error) if is_object(error) else error
    text = says if isinstance(says, str) else repr(says)
    return " ".join(text.split())[:200]


def joins(api: Api, gathered: Sequence[Any], line: Any) -> bool:
    """Whether a line is an event of the stream that the lines before it began, or may begin one."""
    if not api.is_event(line):
        return False
    return not gathered or api.continues(gathered, line)
