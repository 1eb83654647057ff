"""Agent sessions as Hugging Face `datasets` tabulates them: harness, session_id, prompt, messages, tools, trace.

`datasets` 5 reads session logs of Claude Code, Codex, pi and others into these columns. `messages` are Chat Completions
messages; `prompt` repeats the first user's, and `trace` is the whole log as text. Values of Json columns may be JSON
text. A row without messages is refused: its log is read from the file that it came from.
"""

from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, has_layout
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import decoded

_NO_LABELS = (*LABELLED_APART, "session_id", "trace", "metadata", "trace_type")


def recognises(record: Any) -> bool:
    """The columns `harness`, `session_id` and `messages`, and `trace` or `file_path`."""
    return has_layout(record, "agent_columns")


def events(record: Any) -> list[Path]:
    """Each message is an event."""
    return [("messages", i) for i in range(len(_turns(record)))]


def _turns(record: Any) -> list[Any]:
    turns: Any = decoded(record["messages"])
    return turns if is_list(turns) else []


def read(record: Any) -> Reading:
    """One sample, named by its session."""
    turns = _turns(record)
    if not turns:
        says = "the row holds a raw log and no messages"
        return refused(("messages",), says, "read the session file that `file_path` names")
    story = Story()
    for i, turn in enumerate(turns):
        given = decoded(turn)
        if not is_object(given):
            return refused(("messages", i), f"a turn is {type(given).__name__}, not an object", "write {role, content}")
        story.keep(("messages", i), message(given))
    name: Any = record["session_id"]
    labels = metadata(record, decoded(record.get("metadata")), without=_NO_LABELS)
    return story.reading(record.get("tools"), name if isinstance(name, str) and name else None, labels)


FORMAT = Format(
    name="agent_columns",
    title="Agent sessions in the columns of Hugging Face datasets: harness, session_id, messages, tools, trace",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"harness"}),
)
