"""What a whole set of samples is like: counts, and a few hashes of each sample, from which the SET rules judge it.

Facts are made of one sample, wherever that is checked; a census adds them up, and two of them can be merged. For each
sample it holds 69 bytes, 197 where near duplicates are looked for, besides a name, two counts and the names of the
parameters for each different tool, and a name for each file: a million samples take 69 MB, or 197 MB.
"""

import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec

from qwen_sft.near import N_BYTES, Index, plain, signature
from qwen_sft.record import Where
from qwen_sft.sample import Message, is_object
from qwen_sft.secret import encoded
from qwen_sft.transcript import Transcript

LEAST = 100
"""Samples that a share must be of, or it says nothing; the threshold LEAST_NAME moves it."""

LEAST_NAME = "samples"

CONTEXT_NAME = "context"
"""The threshold that says how many tokens the model's context holds, in place of what the model says."""

_SPLIT = re.compile(
    r"(?<![a-z])(?:(train(?:ing)?)|(test(?:ing|set)?|eval(?:uation)?|holdout)|(val(?:id(?:ation)?)?|dev))(?![a-z])"
)
_SPLITS = ("train", "test", "validation")
_NO_KEYS = frozenset[str]()


class Usage(msgspec.Struct, frozen=True):
    """How a tool is called.

    Attributes:
        arguments: hash of the arguments that all of its calls have in common; 0 if they differ.
        given: names of the parameters that some call gives.
    """

    arguments: int
    given: frozenset[str]

    def with_other(self, other: "Usage") -> "Usage":
        """How it is called here and there."""
        given = self.given if other.given <= self.given else self.given | other.given
        return Usage(self.arguments if self.arguments == other.arguments else 0, given)


