"""A request or an answer as somebody recorded it, in whatever dialect the program spoke, read into turns.

It may be the body of a chat API, a list of messages, LangChain's dumps, OpenTelemetry's messages of parts, one message,
or text; and each of these as JSON in a text.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qwen_sft.api import Api, Turns, apis
from qwen_sft.finding import Finding
from qwen_sft.format import Event
from qwen_sft.reading.lc_messages import about, fields_of, said
from qwen_sft.reading.lc_messages import other as not_ai
from qwen_sft.reading.otel_parts import has_parts, tell
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, is_list, is_object
from qwen_sft.text.normalize import decode_json

_MESSAGES = re.compile(r"""\s*\[?\s*\{\s*["'](?:role|messages|parts|content|choices)["']\s*:""")
KEPT = Finding((), "it goes on from an answer that the provider keeps", "record the whole history with each request")
_SAYS = ("content", "parts", "tool_calls", "function_call", "reasoning_content")
_TEXTS = ("completion", "text", "output")
_HOLDERS = ("message", "messages", "output", "generations", "choices")


def decoded(value: Any) -> Any:
    """A value, or what it holds where it is the text of a JSON object or list."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return decode_json(value)
        except ValueError:
            return value
    return value


# -- what was asked ----------------------------------------------------------------------------------------------------


def asked(given: Any) -> Turns | None:
    """What a request says, in whatever dialect it is; None where it is no chat."""
    if isinstance(given, str):
        inner = decoded(given)
        own = asked(inner) if _is_told(inner) else None
        return own or (None if _is_cut(inner) else Turns([{"role": "user", "content": given}] if given else []))
    if given is None or given in ([], {}):
        return Turns()
    if is_object(given) and "messages" not in given and is_object(inner := decoded(given.get("input"))):
        given = inner
    if is_object(given) and is_list(messages := decoded(given.get("messages"))):
        given = {**given, "messages": _one_of_batch(messages)}
        own = _listed(given["messages"])
        if own is not None:
            return replace(own, tools=given.get("tools") or own.tools)
    elif is_object(given) and _is_message(given):
        given = [given]
    if is_list(given):
        given = _one_of_batch(given)
        own = _listed(given)
        if own is not None:
            return own
    for api in dialects():
        body = given if is_object(given) else {api.bare: given}
        if api.is_request(body):
            return Turns(refusal=KEPT) if is_continued(body) else api.asked(body)
    return None


def is_continued(body: Any) -> bool:
    """True for a request of the Responses API that goes on from what the provider keeps: it does not hold all of it."""
    return is_object(body) and any(body.get(key) for key in ("previous_response_id", "conversation"))


def _is_told(given: Any) -> bool:
    """True for JSON that says who speaks, or is a body of an API; all other JSON may be the words themselves."""
    if is_list(given):
        bodies = [{"output": given}, *({api.bare: given} for api in dialects())]
        return bool(given) and (all(is_list(one) or _is_told(one) for one in given) or any(map(_is_body, bodies)))
    if not is_object(given):
        return False
    if isinstance(given.get("role"), str) or is_list(given.get("messages")) or is_list(given.get("generations")):
        return True
    return fields_of(given) is not None or _is_body(given)


def _is_body(given: Any) -> bool:
    return any(api.is_response(given) or api.is_request(given) for api in dialects())


def _is_cut(given: Any) -> bool:
    """True for text that begins like messages in JSON, or printed by Python, and is none."""
    return isinstance(given, str) and _MESSAGES.match(given) is not None


def _one_of_batch(listed: list[Any]) -> list[Any]:
    """The messages of a batch of one, as LangChain's callbacks have it."""
    return listed[0] if len(listed) == 1 and is_list(listed[0]) else listed


def _is_message(given: dict[str, Any]) -> bool:
    return isinstance(given.get("role"), str) and any(key in given for key in _SAYS)


def _listed(messages: list[Any]) -> Turns | None:
    """Messages that no API has: LangChain's, or OpenTelemetry's with typed parts."""
    if not messages or not all(map(is_object, messages)):
        return None
    if all(map(fields_of, messages)):
        return _langchain(messages)
    if any(map(has_parts, messages)) and all(has_parts(one) or "role" in one for one in messages):
        story = Story()
        for given in messages:
            tell(story, given)
        return Turns(story.messages)
    return None


def dialects() -> list[Api]:
    """The shelf of APIs, the one whose messages all others' resemble last."""
    return sorted(apis().values(), key=lambda api: api.name == "openai_chat")


def _langchain(messages: Sequence[Any]) -> Turns:
    story = Story()
    answers: list[dict[str, Any]] = []
    lost: list[Event] = []
    for given in messages:
        found = fields_of(given)
        if found is None or found[0] == "remove":
            continue
        kind, fields, _ = found
        if kind != "ai":
            story.keep((), not_ai(kind, fields))
            continue
        answers.append(fields)
        encrypted, pieces = said(fields)
        story.keep((), pieces[0])
        for piece in pieces[1:]:
            story.join((), piece)
        lost += [Event((), "dropped", "reasoning that is encrypted", loses=True)] if encrypted else []
    declared, labels = about(answers)
    return Turns(story.messages, aside=lost, tools=declared, metadata=labels)


# -- what was answered -------------------------------------------------------------------------------------------------


def answered(given: Any) -> list[Turns] | None:
    """What an answer says, one for each choice; none where there is no answer, None where it is no chat's."""
    if given is None or given in ("", [], {}):
        return []
    if isinstance(given, str):
        inner = decoded(given)
        own = answered(inner) if _is_told(inner) else None
        return own or (None if _is_cut(inner) else [Turns([{"role": "assistant", "content": given}])])
    for api in dialects():
        for body in [given] if is_object(given) else [{"choices": given}, {"output": given}]:
            if api.is_response(body):
                return api.answered(body)
    if is_list(given):
        return _answers(given)
    if not is_object(given):
        return None
    found = _listed([given])
    if found is not None:
        return [_ended(found, given)]
    if any(key in given for key in _SAYS) and given.get("role", "assistant") in ("assistant", "model", "ai"):
        own = asked([{**given, "role": "assistant"}])
        return [_ended(own, given)] if own is not None else None
    if is_list(batch := given.get("generations")):
        return _batch(batch)
    held = next((given[key] for key in _HOLDERS if is_object(given.get(key)) or is_list(given.get(key))), None)
    if held is not None:
        inner = answered(held)
        return [_ended(one, given) for one in inner] if inner else inner
    spoken = next((given[key] for key in _TEXTS if isinstance(given.get(key), str)), None)
    return [_ended(Turns([{"role": "assistant", "content": spoken}]), given)] if spoken is not None else None


def _ended(turns: Turns, given: Any) -> Turns:
    """An answer with the reason of its end, where that stands beside it."""
    reason: Any = next((given[key] for key in ("finish_reason", "stop_reason") if given.get(key)), None)
    if not isinstance(reason, str) or "finish_reason" in turns.metadata:
        return turns
    return replace(turns, metadata={**turns.metadata, "finish_reason": reason})


def _answers(listed: list[Any]) -> list[Turns] | None:
    """The messages of an answer: choices, where each says why it ended; else pieces of one."""
    if not all(map(is_object, listed)):
        texts = [one for one in listed if isinstance(one, str)]
        return [Turns([{"role": "assistant", "content": texts[0]}])] if len(texts) == len(listed) == 1 else None
    if len(listed) > 1 and all("finish_reason" in one for one in listed):
        each = [answered(one) for one in listed]
        return None if None in each else [turns for one in each if one for turns in one]
    if all("role" not in one and isinstance(one.get("type"), str) and not fields_of(one) for one in listed):
        own = asked([{"role": "assistant", "content": listed}])
    else:
        own = asked([{"role": "assistant", **one} if any(key in one for key in _SAYS) else one for one in listed])
    if own is None:
        return None
    return [_ended(own, listed[-1])]


def as_one(messages: list[Message]) -> list[Message]:
    """The messages of one answer, those that one turn can hold exactly put together."""
    story = Story()
    for turn in messages:
        story.join((), turn)
    return story.messages


def _batch(batch: list[Any]) -> list[Turns] | None:
    """LangChain's generations: of a batch of one, each is a choice: {text, message, generation_info}."""
    made: list[Turns] = []
    for one in _one_of_batch(batch):
        if not is_object(one):
            return None
        own = answered(one["message"] if is_object(one.get("message")) else one.get("text"))
        if own is None:
            return None
        about: Any = one.get("generation_info")
        made += [_ended(turns, about) if is_object(about) else turns for turns in own]
    return made
