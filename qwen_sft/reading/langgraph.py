"""LangGraph streams: which messages they come to, and from which events.

A stream is a list of [mode, payload] (or [namespace, mode, payload], or the server's {event, data}). `values` holds the
whole state so far, `updates` what a node added, `messages` one chunk or message with its metadata, `messages/partial`
a message as far as it has come. The modes say the same thing several times: a message is known by its id.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.sample import Path, is_list, is_object

MODES = frozenset({"values", "updates", "messages", "messages-tuple", "messages/partial", "messages/complete"})
"""The modes that hold messages."""

SILENT = frozenset({"metadata", "messages/metadata", "custom", "debug", "tasks", "checkpoints", "events", "end"})
"""The modes that hold none, or the same once more."""


@dataclass(slots=True)
class Seen:
    """One message of a stream: as states have it (the last counts), or in chunks, and each place that tells it."""

    wholes: list[Any] = field(default_factory=list[Any])
    chunks: list[Any] = field(default_factory=list[Any])
    places: list[Path] = field(default_factory=list[Path])


def event_of(item: Any) -> tuple[str, Any, Path] | None:
    """The mode and the payload of an event of a stream, and where in it the payload stands."""
    if is_list(item) and 2 <= len(item) <= 3 and isinstance(item[-2], str) and item[-2] in MODES | SILENT:
        if len(item) == 3 and not (is_list(item[0]) and all(isinstance(one, str) for one in item[0])):
            return None
        return item[-2], item[-1], (len(item) - 1,)
    if is_object(item) and isinstance(item.get("event"), str) and item["event"] in MODES | SILENT and "data" in item:
        return item["event"], item["data"], ("data",)
    return None


def messages_in(item: Any) -> Iterator[tuple[Path, Any, bool]]:
    """The place in an event of each message that it holds, the message, and whether it is one chunk of it."""
    found = event_of(item)
    if found is None or found[0] not in MODES:
        return
    mode, payload, at = found
    if mode in ("messages", "messages-tuple"):
        yield at, payload[0] if is_list(payload) and payload else payload, True
        return
    states: list[tuple[Path, Any]] = [(at, payload)]
    if mode == "updates" and is_object(payload):
        states = [((*at, node), state) for node, state in payload.items()]
    for place, state in states:
        here, listed = (place, state) if is_list(state) else ((*place, "messages"), _listed(state))
        for i, given in enumerate(listed):
            yield (*here, i), given, False


def _listed(state: Any) -> list[Any]:
    listed: Any = state.get("messages") if is_object(state) else None
    return listed if is_list(listed) else [listed] if is_object(listed) else []


def joined_chunks(chunks: list[Mapping[str, Any]]) -> dict[str, Any]:
    """The fields of the message that some chunks come to; calls are put together by their index."""
    whole: dict[str, Any] = {}
    calls: list[dict[str, Any]] = []
    for chunk in chunks:
        for key, value in chunk.items():
            if key == "tool_call_chunks":
                _add_calls(calls, value)
            elif key == "content":
                whole[key] = _added(whole.get(key), value)
            elif key == "additional_kwargs" and is_object(value):
                whole[key] = _merged(before, value) if is_object(before := whole.get(key)) else value
            elif key == "response_metadata" and is_object(value):
                whole[key] = {**before, **value} if is_object(before := whole.get(key)) else value
            elif key not in ("tool_calls", "invalid_tool_calls") and (value is not None or key not in whole):
                whole[key] = value
    if calls:
        whole["tool_calls"] = [{"name": one["name"], "args": "".join(one["args"]), "id": one["id"]} for one in calls]
    elif len(chunks) == 1 and chunks[0].get("tool_calls"):
        whole["tool_calls"] = chunks[0]["tool_calls"]
    return whole


def _add_calls(calls: list[dict[str, Any]], pieces: Any) -> None:
    """A piece belongs to the last call of its index, or without one to the last; another id begins another call."""
    for piece in pieces if is_list(pieces) else []:
        if not is_object(piece):
            continue
        index, own = piece.get("index"), piece.get("id")
        same = [one for one in calls if one["index"] == index] if index is not None else calls[-1:]
        call: dict[str, Any] | None = same[-1] if same else None
        if call is None or (own and call["id"] and own != call["id"]):
            call = {"index": index, "id": None, "name": None, "args": []}
            calls.append(call)
        call["id"] = call["id"] or own
        call["name"] = call["name"] or piece.get("name")
        if isinstance(piece.get("args"), str):
            call["args"].append(piece["args"])


def _added(before: Any, more: Any) -> Any:
    """Two contents as one: texts are put together, parts of one index too."""
    if before is None or before in ("", []):
        return more
    if more is None or more in ("", []):
        return before
    if isinstance(before, str) and isinstance(more, str):
        return before + more
    made: list[Any] = list(before) if is_list(before) else [{"type": "text", "text": before}]
    for part in more if is_list(more) else [{"type": "text", "text": more}]:
        index: Any = part.get("index") if is_object(part) else None
        at = next((k for k, one in enumerate(made) if index is not None and _index(one) == index), None)
        if at is None:
            made.append(part)
        else:
            made[at] = _merged(made[at], part)
    return made


def _index(part: Any) -> Any:
    return part.get("index") if is_object(part) else None


_NAMES = frozenset({"type", "id", "index", "role", "name", "call_id", "format"})
"""Fields that a later piece repeats; all other texts go on."""


def _merged(before: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    made = dict(before)
    for key, value in more.items():
        old = made.get(key)
        if isinstance(old, str) and isinstance(value, str) and key not in _NAMES:
            made[key] = old + value
        elif is_object(old) and is_object(value):
            made[key] = _merged(old, value)
        elif is_list(old) and is_list(value):
            made[key] = _added(old, value)
        elif value is not None or old is None:
            made[key] = value
    return made
