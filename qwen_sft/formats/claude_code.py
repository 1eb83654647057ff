"""Claude Code's session logs (~/.claude/projects), their export {loglines}, and its output as stream-json.

What a line can be, and how lines become conversations: reading.claude_log. Neither the system prompt nor the tools are
logged.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.claude_log import ENTRY, SPEAKERS, Log, blocks, is_message, session
from qwen_sft.reading.story import refused
from qwen_sft.sample import Path, is_list, is_object

_BESIDE = {"summary": "leafUuid", "file-history-snapshot": "snapshot"}  # lines without a session, and what they have
_STREAMED = ("system", "result", "stream_event")
_OF_OTHERS = frozenset({"systemPayload", "message", "messages"})
_LOOKED_BACK = 1000  # lines: a session's first lines may name none


def is_line(value: Any) -> bool:
    """True for a line that only Claude Code writes: a message with content, or another line of a session."""
    if not is_object(value) or not isinstance(value.get("type"), str):
        return False
    kind: str = value["type"]
    if kind in _BESIDE:
        return _BESIDE[kind] in value
    if kind in SPEAKERS:
        return is_message(value) and not value.keys().isdisjoint(ENTRY)
    if isinstance(value.get("session_id"), str):
        return kind in _STREAMED
    return isinstance(value.get("sessionId"), str) and value.keys().isdisjoint(_OF_OTHERS)


def _lines(record: Any) -> list[tuple[Path, Any]]:
    """The lines of a record and their places: a list of lines, {loglines: [...]}, or one line alone."""
    if is_object(record) and is_list(record.get("loglines")):
        return [(("loglines", i), line) for i, line in enumerate(record["loglines"])]
    return [((i,), line) for i, line in enumerate(record)] if is_list(record) else [((), record)]


def recognises(record: Any) -> bool:
    """Lines of a session, an export of them, or the event that a hook is given (to refuse it)."""
    if is_list(record):
        return bool(record) and is_line(record[0])
    if not is_object(record):
        return False
    if is_list(record.get("loglines")):
        return any(map(is_message, record["loglines"][:20]))
    return isinstance(record.get("hook_event_name"), str) or is_line(record)


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Lines of one session; those that name no session belong to the lines before them."""
    if not gathered or not is_object(line) or not isinstance(line.get("type"), str):
        return not gathered and is_line(line)
    if not is_line(line) and line.keys().isdisjoint(ENTRY):
        return False
    own = session(line)
    before = gathered[-1].get("uuid") if is_object(gathered[-1]) else None
    if own is None or (before is not None and line.get("parentUuid") == before):  # resumed under another session's name
        return True
    last = (name for one in islice(reversed(gathered), _LOOKED_BACK) if (name := session(one)) is not None)
    return next(last, own) == own


def events(record: Any) -> list[Path]:
    """Each block of a message; the line where its content is no list of blocks."""
    return [place for at, line in _lines(record) for place, _ in blocks(at, line)]


def read(record: Any) -> Reading:
    """The session's conversation and those of its sub-agents, each a sample; a compaction begins another one.

    What is no message is dropped: progress, snapshots, titles, local commands and their output, errors of the API.
    """
    if is_object(record) and not is_list(record.get("loglines")) and not is_line(record):
        return refused((), "it is the event of a hook, not a transcript", "take the file at its transcript_path")
    return Log(_lines(record)).read()


FORMAT = Format(
    name="claude_code",
    title="Claude Code sessions: the lines of ~/.claude/projects, their exports, and stream-json",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({"type", "loglines", "hook_event_name"}),
)
