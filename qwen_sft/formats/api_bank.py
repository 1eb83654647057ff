"""API-Bank dialogues: a file is one dialogue, and each line one event {role: User | AI | API}.

An API event is a call and its result in one: both messages come from it. The assistant's line before it, if there is
one, is the text of the calling turn. Calls have no ids. The declarations stand in API-Bank's source, not in its
records; at level 2 a ToolSearcher call gives them as a result.

Source: DAMO-ConvAI, api-bank/lv1-lv2-samples.
"""

import json
from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import joined
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call

_SAYS = {"User": "user", "AI": "assistant"}


def recognises(record: Any) -> bool:
    """A list that begins with an event, or one event."""
    return _is_event(record[0] if is_list(record) and record else record)


def _is_event(value: Any) -> bool:
    if not is_object(value):
        return False
    if value.get("role") == "API":
        return isinstance(value.get("api_name"), str)
    return value.get("role") in ("User", "AI") and isinstance(value.get("text"), str)


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Every event of a file belongs to its one dialogue."""
    return _is_event(line) and all(map(_is_event, gathered[:1]))


def _items(record: Any) -> list[tuple[Path, Any]]:
    return [((i,), item) for i, item in enumerate(record)] if is_list(record) else [((), record)]


def events(record: Any) -> list[Path]:
    """Each line is an event; of a dialogue of one line, the record."""
    return [place for place, _ in _items(record)]


def read(record: Any) -> Reading:
    """One sample; an exception is the result where there is one."""
    story = Story()
    for place, item in _items(record):
        if not _is_event(item):
            return refused(place, "a line is no event of User, AI or API", "keep one dialogue in a file")
        if item["role"] != "API":
            turn: Message = {"role": _SAYS[item["role"]], "content": item["text"]}
            story.join(place, turn)
            continue
        asks: Message = {
            "role": "assistant",
            "content": "",
            "tool_calls": [call(item["api_name"], item.get("param_dict"))],
        }
        whole = joined(story.messages[-1], asks) if story.messages else None
        if whole is None:
            story.keep(place, asks)
        else:
            story.messages[-1] = whole
        if "result" in item:
            story.keep(place, {"role": "tool", "name": item["api_name"], "content": _told(item["result"])})
        elif whole is not None:
            story.merge(place, "the call of the assistant's turn before it")
    return story.reading()


def _told(result: Any) -> str:
    """What the API gave: its exception, else its output, else all of it; `input` and `api_name` repeat the call."""
    if not is_object(result) or "output" not in result:
        return _text(result)
    if result.get("exception") is None:
        return _text(result["output"])
    if result["output"] is None:
        return _text(result["exception"])
    return _text({"output": result["output"], "exception": result["exception"]})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


FORMAT = Format(
    name="api_bank",
    title="API-Bank dialogues: one per file, one event of User, AI or API per line",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"role"}),
)
