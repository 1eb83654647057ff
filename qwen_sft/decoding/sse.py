"""The text of an answer as it was sent. Server-sent events: the values of their `data`, however lines end.

Source: HTML Living Standard, section 9.2 (server-sent events).
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from qwen_sft.text.normalize import decode_json

DONE = "[DONE]"
"""What OpenAI's servers send last; it is no JSON and says nothing. DashScope sends no such thing."""

_FIELD = re.compile(r"(?:data|event|id|retry)?:")
_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_LAST = re.compile(r"(?:\A|[\r\n])data: ?\[DONE\]\s*\Z")
_BLANK = "\ufeff \r\n"


def is_events(text: Any) -> bool:
    """True if a value is text that begins like a stream of events."""
    return isinstance(text, str) and _FIELD.match(text.lstrip(_BLANK)) is not None


def is_done(text: str) -> bool:
    """True if the last event of a stream is DONE."""
    return _LAST.search(text) is not None


def payloads(text: str) -> Iterator[Any]:
    """The value of each event's data, in order, one at a time; DONE is left out.

    An event that no blank line ends is discarded, as the standard has it, unless its data is whole: recordings often
    lose the blank line, and those that were cut off have half an event at their end.

    Raises:
        ValueError: the data of an event is no JSON.
    """
    data: list[str] = []
    for match in _LINE.finditer(text.lstrip("\ufeff")):
        line, end = match.groups()
        if line:
            field, _, value = line.partition(":")
            if field == "data":
                data.append(value.removeprefix(" "))
            if end:
                continue
        whole, is_ended = "\n".join(data).strip(), bool(end) and not line
        data = []
        if not whole or whole == DONE:
            continue
        try:
            yield decode_json(whole)
        except ValueError:
            if is_ended:
                raise
            return


@lru_cache(maxsize=4)  # every format asks for it
def first_sent(text: str) -> Any:
    """The first value of what `sent` gives; None where there is none."""
    try:
        return next(_values(text), None)
    except ValueError:
        return None


def sent(text: str) -> list[Any] | None:
    """The values in the text of an answer: the events of a stream, lines of JSON (Ollama's stream), or one body.

    None where the text is something else.
    """
    try:
        return list(_values(text))
    except ValueError:
        return None


def _values(text: str) -> Iterator[Any]:
    if is_events(text):
        yield from payloads(text)
    elif text.lstrip()[:1] == "{":
        try:
            whole = [decode_json(text)]
        except ValueError:
            whole = _json_lines(text)
        yield from whole


def _json_lines(text: str) -> Iterator[Any]:
    """The values of lines of JSON; a last line that breaks off is discarded."""
    for match in _LINE.finditer(text):
        line, end = match.groups()
        if line.strip():
            try:
                yield decode_json(line)
            except ValueError:
                if end:
                    raise
