"""tau2-bench simulations: one run {messages, task_id, reward_info}, alone, under `result`, or listed in a results file.

Calls are {id, name, arguments, requestor}; a result names its call in its own `id`. In tau2 the user has tools too:
what the user's side calls and gets back (requestor "user") never reaches the agent and is dropped. The agent's system
prompt is not recorded, only the policy that it holds: the policy is the system turn. The greeting with which a run
opens is the harness' own: the agent was shown it and never said it, so it is not trained. A results file also declares
the tools, as {name, doc, params, returns}.

NeMo-Gym's rows, which hold the same run as a Responses request and answer, are read as that: it has the whole prompt.

Source: tau2-bench, src/tau2/data_model (message.py, simulation.py) and orchestrator (DEFAULT_FIRST_AGENT_MESSAGE).
"""

from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import keys_of, message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path, is_list, is_object, value_at

_USERS = "the user's own call or its result, which the agent never saw"
_GREETING = "Hi! How can I help you today?"
_OURS = frozenset({"turn_idx", "requestor", "tool_calls"})
_INFO: Path = ("info", "environment_info")


def recognises(record: Any) -> bool:
    """Messages with a `turn_idx` or calls with a `requestor`, where a run keeps them."""
    return bool(_runs(record))


def _runs(record: Any) -> list[Path]:
    """The places of the runs in a record."""
    if not is_object(record) or "responses_create_params" in record:
        return []
    listed: Any = record.get("simulations")
    if is_list(listed):
        runs: list[Path] = [("simulations", i) for i in range(len(listed))]
        return runs if any(_is_run(value_at(record, run)) for run in runs) else []
    if _is_run(record):
        return [()]
    return [("result",)] if _is_run(record.get("result")) else []


def _is_run(run: Any) -> bool:
    turns: Any = run.get("messages") if is_object(run) else None
    return is_list(turns) and not keys_of(turns).isdisjoint(_OURS) and any(map(_is_turn, turns[:3]))


def _is_turn(turn: Any) -> bool:
    if not is_object(turn) or not isinstance(turn.get("role"), str):
        return False
    calls: Any = turn.get("tool_calls")
    made: list[Any] = calls if is_list(calls) else []
    return "turn_idx" in turn or any(is_object(one) and "requestor" in one for one in (turn, *made))


def _policy(record: Any, run: Path) -> Path | None:
    """Where the run's policy stands: beside its messages, or once for the whole file."""
    for place in ((*run, "policy"), (*_INFO, "policy")):
        held: Any = value_at(record, place)
        if isinstance(held, str) and held:
            return place
    return None


def events(record: Any) -> list[Path]:
    """The policy and each message of each run."""
    places: list[Path] = []
    for run in _runs(record):
        policy = _policy(record, run)
        turns: Any = value_at(record, (*run, "messages"))
        places += [policy] if policy else []
        places += [(*run, "messages", i) for i in range(len(turns))] if is_list(turns) else []
    return list(dict.fromkeys(places))


def read(record: Any) -> Reading:
    """One sample for each run that has messages."""
    made: list[Conversation] = []
    aside: dict[Path, Event] = {}
    for run in _runs(record):
        turns: Any = value_at(record, (*run, "messages"))
        odd = [i for i, turn in enumerate(turns) if not is_object(turn)] if is_list(turns) else []
        if odd:
            return refused((*run, "messages", odd[0]), "a message is not an object", "write {role, content}")
        story = Story()
        policy = _policy(record, run)
        if policy:
            story.keep(policy, {"role": "system", "content": value_at(record, policy)})
        for i, given in enumerate(turns if is_list(turns) else []):
            _tell(story, (*run, "messages", i), given)
        declared, original = _tools(value_at(record, (*_INFO, "tool_defs")))
        labels = _labels(record, value_at(record, run)) | ({"tools_original": original} if original else {})
        named: Any = value_at(record, (*run, "id"))
        if any(turn.get("role") != "system" for turn in story.messages):
            made.append(story.conversation(declared, named if isinstance(named, str) else None, labels))
        else:
            aside |= {place: Event(place, "dropped", "a run without messages") for place in story.origins}
        aside |= {event.path: event for event in story.aside}
    if not made:
        return refused((), "no run has a message that the agent saw", "leave runs that failed out")
    kept = {place for one in made for place in one.origins}
    return Reading(made, [event for place, event in aside.items() if place not in kept])


def _tell(story: Story, place: Path, given: dict[str, Any]) -> None:
    """Keeps what the agent saw or said."""
    role: Any = given.get("role")
    if role == "tool":
        if given.get("requestor") == "user":
            story.drop(place, _USERS)
        else:
            story.keep(place, message({**given, "tool_call_id": given.get("tool_call_id") or given.get("id")}))
        return
    if role == "user" and given.get("tool_calls"):
        if given.get("content") in (None, ""):
            story.drop(place, _USERS)
        else:
            story.keep(place, message({**given, "tool_calls": None}))
        return
    greets = place[-1] == 0 and role == "assistant" and given.get("content") == _GREETING and not given.get("raw_data")
    story.keep(place, message({**given, "train": False} if greets else given))


def _tools(defined: Any) -> tuple[list[Any] | None, Any]:
    """The tools in OpenAI's form, and as tau2 spells them."""
    if not is_object(defined) or not defined:
        return None, None
    made: list[Any] = []
    for name, tool in defined.items():
        fields: dict[str, Any] = tool if is_object(tool) else {}
        parameters: Any = fields.get("params") or {"type": "object", "properties": {}}
        made.append({"name": fields.get("name", name), "description": fields.get("doc"), "parameters": parameters})
    return made, defined


def _labels(record: dict[str, Any], run: Any) -> dict[str, Any]:
    reward: Any = value_at(run, ("reward_info", "reward"))
    is_number = isinstance(reward, int | float) and not isinstance(reward, bool)
    return metadata(
        {"reward": reward, "success": abs(reward - 1) < 1e-6} if is_number else {},
        {key: value_at(run, (key,)) for key in ("task_id", "trial", "termination_reason")},
        {"cost": value_at(run, ("agent_cost",)), "model": value_at(record, ("info", "agent_info", "llm"))},
        {"domain": value_at(record, (*_INFO, "domain_name"))},
    )


FORMAT = Format(
    name="tau2",
    title="tau2-bench simulations: one run, or a results file with many",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"simulations", "messages", "result"}),
)
