"""Images, audio, video and files in a conversation: parts of its turns, and what a record keeps beside them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from qwen_sft.format import Conversation
from qwen_sft.sample import Message, is_list, is_object
from qwen_sft.text.normalize import is_text_part, text

_MEDIA = ("image", "audio", "video", "file", "document", "inline", "input_image", "input_audio", "input_file")
_BESIDE = {key: kind for kind in ("image", "video", "audio") for key in (f"{kind}s", kind)}
"""The fields of a record that hold media of its turns, and the tag that stands for each of them in a turn's text."""


def medium(part: Any) -> str | None:
    """What kind of medium a part is, in one word; None for text and for anything that is no medium."""
    if not is_object(part) or is_text_part(part):
        return None
    kind: Any = part.get("type", next(iter(part), None))
    if not isinstance(kind, str) or not kind.lower().startswith(_MEDIA):
        return None
    word = kind.lower().removeprefix("input_").partition("_")[0]
    return "file" if word.startswith("inline") else word


def words(part: Mapping[str, Any]) -> str | None:
    """The words of a medium, where it has them: the transcript of a recording, the text of a document; else None."""
    for held in (part, part.get("audio"), part.get("input_audio")):
        said: Any = held.get("transcript") if is_object(held) else None
        if isinstance(said, str) and said:
            return said
    source: Any = part.get("source")
    kind: Any = source.get("type") if is_object(source) else None
    written: Any = {"text": source.get("data"), "content": text(source.get("content"))}.get(kind) if kind else None
    return written if isinstance(written, str) and written else None


def attached(record: Any, conversation: Conversation) -> Conversation:
    """The conversation with the media that a record keeps beside its turns as parts of them.

    Each takes the place of the next tag of its kind, such as `<image>`, unless a part is there already. What no tag
    asks for comes before the words of the first user's turn. A field that holds one text, which may name something
    else, counts only where a turn has its tag.

    Source: ms-swift and LLaMA-Factory fill in missing tags there.
    """
    if not is_object(record) or record.keys().isdisjoint(_BESIDE):
        return conversation
    messages = conversation.sample.get("messages", [])
    found: dict[str, list[Any]] = {}
    for key, kind in _BESIDE.items() if messages else ():
        files = _files(record.get(key))
        if files and (not isinstance(record[key], str) or any(f"<{kind}>" in one for one in _texts(messages))):
            found.setdefault(kind, []).extend(files)
    if not found:
        return conversation
    made = messages
    for kind, files in found.items():
        made = _placed(made, kind, files)
    return replace(conversation, sample={**conversation.sample, "messages": made})


def _files(value: Any) -> list[Any]:
    listed: list[Any] = value if is_list(value) else [value]
    return [one for one in listed if (isinstance(one, str) or is_object(one)) and one]


def _texts(messages: Iterable[Message]) -> list[str]:
    return [part["text"] for one in messages for part in _parts(one) if is_object(part) and is_text_part(part)]


def _parts(message: Message) -> list[Any]:
    content: Any = message.get("content")
    if is_list(content):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else []


def _placed(messages: list[Message], kind: str, files: list[Any]) -> list[Message]:
    """The messages with some media of one kind in the places of their tags."""
    there = sum(medium(part) == kind for one in messages for part in _parts(one))
    waiting = [{"type": kind, kind: file} for file in files[there:]]
    made: list[Message] = []
    for message in messages:
        parts = _filled(message, kind, waiting)
        made.append(message if parts is None else {**message, "content": parts})
    if waiting:
        asked = next((i for i, one in enumerate(made) if one.get("role") == "user"), 0)
        made[asked] = {**made[asked], "content": [*waiting, *_parts(made[asked])]}
    return made


def _filled(message: Message, kind: str, waiting: list[Any]) -> list[Any] | None:
    """A message's parts with media in the places of tags, which are taken off `waiting`; None if it has no tag."""
    made: list[Any] = []
    n_before = len(waiting)
    for part in _parts(message):
        if not is_object(part) or not is_text_part(part):
            made.append(part)
            continue
        pieces = re.split(rf"\n?<{kind}>\n?", part["text"], maxsplit=len(waiting)) if waiting else [part["text"]]
        for i, piece in enumerate(pieces):
            made += [waiting.pop(0)] if i else []
            made += [{**part, "text": piece}] if piece else []
    return made if len(waiting) < n_before else None
