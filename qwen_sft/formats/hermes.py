"""Hermes transcripts: tools, calls and results as tagged text in the turns, {role, content} or {from, value}.

Inside the tags stands JSON, or (Hermes 2) what Python prints. Many keep the tools beside the turns as well.
"""

from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import Dialogue, dialogue, message, sample, spoken
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART
from qwen_sft.sample import Message, Path, is_object
from qwen_sft.text.markup import lift_calls, lift_results, lift_tools
from qwen_sft.text.normalize import sample_id


def recognises(record: Any) -> bool:
    """A list of turns whose first is the system's, with a `<tools>` block in its text."""
    return _dialogue(record) is not None


def _dialogue(record: Any) -> Dialogue | None:
    found = dialogue(record)
    return found if found and found.root != ("traj",) and found.declares_tools else None


def events(record: Any) -> list[Path]:
    """Each turn is an event."""
    found = _dialogue(record)
    return found.places if found else []


def read(record: Any) -> Reading:
    """One sample, in which tagged text is real tools, calls and results wherever it has an exact reading.

    A turn without one (a broken block, text behind a call, tools that are no JSON) stays text, for rules to report.
    The tools of the text are what the model saw: `tools` beside the turns count only where the text has no reading.
    """
    found = _dialogue(record)
    if found is None or found.fault:
        return Reading(refusal=found.fault if found else None)
    fields: dict[str, Any] = record if is_object(record) else {}
    first, *others = [message(given) if found.speaker == "role" else spoken(given) for given in found.turns]
    place, *places = found.places
    messages: list[Message] = []
    origins: list[Path] = []
    aside: list[Event] = []
    text: Any = first.get("content")
    lifted = lift_tools(text) if isinstance(text, str) else None
    declared = lifted[0] if lifted else fields.get("tools")
    if lifted and not lifted[1]:
        aside.append(Event(place, "merged", "it only declares tools, which are the sample's tools now"))
    else:
        messages.append({**first, "content": lifted[1]} if lifted else first)
        origins.append(place)
    for place, given in zip(places, others, strict=True):
        for made in _lifted(given):
            messages.append(made)
            origins.append(place)
    made_sample = sample(messages, declared, sample_id(fields), metadata(fields, without=LABELLED_APART))
    return Reading([Conversation(made_sample, origins)], aside)


def _lifted(turn: Message) -> list[Message]:
    """An assistant's turn with real calls, or one tool message per result of a tool's or a user's turn."""
    content: Any = turn.get("content")
    if not isinstance(content, str) or turn.get("tool_calls"):
        return [turn]
    if turn.get("role") == "assistant":
        calls = lift_calls(content)
        return [{**turn, "content": calls[0], "tool_calls": calls[1]}] if calls else [turn]
    results = lift_results(content) if turn.get("role") in ("tool", "user") else None
    if results is None:
        return [turn]
    if len(results) == 1 and turn.get("role") == "tool":
        return [{**turn, "content": results[0]}]
    return [{"role": "tool", "content": result} for result in results]


FORMAT = Format(
    name="hermes",
    title="Hermes transcripts: <tools>, <tool_call> and <tool_response> as text in the turns",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"messages", "conversations"}),
)
