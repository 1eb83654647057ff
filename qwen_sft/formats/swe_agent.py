"""SWE-agent trajectories (.traj): `history` is what the model saw; also SWE-smith's and Nebius's rows of them.

`trajectory` logs the same steps once more and is not read. In text mode the model writes one fenced command (or one in
`<command>` tags) per turn and gets its output back as a user's turn: both are lifted into a call of `bash` and its
result, where the one block of the turn is the command that the harness says it ran (`action`). The system prompt goes
on asking for fences. In function-calling mode results name their call in `tool_call_ids`, a list; the bundles that
declare the tools are not in the record. A demonstration is one user turn that holds a whole other trajectory.

Source: SWE-agent, sweagent/agent/agents.py (history) and sweagent/tools/parsing.py (the parsers).
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import keys_of, message
from qwen_sft.reading.command import BASH, calling, fenced, tagged
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import decode_json, sample_id, with_reasoning

_NEBIUS = {"ai": "assistant"}
_REPEATED = "repeats the history of the whole record"
_NO_LABELS = ("id", "environment", "messages", "replay_config", "target", "generated_patch", "eval_logs")


def recognises(record: Any) -> bool:
    """A `history` of messages with the `agent` that saw them; `messages` of such; Nebius's `trajectory` of texts."""
    return bool(_histories(record))


def _histories(record: Any) -> list[Path]:
    """The places of the histories in a record: one, or with a retrying agent also one for each attempt."""
    if not is_object(record):
        return []
    if _is_history(record.get("history")):
        attempts: Any = record.get("attempts")
        tries: list[Path] = [("attempts", i, "history") for i in range(len(attempts))] if is_list(attempts) else []
        return [("history",), *(place for place in tries if _is_history(value_at(record, place)))]
    if _is_history(_messages(record.get("messages"))):
        return [("messages",)]
    return [("trajectory",)] if _is_nebius(record.get("trajectory")) else []


def _messages(value: Any) -> Any:
    """The list of messages, which SWE-smith writes as one JSON text."""
    if not isinstance(value, str) or '"message_type"' not in value:
        return value
    try:
        return decode_json(value)
    except ValueError:
        return None


def _is_history(value: Any) -> bool:
    first: list[Any] = value[:3] if is_list(value) and "agent" in keys_of(value) else []
    return bool(first) and all(
        is_object(m) and isinstance(m.get("role"), str) and isinstance(m.get("agent"), str) for m in first
    )


def _is_nebius(value: Any) -> bool:
    first: Any = value[0] if is_list(value) and value else None
    return is_object(first) and "system_prompt" in first and "text" in first and isinstance(first.get("role"), str)


def _turns(record: Any, root: Path) -> list[tuple[Path, Any]]:
    """Each message with its place; those of one JSON text share its place."""
    value = value_at(record, root)
    listed: Any = _messages(value)
    return [(root if isinstance(value, str) else (*root, i), given) for i, given in enumerate(listed)]


def events(record: Any) -> list[Path]:
    """Each message of each history; a history that is one text is one event."""
    return list(dict.fromkeys(place for root in _histories(record) for place, _ in _turns(record, root)))


def read(record: Any) -> Reading:
    """One sample for each agent of each history, in the order in which they speak."""
    roots = _histories(record)
    if not roots:
        return refused((), "it has no history of messages", "keep `history` in the trajectory")
    made: list[Conversation] = []
    aside: list[Event] = []
    for root in roots:
        turns = _turns(record, root)
        odd = next((place for place, given in turns if not is_object(given)), None)
        if odd is not None:
            return refused(odd, "a turn of the history is not an object", "write {role, content}")
        if root != roots[0] and value_at(record, root) == value_at(record, roots[0]):
            aside += [Event(place, "merged", _REPEATED) for place, _ in turns]
            continue
        holder = value_at(record, root[:-1])
        for agent in dict.fromkeys(_agent(given) for _, given in turns):
            seen = [(place, given) for place, given in turns if _agent(given) == agent]
            one, gone = _conversation(record, holder, seen)
            made.append(one)
            aside += gone
    return Reading(made, aside)


def _agent(given: dict[str, Any]) -> str:
    return repr(given.get("agent"))


def _conversation(record: Any, holder: Any, turns: Sequence[tuple[Path, Any]]) -> tuple[Conversation, list[Event]]:
    story = Story()
    lifted, left, asked = 0, 0, False
    for place, given in turns:
        turn = _message(given)
        action: Any = given.get("action")
        call = calling(turn, (fenced, tagged), action if isinstance(action, str) else None)
        if asked and turn.get("role") == "user" and not given.get("is_demo"):
            turn: Message = {"role": "tool", "content": turn.get("content")}
        lifted += call is not None
        left += call is None and turn.get("role") == "assistant" and "tool_calls" not in turn
        asked = call is not None
        story.keep(place, call or turn)
    labels = _labels(record, holder)
    labels |= {"lifted_commands": lifted} if lifted else {}
    labels |= {"turns_without_command": left} if left else {}
    demos = sum(bool(given.get("is_demo")) for _, given in turns)
    labels |= {"demonstrations": demos} if demos else {}
    return story.conversation([BASH] if lifted else None, _name(record, holder), labels), story.aside


def _message(given: dict[str, Any]) -> Message:
    role: Any = given.get("role")
    fields = {**given, "role": _NEBIUS.get(role, role) if isinstance(role, str) else role}
    if "system_prompt" in given and "content" not in given:
        fields["content"] = given["system_prompt"] if role == "system" else given.get("text")
    ids: Any = given.get("tool_call_ids")
    if is_list(ids) and len(ids) == 1:
        fields["tool_call_id"] = ids[0]
    return with_reasoning(message(fields), _thought(given.get("thinking_blocks")))


def _thought(blocks: Any) -> str:
    listed: list[Any] = blocks if is_list(blocks) else []
    texts = [b["thinking"] for b in listed if is_object(b) and isinstance(b.get("thinking"), str) and b["thinking"]]
    return "\n".join(texts)


def _replayed(holder: Any) -> Any:
    """The run's configuration, which is JSON in a JSON string."""
    config: Any = value_at(holder, ("replay_config",))
    if not isinstance(config, str):
        return config
    try:
        return decode_json(config)
    except ValueError:
        return None


def _name(record: dict[str, Any], holder: Any) -> str | None:
    for key in ("traj_id", "instance_id"):
        if isinstance(record.get(key), str):
            return record[key]
    named = value_at(_replayed(holder), ("problem_statement", "id"))
    return named if isinstance(named, str) else sample_id(record)


def _labels(record: dict[str, Any], holder: Any) -> dict[str, Any]:
    info: Any = value_at(holder, ("info",))
    stats: Any = value_at(info, ("model_stats",))
    config = _replayed(holder)
    cost: Any = value_at(stats, ("instance_cost",))
    made = metadata(
        {"cost": cost, "api_calls": value_at(stats, ("api_calls",))},
        {"exit_status": value_at(info, ("exit_status",)), "success": record.get("target")},
        {
            "model": value_at(config, ("agent", "model", "name")),
            "task_id": value_at(config, ("problem_statement", "id")),
        },
        record,
        without=_NO_LABELS,
    )
    submission: Any = value_at(info, ("submission",)) or record.get("generated_patch")
    return {**made, "submission": submission} if isinstance(submission, str) and submission else made


FORMAT = Format(
    name="swe_agent",
    title="SWE-agent trajectories (.traj), in text, XML and function-calling mode; SWE-smith's and Nebius's rows",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"history", "messages", "trajectory"}),
)
