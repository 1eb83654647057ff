"""LangChain messages and LangGraph streams, however they were serialised.

A message is {lc: 1, type: "constructor", id: [..., "AIMessage"], kwargs} (dumps), {type: "ai", data} (messages_to_dict)
or {type: "ai", content, ...} (model_dump). Content may be text or blocks in the provider's own shape, which repeat the
calls of `tool_calls`; a call whose arguments were no JSON stands in `invalid_tool_calls`. Reasoning is a block, or
stands in `additional_kwargs`. In streams, chunks and snapshots of the state say the same thing several times.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.langgraph import Seen, event_of, joined_chunks, messages_in
from qwen_sft.reading.lc_messages import about, fields_of, other, said
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS, sample_id

_STATE_KEYS = ("values", "state", "output", "outputs", "result")
_NOTHING: Message = {"role": "assistant", "content": ""}
_ELSEWHERE = "a message that is in no state of the stream, such as a sub-graph's"
_NO_LABELS = frozenset({*ID_KEYS, "thread_id", "event", "lc", "type"})


def _listed(record: Any) -> tuple[Path, list[Any]] | None:
    """The messages of a record: a list of them, one alone, or those of a state."""
    if fields_of(record):
        return (), [record]
    if is_list(record):
        return ((), record) if record and all(map(fields_of, record)) else None
    if not is_object(record) or "run_type" in record:  # a run of LangSmith's, whose outputs are a state
        return None
    holders: list[tuple[Path, Any]] = [((), record), *(((key,), record.get(key)) for key in _STATE_KEYS)]
    for at, holder in holders:
        listed: Any = holder.get("messages") if is_object(holder) else None
        if is_list(listed) and listed and all(map(fields_of, listed)):
            return (*at, "messages"), listed
    return None


def _stream(record: Any) -> tuple[bool, list[Any]] | None:
    """The events of a stream, and whether the record is the only one."""
    if _holds(record):
        return True, [record]
    if is_list(record) and record and all(map(event_of, record)) and any(map(_holds, record)):
        return False, record
    return None


def _holds(item: Any) -> bool:
    """True for an event of a stream that begins with a message of LangChain."""
    if event_of(item) is None:
        return False
    return any(fields_of(given) is not None for _, given, _ in messages_in(item))


def recognises(record: Any) -> bool:
    """Messages of LangChain, or events of a LangGraph stream."""
    return _listed(record) is not None or _stream(record) is not None


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Messages follow messages, and events of a stream events; a stream may begin with any of its events."""
    if gathered and fields_of(gathered[0]):
        return fields_of(line) is not None
    if gathered and not event_of(gathered[0]):
        return False
    if gathered or is_list(line):
        return event_of(line) is not None
    started = event_of(line) is not None and is_object(line["data"]) and "run_id" in line["data"]
    return started or _holds(line) or fields_of(line) is not None


def events(record: Any) -> list[Path]:
    """Each message and each part of its content; of a stream, each message of each event, or the event."""
    if (stream := _stream(record)) is not None:
        return [place for i, item in enumerate(stream[1]) for place in _places(() if stream[0] else (i,), item)]
    found = _listed(record)
    if found is None:
        return []
    places: list[Path] = []
    for i, given in enumerate(found[1]):
        place: Path = found[0] if given is record else (*found[0], i)
        fields = fields_of(given)
        content: Any = fields[1].get("content") if fields else None
        n_parts = len(content) if is_list(content) else 0
        places += [place, *((*place, *(fields[2] if fields else ()), "content", k) for k in range(n_parts))]
    return places


def _places(at: Path, item: Any) -> list[Path]:
    inside = [(*at, *place) for place, _, _ in messages_in(item)]
    return inside or [at]


def read(record: Any) -> Reading:
    """One sample of a list of messages; of a stream, one for each history that its states show."""
    if (stream := _stream(record)) is not None:
        return _read_stream(*stream)
    found = _listed(record)
    if found is None:
        return refused((), "no message of LangChain", "give a list of messages")
    story = Story()
    for i, given in enumerate(found[1]):
        _tell(story, found[0] if given is record else (*found[0], i), given, parts=True)
    labels = metadata(record, without=_NO_LABELS) if is_object(record) and not fields_of(record) else {}
    answers = [fields[1] for given in found[1] if (fields := fields_of(given)) and fields[0] == "ai"]
    declared, told = about(answers)
    if is_object(record) and record.get("tools"):
        declared = record["tools"]
    name = sample_id(record) or _thread(record) if is_object(record) and not fields_of(record) else None
    return story.reading(declared, name, {**labels, **told})


