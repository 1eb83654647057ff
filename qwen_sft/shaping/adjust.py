"""What settings ask of a sample between reading and checking: which to leave out, and a few changes that lose nothing.

The order is fixed: filters, tools, calls in text, media, users' turns, secrets, ids. Where nothing of this is wanted,
or found, a conversation comes back as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path as File
from typing import Any

from qwen_sft.asking.where import condition
from qwen_sft.errors import UsageError
from qwen_sft.format import Conversation
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.metadata import CONFLICTING, verdict
from qwen_sft.sample import Message, Path, Sample, Tool, is_list, is_object
from qwen_sft.settings import Settings
from qwen_sft.shaping.infer import inferred_tools, tool_names
from qwen_sft.shaping.lift import lifted
from qwen_sft.shaping.media import medium, words
from qwen_sft.shaping.redact import redacted
from qwen_sft.text.normalize import decode_json, text, tools

MERGED_USER = "one turn with the user's turn before it (--merge-user)"


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A conversation after its changes; None, with the reason, where settings leave it out."""

    conversation: Conversation | None
    reason: str = ""


Adjust = Callable[[Conversation], Adjusted]


def adjuster(settings: Settings) -> Adjust:
    """The function that makes of a conversation what settings want.

    Raises:
        UsageError: `where` is no condition, or the file of `tools` holds none.
    """
    wanted = condition(settings.where) if settings.where is not None else None
    supplied = _supplied(settings.tools) if settings.tools is not None else None

    def adjust(conversation: Conversation) -> Adjusted:
        sample = conversation.sample
        failed = failure(sample) if settings.skip_failed else None
        if failed is not None:
            return Adjusted(None, f"{failed} (--skip-failed)")
        if wanted is not None and not wanted(sample):
            return Adjusted(None, f"it does not satisfy --where {settings.where!r}")
        changed = conversation
        if supplied:
            changed = _with_tools(changed, supplied)
        if settings.lift_calls == "auto":
            changed = lifted(changed)
        if settings.infer_tools and not changed.sample.get("tools"):  # a call of a tool that is none stays one
            changed = _with_inferred(changed)
        if settings.media != "error":
            changed = _without_media(changed, placeholder=settings.media == "placeholder")
        if settings.merge_user:
            changed = _with_merged_users(changed)
        if settings.redact:
            changed = redacted(changed)
        if settings.regenerate_ids:
            changed = _with_new_ids(changed, settings)
        return Adjusted(changed)

    return adjust


def failure(sample: Sample) -> str | None:
    """Why a run counts as failed; None if it does not.

    The trace says so: `success` is false, or says nothing and `reward` is not above 0, or they stand there twice and
    only one of them says that it succeeded. A run of which nothing is said has not failed.
    """
    labels = sample.get("metadata", {})
    conflicting: Any = labels.get(CONFLICTING)
    if conflicting:
        return f"the trace says of {conflicting} both that the run succeeded and that it failed"
    told = (verdict(name, labels.get(name)) for name in ("success", "reward"))
    return "the run failed" if next((one for one in told if one is not None), True) is False else None


