"""mini-swe-agent trajectories: one `bash` block per turn as text, or in version 2 as a tool call.

Older runs are a bare list of messages, newer ones {messages, info, trajectory_format: "mini-swe-agent-1"}. In text mode
the model writes one ```mswea_bash_command (or ```bash) block per turn and gets `<returncode>…<output>…` back as a
user's turn: both are lifted into a call of `bash` and its result, whatever the harness answered (an output, a timeout,
the final submission). A turn whose block the harness could not take stays text, and so does the complaint after it. The
last message can be the harness' own: `exit`, or an empty one behind a limit. The model never saw that. The system
prompt goes on asking for blocks.

Source: mini-swe-agent, agents/default.py (parse_action, add_message) and models/litellm_toolcall_model.py (the tool).
"""

from itertools import pairwise
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import keys_of, message
from qwen_sft.reading.command import BASH, calling, fenced
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import sample_id

_LOOKED_AT = 60  # messages: a model that never sends one command in so many turns is told so again and again
_TAGS = ("mswea_bash_command", "bash")
_FORMAT = "mini-swe-agent"
_ENDED = "the harness' own last word, which no model saw"


def recognises(record: Any) -> bool:
    """The format names itself, or a turn with a fenced command is answered by a `<returncode>`."""
    return _root(record) is not None


def _root(record: Any) -> Path | None:
    if is_list(record):
        return () if _answers(record) else None
    if not is_object(record) or not is_list(record.get("messages")) or "history" in record:
        return None
    named: Any = record.get("trajectory_format")
    if isinstance(named, str):
        return ("messages",) if named.startswith(_FORMAT) else None
    return ("messages",) if _answers(record["messages"]) else None


def _answers(turns: list[Any]) -> bool:
    """True if some fenced command is answered by a user's turn that begins with its return code."""
    if "agent" in keys_of(turns):
        return False
    for asked, told in pairwise(turns[:_LOOKED_AT]):
        if not is_object(asked) or not is_object(told):
            return False
        answer: Any = told.get("content")
        if isinstance(answer, str) and answer.startswith("<returncode>") and told.get("role") == "user":
            said: Any = asked.get("content")
            return asked.get("role") == "assistant" and isinstance(said, str) and any(f"```{t}" in said for t in _TAGS)
    return False


def events(record: Any) -> list[Path]:
    """Each message is an event."""
    root = _root(record)
    return [] if root is None else [(*root, i) for i in range(len(value_at(record, root)))]


def read(record: Any) -> Reading:
    """One sample; `lifted_commands` in its metadata counts the calls that stood as text."""
    root = _root(record)
    turns: list[Any] = [] if root is None else value_at(record, root)
    story = Story()
    lifted, asked = 0, False
    for place, given in zip(events(record), turns, strict=True):
        if not is_object(given) or not isinstance(given.get("role"), str):
            return refused(place, "a turn is no chat message with a role", "record the run with a chat model class")
        is_last = given is turns[-1]
        if given["role"] == "exit" or (is_last and not asked and _is_empty_user(given)):
            story.drop(place, _ENDED)
            continue
        turn = message(given)
        call = calling(turn, (_lift,))
        if asked and turn.get("role") == "user":
            turn: Message = {"role": "tool", "content": turn.get("content")}
        asked = call is not None
        lifted += asked
        story.keep(place, call or turn)
    used = lifted or any("tool_calls" in turn for turn in story.messages)
    labels = _labels(record) | ({"lifted_commands": lifted} if lifted else {})
    return story.reading([BASH] if used else None, _name(record), labels)


def _lift(text: str) -> tuple[str, str] | None:
    return fenced(text, _TAGS)


def _is_empty_user(given: dict[str, Any]) -> bool:
    return given["role"] == "user" and given.get("content") in (None, "")


def _name(record: Any) -> str | None:
    if not is_object(record):
        return None
    return record["instance_id"] if isinstance(record.get("instance_id"), str) else sample_id(record)


def _labels(record: Any) -> dict[str, Any]:
    info: Any = value_at(record, ("info",))
    stats: Any = value_at(info, ("model_stats",))
    submission: Any = value_at(info, ("submission",))
    made = metadata(
        {"cost": value_at(stats, ("instance_cost",)), "api_calls": value_at(stats, ("api_calls",))},
        {"model": value_at(info, ("config", "model", "model_name"))},
        info,
        record,
        without=("id", "trajectory_format", "submission"),
    )
    return {**made, "submission": submission} if isinstance(submission, str) and submission else made


FORMAT = Format(
    name="mini_swe_agent",
    title="mini-swe-agent trajectories: lists of messages, or {messages, info, trajectory_format}",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"messages"}),
)