def _thread(record: dict[str, Any]) -> str | None:
    return record["thread_id"] if isinstance(record.get("thread_id"), str) else None


def _read_stream(single: bool, items: list[Any]) -> Reading:
    seen: dict[str, Seen] = {}
    states: list[list[str]] = []
    silent = Story()
    for i, item in enumerate(items):
        at: Path = () if single else (i,)
        inside = list(messages_in(item))
        if not inside:
            silent.drop(at, "an event of the stream without a message")
        keys: list[str] = []
        for place, given, chunk in inside:
            keys.append(_key(given))
            one = seen.setdefault(keys[-1], Seen())
            one.places.append((*at, *place))
            if chunk:
                one.chunks.append(given)
            else:
                one.wholes.append(given)
        mode = event_of(item)
        if mode and mode[0] == "values" and keys:
            states = [*(states[:-1] if states and keys[: len(states[-1])] == states[-1] else states), keys]
    shown = {key for state in states for key in state}
    last = max((one.places[-1] for key, one in seen.items() if key in shown), default=())
    behind = [key for key, one in seen.items() if key not in shown and one.places[0] > last]
    histories = [*states[:-1], [*(states[-1] if states else []), *behind]]
    told: list[Story] = []
    for history in histories:
        story = Story()
        for key in history:
            _tell(story, seen[key].places[0], _whole(seen[key]), parts=False)
        told.append(story)
    for key, one in seen.items():
        for place in one.places:
            if key not in shown and key not in behind:
                alone = Story()
                _tell(alone, place, _whole(one), parts=False)
                says = [told for told in alone.messages if told != _NOTHING]
                silent.drop(place, _ELSEWHERE if says else "a piece that says nothing", loses=bool(says))
            elif place != one.places[0]:
                silent.merge(place, "the same message once more, or a piece of it")
    made = [
        story.conversation(*_labels_of(history, seen, behind if k == len(told) - 1 and states else []), rebuilt=True)
        for k, (story, history) in enumerate(zip(told, histories, strict=True))
        if story.messages
    ]
    if not made:
        return refused((), "no event of the stream holds a turn of a chat", "record it with stream_mode values")
    aside = [*silent.aside, *(event for story in told for event in story.aside)]
    return Reading(made, list({event.path: event for event in aside}.values()))


def _labels_of(history: list[str], seen: dict[str, Seen], behind: list[str]) -> tuple[Any, None, dict[str, Any]]:
    wholes = [fields_of(_whole(seen[key])) for key in history]
    declared, labels = about([one[1] for one in wholes if one and one[0] == "ai"])
    last = wholes[-1] if wholes else None
    if behind and last and last[0] == "ai":
        labels = {**labels, "finish_reason": "unfinished"}
    return declared, None, labels


def _whole(one: Seen) -> Any:
    """A message as a state has it, or as its chunks come to."""
    if one.wholes:
        return one.wholes[-1]
    fields = [found for chunk in one.chunks if (found := fields_of(chunk))]
    if not fields:
        return one.chunks[0]
    return {
        "lc": 1,
        "type": "constructor",
        "id": [fields[0][0]],
        "kwargs": joined_chunks([found[1] for found in fields]),
    }


def _key(given: Any) -> str:
    fields = fields_of(given)
    own: Any = fields[1].get("id") if fields else None
    return own if isinstance(own, str) and own else repr(given)


def _tell(story: Story, place: Path, given: Any, *, parts: bool) -> None:
    """Adds a message to a story; with `parts`, the parts of its content are events of their own."""
    found = fields_of(given)
    if found is None:
        story.keep(place, {"role": "unknown", "content": given})
        return
    kind, fields, at = found
    content: Any = fields.get("content")
    inside = [(*place, *at, "content", k) for k in range(len(content) if is_list(content) else 0)] if parts else []
    if kind == "remove":
        for one in [place, *inside]:
            story.drop(one, "takes a message out of the state")
        return
    if kind != "ai":
        story.keep(place, other(kind, fields))
    else:
        lost, pieces = said(fields)
        story.keep(place, pieces[0])
        for piece in pieces[1:]:
            story.join(place, piece)
        for k in lost if parts else []:
            story.drop(inside[k], "reasoning that is encrypted", loses=True)
    for one in inside:
        story.merge(one, "a part of its message")


FORMAT = Format(
    name="langchain",
    title="LangChain messages (dumps, dicts, model_dump) and LangGraph streams of values, updates and chunks",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
)
