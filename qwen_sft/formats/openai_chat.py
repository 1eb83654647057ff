"""OpenAI Chat Completions messages, as most tools export them."""

from typing import Any

from qwen_sft.chat import Dialogue, dialogue, message, sample
from qwen_sft.format import Conversation, Format, Reading
from qwen_sft.normalize import find_key, sample_id
from qwen_sft.sample import Path, is_object

_TOOL_KEYS = ("tools", "functions")


def recognises(record: Any) -> bool:
    """A list of messages with a `role`, bare or in an object; tools are no text in the system message."""
    return _dialogue(record) is not None


def _dialogue(record: Any) -> Dialogue | None:
    found = dialogue(record)
    if found is None or found.speaker != "role" or found.root == ("traj",) or found.declares_tools:
        return None
    return found


def events(record: Any) -> list[Path]:
    """Each message is an event."""
    found = _dialogue(record)
    return found.places if found else []


def read(record: Any) -> Reading:
    """One sample: every message is kept; `developer` becomes `system`, `function` becomes `tool`."""
    found = _dialogue(record)
    if found is None or found.fault:
        return Reading(refusal=found.fault if found else None)
    fields: dict[str, Any] = record if is_object(record) else {}
    key = find_key(fields, _TOOL_KEYS)
    made = sample([message(given) for given in found.turns], fields[key] if key else None, sample_id(fields))
    return Reading([Conversation(made, found.places)])


FORMAT = Format(
    name="openai_chat",
    title="OpenAI Chat Completions messages, with or without tools; older function_call spellings",
    recognises=recognises,
    events=events,
    read=read,
    keeps_fields=True,
)
