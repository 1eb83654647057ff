"""What settings ask of a sample between reading and checking: which to leave out, and a few changes that lose nothing.

The order is fixed: filters, tools, calls in text, media, users' turns, ids. Where nothing of this is wanted, or found,
a conversation comes back as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import Any

from qwen_sft.errors import UsageError
from qwen_sft.format import Conversation
from qwen_sft.infer import inferred_tools
from qwen_sft.lift import lifted
from qwen_sft.normalize import decode_json, is_text_part, text, tools
from qwen_sft.sample import Message, Path, Sample, Tool, is_list, is_object
from qwen_sft.settings import Settings
from qwen_sft.transcript import Transcript
from qwen_sft.where import condition

MERGED_USER = "one turn with the user's turn before it (--merge-user)"

_MEDIA = ("image", "audio", "video", "file", "document", "inline", "input_image", "input_audio", "input_file")


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
        if settings.skip_failed and failed(sample):
            return Adjusted(None, "the run failed (--skip-failed)")
        if wanted is not None and not wanted(sample):
            return Adjusted(None, f"it does not satisfy --where {settings.where!r}")
        changed = conversation
        if supplied and not sample.get("tools"):
            changed = replace(changed, sample={**changed.sample, "tools": supplied})
        if settings.lift_calls == "auto":
            changed = lifted(changed)
        if settings.infer_tools and not changed.sample.get("tools"):
            changed = _with_inferred(changed)
        if settings.media != "error":
            changed = _without_media(changed, placeholder=settings.media == "placeholder")
        if settings.merge_user:
            changed = _with_merged_users(changed)
        if settings.regenerate_ids:
            changed = _with_new_ids(changed, settings)
        return Adjusted(changed)

    return adjust


def failed(sample: Sample) -> bool:
    """True if the trace says that the run did not succeed.

    That is: `success` is false, or there is none and `reward` is not above 0. A run of which nothing is said has not
    failed.
    """
    labels = sample.get("metadata", {})
    success: Any = labels.get("success")
    if isinstance(success, bool):
        return not success
    reward: Any = labels.get("reward")
    return isinstance(reward, int | float) and reward <= 0


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


def _with_inferred(conversation: Conversation) -> Conversation:
    sample = conversation.sample
    found = inferred_tools(sample.get("messages", []))
    if not found:
        return conversation
    labels = {**sample.get("metadata", {}), "tools_inferred": True}
    return replace(conversation, sample={**sample, "tools": found, "metadata": labels})


def _with_messages(conversation: Conversation, messages: list[Message]) -> Conversation:
    return replace(conversation, sample={**conversation.sample, "messages": messages})


def _without_media(conversation: Conversation, *, placeholder: bool) -> Conversation:
    messages = conversation.sample.get("messages", [])
    made = [_message_without_media(one, placeholder=placeholder) for one in messages]
    if all(new is old for new, old in zip(made, messages, strict=True)):
        return conversation
    return _with_messages(conversation, made)


def _message_without_media(message: Message, *, placeholder: bool) -> Message:
    content: Any = message.get("content")
    if not is_list(content) or not any(_medium(part) for part in content):
        return message
    parts: list[Any] = []
    for part in content:
        medium = _medium(part)
        if medium is None:
            parts.append(part)
        elif placeholder:
            parts.append({"type": "text", "text": f"[{medium}]"})
    return {**message, "content": text(parts)}


def _medium(part: Any) -> str | None:
    """What kind of medium a part is, in one word; None for text and for anything that is no medium."""
    if not is_object(part) or is_text_part(part):
        return None
    kind: Any = part.get("type", next(iter(part), None))
    if not isinstance(kind, str) or not kind.lower().startswith(_MEDIA):
        return None
    word = kind.lower().removeprefix("input_").partition("_")[0]
    return "file" if word.startswith("inline") else word


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
    """Every call gets an id of its own, call_1 and so on, and its result the same; orphans keep theirs."""
    listed: list[Any] = [m.get("tool_calls", []) for m in conversation.sample.get("messages", [])]
    if not all(is_list(calls) and all(is_object(call) for call in calls) for calls in listed):
        return conversation  # the schema rule names them
    transcript = Transcript(conversation.sample, settings)
    messages: list[Message] = list(conversation.sample.get("messages", []))
    number = 0
    for exchange in transcript.exchanges:
        renamed: list[Any] = []
        for call, answer in zip(exchange.calls, exchange.answers, strict=True):
            number += 1
            renamed.append({**call, "id": f"call_{number}"})
            if answer is not None:
                messages[answer] = {**messages[answer], "tool_call_id": f"call_{number}"}
        messages[exchange.turn] = {**messages[exchange.turn], "tool_calls": renamed}
    return _with_messages(conversation, messages) if number else conversation


def carried(conversation: Conversation, thoughts: Mapping[int, str]) -> Conversation:
    """The conversation with reasoning that an earlier record has for its turns, by the number of the message."""
    if not thoughts:
        return conversation
    made: list[Message] = [
        {**message, "reasoning_content": thoughts[i]} if i in thoughts else message
        for i, message in enumerate(conversation.sample.get("messages", []))
    ]
    return _with_messages(conversation, made)