class Facts(msgspec.Struct, frozen=True):
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
        system: hash of the system messages; 0 for none.
        conversation: hash of the other messages, without ids; 0 for no split.
        usage: how each tool that is called is called, by its name.
        parameters: names of the parameters of each tool that is offered and called, by the tool's name.
        near: its signature (see `qwen_sft.near`); empty where near duplicates are not looked for.
        longest: tokens of its longest row; 0 without a model, as the next two.
        n_tokens, n_trained: tokens of all of its rows, and how many of them are trained.
    """

    said: int
    opening: int
    task: int
    split: str
    declared: tuple[str, ...]
    called: tuple[str, ...]
    n_parallel: int
    chain: int
    system: int = 0
    conversation: int = 0
    usage: Mapping[str, Usage] = msgspec.field(default_factory=dict[str, Usage])
    parameters: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    near: bytes = b""
    longest: int = 0
    n_tokens: int = 0
    n_trained: int = 0


def facts_of(transcript: Transcript, where: Where, *, near: bool = False) -> Facts:
    """The facts of one sample, which stands there, before it is encoded.

    Args:
        near: whether near duplicates are looked for.
    """
    sample, messages = transcript.sample, transcript.messages
    labels = sample.get("metadata", {})
    task: Any = labels.get("task_id")
    said: Any = labels.get("split")
    split = split_of(where, said if isinstance(said, str) else "")
    usage = _usage(transcript)
    roles = [message.get("role") for message in messages]
    before = messages[: roles.index("assistant")] if "assistant" in roles else messages
    system = [message.get("content") for message in messages if message.get("role") == "system"]
    chain = longest = 0
    for message, role in zip(messages, roles, strict=True):
        if role == "user":
            chain = 0
        elif message.get("tool_calls"):
            chain += 1
            longest = max(longest, chain)
    return Facts(
        said=_hash([messages, transcript.tools], transcript.json),
        opening=_hash(before) if split and "user" in roles[: len(before)] else 0,
        task=_hash(task) if isinstance(task, str | int) else 0,
        split=split,
        declared=tuple(dict.fromkeys(transcript.declared)),
        called=tuple([call["function"]["name"] for exchange in transcript.exchanges for call in exchange.calls]),
        n_parallel=sum([len(exchange.calls) > 1 for exchange in transcript.exchanges]),
        chain=longest,
        system=_hash(system) if system else 0,
        conversation=_hash([_told(one) for one in messages if one.get("role") != "system"]) if split else 0,
        usage=usage,
        parameters={name: _parameters(schema) for name, schema in transcript.declared.items() if name in usage},
        near=signature(sample) if near else b"",
    )


def _told(message: Message) -> list[Any]:
    calls: list[Any] = [call.get("function") for call in message.get("tool_calls", ())]
    return [message.get("role"), message.get("content") or "", message.get("reasoning_content") or "", calls]


def _usage(transcript: Transcript) -> dict[str, Usage]:
    """How each tool is called in one sample; arguments are hashed only where all calls of a tool have the same."""
    calls: dict[str, list[Any]] = {}
    for exchange in transcript.exchanges:
        for call in exchange.calls:
            calls.setdefault(call["function"]["name"], []).append(call["function"].get("arguments"))
    found: dict[str, Usage] = {}
    for name, given in calls.items():
        is_same = len(given) == 1 or all(one == given[0] for one in given)
        keys = _NO_KEYS.union(*filter(is_object, given))
        arguments = sorted(given[0].items()) if is_object(given[0]) else given[0]
        found[name] = Usage(_hash(arguments) if is_same else 0, keys)
    return found


def _parameters(schema: Any) -> tuple[str, ...]:
    properties: Any = schema.get("properties") if is_object(schema) else None
    return tuple(properties) if is_object(properties) else ()


def _hash(value: Any, data: bytes | None = None) -> int:
    """64 bits of a JSON value, never 0: of ten million, two are alike by chance once in 370,000 times."""
    data = data or encoded(value) or plain(value)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") or 1


def split_of(where: Where, said: str) -> str:
    """The split that a sample is in, by what it says itself, or by the names of its file and folders; "" if none does.

    The last name that tells counts: `train/eval.jsonl` is for evaluation.
    """
    return _split_in(said) if said else _split_of_file(where.file)


@lru_cache(maxsize=64)  # the records of a file come one behind the other
def _split_of_file(file: str) -> str:
    return _split_in(file.replace("\\", "/"))


def _split_in(names: str) -> str:
    found = [*_SPLIT.finditer(names.lower())]
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
        usage: how each tool is called; parameters: names of those that some declaration of it has.
        signatures: of all samples, one behind the other; empty where near duplicates are not looked for.
        longest, n_tokens, n_trained: see Facts, for each sample.
        model_context: tokens that the model's context holds; None where nobody knows.
    """

    thresholds: Mapping[str, float] = field(default_factory=dict[str, float])
    model_context: int | None = None
    n_samples: int = 0
    n_offered: int = 0
    n_unused: int = 0
    n_calling: int = 0
    n_chained: int = 0
    n_parallel: int = 0
    tools: Counter[int] = field(default_factory=Counter[int])
    declared: Counter[str] = field(default_factory=Counter[str])
    called: Counter[str] = field(default_factory=Counter[str])
    usage: dict[str, Usage] = field(default_factory=dict[str, Usage])
    parameters: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    signatures: bytearray = field(default_factory=bytearray)
    files: list[str] = field(default_factory=list[str])
    said: "array[int]" = field(default_factory=lambda: array("Q"))
    openings: "array[int]" = field(default_factory=lambda: array("Q"))
    tasks: "array[int]" = field(default_factory=lambda: array("Q"))
    splits: "array[int]" = field(default_factory=lambda: array("B"))
    systems: "array[int]" = field(default_factory=lambda: array("Q"))
    conversations: "array[int]" = field(default_factory=lambda: array("Q"))
    longest: "array[int]" = field(default_factory=lambda: array("I"))
    n_tokens: "array[int]" = field(default_factory=lambda: array("I"))
    n_trained: "array[int]" = field(default_factory=lambda: array("I"))
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
        self.systems.append(facts.system)
        self.conversations.append(facts.conversation)
        self.longest.append(facts.longest)
        self.n_tokens.append(facts.n_tokens)
        self.n_trained.append(facts.n_trained)
        self.signatures += facts.near
        self._lines.append(number << 40 | where.line)
        self._items.append(-1 if where.item is None else where.item)
        self.n_offered += bool(facts.declared)
        self.n_unused += bool(facts.declared) and not facts.called
        self.n_calling += bool(facts.called)
        self.n_chained += facts.chain > 1
        self.n_parallel += facts.n_parallel > 0
        self.tools[len(facts.declared)] += 1
        for name in facts.declared:  # a tenth of the time of Counter.update, for so few
            self.declared[name] += 1
        for name in facts.called:
            self.called[name] += 1
        self._learn(facts.usage, facts.parameters)

    def _learn(self, usage: Mapping[str, Usage], parameters: Mapping[str, Collection[str]]) -> None:
        for name, one in usage.items():
            before = self.usage.get(name)
            self.usage[name] = one if before is None else before.with_other(one)
        for name, listed in parameters.items():
            known = self.parameters.get(name)
            if known is None or not known.issuperset(listed):
                self.parameters[name] = _NO_KEYS.union(known or (), listed)

    def merge(self, other: "Census") -> None:
        """Adds what another census saw, as if its samples had come behind those of this one."""
        numbers: list[int] = []
        for file in other.files:
            if file not in self._numbers:
                self._numbers[file] = len(self.files)
                self.files.append(file)
            numbers.append(self._numbers[file])
        self._lines.extend(numbers[line >> 40] << 40 | (line & (1 << 40) - 1) for line in other._lines)
        for name in _COLUMNS:
            getattr(self, name).extend(getattr(other, name))
        self.signatures += other.signatures
        for name in ("n_samples", "n_offered", "n_unused", "n_calling", "n_chained", "n_parallel"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tools.update(other.tools)
        self.declared.update(other.declared)
        self.called.update(other.called)
        self._learn(other.usage, other.parameters)

    @property
    def context(self) -> int | None:
        """Tokens that the model's context holds, as the threshold CONTEXT_NAME or else the model says."""
        told = self.thresholds.get(CONTEXT_NAME)
        return self.model_context if told is None else int(told)

    def signature(self, index: int) -> bytes:
        """The signature of a sample; only where near duplicates are looked for."""
        return bytes(self.signatures[index * N_BYTES : (index + 1) * N_BYTES])

    def near_repeats(self) -> dict[int, int]:
        """For each sample that nearly repeats an earlier one the first that it repeats; word for word counts too."""
        if not self.signatures:
            return {}
        index = Index[int]()
        found = ((number, index.add(number, self.signature(number))) for number in range(self.n_samples))
        return {number: first for number, first in found if first is not None}

    def overlaps(self) -> dict[int, int]:
        """For each sample with the conversation of an earlier one of another split the first such one.

        Where near duplicates are looked for, also for one that nearly has it.
        """
        found: dict[int, int] = {}
        for group in alike(self.conversations):
            firsts: dict[int, int] = {}
            for later in group:
                firsts.setdefault(self.splits[later], later)
                found[later] = min((one for split, one in firsts.items() if split != self.splits[later]), default=later)
        if self.signatures:
            indices = {split: Index[int]() for split in sorted(set(self.splits) - {0})}
            for later, split in enumerate(self.splits):
                if split:
                    near = [indices[other].find(self.signature(later)) for other in indices if other != split]
                    indices[split].add(later, self.signature(later))
                    found.setdefault(later, min((one for one in near if one is not None), default=later))
        return {later: first for later, first in sorted(found.items()) if first < later}

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


_COLUMNS = (
    "said", "openings", "tasks", "splits", "systems", "conversations", "longest", "n_tokens", "n_trained", "_items"
)  # fmt: skip


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


def at_share(values: Sequence[float], share: float) -> float:
    """The number that this share of them does not exceed, by nearest rank."""
    return sorted(values)[max(0, math.ceil(len(values) * share) - 1)]


def spread(values: Iterable[float], show: Callable[[float], str]) -> str:
    """How some numbers are spread, for people: `5 % 12, half 40, 95 % 310, most 977`; by nearest rank."""
    ranked = sorted(values)
    at = [at_share(ranked, share) for share in (0.05, 0.5, 0.95, 1)]
    return ", ".join(f"{name} {show(value)}" for name, value in zip(("5 %", "half", "95 %", "most"), at, strict=True))
