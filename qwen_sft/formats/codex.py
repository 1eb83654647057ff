"""Codex CLI rollouts (~/.codex/sessions/**/rollout-*.jsonl): lines of {timestamp, type, payload}.

Only `response_item` carries the conversation, in items of the Responses API; `event_msg` repeats its words for the
screen. `session_meta` holds the base instructions, which the model saw as its system prompt. After `compacted` the
model saw a new history, and after a rollback less of the old one: what follows is a sample of its own. Tools are not
recorded, but for those that a client added (`dynamic_tools`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.api import Turns
from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import sample
from qwen_sft.reading.items import Item, output_text, turns
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import refused
from qwen_sft.sample import Path, is_list, is_object, value_at
from qwen_sft.text.normalize import text

_TYPES = ("session_meta", "turn_context", "response_item", "event_msg", "compacted")
_ECHOES = ("user_message", "agent_message", "agent_reasoning", "agent_reasoning_raw_content")
_NO_LABELS = frozenset({"id", "session_id", "timestamp", "instructions", "turn_id"})
_HISTORY = "replacement_history"


def _is_line(value: Any) -> bool:
    given: Any = value.get("type") if is_object(value) else None
    return isinstance(given, str) and given in _TYPES and is_object(value.get("payload"))


def _lines(record: Any) -> list[Item]:
    """The lines of a rollout with their places; none where the record is no rollout."""
    if _is_line(record):
        return [((), record)]
    if is_list(record) and record and all(map(_is_line, record[:2])):
        return [((i,), line) for i, line in enumerate(record)]
    return []


def recognises(record: Any) -> bool:
    """Lines with a payload, of the types that a rollout has."""
    return bool(_lines(record))


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Every line goes on with the session, but the first of another one; a fork holds its parent's first line too."""
    if not gathered:
        return _is_line(line)
    first: Any = gathered[0]
    if not _is_line(first) or not is_object(line) or not is_object(line.get("payload")):
        return False
    if line.get("type") != "session_meta":
        return isinstance(line.get("type"), str)
    begun: dict[str, Any] = first["payload"]
    return bool(begun.get("forked_from_id")) or begun.get("id") == line["payload"].get("id")


def events(record: Any) -> list[Path]:
    """Each line is an event; of a line with a new history, each of its items."""
    made: list[Path] = []
    for place, line in _lines(record):
        made += [at for at, _ in _history(place, line)] or [place]
    return made


def _history(place: Path, line: Any) -> list[Item]:
    listed: Any = value_at(line, ("payload", _HISTORY)) if _is_line(line) and line["type"] == "compacted" else None
    return [((*place, "payload", _HISTORY, i), item) for i, item in enumerate(listed if is_list(listed) else [])]


@dataclass(slots=True)
class _Session:
    """A rollout while it is read.

    Attributes:
        items: what the model sees now; None where that is not recorded.
        is_new: True if an item was added since the history began.
        done: the histories before a compaction or a rollback.
    """

    items: list[Item] | None = field(default_factory=list[Item])
    is_new: bool = False
    done: list[list[Item]] = field(default_factory=list[list[Item]])
    aside: list[Event] = field(default_factory=list[Event])
    spoken: list[str] = field(default_factory=list[str])

    def add(self, place: Path, item: Any) -> None:
        """The model saw or said an item."""
        if item.get("type") == "ghost_snapshot":
            self.drop(place, "a snapshot of the working tree")
        elif self.items is None:
            self.drop(place, "behind a compaction whose new history is not recorded", loses=True)
        else:
            output = {"output": output_text(item["output"])} if "output" in item else {}
            self.items.append((place, {**item, **output}))
            self.is_new = True

    def drop(self, place: Path, reason: str, *, loses: bool = False) -> None:
        """A line is left out."""
        self.aside.append(Event(place, "dropped", reason, loses))

    def restart(self, items: list[Item] | None) -> None:
        """The model sees another history from now on."""
        if self.items is not None and self.is_new:
            self.done.append(self.items)
        elif self.items is not None:
            known = {place for kept in self.done for place, _ in kept}
            self.aside += [
                Event(place, "dropped", "a history that no model was asked with")
                for place, _ in self.items
                if place not in known
            ]
        self.items, self.is_new = items, False

    def roll_back(self, n_turns: Any) -> None:
        """The last turns of the user, and what followed them, are taken out of the history."""
        if self.items is None or not isinstance(n_turns, int) or n_turns < 1:
            return
        asked = [i for i, (_, item) in enumerate(self.items) if _asks(item, self.spoken)]
        if asked:
            self.restart(self.items[: asked[-min(n_turns, len(asked))]])


