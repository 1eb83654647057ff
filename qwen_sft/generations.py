"""Calls of a model as observability tools record them: what was asked, what was answered, and which say the same again.

Tools write the request and the answer in whatever dialect the program spoke: the body of a chat API, a list of
messages, LangChain's dumps, OpenTelemetry's messages of parts, one message, or text. Every call repeats the messages of
the one before it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_sft.api import Api, Turns, apis
from qwen_sft.blocks import written
from qwen_sft.chat import sample
from qwen_sft.dedup import chain
from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.lcmessages import about, fields_of, other, said
from qwen_sft.normalize import call, decode_json
from qwen_sft.normalize import text as joined_text
from qwen_sft.sample import Message, Path, Sample, is_list, is_object
from qwen_sft.story import Story, refused

REPEATED = "repeated by a later generation"
NO_CHAT = "a generation without messages"
FAILED = "a request that failed"

_SAYS = ("content", "parts", "tool_calls", "function_call", "reasoning_content")
_TEXTS = ("completion", "text", "output")
_HOLDERS = ("message", "messages", "output", "generations", "choices")
_NO_LABELS = frozenset({"messages", "role", "id"})


@dataclass(frozen=True, slots=True)
class Generation:
    """One call of a model: the event of the record that holds it, and what the model saw and said."""

    place: Path
    sample: Sample


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
    given = decoded(given)
    if isinstance(given, str):
        return Turns([{"role": "user", "content": given}]) if given else None
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
    for api in _dialects():
        body = given if is_object(given) else {api.bare: given}
        if api.is_request(body):
            return api.asked(body)
    return None


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
    if any(map(_has_parts, messages)) and all(_has_parts(one) or "role" in one for one in messages):
        story = Story()
        for given in messages:
            _tell(story, given)
        return Turns(story.messages)
    return None


def _dialects() -> list[Api]:
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
            story.keep((), other(kind, fields))
            continue
        answers.append(fields)
        encrypted, pieces = said(fields)
        story.keep((), pieces[0])
        for piece in pieces[1:]:
            story.join((), piece)
        lost += [Event((), "dropped", "reasoning that is encrypted", loses=True)] if encrypted else []
    declared, labels = about(answers)
    return Turns(story.messages, aside=lost, tools=declared, metadata=labels)


# -- OpenTelemetry's messages of parts ---------------------------------------------------------------------------------


def _has_parts(given: Any) -> bool:
    parts: Any = given.get("parts") if is_object(given) else None
    return is_list(parts) and all(is_object(part) and isinstance(part.get("type"), str) for part in parts)


def _tell(story: Story, given: dict[str, Any]) -> None:
    """Adds {role, parts}: parts are text, reasoning, tool_call and tool_call_response, in the order they were said."""
    role: Any = given.get("role")
    if not _has_parts(given):
        own = asked([given])
        for turn in own.messages if own else [{"role": role, "content": given.get("content", "")}]:
            story.keep((), turn)
        return
    first, run = True, list[Any]()

    def add(piece: Message) -> None:
        nonlocal first
        (story.keep if first or role != "assistant" else story.join)((), piece)
        first = False

    def end_run() -> None:
        if run:
            add({"role": role, "content": joined_text(list(run))})
            run.clear()

    for part in given["parts"]:
        kind: Any = part["type"]
        if kind == "reasoning" and role == "assistant" and isinstance(part.get("content"), str):
            end_run()
            add({"role": role, "content": "", "reasoning_content": part["content"]})
        elif kind == "tool_call":
            end_run()
            add({"role": role, "content": "", "tool_calls": [call(part.get("name"), _given(part), part.get("id"))]})
        elif kind == "tool_call_response":
            end_run()
            story.keep((), _result(part))
            first = False
        else:
            run.append({"type": "text", "text": part["content"]} if _is_text(part) else part)
    end_run()
    if first:
        add({"role": role, "content": ""})


def _is_text(part: dict[str, Any]) -> bool:
    return part["type"] == "text" and isinstance(part.get("content"), str)


def _given(part: dict[str, Any]) -> Any:
    return part["arguments"] if "arguments" in part else part.get("args")


def _result(part: dict[str, Any]) -> Message:
    returned: Any = next((part[key] for key in ("response", "result", "content") if key in part), None)
    made: Message = {"role": "tool", "content": written(returned)}
    if part.get("id") not in (None, ""):
        made["tool_call_id"] = part["id"]
    if part.get("name") not in (None, ""):
        made["name"] = part["name"]
    return made


# -- what was answered -------------------------------------------------------------------------------------------------


def answered(given: Any) -> list[Turns] | None:
    """What an answer says, one for each choice; none where there is no answer, None where it is no chat's."""
    given = decoded(given)
    if given is None or given in ("", [], {}):
        return []
    if isinstance(given, str):
        return [Turns([{"role": "assistant", "content": given}])]
    for api in _dialects():
        for body in [given] if is_object(given) else [{"choices": given}, {"output": given}]:
            if api.is_response(body):
                return api.answered(body)
    if is_list(given):
        return _answers(given)
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
    return [_ended(replace(own, messages=_as_one(own.messages)), listed[-1])]


