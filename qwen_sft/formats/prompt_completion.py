"""TRL's prompt and completion: two lists of messages, or two texts, of which only the completion is trained.

The messages of the prompt get `train: false`, as TRL masks them. `label` is KTO's: a completion that is labelled
undesirable is no target. Preference rows (`chosen` and `rejected`) are none either.
"""

from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, has_layout
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import decoded, sample_id

_KWARGS = "chat_template_kwargs"
_NO_LABELS = (*LABELLED_APART, "label", _KWARGS)


def recognises(record: Any) -> bool:
    """The columns `prompt` and `completion`, texts or messages; or `chosen` and `rejected`."""
    return has_layout(record, "prompt_completion")


def events(record: Any) -> list[Path]:
    """Each message of the prompt and of the completion; a text is one event."""
    return [place for key in ("prompt", "completion") for place in _places(record.get(key), key)]


def _places(said: Any, key: str) -> list[Path]:
    return [(key, i) for i in range(len(said))] if is_list(said) else [(key,)]


def read(record: Any) -> Reading:
    """One sample: the prompt, untrained, and the completion."""
    if "chosen" in record and "rejected" in record:
        says = "a preference row has two answers and no one target"
        return refused(("chosen",), says, "rename `chosen` to `completion` to train on it")
    if record.get("label") is False:
        return refused(("label",), "the completion is labelled undesirable", "leave such rows out")
    story = Story()
    for key, role in (("prompt", "user"), ("completion", "assistant")):
        said: Any = record[key]
        for place, given in zip(_places(said, key), said if is_list(said) else [said], strict=True):
            made = _message(given, role)
            if made is None:
                return refused(place, f"a turn is {type(given).__name__}, not an object", "write {role, content}")
            story.keep(place, {**made, "train": False} if key == "prompt" else made)
    labels = metadata(record, without=_NO_LABELS)
    kwargs: Any = decoded(record.get(_KWARGS))
    if is_object(kwargs) and kwargs:
        labels[_KWARGS] = kwargs
    return story.reading(record.get("tools"), sample_id(record), labels)


def _message(given: Any, role: str) -> Message | None:
    if isinstance(given, str):
        return {"role": role, "content": given}
    return message(given) if is_object(given) else None


FORMAT = Format(
    name="prompt_completion",
    title="TRL prompt and completion: messages or texts, of which the completion is trained",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"completion", "chosen"}),
)
