"""ShareGPT conversations with calls and observations, as LLaMA-Factory and most of the Hub spell them (Glaive too).

Turns are {from, value}, with `weight` (Vicuna) or `train` (axolotl) where a trace says what is trained. Who speaks is
spelled in many ways (chat.SPEAKERS): human and gpt, function_call and observation, tool_call and tool_response.
"""

from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.beside import places_before, places_behind, with_beside
from qwen_sft.reading.chat import CALLERS, Dialogue, dialogue, joined, sample, spoken
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, results_apart
from qwen_sft.sample import Message, Path, is_object
from qwen_sft.text.normalize import find_key, sample_id

_TOOL_KEYS = ("tools", "functions")


def recognises(record: Any) -> bool:
    """A list of turns {from, value}; tools are no text in the system turn."""
    return _dialogue(record) is not None


def _dialogue(record: Any) -> Dialogue | None:
    found = dialogue(record)
    if found is None or found.speaker != "from" or found.root == ("traj",) or found.declares_tools:
        return None
    return found


def events(record: Any) -> list[Path]:
    """Each turn is an event, and so are a system prompt and an answer beside the list."""
    found = _dialogue(record)
    return [*places_before(record), *found.places, *places_behind(record)] if found else []


def read(record: Any) -> Reading:
    """One sample; a call is joined to the assistant's text, or other calls, directly before it.

    Calls have no ids: consecutive observations answer the calls before them in order.
    """
    found = _dialogue(record)
    if found is None or found.fault:
        return Reading(refusal=found.fault if found else None)
    fields: dict[str, Any] = record if is_object(record) else {}
    origins: list[Path] = []
    messages: list[Message] = []
    aside: list[Event] = []
    for place, given in zip(found.places, found.turns, strict=True):
        made = spoken(given)
        whole = joined(messages[-1], made) if messages and given.get("from") in CALLERS else None
        if whole:
            messages[-1] = whole
            aside.append(Event(place, "merged", "a call in the assistant turn directly before it"))
        else:
            told = results_apart(made, messages[-1] if messages else None)
            messages += told
            origins += [place] * len(told)
    key = find_key(fields, _TOOL_KEYS)
    whole = with_beside(fields, messages, origins, answers=True)
    labels = metadata(fields, without={*LABELLED_APART, *whole.columns})
    made_sample = sample(whole.messages, fields[key] if key else None, sample_id(fields), labels)
    return Reading([Conversation(made_sample, whole.origins)], [*aside, *whole.aside])


FORMAT = Format(
    name="sharegpt",
    title="ShareGPT conversations: {from, value} turns with function_call and observation",
    recognises=recognises,
    events=events,
    read=read,
    generic=True,
    fields=frozenset({"messages", "conversations"}),
)
