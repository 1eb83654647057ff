"""Pydantic AI message histories (`result.all_messages_json()`): requests and responses, each a list of parts.

Quirks: a request's `instructions` are a system message that the model sees, not a part; every request repeats them.
What a tool returns may be any JSON, which the model sees as compact JSON. A retry prompt is the result of a call that
failed, or a user's turn where no tool is named; its text is put together when it is sent. The tools are not recorded.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from qwen_sft.format import Format, Reading
from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS, call, sample_id, text

_LIST_KEYS = ("messages", "all_messages", "message_history", "new_messages")
_FILES = frozenset({"image-url", "audio-url", "video-url", "document-url", "binary", "uploaded-file"})
_NO_LABELS = frozenset(ID_KEYS)
_ONE_SYSTEM = "joined to the system prompt before it, as Pydantic AI does for an API that takes one"


def _is_message(given: Any) -> bool:
    if not is_object(given) or given.get("kind") not in ("request", "response") or not is_list(given.get("parts")):
        return False
    return all(is_object(part) and isinstance(part.get("part_kind"), str) for part in given["parts"][:1])


def _listed(record: Any) -> tuple[Path, list[Any]] | None:
    if _is_message(record):
        return (), [record]
    if is_list(record):
        return ((), record) if record and _is_message(record[0]) else None
    if not is_object(record):
        return None
    for key in _LIST_KEYS:
        listed: Any = record.get(key)
        if is_list(listed) and listed and _is_message(listed[0]):
            return (key,), listed
    return None


def recognises(record: Any) -> bool:
    """Messages of the kinds `request` and `response` whose parts have a `part_kind`."""
    return _listed(record) is not None


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """A message follows a message."""
    return _is_message(line) and (not gathered or _is_message(gathered[0]))


def events(record: Any) -> list[Path]:
    """Each part of each message, a request's instructions, and a message without parts."""
    root, listed = _listed(record) or ((), [])
    places: list[Path] = []
    for i, given in enumerate(listed):
        at: Path = root if given is record else (*root, i)
        parts: Any = given.get("parts") if is_object(given) else None
        if is_object(given) and given.get("instructions"):
            places.append((*at, "instructions"))
        places += [(*at, "parts", k) for k in range(len(parts))] if is_list(parts) and parts else [at]
    return places


def read(record: Any) -> Reading:
    """One sample; the parts of a response are one turn."""
    found = _listed(record)
    if found is None:
        return refused((), "no messages of Pydantic AI", "give a list of messages")
    story = Story()
    labels: dict[str, Any] = {}
    system: Any = None
    for i, given in enumerate(found[1]):
        at: Path = found[0] if given is record else (*found[0], i)
        if not is_object(given) or not is_list(given.get("parts")) or not given["parts"]:
            story.drop(at, "a message without parts", loses=not is_object(given))
        if not is_object(given):
            continue
        parts: list[Any] = given["parts"] if is_list(given.get("parts")) else []
        begun = len(story.messages)
        for k, part in enumerate(parts):
            if given.get("kind") == "response":
                _tell_said(story, (*at, "parts", k), part, follows=len(story.messages) > begun)
            else:
                _tell_asked(story, (*at, "parts", k), part)
        if given.get("instructions"):
            system = _instruct(story, (*at, "instructions"), given["instructions"], system)
        if given.get("kind") == "response":
            labels = metadata({key: given.get(key) for key in ("model_name", "finish_reason")})
            story.messages[begun:] = cut_off(story.messages[begun:], given.get("finish_reason"))
    fields: dict[str, Any] = record if is_object(record) and not _is_message(record) else {}
    return story.reading(fields.get("tools"), sample_id(fields), {**metadata(fields, without=_NO_LABELS), **labels})


def _instruct(story: Story, place: Path, given: Any, system: Any) -> Any:
    """Instructions stand behind the system prompts that begin the conversation; a model sees the latest ones only."""
    if system is None and not any(turn.get("role") == "assistant" for turn in story.messages):
        if not _add_system(story, place, given, alone=False):
            story.keep(place, {"role": "system", "content": given})
            story.messages.insert(0, story.messages.pop())
            story.origins.insert(0, story.origins.pop())
        return given
    if given == system:
        story.merge(place, "repeats the instructions")
    else:
        story.drop(place, "instructions that differ from those at the start", loses=True)
    return system


def _add_system(story: Story, place: Path, more: Any, *, alone: bool) -> bool:
    """Joins a text to the system prompt that begins the conversation; with `alone`, if nothing was said since."""
    first: Any = story.messages[0] if story.messages else {}
    texts: list[Any] = [first.get("content"), more]
    if first.get("role") != "system" or not all(isinstance(one, str) for one in texts):
        return False
    if alone and len(story.messages) > 1:
        return False
    story.messages[0] = {"role": "system", "content": "\n\n".join(texts)}
    story.merge(place, _ONE_SYSTEM)
    return True


