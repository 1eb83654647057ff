"""Qwen Code's sessions (~/.qwen/projects/<project>/chats): lines of Gemini contents that name their parents.

A line of type user, assistant or tool_result holds the content that went over the wire ({role, parts}). Where the user
goes back, lines have another parent (see reading.branches). A compression holds the history that the model sees from
then on: it begins another sample, and what is repeated in it is not trained again. A sub-agent's lines (`isSidechain`)
are a conversation of their own. Neither the system prompt nor the tools are logged.

Source: chatRecordingService.ts and session-api-history.ts of QwenLM/qwen-code.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Event, Format, Reading
from qwen_sft.reading.blocks import Block, tell
from qwen_sft.reading.branches import Thread, Tree, Turn
from qwen_sft.reading.gemini_blocks import block
from qwen_sft.sample import Message, Path, is_list, is_object, value_at

_SPOKEN = ("user", "assistant", "tool_result")
_UNSEEN = ("realtime_message", "code_mode_tool_result")
_HISTORIES = {"chat_compression": "compressedHistory", "agent_bootstrap": "history"}
_LABELS = ("model", "cwd", "gitBranch", "version", "agentName", "sessionId")


def is_line(value: Any) -> bool:
    """True for a line that only Qwen Code writes: a content with parts, or a note with a payload."""
    if not is_object(value) or not isinstance(value.get("sessionId"), str) or "uuid" not in value:
        return False
    if value.get("type") in _SPOKEN:
        return is_list(value_at(value, ("message", "parts"))) or is_object(value.get("toolCallResult"))
    return value.get("type") == "system" and ("systemPayload" in value or _is_content(value.get("message")))


def _is_content(value: Any) -> bool:
    return is_object(value) and is_list(value.get("parts"))


def recognises(record: Any) -> bool:
    """The lines of a session, or one of them."""
    return bool(record) and is_line(record[0]) if is_list(record) else is_line(record)


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """The lines of one session."""
    if not gathered:
        return is_line(line)
    if not is_object(line) or not is_object(gathered[0]) or line.get("sessionId") != gathered[0].get("sessionId"):
        return False
    said: Any = line.get("message")
    return line.get("type") in (*_SPOKEN, "system") and "uuid" in line and (said is None or _is_content(said))


def events(record: Any) -> list[Path]:
    """Each part of a content; the line where it has none."""
    lines = list(enumerate(record)) if is_list(record) else [(None, record)]
    return [place for i, line in lines for place in _places(() if i is None else (i,), line)]


def _contents(at: Path, line: Any) -> list[tuple[Path, Any]]:
    """The contents that a line holds, and their places: its message, or the history of a compression."""
    if not is_object(line):
        return []
    if line.get("type") in _SPOKEN and _is_content(line.get("message")):
        return [((*at, "message"), line["message"])]
    key = _HISTORIES.get(line["subtype"]) if isinstance(line.get("subtype"), str) else None
    history: Any = value_at(line, ("systemPayload", key)) if key and line.get("type") == "system" else None
    root = (*at, "systemPayload", key or "")
    return [((*root, i), one) for i, one in enumerate(history) if _is_content(one)] if is_list(history) else []


def _places(at: Path, line: Any) -> list[Path]:
    found = [(*place, "parts", i) for place, content in _contents(at, line) for i in range(len(content["parts"]))]
    return found or [at]


def read(record: Any) -> Reading:
    """The session's conversation and those of its sub-agents, each a sample; a compression begins another one."""
    return _Session([((i,), line) for i, line in enumerate(record)] if is_list(record) else [((), record)]).read()