def _asks(item: Any, spoken: Sequence[str]) -> bool:
    return item.get("role") == "user" and text(item.get("content")) in spoken


def read(record: Any) -> Reading:
    """One sample for each history that the model was asked with."""
    session, labels = _Session(), list[dict[str, Any]]()
    lines = _lines(record)
    for place, line in lines:
        given: str = line["type"] if _is_line(line) else ""
        payload: Any = line["payload"] if given else None
        if given == "response_item":
            session.add(place, payload)
        elif given == "compacted":
            history = _history(place, line)
            odd = next((at for at, item in history if not is_object(item)), None)
            if odd is not None:
                return refused(odd, "an item is no object", "write {type, role, content}")
            session.restart(history or None)
            if not history:
                session.drop(place, "a summary in place of a history that is not recorded", loses=True)
        elif given == "event_msg":
            _told(session, place, payload)
        elif given:
            labels.append(payload)
            if given == "turn_context" or place != lines[0][0]:
                session.drop(place, "settings of the session")
        else:
            session.drop(place, "a line of a type that is not known", loses=True)
    session.restart(None)
    return _reading(session, lines[0] if lines else ((), None), labels)


def _told(session: _Session, place: Path, payload: dict[str, Any]) -> None:
    given: Any = payload.get("type")
    if given in _ECHOES:
        session.aside.append(Event(place, "merged", "repeats an item for the screen"))
        if given == "user_message" and isinstance(payload.get("message"), str):
            session.spoken.append(payload["message"])
        return
    if given == "thread_rolled_back":
        session.roll_back(payload.get("num_turns"))
    session.drop(place, "an event for the screen")


def _reading(session: _Session, first: Item, labels: list[dict[str, Any]]) -> Reading:
    place, line = first
    meta: dict[str, Any] = line["payload"] if _is_line(line) and line["type"] == "session_meta" else {}
    aside = list(session.aside)
    system = _instructions(meta, session.done)
    if meta and not (system and session.done):
        aside.append(Event(place, "dropped", "settings of the session"))
    told = metadata(meta, *reversed(labels), without=_NO_LABELS)
    name = meta.get("id")
    made: list[Conversation] = []
    for n, items in enumerate(session.done, start=1):
        said = turns(([(place, {"role": "system", "content": system})] if system else []) + items)
        if said.refusal:
            return Reading(refusal=said.refusal)
        aside += said.aside
        if any(turn.get("role") != "system" for turn in said.messages):
            named = f"{name}-{n}" if n > 1 and name else name
            one = sample(said.messages, _tools(meta), named if isinstance(named, str) else None, told)
            made.append(Conversation(one, said.origins))
        else:
            aside += _left(said)
    if not made:
        return refused((), "no line of the rollout is a turn of a chat", "give at least one response_item of a message")
    kept = {origin for conversation in made for origin in conversation.origins}
    return Reading(made, list({event.path: event for event in aside if event.path not in kept}.values()))


def _left(said: Turns) -> list[Event]:
    return [Event(place, "dropped", "a history without a turn") for place in said.origins]


def _instructions(meta: dict[str, Any], histories: list[list[Item]]) -> str:
    """The system prompt; older versions have the user's instructions there, which an item repeats."""
    base: Any = meta.get("base_instructions")
    base = base.get("text") if is_object(base) else base
    if isinstance(base, str) and base:
        return base
    given: Any = meta.get("instructions")
    if not isinstance(given, str) or not given.strip():
        return ""
    seen = [text(item.get("content")) for items in histories for _, item in items]
    return "" if any(isinstance(one, str) and given.strip() in one for one in seen) else given


def _tools(meta: dict[str, Any]) -> list[Any] | None:
    listed: Any = meta.get("dynamic_tools")
    if not is_list(listed) or not listed:
        return None
    named = {"inputSchema": "parameters", "input_schema": "parameters"}
    return [{named.get(key, key): tool[key] for key in tool} if is_object(tool) else tool for tool in listed]


FORMAT = Format(
    name="codex",
    title="Codex CLI rollouts: lines of session_meta, response_item, event_msg and their like",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"payload"}),
)
