"""What a trace says about a run as a whole, under one set of names: `qwen-sft convert --where` asks for these."""

from collections.abc import Collection, Mapping
from typing import Any, cast

NAMES: dict[str, str] = {
    "reward": "reward",
    "score": "reward",
    "success": "success",
    "is_success": "success",
    "resolved": "success",
    "passed": "success",
    "win": "success",
    "is_correct": "success",
    "model": "model",
    "model_name": "model",
    "model_id": "model",
    "task_id": "task_id",
    "instance_id": "task_id",
    "cost": "cost",
    "total_cost": "cost",
    "total_cost_usd": "cost",
    "finish_reason": "finish_reason",
    "stop_reason": "finish_reason",
    "modelId": "model",
    "modelVersion": "model",
    "finishReason": "finish_reason",
    "stopReason": "finish_reason",
}
"""Fields of traces, and what they are called in a sample's metadata. Where two mean the same the first one counts."""

TRUNCATED = ("length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_length", "unfinished")
"""Values of `finish_reason` of an answer that was cut off; `unfinished` is ours, for a stream without an end."""

_LONGEST = 256  # characters; a longer text is content, not a label


def metadata(*sources: Any, without: Collection[str] = ()) -> dict[str, Any]:
    """The labels in some objects of a record, the first object that has one winning.

    A label is a text of up to 256 characters, a number or a boolean. Those of NAMES come under their common name, all
    others under their own.

    Args:
        sources: objects of the record; anything else counts as empty.
        without: fields that are no labels, such as the conversation's id.
    """
    made: dict[str, Any] = {}
    for source in sources:
        if not isinstance(source, Mapping):
            continue
        for key, value in cast("Mapping[Any, Any]", source).items():  # it came from JSON
            if isinstance(key, str) and key not in without and _is_label(value):
                made.setdefault(NAMES.get(key, key), value)
    return made


def _is_label(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _LONGEST
    return isinstance(value, bool | int | float)
