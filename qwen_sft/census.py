"""What a whole set of samples is like: counts, and a few hashes of each sample, from which the SET rules judge it.

Facts are made of one sample, wherever that is checked; a census adds them up, and two of them can be merged. For each
sample it holds 41 bytes, besides a name and two counts for each different tool and file: a million samples take 41 MB.
"""

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.record import Where
from qwen_sft.sample import is_list
from qwen_sft.secret import encoded
from qwen_sft.transcript import Transcript

LEAST = 100
"""Samples that a share must be of, or it says nothing; the threshold LEAST_NAME moves it."""

LEAST_NAME = "samples"

_SPLIT = re.compile(
    r"(?<![a-z])(?:(train(?:ing)?)|(test(?:ing|set)?|eval(?:uation)?|holdout)|(val(?:id(?:ation)?)?|dev))(?![a-z])"
)
_SPLITS = ("train", "test", "validation")


@dataclass(frozen=True, slots=True)
class Facts:
    """What a census asks of one sample.

    Attributes:
        said: hash of messages and tools: equal for samples that are alike word for word.
        opening: hash of what is asked, all messages before the first assistant turn; 0 for none, or no split.
        task: hash of the trace's own name for the task; 0 where it has none.
        split: the split that it is in; "" where nothing tells.
        declared: names of the tools that are offered, each once.
        called: names of the tools that are called, in order.
        n_parallel: turns that make several calls at once.
        chain: the most turns with calls behind each other without a user's turn between.
    """

    said: int
    opening: int
    task: int
    split: str
    declared: tuple[str, ...]
    called: tuple[str, ...]
    n_parallel: int
    chain: int


def facts_of(transcript: Transcript, where: Where) -> Facts:
    """The facts of one sample, which stands there."""
    sample, messages = transcript.sample, transcript.messages
    before: list[Any] = []
    for message in messages:
        if message.get("role") == "assistant":
            break
        before.append(message)
    asked = any(message.get("role") == "user" for message in before)
    labels = sample.get("metadata", {})
    task: Any = labels.get("task_id")
    said: Any = labels.get("split")
    split = split_of(where, said if isinstance(said, str) else "")
    chain = longest = 0
    for message in messages:
        if message.get("role") == "user":
            chain = 0
        elif message.get("tool_calls"):
            chain += 1
            longest = max(longest, chain)
    return Facts(
        said=_hash([messages, transcript.tools], transcript.json),
        opening=_hash(before) if asked and split else 0,
        task=_hash(task) if isinstance(task, str | int) else 0,
        split=split,
        declared=tuple(dict.fromkeys(transcript.declared)),
        called=tuple(call["function"]["name"] for exchange in transcript.exchanges for call in exchange.calls),
        n_parallel=sum(len(exchange.calls) > 1 for exchange in transcript.exchanges),
        chain=longest,
    )


def _hash(value: Any, data: bytes | None = None) -> int:
    """64 bits of a JSON value, never 0: of ten million, two are alike by chance once in 370,000 times."""
    data = data or encoded(value) or _plain(value)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") or 1


def _plain(value: Any) -> bytes:
    """A text for a value that is no JSON, equal for equal ones."""
    rest, parts = [value], list[str]()
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            parts.append("{")
            for key, inner in item.items():  # pyright: ignore[reportUnknownVariableType]  # of any JSON
                rest += [inner, key]
        elif is_list(item):
            parts.append("[")
            rest += item
        else:
            parts.append(ascii(item))
    return "\n".join(parts).encode()


def split_of(where: Where, said: str) -> str:
    """The split that a sample is in, by what it says itself, or by the names of its file and folders; "" if none does.

    The last name that tells counts: `train/eval.jsonl` is for evaluation.
    """
    found = [*_SPLIT.finditer(said.lower() or where.file.replace("\\", "/").lower())]
    return _SPLITS[(found[-1].lastindex or 1) - 1] if found else ""


