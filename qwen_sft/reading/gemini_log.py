"""The messages of Gemini CLI's sessions, and the conversations that they come to.

Older versions write one object {sessionId, projectHash, messages}, newer ones a line for that without its messages and
one for each message; a message whose calls are done is written again, and the last state counts. A message of the model
holds its text, the summaries of its thoughts, its calls and their results. {"$rewindTo": id} takes messages back, and
{"$set": {messages}} replaces all of them, which begins another sample unless it says the same.

Source: chatRecordingService.ts and sessionUtils.ts of google-gemini/gemini-cli.
"""

import re
from typing import Any

from qwen_sft.format import Event, Reading
from qwen_sft.reading.blocks import Block, tell
from qwen_sft.reading.branches import Thread, Turn, conversations
from qwen_sft.reading.gemini_blocks import block
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call, text

MODELS = ("gemini", "qwen")
_KINDS = (*MODELS, "user", "info", "error", "warning")
_NO_LABELS = frozenset({"messages", "startTime", "lastUpdated", "directories", "memoryScratchpad"})
_COMMAND = re.compile(r"\s*[/?]")


def is_head(value: Any) -> bool:
    """True for a session, or the first line of one."""
    return is_object(value) and isinstance(value.get("sessionId"), str) and isinstance(value.get("projectHash"), str)


def is_message(value: Any) -> bool:
    """True for a message of a session."""
    return is_object(value) and value.get("type") in _KINDS and value.keys().isdisjoint({"role", "message", "uuid"})


def lines(record: Any) -> list[tuple[Path, Any]]:
    """The lines or messages of a record, and their places."""
    if is_list(record):
        return [((i,), line) for i, line in enumerate(record)]
    told: Any = record.get("messages")
    return [(("messages", i), line) for i, line in enumerate(told)] if is_list(told) else [((), record)]


def unfolded(at: Path, line: Any) -> list[tuple[Path, Any]]:
    """A line, or the messages that it sets."""
    told: Any = line.get("$set") if is_object(line) else None
    if is_object(told) and is_list(told.get("messages")) and told["messages"]:
        return [((*at, "$set", "messages", i), message) for i, message in enumerate(told["messages"])]
    return [(at, line)]


def places(at: Path, message: Any) -> list[Path]:
    """The events of a message: the parts of its content (the content, if that is a text), thoughts, calls, results."""
    if not is_message(message):
        return [at]
    made: list[Path] = []
    for key in ("thoughts", "content", "toolCalls"):
        given: Any = message.get(key)
        made += [(*at, key, i) for i in range(len(given))] if is_list(given) else []
        if key == "content" and given not in (None, "") and not is_list(given):
            made.append((*at, key))
    calls: Any = message.get("toolCalls")
    for i, one in enumerate(calls if is_list(calls) else []):
        made += [(*at, "toolCalls", i, "result")] if is_object(one) and one.get("result") not in (None, []) else []
    return made or [at]


class Session:
    """The messages of a session while they are put in order."""

    def __init__(self, record: Any) -> None:
        self._lines = lines(record)
        self._head: Any = record[0] if is_list(record) else record
        self._states: dict[Any, tuple[Path, Any]] = {}  # of each message the last one
        for at, line in self._lines:
            if is_list(record) and is_message(line) and isinstance(line.get("id"), str):
                self._states[line["id"]] = (at, line)
        self._thread = Thread()
        self._said: list[tuple[Any, Turn | None]] = []  # of each message that the model sees next, and its turn
        self._aside: list[Event] = []

    def read(self) -> Reading:
        """The samples, and the fate of every event."""
        begun: set[str] = set()
        for number, (at, line) in enumerate(self._lines):
            below = self._lines[number + 1][1] if number + 1 < len(self._lines) else None
            inner = unfolded(at, line)
            if inner[0][0] != at:
                self._replace(inner)
            elif is_message(line):
                name: Any = line.get("id")
                tracked = isinstance(name, str) and name in self._states
                place, state = self._states[name] if tracked else (at, line)
                if place != at:
                    self._drop(at, line, "an earlier state of a message that a later line holds")
                if not tracked or name not in begun:
                    begun.add(str(name))
                    self._message(place, state, below)
            else:
                self._note(at, line)
        labels = metadata(self._thread.labels, self._head, without=_NO_LABELS)
        name = self._head.get("sessionId") if is_object(self._head) else None
        made, rest = conversations(self._thread.turns, name if isinstance(name, str) else None, labels)
        if not made:
            return refused((), "no message of the session is a model's answer", "leave the session out")
        return Reading(made, [*self._aside, *rest])

    def _drop(self, at: Path, message: Any, reason: str, *, loses: bool = False) -> None:
        self._aside += [Event(place, "dropped", reason, loses) for place in places(at, message)]

    def _note(self, at: Path, line: Any) -> None:
        if is_object(line) and "$rewindTo" in line:
            ids = [name for name, _ in self._said]
            kept = ids.index(line["$rewindTo"]) if line["$rewindTo"] in ids else 0
            self._said = self._said[:kept]
            self._drop(at, line, "the session goes back to an earlier message")
        elif is_object(line) and (is_head(line) or "$set" in line):
            self._drop(at, line, "labels of the session")
        else:
            self._drop(at, line, "no message of a session", loses=is_object(line) and "content" in line)

    def _tip(self) -> Turn | None:
        return self._said[-1][1] if self._said else None

    def _message(self, at: Path, message: dict[str, Any], below: Any) -> None:
        why = _unseen(message, below)
        if why:
            self._drop(at, message, why)
            self._said.append((message.get("id"), self._tip()))
        else:
            self._say(message, _story(at, message, self._tip()))

    def _say(self, message: dict[str, Any], story: Story, *, restarts: bool = False) -> None:
        if not story.messages:
            self._aside += story.aside
            return
        turn = self._thread.say(self._tip(), restarts=restarts)
        turn.story = story
        self._said.append((message.get("id"), turn))
        if isinstance(message.get("model"), str):
            self._thread.labels.setdefault("model", message["model"])

    def _replace(self, given: list[tuple[Path, Any]]) -> None:
        """Another history: what it has in common with the one before is told already, the rest is told anew."""
        before = [entry for entry in self._said if entry[1] is not None]
        self._said = []
        for number, (at, message) in enumerate(given):
            if not is_message(message):
                self._drop(at, message, "no message of a session")
                continue
            below = given[number + 1][1] if number + 1 < len(given) else None
            why = _unseen(message, below)
            if why:
                self._drop(at, message, why)
                continue
            story = _story(at, message, self._tip())
            known = before.pop(0) if before else None
            if known and known[1] and (not story.messages or known[1].story.messages == story.messages):
                before = [known, *before] if not story.messages else before
                self._said += [known] if story.messages else []
                self._aside += [Event(place, "merged", "repeats a message") for place in places(at, message)]
                continue
            before = []
            self._say(message, story, restarts=known is not None)


