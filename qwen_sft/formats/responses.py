"""OpenAI Responses items: a request's input and a response's output, as rollouts and logs keep them."""

from dataclasses import dataclass
from typing import Any

from qwen_sft.chat import ITEM_TYPES, dialogue, joined, message, sample
from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.normalize import call, sample_id, text
from qwen_sft.sample import Message, Path, is_list, is_object, value_at

_REQUESTS: tuple[Path, ...] = (("responses_create_params",), ("request",), ())
_RESPONSES: tuple[Path, ...] = (("response",), ())
_LISTS: tuple[Path, ...] = ((), ("items",), ("messages",), ("conversations",))
_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
_RESULTS = ("function_call_output", "custom_tool_call_output")
_GIST = ("role", "name", "arguments", "input", "call_id", "output", "summary")

Item = tuple[Path, Any]
"""An item and its place; a prompt that is one string is the item {role, content} at its place."""


@dataclass(frozen=True, slots=True)
class _Record:
    """What a record holds: `prompt` and `given` went to the model; `states` are its outputs, nearly always one."""

    prompt: list[Item]
    given: list[Item]
    states: list[list[Item]]
    tools: Any
    name: str | None


def recognises(record: Any) -> bool:
    """A response with a list of output, with or without its request, or a list of items; no list of chat messages."""
    return _record(record) is not None


def _record(record: Any) -> _Record | None:
    if dialogue(record) is not None:
        return None
    for where in _RESPONSES:
        response = value_at(record, where)
        if not is_object(response) or not is_list(response.get("output")):
            continue
        request = next((path for path in _REQUESTS if is_object(value_at(record, path))), ())
        if request == _REQUESTS[0] or response.get("object") == "response" or _has_items(response["output"]):
            output = (*where, "output")
            nested = bool(response["output"]) and all(is_list(state) for state in response["output"])
            roots: list[Path] = [(*output, i) for i in range(len(response["output"]))] if nested else [output]
            states = [_items(root, value_at(record, root), "assistant") for root in roots]
            return _laid_out(record, (request, where), (*request, "input"), states)
    for where in _LISTS:
        items = value_at(record, where)
        if is_list(items) and _has_items(items):
            return _laid_out(record, ((),), where, [])
    return None


def _has_items(listed: list[Any]) -> bool:
    if listed and all(is_list(state) for state in listed):
        return any(_has_items(state) for state in listed)
    objects = [item for item in listed if is_object(item)]
    return any(isinstance(o.get("role"), str) or _kind(o) in ITEM_TYPES for o in objects)


def _kind(item: dict[str, Any]) -> str:
    kind: Any = item.get("type", "message" if "role" in item else "")
    return kind if isinstance(kind, str) else repr(kind)


def _laid_out(record: Any, holders: tuple[Path, ...], given: Path, states: list[list[Item]]) -> _Record:
    """The first of the holders that has tools, or instructions, gives them: the response only echoes its request."""
    held = [(path, fields) for path in holders if is_object(fields := value_at(record, path))]
    prompts = [_items((*path, "instructions"), fields.get("instructions"), "system") for path, fields in held]
    names = [sample_id(fields) for fields in (record, *(fields for _, fields in held)) if is_object(fields)]
    return _Record(
        prompt=next(filter(None, prompts), list[Item]()),
        given=_items(given, value_at(record, given), "user"),
        states=states,
        tools=next((fields["tools"] for _, fields in held if fields.get("tools")), None),
        name=next(filter(None, names), None),
    )


def _items(place: Path, value: Any, role: str) -> list[Item]:
    if is_list(value):
        return [((*place, i), item) for i, item in enumerate(value)]
    if isinstance(value, str):
        return [(place, {"role": role, "content": value})] if value else []
    return [] if value is None else [(place, value)]


def events(record: Any) -> list[Path]:
    """Each item of the instructions, the input and the output is an event."""
    found = _record(record)
    lists = [found.prompt, found.given, *found.states] if found else []
    return [place for items in lists for place, _ in items]


