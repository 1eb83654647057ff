"""Gemini CLI's sessions (~/.gemini/tmp/<project>/chats), and those of Qwen Code before it wrote lines of its own.

Older versions write one object {sessionId, projectHash, messages}, newer ones a line for the object without its messages
and one for each message; a message whose calls are done is written again, and the last state counts. A message of the
model holds its text, the summaries of its thoughts, its calls and their results. {"$rewindTo": id} takes messages back,
and {"$set": {messages}} replaces all of them, which begins another sample unless it says the same. Neither the system
prompt nor the tools are logged.

Source: chatRecordingService.ts and sessionUtils.ts of google-gemini/gemini-cli.
"""

import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.blocks import Block, tell
from qwen_sft.branches import Thread, Turn, conversations
from qwen_sft.format import Event, Format, Reading
from qwen_sft.geminiparts import block, listed, result
from qwen_sft.metadata import metadata
from qwen_sft.normalize import call
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.story import refused

_MODEL = ("gemini", "qwen")
_KINDS = (*_MODEL, "user", "info", "error", "warning")
_NO_LABELS = frozenset({"messages", "startTime", "lastUpdated", "directories", "memoryScratchpad"})
_COMMAND = re.compile(r"\s*[/?]")


def _is_head(value: Any) -> bool:
    return is_object(value) and isinstance(value.get("sessionId"), str) and isinstance(value.get("projectHash"), str)


def _is_message(value: Any) -> bool:
    return is_object(value) and value.get("type") in _KINDS and value.keys().isdisjoint({"role", "message", "uuid"})


def recognises(record: Any) -> bool:
    """A session of the model's and a user's messages, or the lines of one."""
    if is_list(record):
        return bool(record) and _is_head(record[0])
    if not is_object(record) or not isinstance(record.get("sessionId"), str):
        return False
    told: Any = record.get("messages")
    if not is_list(told):
        return _is_head(record) and "type" not in record
    return any(_is_message(one) and (_is_head(record) or one["type"] in _MODEL) for one in told[:20])


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """The lines behind a session's first one."""
    if not is_object(line):
        return False
    if not gathered:
        return _is_head(line) and line.keys().isdisjoint({"messages", "type"})
    return "$set" in line or "$rewindTo" in line or (_is_message(line) and "id" in line)


def _lines(record: Any) -> list[tuple[Path, Any]]:
    if is_list(record):
        return [((i,), line) for i, line in enumerate(record)]
    told: Any = record.get("messages")
    return [(("messages", i), line) for i, line in enumerate(told)] if is_list(told) else [((), record)]


def _unfolded(at: Path, line: Any) -> list[tuple[Path, Any]]:
    """A line, or the messages that it sets."""
    told: Any = line.get("$set") if is_object(line) else None
    if is_object(told) and is_list(told.get("messages")) and told["messages"]:
        return [((*at, "$set", "messages", i), message) for i, message in enumerate(told["messages"])]
    return [(at, line)]


def events(record: Any) -> list[Path]:
    """Each part of a message's content (the message, if that is a text), each thought, call and result."""
    return [
        place
        for at, line in _lines(record)
        for inner, message in _unfolded(at, line)
        for place in _places(inner, message)
    ]


def _places(at: Path, message: Any) -> list[Path]:
    if not _is_message(message):
        return [at]
    made: list[Path] = []
    for key in ("thoughts", "content", "toolCalls"):
        given: Any = message.get(key)
        made += [(*at, key, i) for i in range(len(given))] if is_list(given) else []
        if key == "content" and given not in (None, "") and not is_list(given):
            made.append((*at, key))
    calls: Any = message.get("toolCalls")
    for i, one in enumerate(calls if is_list(calls) else []):
        made += [(*at, "toolCalls", i, "result")] if is_object(one) and one.get("result") not in (None, []) else []
    return made or [at]


def read(record: Any) -> Reading:
    """The session; one that was taken back or compressed gives a sample for each way, as the model saw it."""
    return _Session(record).read()


class _Session:
    """The messages of a session while they are put in order."""

    def __init__(self, record: Any) -> None:
        self._lines = _lines(record)
        self._head: Any = record[0] if is_list(record) else record
        self._states: dict[Any, tuple[Path, Any]] = {}  # of each message the last one
        for at, line in self._lines:
            if is_list(record) and _is_message(line) and isinstance(line.get("id"), str):
                self._states[line["id"]] = (at, line)
        self._thread = Thread()
        self._said: list[tuple[Any, Any, Turn | None]] = []  # id, message, turn: what the model sees next
        self._aside: list[Event] = []

    def read(self) -> Reading:
        begun: set[Any] = set()
        for number, (at, line) in enumerate(self._lines):
            below = self._lines[number + 1][1] if number + 1 < len(self._lines) else None
            inner = _unfolded(at, line)
            if inner[0][0] != at:
                self._replace(inner)
            elif _is_message(line):
                name: Any = line.get("id") if isinstance(line.get("id"), str) else None
                place, state = self._states.get(name, (at, line))
                if name is not None and place != at:
                    self._drop(at, line, "an earlier state of a message that a later line holds")
                if name not in begun or name is None:
                    self._message(place, state, below)
                begun.add(name)
            else:
                self._note(at, line)
        labels = metadata(self._thread.labels, self._head, without=_NO_LABELS)
        name = self._head.get("sessionId") if is_object(self._head) else None
        made, rest = conversations(self._thread.turns, name if isinstance(name, str) else None, labels)
        if not made:
            return refused((), "no message of the session is a model's answer", "leave the session out")
        return Reading(made, [*self._aside, *rest])

    def _drop(self, at: Path, message: Any, reason: str, *, loses: bool = False) -> None:
        self._aside += [Event(place, "dropped", reason, loses) for place in _places(at, message)]

    def _note(self, at: Path, line: Any) -> None:
        if is_object(line) and "$rewindTo" in line:
            ids = [name for name, _, _ in self._said]
            kept = ids.index(line["$rewindTo"]) if line["$rewindTo"] in ids else 0
            self._said = self._said[:kept]
            self._drop(at, line, "the session goes back to an earlier message")
        elif is_object(line) and (_is_head(line) or "$set" in line):
            self._drop(at, line, "labels of the session")
        else:
            self._drop(at, line, "no message of a session", loses=is_object(line) and "content" in line)

    def _message(self, at: Path, message: dict[str, Any], below: Any, *, restarts: bool = False) -> None:
        kind = message["type"]
        opening = next((p if isinstance(p, str) else p.get("text") for p in listed(message.get("content")) if p), "")
        answered = is_object(below) and below.get("type") in _MODEL
        if kind == "user" and not answered and isinstance(opening, str) and _COMMAND.match(opening):
            return self._drop(at, message, "a command of the program, which no model answered")
        if kind not in (*_MODEL, "user"):
            return self._drop(at, message, f"a message of type {kind!r}, which only the screen shows")
        turn = self._thread.say(self._said[-1][2] if self._said else None, restarts=restarts)
        self._said.append((message.get("id"), message, turn))
        if isinstance(message.get("model"), str):
            self._thread.labels.setdefault("model", message["model"])
        blocks = _blocks(at, message)
        if kind == "user":
            return tell(turn.story, "user", self._known(turn, blocks))
        tell(turn.story, "assistant", blocks)
        return None
