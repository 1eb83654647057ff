"""OpenHands: event logs of both versions (alone, or as `history` of an evaluation's output), and logs of completions.

What the events are, and how they become conversations: reading.openhands_log. A completion's log is one request with
its answer; where the calls were sent as text, the log has them as calls too (`fncall_messages`), and these are read.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import message, sample
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.openhands_log import Log, entries
from qwen_sft.reading.story import refused
from qwen_sft.sample import Path, is_list, is_object, value_at
from qwen_sft.text.normalize import sample_id

_SOURCES = ("user", "agent", "environment", "hook")
_KINDS = ("Event", "Observation", "Condensation", "CondensationRequest", "CondensationSummaryEvent")


def _is_event(value: Any) -> bool:
    if not is_object(value) or value.get("source") not in _SOURCES or "role" in value:
        return False
    if isinstance(value.get("action"), str) and "kind" not in value:
        return is_object(value.get("args"))
    if isinstance(value.get("observation"), str):
        return "content" in value or is_object(value.get("extras"))
    return isinstance(value.get("kind"), str) and value["kind"].endswith(_KINDS)


def _is_completion(record: Any) -> bool:
    if not is_object(record) or not is_list(record.get("messages")) or not (is_object(record.get("kwargs"))):
        return False
    return is_object(_answer(record, "response"))


def _answer(record: dict[str, Any], key: str) -> Any:
    choices: Any = value_at(record, (key, "choices"))
    return value_at(choices, (0, "message")) if is_list(choices) else None


def recognises(record: Any) -> bool:
    """Events, an output with a history of them, or the log of a completion."""
    if is_list(record):
        return bool(record) and _is_event(record[0])
    if not is_object(record):
        return False
    history: Any = record.get("history")
    if is_list(history) and history:
        first: Any = history[0][0] if is_list(history[0]) and history[0] else history[0]
        return _is_event(first)
    return _is_event(record) or _is_completion(record)


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Events whose numbers go on, or that have none."""
    if not _is_event(line):
        return False
    if not gathered:
        return True
    if line.get("kind") == "SystemPromptEvent":
        return False
    before, own = gathered[-1].get("id"), line.get("id")
    return own > before if isinstance(before, int) and isinstance(own, int) else True


def events(record: Any) -> list[Path]:
    """Each event; of a completion's log each message, in each of its forms."""
    if not _is_completion(record):
        return [place for place, _ in entries(record)]
    keys = [key for key in ("messages", "fncall_messages") if is_list(record.get(key))]
    answers = [key for key in ("response", "fncall_response") if is_object(_answer(record, key))]
    asked: list[Path] = [(key, i) for key in keys for i in range(len(record[key]))]
    return [*asked, *((key, "choices", 0, "message") for key in answers)]


def read(record: Any) -> Reading:
    """The conversation of a log; a condensation begins another sample."""
    return _completion(record) if _is_completion(record) else Log(record).read()


def _completion(record: dict[str, Any]) -> Reading:
    structured = is_list(record.get("fncall_messages")) and is_object(_answer(record, "fncall_response"))
    asked, answered = ("fncall_messages", "fncall_response") if structured else ("messages", "response")
    origins: list[Path] = [*((asked, i) for i in range(len(record[asked]))), (answered, "choices", 0, "message")]
    given = [value_at(record, place) for place in origins]
    for place, one in zip(origins, given, strict=True):
        if not is_object(one):
            return refused(place, f"a turn is {type(one).__name__}, not an object", "write {role, content}")
    labels = metadata(
        {"cost": record.get("cost"), "model": value_at(record, (answered, "model"))},
        {"finish_reason": value_at(record, (answered, "choices", 0, "finish_reason"))},
    )
    told = [
        message({"role": "assistant", **one} if place[0] == answered else one)
        for place, one in zip(origins, given, strict=True)
    ]
    rest = [place for place in events(record) if place not in origins]
    tools = next((t for t in (value_at(record, ("kwargs", "tools")), record.get("tools")) if is_list(t)), None)
    made = Conversation(sample(told, tools, sample_id(record), labels), origins)
    return Reading([made], [Event(place, "merged", "the same turn with its calls as text") for place in rest])


FORMAT = Format(
    name="openhands",
    title="OpenHands: event logs, evaluation outputs with a history of events, logs of completions",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"source", "history", "kwargs"}),
)
