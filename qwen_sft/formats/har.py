"""HTTP archives (HAR) of a program or a browser that talks to chat APIs, among requests of every other kind.

The body of a request is a text; that of an answer too, in base64 where the recorder could not tell that it is text.
Streams are recorded as they were sent. Which API an entry is of is told by its bodies, never by its URL.
"""

from base64 import b64decode
from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.format import Event, Format, Reading
from qwen_sft.reading.exchange import UNDECODED, find
from qwen_sft.reading.exchange import told as exchanged
from qwen_sft.reading.generations import Generation, reading, told
from qwen_sft.reading.recorded import KEPT, decoded, dialects, is_continued
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import sample_id

_SILENT = "no request of a chat API"
_BROKEN = (0, None)
"""Statuses of a request that was given up, or whose answer never came."""


def _listed(record: Any) -> list[Any] | None:
    log: Any = record.get("log") if is_object(record) else None
    listed: Any = log.get("entries") if is_object(log) else None
    return listed if is_list(listed) else None


def recognises(record: Any) -> bool:
    """A log with entries that are requests over HTTP."""
    listed = _listed(record)
    return listed is not None and (not listed or (is_object(listed[0]) and is_object(listed[0].get("request"))))


def _entries(record: Any) -> Iterator[tuple[Path, Any]]:
    for i, entry in enumerate(_listed(record) or ()):
        yield ("log", "entries", i), entry


def events(record: Any) -> list[Path]:
    """Each entry is an event."""
    return [place for place, _ in _entries(record)]


def read(record: Any) -> Reading:
    """A sample for each exchange that no other one repeats."""
    found = [_generations(place, entry) for place, entry in _entries(record)]
    return reading(
        found, _SILENT, "no entry is a request of a chat API", "record the requests to the model, with their bodies"
    )


def _generations(place: Path, entry: Any) -> list[Generation] | Event:
    request, response = (_part(entry, key) for key in ("request", "response"))
    body = decoded(_part(request, "postData").get("text"))
    if not is_object(body):
        return Event(place, "dropped", _SILENT)
    status: Any = response.get("status")
    answer = _answer(_part(response, "content"))
    exchange = {"request": body, "status": status, **answer}
    for api in dialects():
        found = find(api, exchange)
        if found is None:
            continue
        said = exchanged(api, found)
        if isinstance(said, Finding):
            return Event(place, "dropped", said.says[:200], loses=found.status is None)
        asked, choices, whole = said
        if is_continued(body):
            return Event(place, "dropped", KEPT.says, loses=True)
        failed = "it was given up" if status in _BROKEN and not answer else None
        labels = {"url": url[:256]} if isinstance(url := request.get("url"), str) else {}
        name = sample_id(whole) if is_object(whole) else None
        return told(place, asked, choices, name=name, labels=labels, failed=failed)
    return Event(place, "dropped", _SILENT)


def _part(holder: Any, key: str) -> dict[str, Any]:
    found: Any = holder.get(key) if is_object(holder) else None
    return found if is_object(found) else {}


def _answer(content: dict[str, Any]) -> dict[str, Any]:
    """The answer as a field of an exchange; none where the recorder left it out, or it is in a binary protocol."""
    given: Any = content.get("text")
    if not isinstance(given, str) or not given:
        return {}
    if content.get("encoding") == "base64":
        try:
            given = b64decode(given, validate=True).decode()
        except ValueError:
            return {UNDECODED: True}
    return {"response": decoded(given)}


FORMAT = Format(
    name="har",
    title="HTTP archives (HAR) of chat API traffic",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"log"}),
)
