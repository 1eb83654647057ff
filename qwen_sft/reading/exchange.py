"""A chat API's traffic as records: a request, an answer, both, or the events of a stream; one format for each API."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from qwen_sft.api import Api, Turns, apis
from qwen_sft.decoding.sse import first_sent, is_done, is_events, sent
from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import sample
from qwen_sft.reading.delta import UNFINISHED, failure
from qwen_sft.reading.metadata import metadata
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.glance import shared
from qwen_sft.text.normalize import ID_KEYS, sample_id

REQUESTS = ("request", "responses_create_params", "request_body", "requestBody")
"""The fields under which logs keep a request."""

UNDECODED = "response_undecoded"
"""The field of a recording that says that the answer was in a binary protocol and is not there."""

RESPONSES = ("response", "response_sse", "response_body", "responseBody", "response_events", "chunks", UNDECODED)
"""The fields under which logs keep an answer: a body, the events of its stream, or their text as it was sent."""

BATCH = "custom_id"
"""The field of a line of a batch file that names its request. Lines of requests are {custom_id, method, url, body} at
OpenAI and {custom_id, params} at Anthropic, lines of answers {custom_id, response: {status_code, body}, error} and
{custom_id, result: {type, message}}."""

_KEPT = frozenset({*REQUESTS, *RESPONSES, BATCH})
_FAILED_RESULTS = ("errored", "canceled", "expired")
_STATUS = ("status_code", "status", "statusCode")
_SENT = ("method", "url", "headers")
_SAYS_WHY = ("error", "code", "message", "detail", "status")
_STREAM = "a piece of the streamed answer that begins before it"
_NO_LABELS = frozenset(
    {*ID_KEYS, *REQUESTS, *RESPONSES, "object", "created", "uri", "url", "source_file", "interaction", "status"}
    | {"type", "role", "system", "stream", "anthropic_version", UNDECODED, "responseId", "createTime", "method"}
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer in one record.

    Attributes:
        request: the request's body; None where there is none.
        request_at: its place. A list of messages alone stands for the request {bare: list}: `bare` is then True.
        is_text: the record holds the request as text, which is one event.
        answer: the answer's body, a list of its stream's events, or the text of either.
        answer_at: its place.
        status: of the HTTP response, where the record says that it was a failure.
    """

    request: Any = None
    request_at: Path = ()
    bare: bool = False
    is_text: bool = False
    answer: Any = None
    answer_at: Path = ()
    status: int | None = None


def api_format(name: str, title: str, *, keeps_fields: bool = False, generic: bool = False) -> Format:
    """The format of an API's traffic: messages alone, requests, answers, pairs of both, and streams.

    Args:
        name: of the API on the shelf `apis/`, and of the format.
        title: one line for `qwen-sft formats`.
        keeps_fields, generic: see Format.
    """
    api = apis()[name]
    found = shared(lambda record: find(api, record))
    return Format(
        name=name,
        title=title,
        recognises=lambda record: found(record) is not None,
        events=lambda record: events(api, found(record)),
        read=lambda record: read(api, record, found(record)),
        keeps_fields=keeps_fields,
        generic=generic,
        joins=lambda gathered, line: joins(api, gathered, line),
        fields=None if api.fields is None else api.fields | _KEPT,
    )


def find(api: Api, record: Any) -> Exchange | None:
    """The exchange that a record holds, if it is one of this API."""
    outline = _outline(record)
    if outline == "list":
        if record and all(map(api.is_event, record[:2])):
            return Exchange(answer=record)
        bare = {api.bare: record}
        return Exchange(request=bare, bare=True) if record and api.is_request(bare) else None
    if outline == "none":
        return None
    if outline == "body":
        return _body_alone(api, record)
    failed = _failed_line(api, record)
    if failed:
        return failed
    asked_at, given = _asked(record)
    answer_at, answer, status = _answer(record)
    if asked_at or answer_at:
        request: Any = _request(given) if asked_at else None
        known = _is_answer(api, answer) if answer_at else False
        if known or (request is not None and api.is_request(request) and not _of_another(api, answer)):
            if request is None and api.is_request(record):  # the answer lies among the fields of its request
                request = record
            return Exchange(
                request=request,
                request_at=asked_at,
                is_text=bool(asked_at) and isinstance(given, str),
                answer=answer,
                answer_at=answer_at,
                status=status or _failed_status(record),
            )
    return _body_alone(api, record)


@shared
def _outline(record: Any) -> Literal["list", "none", "body", "log"]:
    """What the exchange of a record could be, for any API: a list of messages or events, a body, or parts of a log."""
    if is_list(record):
        return "list"
    if not is_object(record) or _is_observed(record):
        return "none"
    return "body" if record.keys().isdisjoint(_KEPT) else "log"


