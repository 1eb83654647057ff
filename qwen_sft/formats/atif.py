"""ATIF, the Agent Trajectory Interchange Format of Harbor and Terminal-Bench: {schema_version: "ATIF-v1.x", steps}.

A step is one turn of system, user or agent; an agent's step holds its calls and, in `observation`, what they gave back.
A result without a call to answer (agents that type keystrokes as text) is told as a user's turn. A step with
`is_copied_context` repeats an earlier trajectory: it is shown and not trained. Trajectories of sub-agents that stand
inside (`subagent_trajectories`) are samples of their own. Token ids and log probabilities in `metrics` are not read.

Source: harbor, docs/rfcs/0001-trajectory-format.md and src/harbor/models/trajectories.
"""

from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import call

_SPEAKERS = {"system": "system", "user": "user", "agent": "assistant"}
_INSIDE = "subagent_trajectories"


def recognises(record: Any) -> bool:
    """The version says so."""
    version: Any = record.get("schema_version") if is_object(record) else None
    return isinstance(version, str) and version.startswith("ATIF") and is_list(record.get("steps"))


def _roots(record: Any) -> list[Path]:
    """The trajectory and those of its sub-agents."""
    inside: Any = record.get(_INSIDE) if is_object(record) else None
    held: list[Any] = inside if is_list(inside) else []
    return [(), *((_INSIDE, i) for i, one in enumerate(held) if is_object(one) and is_list(one.get("steps")))]


def events(record: Any) -> list[Path]:
    """Each step, and each result of its observation."""
    places: list[Path] = []
    for root in _roots(record):
        steps: Any = value_at(record, (*root, "steps"))
        for i, step in enumerate(steps if is_list(steps) else []):
            places.append((*root, "steps", i))
            places += [(*root, "steps", i, "observation", "results", j) for j in range(len(_results(step)))]
    return places


def _results(step: Any) -> list[Any]:
    found: Any = value_at(step, ("observation", "results"))
    return found if is_list(found) else []


def read(record: Any) -> Reading:
    """One sample for each trajectory."""
    made: list[Conversation] = []
    aside: list[Event] = []
    for root in _roots(record):
        story = Story()
        for i, step in enumerate(value_at(record, (*root, "steps"))):
            place: Path = (*root, "steps", i)
            if not is_object(step) or step.get("source") not in tuple(_SPEAKERS):
                return refused(place, "a step has no source of system, user or agent", "write {source, message}")
            _tell(story, place, step)
        holder: dict[str, Any] = value_at(record, root)
        if story.messages:
            tools: Any = value_at(holder, ("agent", "tool_definitions"))
            made.append(story.conversation(tools, _name(holder), _labels(record, holder)))
        aside += story.aside
    return Reading(made, aside) if made else refused((), "it has no steps", "leave runs that failed out")


def _tell(story: Story, place: Path, step: dict[str, Any]) -> None:
    role = _SPEAKERS[step["source"]]
    turn: Message = message({"role": role, "content": step.get("message")})
    calls: list[Any] = step["tool_calls"] if is_list(step.get("tool_calls")) else []
    if role == "assistant":
        turn = message(
            {"role": role, "content": step.get("message"), "reasoning_content": step.get("reasoning_content")}
        )
        if calls:
            turn["tool_calls"] = [_call(one) for one in calls]
    if role != "assistant" and not step.get("message") and _results(step):
        story.drop(place, "a step that only holds observations")
    elif role == "assistant" and step.get("is_copied_context") is True:
        story.keep(place, {**turn, "train": False})
    elif role == "assistant" and "train" not in (story.messages or [{}])[-1]:
        story.join(place, turn)
    else:
        story.keep(place, turn)
    for j, result in enumerate(_results(step)):
        _answer(story, (*place, "observation", "results", j), result, answers=bool(calls))


def _answer(story: Story, place: Path, result: Any, *, answers: bool) -> None:
    if not is_object(result):
        story.drop(place, "a result that is no object", loses=True)
    elif result.get("content") is None and "subagent_trajectory_ref" in result and not answers:
        story.drop(place, "a reference to a sub-agent's trajectory")
    else:
        named = result.get("source_call_id")
        role = "tool" if answers or named else "user"
        story.keep(place, message({"role": role, "content": result.get("content"), "tool_call_id": named}))


def _call(given: Any) -> Any:
    if not is_object(given) or "function_name" not in given:
        return given
    return call(given["function_name"], given.get("arguments"), given.get("tool_call_id"))


def _name(holder: dict[str, Any]) -> str | None:
    names = [holder.get(key) for key in ("trajectory_id", "session_id")]
    return next((name for name in names if isinstance(name, str) and name), None)


def _labels(record: dict[str, Any], holder: dict[str, Any]) -> dict[str, Any]:
    agent: Any = holder.get("agent")
    model: Any = value_at(agent, ("model_name",)) or value_at(record, ("agent", "model_name"))
    return metadata(
        {"model": model, "agent": value_at(agent, ("name",)), "schema_version": record.get("schema_version")},
        {"cost": value_at(holder, ("final_metrics", "total_cost_usd"))},
        holder.get("extra"),
    )


FORMAT = Format(
    name="atif",
    title="ATIF trajectories of Harbor and Terminal-Bench: steps of system, user and agent",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"schema_version"}),
)
