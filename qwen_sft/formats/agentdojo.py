"""AgentDojo's runs: messages whose blocks are {type, content}, with the outcome of the task and of the attack.

A call is {function: name, args, id}, and a tool's message repeats the whole call. Where it has an `error`, that is what
the model read in place of the content. The tools stand in AgentDojo's source, not in its records.

Source: agentdojo/types.py and agent_pipeline/llms of ethz-spylab/agentdojo.
"""

from typing import Any

from qwen_sft.format import Conversation, Format, Reading
from qwen_sft.reading.chat import have_parts, keys_of, message, sample
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call

_NO_LABELS = frozenset({"system_prompt", "user_prompt", "final_answer", "error"})
_LOOKED_AT = 20  # messages


def recognises(record: Any) -> bool:
    """Messages with blocks or calls as only AgentDojo writes them, alone or with the run that they are of."""
    told: Any = record.get("messages") if is_object(record) else record
    if not is_list(told):
        return False
    named = is_object(record) and "suite_name" in record and not {"pipeline_name", "user_task_id"}.isdisjoint(record)
    if not named and "tool_call" not in keys_of(told) and not have_parts(told):
        return False
    first = [one for one in told[:_LOOKED_AT] if is_object(one) and isinstance(one.get("role"), str)]
    return bool(first) and (named or any(map(_is_ours, first)))


def _is_ours(given: dict[str, Any]) -> bool:
    called: Any = given.get("tool_call")
    if given["role"] == "tool" and is_object(called) and isinstance(called.get("function"), str) and "args" in called:
        return True
    blocks: Any = given.get("content")
    first: Any = blocks[0] if is_list(blocks) and blocks else None
    is_text = is_object(first) and first.get("type") == "text"
    return is_text and isinstance(first.get("content"), str) and "text" not in first


def events(record: Any) -> list[Path]:
    """Each message."""
    return [((i,) if is_list(record) else ("messages", i)) for i in range(len(_told(record)))]


def _told(record: Any) -> list[Any]:
    return record if is_list(record) else record["messages"]


def read(record: Any) -> Reading:
    """One sample; every message is kept. `success` is the task's outcome (`utility`), `security` the attack's."""
    places = events(record)
    for place, given in zip(places, _told(record), strict=True):
        if not is_object(given):
            return refused(place, f"a turn is {type(given).__name__}, not an object", "write {role, content}")
    run: dict[str, Any] = record if is_object(record) else {}
    named = {"success": run.get("utility"), "model": run.get("pipeline_name"), "task_id": run.get("user_task_id")}
    labels = metadata(named, run, without=_NO_LABELS) if run else {}
    keys = ("suite_name", "user_task_id", "injection_task_id", "attack_type", "run_id")
    name = "/".join(run[key] for key in keys if isinstance(run.get(key), str))
    made = sample([_message(given) for given in _told(record)], None, name or None, labels)
    return Reading([Conversation(made, places)])


def _message(given: dict[str, Any]) -> Message:
    blocks: Any = given.get("content")
    parts = [_part(block) for block in blocks] if is_list(blocks) else []
    thoughts = [one["thinking"] for one in parts if is_object(one) and isinstance(one.get("thinking"), str)]
    rest = [one for one in parts if not (is_object(one) and isinstance(one.get("thinking"), str))]
    fields: dict[str, Any] = {**given, "content": rest if is_list(blocks) else blocks}
    if given.get("role") == "tool" and given.get("error"):
        fields["content"] = given["error"]
    if thoughts:
        fields["reasoning_content"] = "\n".join(thoughts)
    called: Any = given.get("tool_call")
    if given.get("role") == "tool" and is_object(called):
        fields["name"] = called.get("function")
        fields["tool_call_id"] = given.get("tool_call_id") or called.get("id")
    listed: Any = given.get("tool_calls")
    if is_list(listed):
        fields["tool_calls"] = [_call(one) for one in listed]
    return message(fields)


def _part(block: Any) -> Any:
    """A block in the spelling of chat parts; a thought under `thinking`."""
    if not is_object(block) or not isinstance(block.get("content"), str):
        return block
    made = {"text": {"type": "text", "text": block["content"]}, "thinking": {"thinking": block["content"]}}
    return made.get(str(block.get("type")), block)


def _call(given: Any) -> Any:
    """A call {function: name, args, id}; what is none stays as it is."""
    if not is_object(given) or not isinstance(given.get("function"), str):
        return given
    return call(given["function"], given.get("args"), given.get("id"))


FORMAT = Format(
    name="agentdojo",
    title="AgentDojo runs: messages of {type, content} blocks, with utility and security",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"messages"}),
)