def _unseen(message: dict[str, Any], below: Any) -> str | None:
    """Why the model did not see a message; None if it did."""
    kind = message["type"]
    if kind not in (*MODELS, "user"):
        return f"a message of type {kind!r}, which only the screen shows"
    first: Any = next(iter(_listed(message.get("content"))), None)
    opening: Any = first.get("text") if is_object(first) else first
    answered = is_object(below) and below.get("type") in MODELS
    if kind == "user" and not answered and isinstance(opening, str) and _COMMAND.match(opening):
        return "a command of the program, which no model answered"
    return None


def _story(at: Path, message: dict[str, Any], previous: Turn | None) -> Story:
    """The turns that a message holds."""
    story = Story()
    content: Any = message.get("content")
    stands: list[Path] = [(*at, "content", i) for i in range(len(content))] if is_list(content) else [(*at, "content")]
    role = "user" if message["type"] == "user" else "assistant"
    blocks = [block(place, part, role) for place, part in zip(stands, _listed(content), strict=False)]
    if message["type"] == "user":
        told = [one.get("tool_call_id") for one in previous.story.messages] if previous else []
        again = [one for one in blocks if one.kind == "result" and one.value.get("tool_call_id", told) in told]
        for one in again:
            story.merge(one.place, "repeats a result")
        tell(story, "user", [one for one in blocks if one not in again])
    else:
        told = [*_thoughts(at, message), *blocks]
        if told:
            tell(story, "assistant", told)
        _tools(at, message, story)
    for place in places(at, message):
        story.drop(place, "a message without content")  # nothing happens to those that are told
    return story


def _thoughts(at: Path, message: dict[str, Any]) -> list[Block]:
    """The summaries of a model's thoughts, as the model wrote them: a heading and a text."""
    made: list[Block] = []
    given: Any = message.get("thoughts")
    for i, thought in enumerate(given if is_list(given) else []):
        said = [thought.get(key) for key in ("subject", "description")] if is_object(thought) else []
        texts = [f"**{one}**" if k == 0 else one for k, one in enumerate(said) if isinstance(one, str) and one]
        place = (*at, "thoughts", i)
        made.append(
            Block(place, "reasoning", "\n".join(texts)) if texts else Block(place, "dropped", "an empty thought")
        )
    return made


def _tools(at: Path, message: dict[str, Any], story: Story) -> None:
    """The calls of a message, but for those that its content holds too, and their results."""
    given: Any = message.get("toolCalls")
    calls = given if is_list(given) else []
    known = [one for told in story.messages for one in told.get("tool_calls", [])]
    for i, one in enumerate(calls):
        place = (*at, "toolCalls", i)
        if not is_object(one):
            story.drop(place, "a call that is no object", loses=True)
            continue
        made = call(one.get("name"), one.get("args"), one.get("id"))
        same = next((k for k in known if k == made or ("id" in k and k.get("id") == made.get("id"))), None)
        if same is None:
            story.join(place, {"role": "assistant", "content": "", "tool_calls": [made]})
        else:
            known.remove(same)
            story.merge(place, "repeats a call of the content")
    for i, one in enumerate(calls):
        if is_object(one) and one.get("result") not in (None, []):
            own = [part for part in _listed(one["result"]) if _id(part) == one.get("id")]
            rest = [part for part in _listed(one["result"]) if _id(part) in (None, one.get("id"))]
            message_of_tool = _result(rest if own else _listed(one["result"]), one)
            story.keep((*at, "toolCalls", i, "result"), message_of_tool)


def _result(parts: list[Any], called: dict[str, Any]) -> Message:
    """A tool's message from the parts of its result: the text of responses; other parts, such as images, stay."""
    made: list[Any] = []
    for part in parts:
        told = block((), part, "user")
        content: Any = told.value.get("content") if told.kind == "result" else told.value
        made += (
            content
            if is_list(content)
            else [{"type": "text", "text": content} if isinstance(content, str) else content]
        )
    message: Message = {"role": "tool", "content": text(made)}
    if called.get("id") not in (None, ""):
        message["tool_call_id"] = called["id"]
    if called.get("name") not in (None, ""):
        message["name"] = called["name"]
    return message


def _listed(content: Any) -> list[Any]:
    """The parts of a content that is a list of them, one of them, or a text."""
    return content if is_list(content) else [] if content in (None, "") else [content]


def _id(part: Any) -> Any:
    """The id of the call that a part answers; None for a part that answers none."""
    told: Any = part.get("functionResponse") if is_object(part) else None
    return told.get("id") if is_object(told) else None
