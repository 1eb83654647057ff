"""Serialised RunState of the OpenAI Agents SDK: the input of a run and the items that it generated, each in a wrapper.

The items are those of the Responses API, under `raw_item` (Python) or `rawItem` (TypeScript, fields in camel case).
`model_responses` and `session_items` hold the same items again. A call that waits for approval stands twice and has no
result yet. The agents' instructions and tools are not recorded; after a handoff another agent goes on with the history.
"""

from typing import Any

from qwen_sft.format import Event, Format, Reading
from qwen_sft.reading.items import Item, kind, placed, turns
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path, is_list, is_object, value_at
from qwen_sft.text.normalize import text

_VERSION = "$schemaVersion"
_INPUT = ("original_input", "originalInput")
_GENERATED = ("generated_items", "generatedItems")
_AGAIN = ("session_items", "sessionItems")
_RESPONSES = ("model_responses", "modelResponses")
_RAW = ("raw_item", "rawItem")
_APPROVALS = ("tool_approval_item", "mcp_approval_request_item")
_CAMEL = {"callId": "call_id", "providerData": "provider_data"}
_TYPES = {"function_call_result": "function_call_output", "hosted_tool_call": "hosted_tool_call"}


def recognises(record: Any) -> bool:
    """A schema version beside the original input and the generated items."""
    return is_object(record) and _VERSION in record and bool(_key(record, _INPUT)) and bool(_key(record, _GENERATED))


def _key(record: dict[str, Any], names: tuple[str, str]) -> str:
    return next((name for name in names if name in record), "")


def _listed(record: dict[str, Any], names: tuple[str, str]) -> list[Item]:
    key = _key(record, names)
    return placed((key,), record[key], "user") if key and is_list(record[key]) else []


def _asked(record: dict[str, Any]) -> list[Item]:
    key = _key(record, _INPUT)
    return placed((key,), record[key], "user")


def _answers(record: dict[str, Any]) -> list[Item]:
    """The items in the responses of the models."""
    made: list[Item] = []
    for place, response in _listed(record, _RESPONSES):
        output: Any = response.get("output") if is_object(response) else None
        made += placed((*place, "output"), output, "assistant") if is_list(output) else []
    return made


def events(record: Any) -> list[Path]:
    """Each item of the input and of the run, wherever it stands."""
    if not recognises(record):
        return []
    lists = (_asked(record), _listed(record, _GENERATED), _listed(record, _AGAIN), _answers(record))
    return [place for items in lists for place, _ in items]


def read(record: Any) -> Reading:
    """One sample: the input, then the items that the run generated."""
    if not recognises(record):
        return Reading()
    version: Any = record[_VERSION]
    if not isinstance(version, str) or version.partition(".")[0] != "1":
        says = f"schema version {version!r} of a RunState is not known"
        return refused((_VERSION,), says, "load it with the SDK and save it as version 1")
    items = [(place, _item(item)) for place, item in _asked(record)]
    told = [_gist(item) for _, item in items]
    aside: list[Event] = []
    for place, wrapper in _listed(record, _GENERATED):
        item = _item(_raw(wrapper))
        if not is_object(item):
            return refused(place, "an item of the run has no raw_item", "save the RunState again")
        waits = is_object(wrapper) and wrapper.get("type") in _APPROVALS
        if waits and _gist(item) in told:
            aside.append(Event(place, "merged", "waits for approval: the call before it"))
            continue
        items.append((place, item))
        told.append(_gist(item))
    again = [(place, _raw(wrapper)) for place, wrapper in _listed(record, _AGAIN)]
    for place, raw in [*again, *_answers(record)]:
        repeats = _gist(_item(raw)) in told
        reason = "repeats an item of the run" if repeats else "an item that the history of the run does not hold"
        aside.append(Event(place, "merged" if repeats else "dropped", reason, loses=not repeats))
    said = turns(items)
    if said.refusal:
        return Reading(refusal=said.refusal)
    story = Story()
    for place, message in zip(said.origins, said.messages, strict=True):
        story.keep(place, message)
    story.aside += [*said.aside, *aside]
    return story.reading(None, _name(record), _labels(record))


def _raw(wrapper: Any) -> Any:
    if not is_object(wrapper):
        return None
    key = _key(wrapper, _RAW)
    return wrapper[key] if key else None


def _item(raw: Any) -> Any:
    """The item as the Responses API spells it."""
    if not is_object(raw):
        return raw
    made = {_CAMEL.get(key, key): value for key, value in raw.items()}
    given: Any = made.get("type")
    if isinstance(given, str) and given in _TYPES:
        made["type"] = _TYPES[given]
    output: Any = made.get("output")
    if is_object(output) and output.get("type") == "text":
        made["output"] = output.get("text")
    return made


def _gist(item: Any) -> str:
    """What an item says, whatever its id and status: two with one gist are the same."""
    if not is_object(item):
        return repr(item)
    told = [kind(item), item.get("call_id"), text(item.get("content"))]
    return repr([*told, *(item.get(key) for key in ("name", "arguments", "output", "summary"))])


def _name(record: dict[str, Any]) -> str | None:
    trace: Any = record.get("trace")
    names = [record.get("conversation_id"), *(value_at(trace, (key,)) for key in ("id", "trace_id"))]
    return next((name for name in names if isinstance(name, str) and name), None)


def _labels(record: dict[str, Any]) -> dict[str, Any]:
    step = value_at(record, ("current_step", "type")) or value_at(record, ("currentStep", "type"))
    agents: list[Any] = []
    for _, wrapper in _listed(record, _GENERATED):
        name = value_at(wrapper, ("agent", "name"))
        if isinstance(name, str) and name not in agents:
            agents.append(name)
    current = value_at(record, ("current_agent", "name")) or value_at(record, ("currentAgent", "name"))
    labels = {"schema_version": record[_VERSION], "agent": current, "interrupted": step == "next_step_interruption"}
    return metadata(labels) | ({"agents": agents} if len(agents) > 1 else {})


FORMAT = Format(
    name="openai_agents",
    title="OpenAI Agents SDK: serialised RunState with the items of a run",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({_VERSION}),
)