def _as_one(messages: list[Message]) -> list[Message]:
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


# -- tools -------------------------------------------------------------------------------------------------------------


def tools(declared: Any) -> tuple[Any, dict[str, Any]]:
    """Tools in whatever dialect, in OpenAI's form, and the labels that keep the dialect's own."""
    declared = decoded(declared)
    if not is_list(declared) or not declared:
        return declared or None, {}
    for api in _dialects():
        for bare in ({"role": "user", "content": "x"}, {"role": "user", "parts": [{"text": "x"}]}):
            body = {api.bare: [bare], "tools": declared}
            if api.name != "openai_chat" and _is_own(declared) and api.is_request(body):
                read = api.asked(body)
                return read.tools, {key: read.metadata[key] for key in ("builtin_tools",) if key in read.metadata}
    return declared, {}


def _is_own(declared: list[Any]) -> bool:
    keys = ("input_schema", "functionDeclarations", "function_declarations")
    return any(is_object(one) and any(key in one for key in keys) for one in declared)


# -- a record's generations --------------------------------------------------------------------------------------------


def told(
    place: Path,
    request: Turns | None,
    answers: list[Turns] | None,
    *,
    declared: Any = None,
    name: str | None = None,
    labels: dict[str, Any] | None = None,
    failed: str | None = None,
) -> list[Generation] | Event:
    """The generations of one event: one for each choice; or why it holds none.

    Args:
        request: what was asked (`asked`).
        answers: what was answered (`answered`).
        declared: tools that are declared apart from the request, in any dialect; those of the request come first.
        failed: what went wrong, where the call failed; it counts where there is no answer.
    """
    if request is None:
        return Event(place, "dropped", FAILED if failed is not None else NO_CHAT)
    fault = next((one.refusal for one in (request, *(answers or ())) if one.refusal), None)
    if fault is not None:
        return Event(place, "dropped", f"messages that cannot be read: {fault.says}", loses=True)
    if answers is None:
        return Event(place, "dropped", "an answer of no known shape", loses=True)
    if not answers and failed is not None:
        return Event(place, "dropped", f"{FAILED}: {failed}"[:200] if failed else FAILED)
    made: list[Generation] = []
    for choice in answers or [Turns()]:
        messages = [*request.messages, *choice.messages]
        given = next((one for one in (request.tools, declared, choice.tools) if one), None)
        functions, own = tools(given)
        lost = sorted({event.reason for event in (*request.aside, *choice.aside) if event.loses})
        left_out = {"left_out": "; ".join(lost)} if lost else {}
        about = {**(labels or {}), **_labels(request.metadata), **_labels(choice.metadata), **own, **left_out}
        if messages:
            made.append(Generation(place, sample(messages, functions, name, about)))
    return made or Event(place, "dropped", NO_CHAT)


def _labels(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in _NO_LABELS}


def reading(found: Iterable[list[Generation] | Event], fix: str) -> Reading:
    """The samples of a record's generations: those that no other one repeats and goes on with.

    Reasoning that a later one's history no longer has is carried over to it, as `--dedup-prefixes` does.

    Args:
        fix: what to do where the record holds no chat at all.
    """
    generations: list[Generation] = []
    aside: dict[Path, Event] = {}
    for one in found:
        if isinstance(one, Event):
            aside[one.path] = one
        else:
            generations += one
    chains = [chain(one.sample) for one in generations]
    ends = {links[-1]: i for i, links in enumerate(chains)}
    passed = {link for links in chains for link in links[:-1]}
    kept = [i for i, links in enumerate(chains) if links[-1] not in passed and ends[links[-1]] == i]
    made: list[Conversation] = []
    for i in kept:
        one = generations[i]
        earlier = [
            generations[k].sample for k, links in enumerate(chains) if k != i and links[-1] in set(chains[i])
        ]
        turns = _with_thoughts(one.sample["messages"], earlier)
        made.append(Conversation({**one.sample, "messages": turns}, [one.place] * len(turns), rebuilt=True))
    places = {generations[i].place for i in kept}
    for one in generations:
        if one.place not in places:
            aside[one.place] = Event(one.place, "merged", REPEATED)
    if not made:
        lost = next((event for event in aside.values() if event.loses), None)
        return refused(lost.path if lost else (), lost.reason if lost else "nothing in it is a turn of a chat", fix)
    return Reading(made, list(aside.values()))


def _with_thoughts(messages: list[Message], earlier: list[Sample]) -> list[Message]:
    made = list(messages)
    for one in earlier:
        for k, turn in enumerate(one["messages"]):
            if turn.get("reasoning_content") and not made[k].get("reasoning_content"):
                made[k] = {**made[k], "reasoning_content": turn["reasoning_content"]}
    return made