def _asked(record: dict[str, Any]) -> tuple[Path, Any]:
    """The place of a record's request and what stands there; no place where there is none."""
    if BATCH in record:
        key = next((key for key in ("body", "params") if is_object(_request(record.get(key)))), None)
        return ((key,), record[key]) if key else ((), None)
    for key in REQUESTS:
        given: Any = record.get(key)
        if is_object(given) and is_object(_request(given.get("body"))) and any(name in given for name in _SENT):
            return (key, "body"), given["body"]
        if is_object(_request(given)):
            return (key,), given
    return (), None


def _answer(record: dict[str, Any]) -> tuple[Path, Any, int | None]:
    """The place of a record's answer, what stands there, and the status of a failure that stands beside it."""
    result: Any = record.get("result")
    if BATCH in record and is_object(result) and is_object(result.get("message")):
        return ("result", "message"), result["message"], None
    key = next((key for key in RESPONSES if record.get(key)), None)
    if key is None:
        return (), None, None
    given: Any = record[key]
    if is_object(given) and given.get("body") and any(name in given for name in (*_STATUS, "headers")):
        return (key, "body"), given["body"], _failed_status(given)
    return (key,), given, None


def _failed_line(api: Api, record: dict[str, Any]) -> Exchange | None:
    """What a line of a batch file says that holds no answer: Anthropic's, or else OpenAI's, whatever its endpoint."""
    result: Any = record.get("result")
    response: Any = record.get("response")
    if BATCH not in record or api.name != ("anthropic" if is_object(result) else "openai_chat"):
        return None
    if is_object(result) and result.get("type") in _FAILED_RESULTS and "message" not in result:
        error: Any = result.get("error")
        inner: Any = error.get("error") if is_object(error) else None
        return Exchange(answer=inner or error or {"message": f"it is {result['type']!r}"}, answer_at=("result",))
    if is_object(response) and _failed_status(response):
        return Exchange(
            answer=response.get("body") or response, answer_at=("response",), status=_failed_status(response)
        )
    failed = response is None and record.get("error")
    return Exchange(answer=record["error"], answer_at=("error",)) if failed else None


def _body_alone(api: Api, record: dict[str, Any]) -> Exchange | None:
    """The exchange of a record that is a body itself, or one event."""
    if api.is_response(record):
        return Exchange(request=record if api.is_request(record) else None, answer=record)
    if api.is_request(record):
        return Exchange(request=record)
    return Exchange(answer=record) if api.is_event(record) else None


def _request(given: Any) -> Any:
    """A request's body, from itself or from its JSON text."""
    return first_sent(given) if isinstance(given, str) and given.lstrip()[:1] == "{" else given


def _is_observed(record: dict[str, Any]) -> bool:
    """True for an observation of Langfuse's, or a trace with its observations: its input may be any API's."""
    kind: Any = record.get("type")
    return (isinstance(kind, str) and kind.isupper()) or is_list(record.get("observations"))


def _failed_status(record: dict[str, Any]) -> int | None:
    given: Any = next((record[key] for key in _STATUS if key in record), None)
    return given if isinstance(given, int) and given >= 400 else None


def _is_answer(api: Api, answer: Any) -> bool:
    if is_list(answer):
        return bool(answer) and api.is_event(answer[0])
    if isinstance(answer, str):
        first = first_sent(answer)
        return api.is_event(first) or api.is_response(first)
    return api.is_response(answer) or (api.is_event(answer) and not answer.get("error"))


def _of_another(api: Api, answer: Any) -> bool:
    """True if an answer is another API's: a generic request does not make it ours."""
    return any(_is_answer(other, answer) for other in apis().values() if other.name != api.name)


def events(api: Api, found: Exchange | None) -> list[Path]:
    """The events of an exchange: those of its request, and of its answer; of a stream, each of its events.

    A request or an answer that is one text is one event, and so is a stream's only event.
    """
    if found is None:
        return []
    asked = api.places(found.request) if found.request is not None else []
    places = list(dict.fromkeys(_all_at(found, asked)))
    if is_list(found.answer):
        return [*places, *((*found.answer_at, i) for i in range(len(found.answer)))]
    if api.is_response(found.answer):
        answered = [(*found.answer_at, *place) for place in api.places(found.answer)]
        return [*places, *(place for place in answered if place not in places)]
    return [*places, found.answer_at] if found.answer is not None else places


def _all_at(found: Exchange, places: list[Path]) -> list[Path]:
    is_record = not (found.request_at or found.bare or found.is_text)
    return places if is_record else [_at(found, place) for place in places]


def _at(found: Exchange, place: Path) -> Path:
    if found.is_text:
        return found.request_at
    return (*found.request_at, *(place[1:] if found.bare else place))


