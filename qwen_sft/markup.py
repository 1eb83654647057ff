"""Calls and results that stand as text in a turn: where `<tool_call>` and `<tool_response>` blocks begin and end."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from qwen_sft.normalize import arguments, decode_json
from qwen_sft.sample import is_object

Tag = Literal["tool_call", "tool_response"]


@dataclass(frozen=True, slots=True)
class Block:
    """One tagged block of a text: text[start:end] with its tags, `inner` without them.

    `opened` is False for a closing tag without an opening one (the block is then that tag alone), `closed` is False for
    an opening tag that is never closed (the block then reaches to the next opening tag or the end).
    """

    start: int
    end: int
    inner: str
    opened: bool = True
    closed: bool = True


_TAGS: dict[str, re.Pattern[str]] = {tag: re.compile(rf"<(/?){tag}>") for tag in ("tool_call", "tool_response")}


def blocks(text: str, tag: Tag) -> list[Block]:
    """The blocks of one tag in a text, in order, the broken ones too."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    for match in _TAGS[tag].finditer(text):
        if not match[1]:
            if opening:
                found.append(Block(opening.start(), match.start(), text[opening.end() : match.start()], closed=False))
            opening = match
        elif opening:
            found.append(Block(opening.start(), match.end(), text[opening.end() : match.start()]))
            opening = None
        else:
            found.append(Block(match.start(), match.end(), "", opened=False))
    if opening:
        found.append(Block(opening.start(), len(text), text[opening.end() :], closed=False))
    return found


def json_call(inner: str) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a call written `{"name": ..., "arguments": {...}}`; None where it is not exactly that."""
    try:
        value = decode_json(inner.strip())
    except ValueError:
        return None
    if not is_object(value) or set(value) != {"name", "arguments"} or not isinstance(value["name"], str):
        return None
    given = arguments(value["arguments"])
    return (value["name"], given) if is_object(given) else None


def declares_tools(messages: list[Any], role: str, content: str) -> bool:
    """True if the first message is the system's and holds a `<tools>` block: tools that are declared as text.

    Args:
        role: the key under which a message names its speaker.
        content: the key under which it holds its text.
    """
    first = messages[0] if messages else None
    if not is_object(first) or first.get(role) != "system" or not isinstance(first.get(content), str):
        return False
    return "<tools>" in first[content] and "</tools>" in first[content]