class _Session:
    """The lines of a session while they are sorted into conversations."""

    def __init__(self, lines: list[tuple[Path, Any]]) -> None:
        self._lines = lines
        self._tree = Tree(next((line["sessionId"] for _, line in lines if is_line(line)), None))
        self._calls: dict[tuple[Thread, str], Turn] = {}
        self._aside: list[Event] = []

    def read(self) -> Reading:
        for number, (at, line) in enumerate(self._lines):
            if is_object(line):
                below = self._lines[number + 1][1] if number + 1 < len(self._lines) else None
                self._line(at, line, below)
            else:
                self._drop(at, line, "a line that is no object")
        return self._tree.reading(self._aside)

    def _drop(self, at: Path, line: Any, reason: str, *, loses: bool = False) -> None:
        self._aside += [Event(place, "dropped", reason, loses) for place in _places(at, line)]

    def _line(self, at: Path, line: dict[str, Any], below: Any) -> None:
        thread = self._tree.thread(line)
        asks = line.get("type") == "user" and line.get("subtype") is None
        parent = self._tree.parent(line, thread, is_prompt=asks)
        kind = f"{line.get('type')}: {line['subtype']}" if isinstance(line.get("subtype"), str) else line.get("type")
        contents = _contents(at, line)
        turn: Turn | None = None
        if line.get("type") not in _SPOKEN:
            turn = self._restart(contents, thread)
            if turn is None:
                self._drop(at, line, f"a line of type {kind!r} is no turn")
        elif line.get("subtype") in _UNSEEN:
            self._drop(at, line, f"a line of type {kind!r} is no turn")
        elif _is_local(line, below):
            self._drop(at, line, "a local command, which no model sees")
        elif line["type"] == "assistant":
            turn = self._answer(at, line, thread)
        else:
            turn = self._user(at, line, thread, parent if asks else thread.tip)
        self._tree.told(line, thread, turn or parent)

    def _restart(self, contents: list[tuple[Path, Any]], thread: Thread) -> Turn | None:
        """What the model sees from here on, all of it told to it, and none of it to be trained."""
        if not any(content["parts"] for _, content in contents):
            return None
        thread.restart()
        turn = thread.go_on()
        for place, content in contents:
            blocks = _blocks(place, content)
            if not blocks:
                continue
            n_before = len(turn.story.messages)
            tell(turn.story, _role(content), blocks)
            for message in turn.story.messages[n_before:]:
                if message.get("role") == "assistant":
                    message["train"] = False
        return turn

    def _answer(self, at: Path, line: dict[str, Any], thread: Thread) -> Turn | None:
        turn = thread.go_on()
        for key in _LABELS:
            if isinstance(line.get(key), str):
                thread.labels.setdefault(key, line[key])
        blocks = [one for place, content in _contents(at, line) for one in _blocks(place, content)]
        if blocks:
            tell(turn.story, "assistant", blocks)
        else:
            self._drop(at, line, "an answer without a word")
        for message in turn.story.messages:
            for one in message.get("tool_calls", []):
                name: Any = one.get("id")
                if isinstance(name, str):
                    self._calls[thread, name] = turn
        return turn

    def _user(self, at: Path, line: dict[str, Any], thread: Thread, parent: Turn | None) -> Turn | None:
        """Results, each of which goes behind the answer that calls, or words for the model."""
        blocks = self._told(at, line)
        if not blocks:
            self._drop(at, line, "a line without a content", loses=line["type"] == "tool_result")
            return None
        results = [one for one in blocks if one.kind == "result"]
        turn: Turn | None = None
        for one in results:
            name: Any = one.value.get("tool_call_id")
            turn = self._calls.get((thread, name)) if isinstance(name, str) else None
            if turn is None:
                turn = thread.tip if thread.tip and thread.tip.answers else thread.go_on(step=False)
            turn.story.keep(one.place, one.value)
        rest = [one for one in blocks if one.kind != "result"]
        if rest:
            asks = line["type"] == "user" and line.get("subtype") is None and not results
            turn = thread.ask(parent) if asks else thread.go_on(step=False)
            tell(turn.story, "user", rest)
        return turn

    def _told(self, at: Path, line: dict[str, Any]) -> list[Block]:
        """The blocks of a user's content; a tool's result that is text, or that stands beside the content, is one."""
        given: Any = line.get("toolCallResult")
        details: dict[str, Any] = given if is_object(given) else {}
        contents = _contents(at, line)
        if line["type"] == "tool_result" and not contents:
            parts: Any = details.get("responseParts")
            told = [block(at, part, "user") for part in parts] if is_list(parts) else []
            return told if len(told) == 1 and told[0].kind == "result" else []
        blocks = [one for place, content in contents for one in _blocks(place, content)]
        if line["type"] == "tool_result" and len(blocks) == 1 and blocks[0].kind == "text":
            made: Message = {"role": "tool", "content": blocks[0].value}
            if isinstance(details.get("callId"), str):
                made["tool_call_id"] = details["callId"]
            return [Block(blocks[0].place, "result", made)]
        return blocks


def _blocks(place: Path, content: dict[str, Any]) -> list[Block]:
    return [block((*place, "parts", i), part, _role(content)) for i, part in enumerate(content["parts"])]


def _role(content: dict[str, Any]) -> str:
    return "assistant" if content.get("role") == "model" else "user"


def _is_local(line: dict[str, Any], below: Any) -> bool:
    """True for a command that the program answered itself, as the line behind it says."""
    payload: Any = below.get("systemPayload") if is_object(below) and below.get("subtype") == "slash_command" else None
    if (
        line["type"] != "user"
        or not is_object(payload)
        or payload.get("phase") != "result"
        or payload.get("sentToModel")
    ):
        return False
    parts: Any = value_at(line, ("message", "parts"))
    return is_list(parts) and len(parts) == 1 and parts[0] == {"text": payload.get("rawCommand")}


FORMAT = Format(
    name="qwen_code",
    title="Qwen Code sessions: lines with uuid, parentUuid and a Gemini content",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"sessionId"}),
)
