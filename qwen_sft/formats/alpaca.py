"""Alpaca rows: instruction, input, output; in LLaMA-Factory's form also system, history and tools."""

from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import (
    LABELLED_APART,
    has_layout,
    places_of_history,
    places_of_system,
    tell_history,
    tell_system,
)
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path
from qwen_sft.text.normalize import sample_id

_NO_LABELS = (*LABELLED_APART, "instruction", "input", "output", "text")
_INPUT = "the second part of the user's turn, behind the instruction and a newline"


def recognises(record: Any) -> bool:
    """The texts `instruction` and `output`, and no list of turns."""
    return has_layout(record, "alpaca")


def events(record: Any) -> list[Path]:
    """The system prompt, each pair of the history, the instruction, the input and the output."""
    asked: list[Path] = [("instruction",), *([("input",)] if record.get("input") else [])]
    return [*places_of_system(record), *places_of_history(record), *asked, ("output",)]


def read(record: Any) -> Reading:
    """One sample, whose last user turn is the instruction and the input."""
    story = Story()
    tell_system(story, record)
    if not tell_history(story, record):
        return refused(("history",), "a pair of the history is no query and response", "write [[query, response]]")
    given: Any = record.get("input") or ""
    if not isinstance(given, str):
        return refused(("input",), f"the input is {type(given).__name__}, not a text", "write it as text")
    query = "\n".join(filter(None, (record["instruction"], given)))
    story.keep(("instruction",), {"role": "user", "content": query})
    if given:
        story.merge(("input",), _INPUT)
    story.keep(("output",), {"role": "assistant", "content": record["output"]})
    return story.reading(record.get("tools"), sample_id(record), metadata(record, without=_NO_LABELS))


FORMAT = Format(
    name="alpaca",
    title="Alpaca: instruction, input, output, with system, history and tools as LLaMA-Factory has them",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"instruction"}),
)
