"""Glaive's function calling v2: {system, chat}, the whole conversation as one text.

    system: SYSTEM: You are a helpful assistant with access to the following functions. Use them if required - {...}
    chat: USER: ... ASSISTANT: <functioncall> {...} <|endoftext|> FUNCTION RESPONSE: {...} ASSISTANT: ... <|endoftext|>

Each speaker begins a line, behind an empty one.

A text that cannot be split into turns in one way only is refused. Calls without an exact reading stay text, and
`unread_calls` in the metadata counts them.
"""

import re
from dataclasses import dataclass
from typing import Any

from qwen_sft.dialect import dialects
from qwen_sft.finding import Finding
from qwen_sft.format import Format, Reading
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, UNREAD_CALLS, has_layout, json_at, named_tools
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path
from qwen_sft.text.normalize import sample_id

_DECLARES = "You are a helpful assistant with access to the following functions. Use them if required -"
_END = "<|endoftext|>"
_CALL = "<functioncall>"
_TURN = re.compile(r"^(USER|ASSISTANT|FUNCTION RESPONSE):", re.MULTILINE)
_NEXT = {"": "USER", "USER": "ASSISTANT", "ASSISTANT": "USER, FUNCTION RESPONSE", "FUNCTION RESPONSE": "ASSISTANT"}
_NO_LABELS = (*LABELLED_APART, "chat")
_DIALECT = dialects()["functioncall"]


@dataclass(frozen=True, slots=True)
class _Turn:
    speaker: str
    text: str
    ended: bool  # the model's own end of turn stands behind it


def recognises(record: Any) -> bool:
    """A `chat` that begins with a speaker's name in capitals."""
    return has_layout(record, "glaive")


def events(record: Any) -> list[Path]:
    """The system prompt, and the whole chat."""
    return [*([("system",)] if record.get("system") else []), ("chat",)]


def read(record: Any) -> Reading:
    """One sample; its messages but the first all come from the one text."""
    turns = _turns(record["chat"])
    if isinstance(turns, Finding):
        return Reading(refusal=turns)
    story = Story()
    declared = _tell_system(story, record.get("system") or "")
    unread = 0
    for turn in turns:
        made = _message(turn)
        unread += turn.speaker == "ASSISTANT" and "tool_calls" not in made and _CALL in turn.text
        story.keep(("chat",), made)
    labels = metadata(record, without=_NO_LABELS) | ({UNREAD_CALLS: unread} if unread else {})
    last = turns[-1]
    if last.speaker == "ASSISTANT" and not last.ended and any(turn.ended for turn in turns):
        labels["finish_reason"] = "unfinished"
    return story.reading(declared, sample_id(record), labels, rebuilt=True)


def _turns(chat: str) -> list[_Turn] | Finding:
    """The turns, if there is no doubt about where each begins and ends."""
    marks = list(_TURN.finditer(chat))
    made: list[_Turn] = []
    before = ""
    for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), len(chat)], strict=True):
        text = chat[mark.end() : end].strip()
        ended = mark[1] == "ASSISTANT" and text.endswith(_END)
        text = text.removesuffix(_END).rstrip() if ended else text
        called = not made or _CALL in made[-1].text
        if mark[1] not in _NEXT[before].split(", ") or (mark[1] == "FUNCTION RESPONSE" and not called):
            behind = f"behind {before}" if before else "at the beginning"
            return Finding(("chat",), f"{mark[1]} stands {behind}, so turns cannot be told apart", "split it by hand")
        if _END in text:
            return Finding(("chat",), f"{_END} stands inside a turn of {mark[1]}", "split it by hand")
        made.append(_Turn(mark[1], text, ended))
        before = mark[1]
    return made


def _message(turn: _Turn) -> Message:
    if turn.speaker == "FUNCTION RESPONSE":
        return {"role": "tool", "content": turn.text}
    found = _DIALECT.calls(turn.text, []) if turn.speaker == "ASSISTANT" and _CALL in turn.text else None
    if found is not None:
        return {"role": "assistant", "content": found[0], "tool_calls": found[1]}
    return {"role": turn.speaker.lower(), "content": turn.text}


def _tell_system(story: Story, given: str) -> list[Any] | None:
    """Tells the system prompt, and gives the tools in it, in the nested form."""
    if not given:
        return None
    text = given.strip().removeprefix("SYSTEM:").strip()
    before, brace, _ = text.partition("{")
    declared = _objects(text, len(before)) if brace else None
    if declared is None:
        story.keep(("system",), {"role": "system", "content": text})
    elif before.strip() == _DECLARES:
        story.merge(("system",), "it only declares tools, which are the sample's tools now")
    else:
        story.keep(("system",), {"role": "system", "content": before.strip()})
    return declared


def _objects(text: str, at: int) -> list[Any] | None:
    """The tools that stand one behind the other from a place to the end of a text; None if anything else does."""
    found: list[Any] = []
    try:
        while at < len(text):
            value, at = json_at(text, at)
            found.append(value)
            while at < len(text) and text[at].isspace():
                at += 1
    except ValueError:
        return None
    return named_tools(found)


FORMAT = Format(
    name="glaive",
    title="Glaive function calling v2: {system, chat} with USER:, ASSISTANT: and FUNCTION RESPONSE: in one text",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"chat"}),
)