def read(record: Any) -> Reading:
    """One sample; the reasoning, text and calls between two inputs to the model are one assistant turn.

    Whitespace-only text of the assistant is left out: it is what a server's parser leaves of the template's own line
    breaks between reasoning and calls. An output that begins with the whole input, or with the whole output before it
    (aviary's list of lists), repeats it: the repetition is merged.
    """
    found = _record(record)
    if found is None:
        return Reading()
    said: list[Item] = []
    aside: list[Event] = []
    for state in found.states:
        if not _repeats(state, said):
            fix = "keep only the output that the model was shown last"
            return Reading(
                refusal=Finding(state[0][0] if state else (), "an output does not continue the one before", fix)
            )
        aside += [Event(place, "merged", "repeated by the output after it") for place, _ in said]
        said = state
    if found.given and _repeats(said, found.given):
        aside += [Event(place, "merged", "repeats the input") for place, _ in said[: len(found.given)]]
        said = said[len(found.given) :]
    messages: list[Message] = []
    origins: list[Path] = []
    for place, item in (*found.prompt, *found.given, *said):
        if not is_object(item):
            fault = Finding(place, f"an item is {type(item).__name__}, not an object", "write {type, role, content}")
            return Reading(refusal=fault)
        made = _message(place, item)
        if isinstance(made, Event):
            aside.append(made)
            continue
        whole = joined(messages[-1], made) if messages else None
        if whole:
            messages[-1] = whole
            aside.append(Event(place, "merged", "part of the assistant turn that begins before it"))
        else:
            messages.append(made)
            origins.append(place)
    if not messages:
        return Reading(refusal=Finding((), "no item is a turn of a chat", "give at least one message"))
    return Reading([Conversation(sample(messages, found.tools, found.name), origins)], aside)


def _repeats(items: list[Item], start: list[Item]) -> bool:
    """True if the items begin with those of `start`, whatever ids and status they carry."""
    return [_gist(item) for _, item in items[: len(start)]] == [_gist(item) for _, item in start]


def _gist(item: Any) -> Any:
    return [_kind(item), text(item.get("content")), *(item.get(key) for key in _GIST)] if is_object(item) else item


def _message(place: Path, item: dict[str, Any]) -> Message | Event:
    """The message that an item is, or is a part of; an event where it is none."""
    kind = _kind(item)
    if kind in _CALLS:
        made = call(item.get("name"), item.get(_CALLS[kind]), item.get("call_id") or item.get("id"))
        return {"role": "assistant", "content": "", "tool_calls": [made]}
    if kind in _RESULTS:
        return message({"role": "tool", "content": item.get("output"), "tool_call_id": item.get("call_id")})
    if kind == "reasoning":
        thought = _thought(item)
        if thought:
            return {"role": "assistant", "content": "", "reasoning_content": thought}
        hidden = bool(item.get("encrypted_content"))
        return Event(
            place, "dropped", "reasoning that is encrypted" if hidden else "reasoning without text", loses=hidden
        )
    if kind != "message":
        return Event(place, "dropped", f"an item of type {kind!r} has no place in a chat", loses=True)
    made = message(item)
    content: Any = made.get("content")
    said_nothing = isinstance(content, str) and not content.strip() and set(made) == {"role", "content"}
    if made.get("role") == "assistant" and said_nothing:
        return Event(place, "dropped", "text of the assistant that is only whitespace")
    return made


def _thought(item: dict[str, Any]) -> str:
    """The text of a reasoning item: `content` if it has any, else `summary`, which is the whole of it in vLLM's."""
    for key in ("content", "summary"):
        parts: Any = item.get(key)
        listed: list[Any] = parts if is_list(parts) else [{"text": parts}]
        texts = [part["text"] for part in listed if is_object(part) and isinstance(part.get("text"), str)]
        if any(texts):
            return "\n".join(texts)
    return ""


FORMAT = Format(
    name="responses",
    title="OpenAI Responses items: NeMo-Gym rollouts, logged responses, lists of items",
    recognises=recognises,
    events=events,
    read=read,
)
