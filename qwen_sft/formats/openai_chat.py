"""OpenAI Chat Completions messages, as most tools export them."""

from typing import Any

from qwen_sft.chat import message
from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Format, Reading
from qwen_sft.markup import declares_tools
from qwen_sft.normalize import find_key, tools
from qwen_sft.sample import Message, Path, Sample, is_list, is_object

_TOOL_KEYS = ("tools", "functions")
_ID_KEYS = ("id", "sample_id", "conversation_id", "task_id", "uuid")


def recognises(record: Any) -> bool:
    """A list of messages with a `role`, bare or under `messages`; tools are no text in the system message."""
    messages = _messages(record)
    if not any(is_object(given) and isinstance(given.get("role"), str) for given in messages):
        return False
    return not declares_tools(messages, "role", "content") or (is_object(record) and bool(record.get("tools")))


def _messages(record: Any) -> list[Any]:
    listed = record.get("messages") if is_object(record) else record
    return listed if is_list(listed) else []


def events(record: Any) -> list[Path]:
    """Each message is an event."""
    root: Path = ("messages",) if is_object(record) else ()
    return [(*root, i) for i in range(len(_messages(record)))]


def read(record: Any) -> Reading:
    """One sample: every message is kept; `developer` becomes `system`, `function` becomes `tool`."""
    fields: dict[str, Any] = record if is_object(record) else {}
    places = events(record)
    messages: list[Message] = []
    for place, given in zip(places, _messages(record), strict=True):
        if not is_object(given):
            fault = Finding(place, f"a message is {type(given).__name__}, not an object", "write {role, content}")
            return Reading(refusal=fault)
        messages.append(message(given))
    sample: Sample = {"messages": messages}
    key = find_key(fields, _TOOL_KEYS)
    if key is not None:
        declared = tools(fields[key])
        if declared:
            sample["tools"] = declared
    name = find_key(fields, _ID_KEYS)
    if name is not None and isinstance(fields[name], str | int):
        sample["id"] = str(fields[name])
    return Reading([Conversation(sample, places)])


FORMAT = Format(
    name="openai_chat",
    title="OpenAI Chat Completions messages, with or without tools; older function_call spellings",
    recognises=recognises,
    events=events,
    read=read,
    keeps_fields=True,
)
