"""ToolACE rows: {system, conversations}, tools as JSON in the system prompt, calls as a Python list in the turn.

A tool's turn is a JSON list of {name, results}: one for each call, where there are as many. Calls without an exact
reading stay text, and `unread_calls` in the metadata counts them.
"""

import re
from typing import Any

from qwen_sft.dialect import dialects
from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import dialogue, spoken
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import (
    LABELLED_APART,
    TOOLACE_DECLARES,
    UNREAD_CALLS,
    has_layout,
    json_at,
    named_tools,
    results_apart,
)
from qwen_sft.reading.story import Story
from qwen_sft.sample import Path, is_list
from qwen_sft.text.normalize import sample_id

_DIALECT = dialects()["python_list"]
_FORMAT = r"\[func[^\]\[\n]*\]"
_HOW_TO_CALL = re.compile(
    "(?:"
    + "|".join(
        (
            r"You should only return the function calls? in (?:the )?tools? call sections?\.",
            rf"If you decide to invoke any of the function\(s\), you MUST put it in the format of {_FORMAT}",
            r"You SHOULD NOT include any other text in the response\.?",
            r"(?:\A\s*\.\s*)?Should you decide to return the function call\(s\)\.",
            rf"Put it in the format of {_FORMAT}",
            r"NO other text MUST be included\.",
        )
    )
    + r")\s*"
)
"""What ToolACE's prompts say on how to call, around their tools; a template says it in its own way."""


def recognises(record: Any) -> bool:
    """A system prompt with ToolACE's sentence on its tools, beside turns {from, value}."""
    return has_layout(record, "toolace")


def events(record: Any) -> list[Path]:
    """The system prompt and each turn."""
    found = dialogue(record)
    return [("system",), *(found.places if found else [])]


def read(record: Any) -> Reading:
    """One sample; a tool's turn becomes one message for each call that it answers."""
    found = dialogue(record)
    if found is None or found.fault:
        return Reading(refusal=found.fault if found else None)
    story = Story()
    declared = _tell_system(story, record["system"])
    unread = 0
    for place, given in zip(found.places, found.turns, strict=True):
        made = spoken(given)
        text: Any = made.get("content")
        if made.get("role") == "assistant" and isinstance(text, str):
            calls = _DIALECT.calls(text, [])
            unread += calls is None and text.strip().startswith("[") and text.strip().endswith(")]")
            made = made | {"content": calls[0], "tool_calls": calls[1]} if calls else made
        for one in results_apart(made, story.messages[-1] if story.messages else None, named=False):
            story.keep(place, one)
    labels = metadata(record, without=LABELLED_APART) | ({UNREAD_CALLS: unread} if unread else {})
    return story.reading(declared, sample_id(record), labels, rebuilt=True)


def _tell_system(story: Story, text: str) -> list[Any] | None:
    """Tells the system prompt without its tools, and gives those, in the nested form."""
    before, _, behind = text.partition(TOOLACE_DECLARES)
    try:
        value, end = json_at(behind, len(behind) - len(behind.lstrip()))
    except ValueError:
        value, end = None, 0
    declared = named_tools(value) if is_list(value) else None
    if declared is None and value != []:
        story.keep(("system",), {"role": "system", "content": text})
        return None
    rest = "".join(_HOW_TO_CALL.sub("", part) for part in (before, behind[end:])).strip()
    if rest:
        story.keep(("system",), {"role": "system", "content": rest})
    else:
        story.merge(("system",), "it only declares tools, which are the sample's tools now")
    return declared


FORMAT = Format(
    name="toolace",
    title="ToolACE: tools as JSON in the system prompt, calls as [name(key=value)] in the turns",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"system"}),
)
