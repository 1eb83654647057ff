"""ms-swift rows: messages with the roles tool_call and tool_response, or {query, response, history, system}.

Each call is a message of its own, JSON in its content; consecutive ones are parallel. `loss` says whether a message is
trained and `loss_scale` how much; `tools` is a JSON string.
"""

from typing import Any

from qwen_sft.format import Conversation, Format, Reading
from qwen_sft.reading.beside import places_before, places_behind, with_beside
from qwen_sft.reading.chat import dialogue, message, sample, spoken
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import (
    LABELLED_APART,
    has_layout,
    places_of_history,
    places_of_system,
    results_apart,
    tell_history,
    tell_system,
)
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path
from qwen_sft.text.normalize import sample_id

_NO_LABELS = (*LABELLED_APART, "query", "response")
_JOINED = "a call in the assistant turn directly before it"


def recognises(record: Any) -> bool:
    """A message with one of its two roles or its two fields; or the texts `query` and `response`."""
    return has_layout(record, "ms_swift")


def events(record: Any) -> list[Path]:
    """Each message, and what stands beside them; or the system prompt, each pair of the history, query and response."""
    found = dialogue(record)
    if found:
        return [*places_before(record), *found.places, *places_behind(record)]
    return [*places_of_system(record), *places_of_history(record), ("query",), ("response",)]


def read(record: Any) -> Reading:
    """One sample; consecutive calls are one turn, with the text directly before them."""
    story = Story()
    found = dialogue(record)
    if found is None:
        tell_system(story, record)
        if not tell_history(story, record):
            return refused(("history",), "a pair of the history is no query and response", "write [[query, response]]")
        story.keep(("query",), {"role": "user", "content": record["query"]})
        story.keep(("response",), {"role": "assistant", "content": record["response"]})
        return story.reading(record.get("tools"), sample_id(record), metadata(record, without=_NO_LABELS))
    if found.fault:
        return Reading(refusal=found.fault)
    for place, given in zip(found.places, found.turns, strict=True):
        made = _message(given)
        if given.get("role") == "tool_call":
            story.join(place, made, _JOINED)
        else:
            for one in results_apart(made, story.messages[-1] if story.messages else None):
                story.keep(place, one)
    whole = with_beside(record, story.messages, story.origins, answers=True)
    labels = metadata(record, without={*_NO_LABELS, *whole.columns})
    made_sample = sample(whole.messages, record.get("tools"), sample_id(record), labels)
    return Reading([Conversation(made_sample, whole.origins)], [*story.aside, *whole.aside])


def _message(given: dict[str, Any]) -> Message:
    fields = given if given.get("loss_scale") is None else {**given, "weight": given["loss_scale"]}
    if given.get("role") == "tool_call":
        return spoken({**fields, "from": "tool_call", "value": given.get("content")})
    return message({**fields, "role": "tool"} if given.get("role") == "tool_response" else fields)


FORMAT = Format(
    name="ms_swift",
    title="ms-swift: messages with roles tool_call and tool_response, loss and loss_scale; query and response",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"messages", "query"}),
)
