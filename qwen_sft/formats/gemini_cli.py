"""Gemini CLI's sessions (~/.gemini/tmp/<project>/chats), and those of Qwen Code before it wrote lines of its own.

What a session holds, and how it becomes conversations: qwen_sft.reading.gemini_log. Neither the system
prompt nor the tools are logged.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.gemini_log import MODELS, Session, is_head, is_message, lines, places, unfolded
from qwen_sft.sample import Path, is_list, is_object


def recognises(record: Any) -> bool:
    """A session of the model's and a user's messages, or the lines of one."""
    if is_list(record):
        return bool(record) and is_head(record[0])
    if not is_object(record) or not isinstance(record.get("sessionId"), str):
        return False
    told: Any = record.get("messages")
    if not is_list(told):
        return is_head(record) and "type" not in record
    return any(is_message(one) and (is_head(record) or one["type"] in MODELS) for one in told[:20])


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """The lines behind a session's first one."""
    if not is_object(line):
        return False
    if not gathered:
        return is_head(line) and line.keys().isdisjoint({"messages", "type"})
    return "$set" in line or "$rewindTo" in line or (is_message(line) and "id" in line)


def events(record: Any) -> list[Path]:
    """Each part of a message's content (the message, if that is a text), each thought, call and result."""
    return [
        place for at, line in lines(record) for inner, message in unfolded(at, line) for place in places(inner, message)
    ]


def read(record: Any) -> Reading:
    """The session; one that was taken back or compressed gives a sample for each way, as the model saw it."""
    return Session(record).read()


FORMAT = Format(
    name="gemini_cli",
    title="Gemini CLI sessions: messages of user and gemini, with calls and results in one",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"sessionId"}),
)