def _supplied(file: str) -> list[Tool]:
    try:
        found: Any = tools(decode_json(File(file).read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"cannot read the tools in {file!r}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"the tools in {file!r} are no JSON: {error}") from error
    named = is_list(found) and all(is_object(t) and is_object(t.get("function")) for t in found)
    if not found or not named or not all(isinstance(t["function"].get("name"), str) for t in found):
        raise UsageError(
            f"{file!r} holds no list of tools; write [{{'type': 'function', 'function': {{'name': ...}}}}]"
        )
    return found


def _with_tools(conversation: Conversation, given: Sequence[Tool], **labels: Any) -> Conversation:
    """The conversation with tools where it declares none, or else with those of them that are called and undeclared."""
    sample = conversation.sample
    own: Any = sample.get("tools") or []
    if not is_list(own):
        return conversation  # the schema rule names them
    wanted = list(given)
    if own:
        called = {tool.get("function", {}).get("name") for tool in inferred_tools(sample.get("messages", []))}
        missing = called.difference(tool_names(sample))
        wanted = [tool for tool in given if tool.get("function", {}).get("name") in missing]
    if not wanted:
        return conversation
    made: Sample = {**sample, "tools": [*own, *wanted]}
    if labels:
        made["metadata"] = {**sample.get("metadata", {}), **labels}
    return replace(conversation, sample=made)


def _with_inferred(conversation: Conversation) -> Conversation:
    found = inferred_tools(conversation.sample.get("messages", []))
    return _with_tools(conversation, found, tools_inferred=True)


def _with_messages(conversation: Conversation, messages: list[Message]) -> Conversation:
    return replace(conversation, sample={**conversation.sample, "messages": messages})


def _without_media(conversation: Conversation, *, placeholder: bool) -> Conversation:
    messages = conversation.sample.get("messages", [])
    made = [_message_without_media(one, placeholder=placeholder) for one in messages]
    if all(new is old for new, old in zip(made, messages, strict=True)):
        return conversation
    return _with_messages(conversation, made)


def _message_without_media(message: Message, *, placeholder: bool) -> Message:
    """The message with words where media stood: their own where they have some.

    A medium that the model is to be trained to say stays: no word of ours is one that it said, and without the medium
    its answer ends elsewhere.
    """
    content: Any = message.get("content")
    if not is_list(content):
        return message
    is_trained = message.get("role") == "assistant" and bool(message.get("train", True) and message.get("weight", 1))
    parts: list[Any] = []
    for part in content:
        kind = medium(part)
        told = words(part) if kind is not None else None
        if kind is None or (told is None and is_trained):
            parts.append(part)
        elif told is not None or placeholder:
            parts.append({"type": "text", "text": told if told is not None else f"[{kind}]"})
    same = len(parts) == len(content) and all(new is old for new, old in zip(parts, content, strict=True))
    return message if same else {**message, "content": text(parts)}


def _with_merged_users(conversation: Conversation) -> Conversation:
    messages: list[Message] = []
    origins: list[Path] = []
    for place, message in zip(conversation.origins, conversation.sample.get("messages", []), strict=True):
        before = messages[-1] if messages else None
        if before is not None and _is_user_text(before) and _is_user_text(message):
            messages[-1] = {**before, "content": f"{before.get('content')}\n\n{message.get('content')}"}
        else:
            messages.append(message)
            origins.append(place)
    if len(messages) == len(conversation.origins):
        return conversation
    return replace(_with_messages(conversation, messages), origins=origins)


def _is_user_text(message: Message) -> bool:
    return message.get("role") == "user" and isinstance(message.get("content"), str)


def _with_new_ids(conversation: Conversation, settings: Settings) -> Conversation:
    """Every call gets an id of its own, call_1 and so on, and its result the same.

    Results that answer no call keep theirs, and no call gets one of these.
    """
    listed: list[Any] = [m.get("tool_calls", []) for m in conversation.sample.get("messages", [])]
    if not all(is_list(calls) and all(is_object(call) for call in calls) for calls in listed):
        return conversation  # the schema rule names them
    transcript = Transcript(conversation.sample, settings)
    messages: list[Message] = list(conversation.sample.get("messages", []))
    places: dict[tuple[int, int], int] = {}
    for result, (turn, k) in transcript.misplaced.items():
        wanted = messages[result].get("tool_call_id")
        if wanted is not None and wanted == listed[turn][k].get("id"):
            places[turn, k] = result
    for exchange in transcript.exchanges:
        places |= {(exchange.turn, k): result for k, result in enumerate(exchange.answers) if result is not None}
    answers = set(places.values())
    kept = {message.get("tool_call_id") for i, message in enumerate(messages) if i not in answers}
    fresh = (name for number in count(1) if (name := f"call_{number}") not in kept)
    for exchange in transcript.exchanges:
        renamed: list[Any] = []
        for k, call in enumerate(exchange.calls):
            name = next(fresh)
            renamed.append({**call, "id": name})
            result = places.get((exchange.turn, k))
            if result is not None:
                messages[result] = {**messages[result], "tool_call_id": name}
        messages[exchange.turn] = {**messages[exchange.turn], "tool_calls": renamed}
    return _with_messages(conversation, messages) if transcript.exchanges else conversation


def carried(conversation: Conversation, known: Mapping[int, Mapping[str, Any]]) -> Conversation:
    """The conversation with what earlier records know of its turns (see `qwen_sft.record.Marks`)."""
    if not known:
        return conversation
    made: list[Any] = []
    for i, message in enumerate(conversation.sample.get("messages", [])):
        told = {**message, **known.get(i, {})}
        made.append({key: value for key, value in told.items() if value is not None or key not in known.get(i, {})})
    return _with_messages(conversation, made)