@dataclass(slots=True)
class Census:
    """What was seen of a set.

    Attributes:
        thresholds: by the code of the rule; what is not in it has the rule's own.
        n_offered: samples to which tools are offered; n_unused: those of them that make no call.
        n_calling: samples that make calls; n_chained: those of them in which one calling turn follows another.
        n_calling_turns, n_parallel: turns that make calls, and those that make several.
        tools: how many samples offer each number of tools.
        declared: in how many samples each tool is offered; called: how often it is called.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict[str, float])
    n_samples: int = 0
    n_offered: int = 0
    n_unused: int = 0
    n_calling: int = 0
    n_chained: int = 0
    n_parallel: int = 0
    tools: Counter[int] = field(default_factory=Counter[int])
    declared: Counter[str] = field(default_factory=Counter[str])
    called: Counter[str] = field(default_factory=Counter[str])
    files: list[str] = field(default_factory=list[str])
    said: "array[int]" = field(default_factory=lambda: array("Q"))
    openings: "array[int]" = field(default_factory=lambda: array("Q"))
    tasks: "array[int]" = field(default_factory=lambda: array("Q"))
    splits: "array[int]" = field(default_factory=lambda: array("B"))
    _lines: "array[int]" = field(default_factory=lambda: array("Q"))
    _items: "array[int]" = field(default_factory=lambda: array("q"))
    _numbers: dict[str, int] = field(default_factory=dict[str, int])

    def see(self, facts: Facts, where: Where) -> None:
        """Adds one sample."""
        number = self._numbers.get(where.file)
        if number is None:
            number = self._numbers[where.file] = len(self.files)
            self.files.append(where.file)
        self.n_samples += 1
        self.said.append(facts.said)
        self.openings.append(facts.opening)
        self.tasks.append(facts.task)
        self.splits.append(_SPLITS.index(facts.split) + 1 if facts.split else 0)
        self._lines.append(number << 40 | where.line)
        self._items.append(-1 if where.item is None else where.item)
        self.n_offered += bool(facts.declared)
        self.n_unused += bool(facts.declared) and not facts.called
        self.n_calling += bool(facts.called)
        self.n_chained += facts.chain > 1
        self.n_parallel += facts.n_parallel > 0
        self.tools[len(facts.declared)] += 1
        self.declared.update(facts.declared)
        self.called.update(facts.called)

    def merge(self, other: "Census") -> None:
        """Adds what another census saw, as if its samples had come behind those of this one."""
        numbers: list[int] = []
        for file in other.files:
            if file not in self._numbers:
                self._numbers[file] = len(self.files)
                self.files.append(file)
            numbers.append(self._numbers[file])
        self._lines.extend(numbers[line >> 40] << 40 | (line & (1 << 40) - 1) for line in other._lines)
        for name in ("said", "openings", "tasks", "splits", "_items"):
            getattr(self, name).extend(getattr(other, name))
        for name in ("n_samples", "n_offered", "n_unused", "n_calling", "n_chained", "n_parallel"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tools.update(other.tools)
        self.declared.update(other.declared)
        self.called.update(other.called)

    def threshold(self, code: str, usual: float) -> float:
        """The threshold of a rule, which settings may move."""
        return self.thresholds.get(code, usual)

    def is_enough(self, n: int) -> bool:
        """True if a share of so many samples says something."""
        return n >= max(1, self.thresholds.get(LEAST_NAME, LEAST))

    def place(self, index: int) -> str:
        """Where a sample stands, for people: `runs.jsonl:12`."""
        line = self._lines[index]
        item = f"[{self._items[index]}]" if self._items[index] >= 0 else ""
        return f"{self.files[line >> 40]}:{line & (1 << 40) - 1}{item}"

    def split(self, index: int) -> str:
        """The name of the split that a sample is in; "" for none."""
        return _SPLITS[self.splits[index] - 1] if self.splits[index] else ""


def alike(keys: Sequence[int]) -> Iterator[list[int]]:
    """The indices of keys that stand more than once, together, by the first; a key of 0 is none."""
    order = sorted(range(len(keys)), key=keys.__getitem__)
    groups: list[list[int]] = []
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and keys[order[end]] == keys[order[start]]:
            end += 1
        if end - start > 1 and keys[order[start]]:
            groups.append(order[start:end])
        start = end
    return iter(sorted(groups))


def percent(n: int, of: int) -> str:
    """A share, for people: `3 of 40 (7.5 %)`."""
    return f"{n:,} of {of:,} ({100 * n / of:.3g} %)"
