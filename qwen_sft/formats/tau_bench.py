"""tau-bench episodes: Chat Completions messages under `traj`, with the task's reward beside them."""

from typing import Any

from qwen_sft.chat import Dialogue, dialogue, message, sample
from qwen_sft.format import Conversation, Format, Reading
from qwen_sft.normalize import sample_id
from qwen_sft.sample import Path


def recognises(record: Any) -> bool:
    """Messages with a `role` under `traj`."""
    return _dialogue(record) is not None


def _dialogue(record: Any) -> Dialogue | None:
    found = dialogue(record)
    return found if found and found.root == ("traj",) and found.speaker == "role" else None


def events(record: Any) -> list[Path]:
    """Each message of the trajectory is an event."""
    found = _dialogue(record)
    return found.places if found else []


def read(record: Any) -> Reading:
    """One sample named "task-trial"; every message is kept.

    The tools stand in tau-bench's source, not in its records. An id is often used for several calls of one episode:
    it stays as it is, since calls and results are paired within a turn.
    """
    found = _dialogue(record)
    if found is None or found.fault:
        return Reading(refusal=found.fault if found else None)
    made = sample([message(given) for given in found.turns], record.get("tools"), _name(record))
    return Reading([Conversation(made, found.places)])


def _name(record: dict[str, Any]) -> str | None:
    task, trial = record.get("task_id"), record.get("trial")
    if isinstance(task, str | int) and isinstance(trial, str | int):
        return f"{task}-{trial}"
    return sample_id(record)


FORMAT = Format(
    name="tau_bench",
    title="tau-bench episodes: OpenAI messages under traj, with task_id, trial and reward",
    recognises=recognises,
    events=events,
    read=read,
    keeps_fields=True,
)
