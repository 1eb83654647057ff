"""verl rows: multi-turn SFT (messages, tools, enable_thinking) and RL prompts (prompt, data_source, reward_model).

An RL prompt has a ground truth for its reward and no answer that a model said: it is refused.
"""

from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import dialogue, message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, has_layout
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path
from qwen_sft.text.normalize import sample_id


def recognises(record: Any) -> bool:
    """Messages with `enable_thinking` (and no `model`: that is a request) or verl's labels; or a labelled prompt."""
    return has_layout(record, "verl")


def events(record: Any) -> list[Path]:
    """Each message is an event."""
    found = dialogue(record)
    return found.places if found else []


def read(record: Any) -> Reading:
    """One sample; every message is kept."""
    found = dialogue(record)
    if found is None:
        says = "a prompt for reinforcement learning has no answer to train on"
        return refused(("prompt",), says, "convert the rollouts that were made from it")
    if found.fault:
        return Reading(refusal=found.fault)
    story = Story()
    for place, given in zip(found.places, found.turns, strict=True):
        story.keep(place, message(given))
    labels = metadata(record, record.get("extra_info"), without=LABELLED_APART)
    return story.reading(record.get("tools"), sample_id(record), labels)


FORMAT = Format(
    name="verl",
    title="verl: multi-turn SFT messages with enable_thinking; RL prompts are refused",
    recognises=recognises,
    events=events,
    read=read,
    keeps_fields=True,
    fields=frozenset({"data_source", "reward_model", "enable_thinking"}),
)
