"""Server-sent events: the JSON values of their `data` fields, however lines end and events are split.

Source: HTML Living Standard, section 9.2 (server-sent events).
"""

import re
from typing import Any

from qwen_sft.normalize import decode_json

DONE = "[DONE]"
"""What OpenAI's servers send last; it is no JSON and says nothing. DashScope sends no such thing."""

_FIELD = re.compile(r"(?:\A|\n|\r)(?:data|event|id|retry)?:")
_LINE_END = re.compile(r"\r\n|\n|\r")


def is_events(text: Any) -> bool:
    """True if a value is text that begins like a stream of events."""
    return isinstance(text, str) and _FIELD.match(text.lstrip("\ufeff \r\n")) is not None


def payloads(text: str) -> list[Any]:
    """The value of each event's data, in order; DONE is left out.

    Raises:
        ValueError: the data of an event is no JSON.
    """
    values: list[Any] = []
    data: list[str] = []
    for line in [*_LINE_END.split(text.lstrip("\ufeff")), ""]:
        if line:
            field, _, value = line.partition(":")
            if field == "data":
                data.append(value.removeprefix(" "))
            continue
        whole = "\n".join(data)
        data = []
        if whole and whole != DONE:
            values.append(decode_json(whole))
    return values
