"""tau-bench episodes: Chat Completions messages under `traj`, with the task's reward beside them.

Never parallel: the harness cut each turn to its first call. An id is often used for several calls of one episode: it
stays as it is, since calls and results are paired within a turn. The tools stand in tau-bench's source, not in its
records. The few-shot files (`messages_display`) hold a rendered text, which is refused.
"""

from typing import Any

from qwen_sft.format import Conversation, Format, Reading
from qwen_sft.reading.chat import Dialogue, dialogue, message, sample
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import refused
from qwen_sft.sample import Path, is_object
from qwen_sft.text.normalize import sample_id


def recognises(record: Any) -> bool:
    """Messages with a `role` under `traj`, or the rendered text of the few-shot files."""
    return _dialogue(record) is not None or _is_rendered(record)


def _is_rendered(record: Any) -> bool:
    return is_object(record) and isinstance(record.get("messages_display"), str) and "messages" not in record


def _dialogue(record: Any) -> Dialogue | None:
    found = dialogue(record)
    return found if found and found.root == ("traj",) and found.speaker == "role" else None


def events(record: Any) -> list[Path]:
    """Each message of the trajectory is an event."""
    found = _dialogue(record)
    return found.places if found else []


def read(record: Any) -> Reading:
    """One sample named "task-trial"; every message is kept."""
    found = _dialogue(record)
    if found is None:
        says = "a rendered text, in which calls cannot be told from words"
        return refused(("messages_display",), says, "take the episodes of historical_trajectories/")
    if found.fault:
        return Reading(refusal=found.fault)
    turns = [message(given) for given in found.turns]
    made = sample(turns, record.get("tools"), _name(record), _labels(record))
    return Reading([Conversation(made, found.places)])


def _name(record: dict[str, Any]) -> str | None:
    task, trial = record.get("task_id"), record.get("trial")
    if isinstance(task, str | int) and isinstance(trial, str | int):
        return f"{task}-{trial}"
    return sample_id(record)


def _labels(record: dict[str, Any]) -> dict[str, Any]:
    """The reward, which is 1 for success and 0 for failure, and the labels of the episode and its `info`."""
    reward: Any = record.get("reward")
    is_number = isinstance(reward, int | float) and not isinstance(reward, bool)
    success = {"success": abs(reward - 1) < 1e-6} if is_number else {}
    return metadata(success, record, record.get("info"), without=("id", "source"))


FORMAT = Format(
    name="tau_bench",
    title="tau-bench episodes: OpenAI messages under traj, with task_id, trial and reward",
    recognises=recognises,
    events=events,
    read=read,
    keeps_fields=True,
    fields=frozenset({"traj", "messages_display"}),
)
