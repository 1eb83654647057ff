"""What tells a sample from others, in a few bytes: by these, curation knows twins, and draws without a dice.

A key depends on the sample alone, so it is the same in every process, in any order of files and beside any others.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen_sft.inspecting.near import plain, signature
from qwen_sft.inspecting.secret import encoded
from qwen_sft.sample import Message, Sample, is_object

_IDS = ("id", "tool_call_id")  # of calls and results: no template prints them


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one sample; each is 16 bytes.

    Attributes:
        content: of messages and tools, without the ids of calls: equal for samples that are alike word for word.
        group: of the task, by the trace's own name for it; of what is asked, where it has none. Samples of one group
            belong in one split.
        is_task: whether the group is a task.
        near: its signature (see `qwen_sft.inspecting.near`); empty where near duplicates are not looked for.
    """

    content: bytes
    group: bytes
    is_task: bool
    near: bytes = b""


def keys_of(sample: Sample, *, near: bool) -> Keys:
    """The keys of a sample, before it is shaped for a model.

    What is asked are all messages before the first turn of the assistant, if a user's is among them; else the trace's
    own name for the sample stands for it, or else the sample.

    Args:
        near: whether near duplicates are looked for.
    """
    messages = sample.get("messages", [])
    content = digest("content", [[_without_ids(message) for message in messages], sample.get("tools") or []])
    task: Any = sample.get("metadata", {}).get("task_id")
    is_task = isinstance(task, str | int) and task != ""
    asked: list[Any] = []
    for message in messages:
        if message.get("role") == "assistant":
            break
        asked.append([message.get("role"), message.get("content")])
    if is_task:
        group = digest("task", str(task))
    elif any(role == "user" for role, _ in asked):
        group = digest("opening", asked)
    else:
        group = digest("id", name) if (name := sample.get("id")) else content
    return Keys(content, group, is_task, signature(sample) if near else b"")


def digest(what: str, value: Any) -> bytes:
    """16 bytes of a JSON value: among a billion, two are alike by chance once in 10^20 times.

    Args:
        what: what it is a key of: of two uses of one value, each has its own.
    """
    data = encoded(value) or plain(value)
    return hashlib.blake2b(data, digest_size=16, person=what.encode()).digest()


def chance(what: str, seed: int, key: bytes) -> float:
    """A number from 0 up to 1 that is as good as drawn by chance, and the same each time.

    Args:
        what: what is drawn; each draw is independent of the others.
    """
    salt = (seed % (1 << 128)).to_bytes(16, "big")
    drawn = hashlib.blake2b(key, digest_size=8, salt=salt, person=what.encode())
    return (int.from_bytes(drawn.digest(), "big") >> 11) / (1 << 53)


def _without_ids(message: Message) -> Any:
    """The message without the ids of its calls, and of the call that it answers; the order of its fields is ours."""
    kept: dict[str, Any] = {key: message[key] for key in sorted(message) if key not in _IDS}
    calls: Sequence[Any] = message.get("tool_calls", ())
    if calls:
        kept["tool_calls"] = [
            {key: value for key, value in call.items() if key not in _IDS} if is_object(call) else call
            for call in calls
        ]
    return kept
