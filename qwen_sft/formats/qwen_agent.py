"""Qwen-Agent's messages, as its agents return them: `function_call` on the assistant, results in the role `function`.

One turn of the model is several messages there: its reasoning, its words, and one for each call. Content is text or a
list of items {text}, {image}, {file}, ... without a type, whose texts follow each other as they are. The id of a call
stands in `extra.function_id`, or in `id`, of the call and of its result. Where the service gave none a result says "1",
which names no call (qwen_agent/agents/fncall_agent.py; the splitting: llm/fncall_prompts/nous_fncall_prompt.py).
"""

from itertools import pairwise
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import Dialogue, dialogue, have_parts, keys_of, message
from qwen_sft.reading.delta import UNFINISHED
from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import ID_KEYS, find_key, sample_id

_ITEMS = frozenset({"text", "image", "file", "audio", "video"})
_NO_ID = "1"
_FINISH_REASON: Path = ("extra", "model_service_info", "output", "choices", 0, "finish_reason")


def recognises(record: Any) -> bool:
    """Messages with a role, and in one of them what only Qwen-Agent writes.

    That is an `extra` with a function_id, or with the service's answer; or, where there are calls in the older
    spelling, content items without a type, or a call in a message directly behind another one of the assistant.
    """
    return _dialogue(record) is not None


def _dialogue(record: Any) -> Dialogue | None:
    found = dialogue(record)
    if found is None or found.speaker != "role" or found.root not in ((), ("messages",)) or found.declares_tools:
        return None
    keys = keys_of(found.turns)
    if "extra" not in keys and "function_call" not in keys and not have_parts(found.turns):
        return None
    turns = [turn for turn in found.turns if is_object(turn)]
    if any(map(_has_extra, turns)):
        return found
    if not any(is_object(turn.get("function_call")) or turn.get("role") == "function" for turn in turns):
        return None
    return found if any(map(_has_items, turns)) or any(_is_split(*pair) for pair in pairwise(turns)) else None


def _has_extra(turn: dict[str, Any]) -> bool:
    extra: Any = turn.get("extra")
    return is_object(extra) and ("function_id" in extra or is_object(extra.get("model_service_info")))


def _has_items(turn: dict[str, Any]) -> bool:
    content: Any = turn.get("content")
    return (
        is_list(content)
        and bool(content)
        and all(is_object(one) and len(one) == 1 and set(one) < _ITEMS for one in content)
    )


def _is_split(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if not one.get("role") == other.get("role") == "assistant" or one.get("tool_calls") or other.get("tool_calls"):
        return False
    return is_object(other.get("function_call"))


def events(record: Any) -> list[Path]:
    """Each message is an event."""
    found = _dialogue(record)
    return found.places if found else []


def read(record: Any) -> Reading:
    """One sample; the messages of one turn of an agent are joined."""
    found = _dialogue(record)
    if found is None or found.fault:
        return Reading(refusal=found.fault if found else None)
    story = Story()
    before: dict[str, Any] = {}
    called: list[Any] = []
    labels: dict[str, Any] = {}
    ended: dict[int, Any] = {}
    for place, given in zip(found.places, found.turns, strict=True):
        is_answer = given.get("role") == "assistant"
        continues = is_answer and before.get("role") == "assistant" and before.get("name") == given.get("name")
        if is_answer:  # in a group chat agents follow each other
            called = [*(called if continues else []), *_ids(given)]
            reason: Any = value_at(given, _FINISH_REASON)
            labels = {"finish_reason": UNFINISHED if reason == "null" else reason}
        if continues:  # why a turn ended is told by the last of its messages
            ended.pop(len(story.messages) - 1, None)
        (story.join if continues else story.keep)(place, _message(given, called))
        if is_answer:
            ended[len(story.messages) - 1] = labels["finish_reason"]
        before = given
    for i, reason in ended.items():
        story.messages[i : i + 1] = cut_off(story.messages[i : i + 1], reason)
    fields: dict[str, Any] = record if is_object(record) else {}
    key = find_key(fields, ("functions", "tools"))
    labels = metadata(labels, fields, without=ID_KEYS)
    return story.reading(fields[key] if key else None, sample_id(fields), labels)


def _ids(given: dict[str, Any]) -> list[Any]:
    """The ids of a message's calls."""
    listed: Any = given.get("tool_calls")
    return [_own_id(given), *(call.get("id") for call in (listed if is_list(listed) else []) if is_object(call))]


def _message(given: dict[str, Any], called: list[Any]) -> Message:
    content: Any = given.get("content")
    if _has_items(given) and all(isinstance(item.get("text"), str) for item in content):
        given = {**given, "content": "".join(item["text"] for item in content)}
    own = _own_id(given)
    if is_object(given.get("function_call")) and not given.get("tool_calls"):
        given = {**given, "tool_calls": [{"id": own, "function": given["function_call"]}], "function_call": None}
    if own is not None and (own != _NO_ID or own in called):
        given = {"tool_call_id": own, **given}
    return message(given)


def _own_id(given: dict[str, Any]) -> Any:
    return value_at(given, ("extra", "function_id")) or given.get("id")


FORMAT = Format(
    name="qwen_agent",
    title="Qwen-Agent messages: function_call, results in the role function, content items without a type",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"messages"}),
)