def read(api: Api, record: Any, found: Exchange | None) -> Reading:
    """One sample for each choice of the answer; one where there is no answer."""
    if found is None:
        return Reading()
    said = told(api, found)
    if isinstance(said, Finding):
        return Reading(refusal=said)
    asked, choices, body = said
    aside = {event.path: event for event in asked.aside}
    labels = metadata(record, without=_NO_LABELS) if is_object(record) else {}
    fields: list[Any] = [one for one in (record, found.request, body) if is_object(one)]
    name = next(filter(None, map(sample_id, fields)), None)
    made: list[Conversation] = []
    rebuilt = found.is_text or (found.answer is not None and body is not found.answer)
    for choice in choices or [Turns()]:
        messages = [*asked.messages, *choice.messages]
        if not messages:
            continue
        declared = asked.tools if asked.tools is not None else choice.tools
        given = {**labels, **asked.metadata, **choice.metadata}
        made.append(Conversation(sample(messages, declared, name, given), [*asked.origins, *choice.origins], rebuilt))
        for event in choice.aside:
            aside.setdefault(event.path, event)
    if not made:
        return Reading(refusal=Finding((), "nothing in it is a turn of a chat", "give at least one message"))
    kept = {place for conversation in made for place in conversation.origins}
    return Reading(made, [event for event in aside.values() if event.path not in kept])


def told(api: Api, found: Exchange) -> tuple[Turns, list[Turns], Any] | Finding:
    """What the request says and each choice of the answer, at their places in the record, and the answer's body.

    A finding where one of them could not be read, or failed.
    """
    asked = api.asked(found.request) if found.request is not None else Turns()
    if asked.refusal:
        return _moved(asked.refusal, _at(found, asked.refusal.path))
    body = _body(api, found)
    if isinstance(body, Finding):
        return body
    choices = _answered(api, found, body) if body is not None else []
    refusal = next((choice.refusal for choice in choices if choice.refusal), None)
    if refusal:
        return refusal
    origins = _all_at(found, asked.origins)
    aside = [_moved_event(event, _at(found, event.path)) for event in asked.aside]
    return replace(asked, origins=origins, aside=aside), choices, body


def _moved(found: Finding, place: Path) -> Finding:
    return Finding(place, found.says, found.fix, found.severity)


def _moved_event(event: Event, place: Path) -> Event:
    return Event(place, event.fate, event.reason, event.loses)


def _body(api: Api, found: Exchange) -> Any:
    """The answer's body, put together where it is a stream; None where there is none; a finding where it failed."""
    answer: Any = found.answer
    if answer is None:
        return _failed(found, "it has no answer") if found.status else None
    if api.is_response(answer):
        return answer
    if found.answer_at == (UNDECODED,):
        return Finding(found.answer_at, "the answer was recorded undecoded", "record the events of its stream")
    values: Any = sent(answer) if isinstance(answer, str) else answer if is_list(answer) else [answer]
    if values is None and is_events(answer):
        return Finding(found.answer_at, "an event of the stream is no JSON", "record it again")
    if not values or not is_object(values[0]):
        return _failed(found, failure(answer))
    if len(values) == 1 and isinstance(answer, str) and api.is_response(values[0]):
        return values[0]
    if not any(map(api.is_event, values)):
        return _failed(found, failure(values[0]), values[0])
    whole = api.whole_of(found.request, values) if api.whole_of else api.whole(values)
    return _moved(whole, found.answer_at) if isinstance(whole, Finding) else whole


def _failed(found: Exchange, why: str, body: Any = None) -> Finding:
    if not found.status and is_object(body) and body.keys().isdisjoint(_SAYS_WHY):
        return Finding(found.answer_at, f"the answer has no shape of an API's: {why}", "give the body of the answer")
    status = f" with status {found.status}" if found.status else ""
    return Finding(found.answer_at, f"the request failed{status}: {why}", "leave failed requests out")


def _answered(api: Api, found: Exchange, body: Any) -> list[Turns]:
    """The choices of the answer, their places those of the record."""
    if body is found.answer:
        return [_placed(choice, found.answer_at) for choice in api.answered(body)]
    n_events = len(found.answer) if is_list(found.answer) else 0
    first: Path = (*found.answer_at, 0) if n_events else found.answer_at
    pieces = [Event((*found.answer_at, i), "merged", _STREAM) for i in range(1, n_events)]
    choices = [_streamed(choice, first, pieces) for choice in api.answered(body)]
    return list(map(_ended, choices)) if isinstance(found.answer, str) and is_done(found.answer) else choices


def _ended(choice: Turns) -> Turns:
    """A choice of a stream that the server ended: it is whole, though some servers name no reason (OpenRouter)."""
    labels = {key: value for key, value in choice.metadata.items() if (key, value) != ("finish_reason", UNFINISHED)}
    return replace(choice, metadata=labels)


def _streamed(choice: Turns, first: Path, pieces: list[Event]) -> Turns:
    """A choice of a stream: all of it came from the stream, whose first event stands for it.

    What the answer held and no message can (encrypted reasoning, say) is dropped at the place of an event of its own if
    the stream was a list: its last ones.
    """
    if choice.refusal:
        return Turns(refusal=_moved(choice.refusal, first))
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


def joins(api: Api, gathered: Sequence[Any], line: Any) -> bool:
    """Whether a line is an event of the stream that the lines before it began, or may begin one."""
    if not api.is_event(line):
        return False
    ours = all(map(api.is_event, (*gathered[:1], *gathered[-1:])))
    return not gathered or (ours and api.continues(gathered, line))