def _tell_said(story: Story, place: Path, part: Any, *, follows: bool) -> None:
    piece = _said(part, part.get("part_kind") if is_object(part) else None)
    if isinstance(piece, str):
        story.drop(place, piece, loses=True)
    elif follows:
        story.join(place, piece, "a part of the response that begins before it")
    else:
        story.keep(place, piece)


def _tell_asked(story: Story, place: Path, part: Any) -> None:
    made = _asked(part, part.get("part_kind") if is_object(part) else None)
    if made.get("role") != "system" or not _add_system(story, place, made.get("content"), alone=True):
        story.keep(place, made)


def _said(part: Any, kind: Any) -> Message | str:
    """The piece of a turn that a part of a response is, or why it is none."""
    if kind == "text":
        return {"role": "assistant", "content": text(part.get("content"))}
    if kind == "thinking":
        thought: Any = part.get("content")
        hidden = not isinstance(thought, str) or not thought
        return "reasoning that is encrypted" if hidden else _turn("", reasoning_content=thought)
    if kind == "tool-call":
        return _turn("", tool_calls=[call(part.get("tool_name"), part.get("args"), part.get("tool_call_id"))])
    if kind == "file":
        return _turn([part.get("content")])
    return f"a part of the kind {kind!r} has no place in a chat"


def _turn(content: Any, **fields: Any) -> Message:
    made: Any = {"role": "assistant", "content": content, **fields}
    return made


def _asked(part: Any, kind: Any) -> Message:
    if kind == "system-prompt":
        return {"role": "system", "content": text(part.get("content"))}
    if kind == "user-prompt":
        return {"role": "user", "content": _prompt(part.get("content"))}
    if kind == "tool-return":
        return _result(part, _returned(part.get("content")))
    if kind == "retry-prompt":
        again = _retry(part.get("content"), part.get("tool_name"))
        return _result(part, again) if part.get("tool_name") else {"role": "user", "content": again}
    return {"role": kind if isinstance(kind, str) else "unknown", "content": part}


def _result(part: dict[str, Any], content: Any) -> Message:
    made: Message = {"role": "tool", "content": content}
    if part.get("tool_call_id") not in (None, ""):
        made["tool_call_id"] = part["tool_call_id"]
    if part.get("tool_name") not in (None, ""):
        made["name"] = part["tool_name"]
    return made


def _prompt(content: Any) -> Any:
    """A prompt's content: texts, and files, which stay what they are; a cache point says nothing."""
    if not is_list(content):
        return text(content)
    parts: list[Any] = []
    for part in content:
        kind: Any = part.get("kind") if is_object(part) else None
        if kind == "text-content":
            parts.append(part.get("content"))
        elif kind != "cache-point":
            parts.append(part)
    return text([{"type": kind, **part} if (kind := _file(part)) else part for part in parts])


def _file(part: Any) -> str | None:
    kind: Any = part.get("kind") if is_object(part) else None
    return kind if isinstance(kind, str) and kind in _FILES else None


def _returned(content: Any) -> Any:
    """What a tool returned, as the model saw it: text, or compact JSON; with files in it a list of parts."""
    if content is None or isinstance(content, str):
        return content or ""
    if _file(content) or (is_list(content) and any(map(_file, content))):
        return _prompt(content if is_list(content) else [content])
    return msgspec.json.encode(content).decode()


def _retry(content: Any, tool: Any) -> Any:
    """The text of a retry prompt, as Pydantic AI puts it together when it sends it."""
    if isinstance(content, str):
        said = content if tool else f"Validation feedback:\n{content}"
    elif is_list(content):
        errors = [_error(one, tool) for one in content]
        shown = json.dumps(errors, indent=2, ensure_ascii=False)
        said = f"{len(errors)} validation error{'' if len(errors) == 1 else 's'}:\n```json\n{shown}\n```"
    else:
        return text(content)
    return f"{said}\n\nFix the errors and try again."


def _error(one: Any, tool: Any) -> Any:
    if not is_object(one):
        return one
    where: Any = one.get("loc")
    repeats = not tool and len(where if is_list(where) else []) <= 1
    return {key: value for key, value in one.items() if key != "ctx" and not (key == "input" and repeats)}


FORMAT = Format(
    name="pydantic_ai",
    title="Pydantic AI message histories: requests and responses with parts (all_messages_json)",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"parts", *_LIST_KEYS}),
)
