"""What a whole set of samples is like: counts, and a few hashes of each sample, from which the SET rules judge it.

Facts are made of one sample, wherever that is checked; a census adds them up, and two of them can be merged. In memory
it holds the facts of the last samples (HELD), a name, two counts and the names of the parameters for each different
tool, and a name for each file; the facts of all others lie in a temporary file (see `qwen_sft.inspecting.scratch`), 70
bytes for each sample, 205 where near duplicates are looked for.
"""

import hashlib
import math
import re
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any, Literal, NamedTuple

import msgspec

from qwen_sft.inspecting.near import N_BYTES, Index, plain, signature
from qwen_sft.inspecting.scratch import Scratch
from qwen_sft.inspecting.secret import encoded
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.record import Where
from qwen_sft.sample import Message, is_object

LEAST = 100
"""Samples that a share must be of, or it says nothing; the threshold LEAST_NAME moves it."""

LEAST_NAME = "samples"

HELD = 20_000
"""Samples whose facts are held in memory; a part of a census, which is still to be merged, holds all of its own."""

_CACHE_MB = 4

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
        near: its signature (see `qwen_sft.inspecting.near`); empty where near duplicates are not looked for.
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
    """63 bits of a JSON value, never 0: of ten million, two are alike by chance once in 180,000 times."""
    data = data or encoded(value) or plain(value)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 1 or 1


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


Column = Literal["said", "opening", "task", "split", "system", "conversation", "longest", "n_tokens", "n_trained"]
"""What is known of each sample in one number; 0 for nothing."""


class Pair(NamedTuple):
    """How many samples, or what they share, are so, and the first two of them: the numbers of samples, from 0.

    Attributes:
        n_same: how many of them are so word for word.
    """

    n: int
    first: int
    second: int
    n_same: int = 0


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
        model_context: tokens that the model's context holds; None where nobody knows.
        is_part: it is to be merged into another one, and may be pickled.
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
    files: list[str] = field(default_factory=list[str])
    is_part: bool = field(default=False, compare=False)
    _said: "array[int]" = field(default_factory=lambda: array("Q"))
    _openings: "array[int]" = field(default_factory=lambda: array("Q"))
    _tasks: "array[int]" = field(default_factory=lambda: array("Q"))
    _splits: "array[int]" = field(default_factory=lambda: array("B"))
    _systems: "array[int]" = field(default_factory=lambda: array("Q"))
    _conversations: "array[int]" = field(default_factory=lambda: array("Q"))
    _longest: "array[int]" = field(default_factory=lambda: array("I"))
    _n_tokens: "array[int]" = field(default_factory=lambda: array("I"))
    _n_trained: "array[int]" = field(default_factory=lambda: array("I"))
    _lines: "array[int]" = field(default_factory=lambda: array("Q"))
    _items: "array[int]" = field(default_factory=lambda: array("q"))
    _signatures: bytearray = field(default_factory=bytearray)
    _numbers: dict[str, int] = field(default_factory=dict[str, int])
    _table: Scratch | None = field(default=None, compare=False)

    def see(self, facts: Facts, where: Where) -> None:
        """Adds one sample."""
        number = self._numbers.get(where.file)
        if number is None:
            number = self._numbers[where.file] = len(self.files)
            self.files.append(where.file)
        self.n_samples += 1
        self._said.append(facts.said)
        self._openings.append(facts.opening)
        self._tasks.append(facts.task)
        self._splits.append(_SPLITS.index(facts.split) + 1 if facts.split else 0)
        self._systems.append(facts.system)
        self._conversations.append(facts.conversation)
        self._longest.append(facts.longest)
        self._n_tokens.append(facts.n_tokens)
        self._n_trained.append(facts.n_trained)
        self._signatures += facts.near
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
        self._put_away(HELD)

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
        lines = [numbers[line >> 40] << 40 | (line & (1 << 40) - 1) for line in other._lines]
        for name in _COLUMNS:
            getattr(self, name).extend(lines if name == "_lines" else getattr(other, name))
        self._signatures += other._signatures
        for name in ("n_samples", "n_offered", "n_unused", "n_calling", "n_chained", "n_parallel"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.tools.update(other.tools)
        self.declared.update(other.declared)
        self.called.update(other.called)
        self._learn(other.usage, other.parameters)
        self._put_away(HELD)

    def _put_away(self, least: int) -> None:
        """Brings what is held into the table, where it is of so many samples."""
        n_held = len(self._said)
        if self.is_part or n_held < least:
            return
        self._table = self._table or Scratch(_TABLE, cache_mb=_CACHE_MB)
        near = bytes(self._signatures)
        signatures = (near[k : k + N_BYTES] for k in range(0, len(near), N_BYTES)) if near else repeat(None, n_held)
        columns = [getattr(self, name) for name in _COLUMNS]
        numbers = range(self.n_samples - n_held, self.n_samples)
        self._table.put("seen", zip(numbers, *columns, signatures, strict=True), len(columns) + 2)
        for column in columns:
            del column[:]
        self._signatures.clear()

    def _ask(self, sql: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows that a statement gives of the table of all samples."""
        if self._said or self._table is None:
            self._put_away(0)
        assert self._table is not None, "a part is asked before it is merged"
        yield from self._table.ask(sql, *values)

    def _one(self, sql: str, *values: Any) -> tuple[Any, ...]:
        """The first row of them, or none."""
        return next(self._ask(sql, *values), ())

    @property
    def context(self) -> int | None:
        """Tokens that the model's context holds, as the threshold CONTEXT_NAME or else the model says."""
        told = self.thresholds.get(CONTEXT_NAME)
        return self.model_context if told is None else int(told)

    def total(self, column: Column) -> int:
        """The sum of a column over all samples."""
        return sum(self._one(f"SELECT COALESCE(SUM({column}), 0) FROM seen"))

    def largest(self, column: Column) -> int:
        """How many samples have the commonest value of a column; a value of 0 is none."""
        sql = f"SELECT COUNT(*) AS n FROM seen WHERE {column} GROUP BY {column} ORDER BY n DESC LIMIT 1"
        return sum(self._one(sql))

    def at_shares(self, what: str, shares: Sequence[float]) -> tuple[int, list[float]]:
        """How many samples have a number, and those that these shares of them do not exceed, by nearest rank.

        Args:
            what: a column, or what SQL makes of columns; NULL for samples that do not count.
        """
        n = sum(self._one(f"SELECT COUNT({what}) FROM seen"))
        ranks = [max(1, math.ceil(n * share)) for share in shares]
        ranked = f"SELECT {what} AS it, ROW_NUMBER() OVER (ORDER BY {what}) AS rank FROM seen WHERE {what} IS NOT NULL"
        asked = ", ".join(map(str, ranks))
        found = dict(self._ask(f"SELECT rank, it FROM ({ranked}) WHERE rank IN ({asked})"))
        return n, [found[rank] for rank in ranks] if n else []

    def spread(self, what: str, show: Callable[[float], str]) -> str:
        """How some numbers are spread, for people: `5 % 12, half 40, 95 % 310, most 977`; see `at_shares`."""
        _, at = self.at_shares(what, (0.05, 0.5, 0.95, 1))
        return ", ".join(f"{name} {show(one)}" for name, one in zip(("5 %", "half", "95 %", "most"), at, strict=False))

    def past(self, most: int) -> Pair:
        """The samples whose longest row has more tokens than that; `first` is the longest, `second` its tokens."""
        sql = "SELECT number, longest FROM seen WHERE longest > ? ORDER BY longest DESC, number LIMIT 1"
        number, longest = self._one(sql, most) or (0, 0)
        return Pair(sum(self._one("SELECT COUNT(*) FROM seen WHERE longest > ?", most)), number, longest)

    def repeats(self) -> Pair:
        """Samples that are alike an earlier one word for word; the first one that is repeated, and where first."""
        groups = "SELECT COUNT(*) AS n, MIN(number) AS first FROM seen GROUP BY said HAVING n > 1"
        n, first = self._one(f"SELECT TOTAL(n - 1), MIN(first) FROM ({groups})")
        same = "SELECT MIN(number) FROM seen WHERE number > ? AND said = (SELECT said FROM seen WHERE number = ?)"
        return Pair(int(n), first, *self._one(same, first, first)) if n else Pair(0, 0, 0)

    def leaks(self, column: Column) -> Pair:
        """Values of a column that stand in several splits; the first two samples of different splits that share one."""
        known = f"FROM seen WHERE {column} AND split"
        groups = f"SELECT MIN(number) AS first {known} GROUP BY {column} HAVING MIN(split) < MAX(split)"
        n, first = self._one(f"SELECT COUNT(*), MIN(first) FROM ({groups})")
        other = (
            f"SELECT MIN(seen.number) FROM seen, seen AS one WHERE one.number = ? AND seen.{column} = one.{column} "
            "AND seen.split AND seen.split != one.split"
        )
        return Pair(n, first, *self._one(other, first)) if n else Pair(0, 0, 0)

    def near_repeats(self) -> Iterator[tuple[int, int]]:
        """Each sample that nearly repeats an earlier one, and the first that it repeats; word for word counts too."""
        index = Index[int]()
        for number, near in self._ask("SELECT number, near FROM seen WHERE near IS NOT NULL ORDER BY number"):
            first = index.add(number, near)
            if first is not None:
                yield number, first

    def is_same(self, column: Column, one: int, other: int) -> bool:
        """True if two samples have the same value in a column."""
        sql = f"SELECT COUNT(DISTINCT {column}) FROM seen WHERE number IN (?, ?)"
        return self._one(sql, one, other) == (1,)

    def overlaps(self) -> Pair:
        """Samples with the conversation of an earlier one of another split; the first of them, and that other one.

        Where near duplicates are looked for, also those that nearly have it.
        """
        found = Scratch("found (later INTEGER PRIMARY KEY, first INTEGER, is_same INTEGER)", cache_mb=_CACHE_MB)
        for one in self._same_conversations():
            found.put("found", [(*one, True)], 3)
        for one in self._near_conversations():
            found.put("found", [(*one, False)], 3)
        n, n_same = next(found.ask("SELECT COUNT(*), TOTAL(is_same) FROM found"))
        sql = "SELECT later, first FROM found ORDER BY later LIMIT 1"
        later, first = next(found.ask(sql), (0, 0))
        return Pair(n, later, first, int(n_same))

    def _same_conversations(self) -> Iterator[tuple[int, int]]:
        several = "SELECT conversation FROM seen WHERE conversation GROUP BY 1 HAVING MIN(split) < MAX(split)"
        sql = f"SELECT conversation, number, split FROM seen WHERE conversation IN ({several}) ORDER BY 1, 2"
        now, firsts = 0, dict[int, int]()
        for conversation, later, split in self._ask(sql):
            if conversation != now:
                now, firsts = conversation, {}
            firsts.setdefault(split, later)
            others = [first for other, first in firsts.items() if other != split]
            if others:
                yield later, min(others)

    def _near_conversations(self) -> Iterator[tuple[int, int]]:
        indices = {split: Index[int]() for split in range(1, len(_SPLITS) + 1)}
        sql = "SELECT number, split, near FROM seen WHERE near IS NOT NULL AND split ORDER BY number"
        for later, split, near in self._ask(sql):
            others = [index.find(near) for other, index in indices.items() if other != split]
            indices[split].add(later, near)
            first = min((one for one in others if one is not None), default=None)
            if first is not None:
                yield later, first

    def by_split(self) -> Iterator[tuple[str, int, int, int]]:
        """For each split, "" for none, its samples, their tokens, and the trained ones."""
        sql = "SELECT split, COUNT(*), SUM(n_tokens), SUM(n_trained) FROM seen GROUP BY split ORDER BY MIN(number)"
        return ((_split_name(split), *numbers) for split, *numbers in self._ask(sql))

    def threshold(self, code: str, usual: float) -> float:
        """The threshold of a rule, which settings may move."""
        return self.thresholds.get(code, usual)

    def is_enough(self, n: int) -> bool:
        """True if a share of so many samples says something."""
        return n >= max(1, self.thresholds.get(LEAST_NAME, LEAST))

    def place(self, number: int) -> str:
        """Where a sample stands, for people: `runs.jsonl:12`."""
        line, item = self._one("SELECT line, item FROM seen WHERE number = ?", number)
        return f"{self.files[line >> 40]}:{line & (1 << 40) - 1}{f'[{item}]' if item >= 0 else ''}"

    def split(self, number: int) -> str:
        """The name of the split that a sample is in; "" for none."""
        return _split_name(*self._one("SELECT split FROM seen WHERE number = ?", number))


_COLUMNS = (
    "_said", "_openings", "_tasks", "_splits", "_systems", "_conversations", "_longest", "_n_tokens", "_n_trained",
    "_lines", "_items",
)  # fmt: skip
_TABLE = (
    "seen (number INTEGER PRIMARY KEY, said INTEGER, opening INTEGER, task INTEGER, split INTEGER, system INTEGER, "
    "conversation INTEGER, longest INTEGER, n_tokens INTEGER, n_trained INTEGER, line INTEGER, item INTEGER, near BLOB)"
)


def _split_name(number: int) -> str:
    return _SPLITS[number - 1] if number else ""


def percent(n: int, of: int) -> str:
    """A share, for people: `3 of 40 (7.5 %)`."""
    return f"{n:,} of {of:,} ({100 * n / of:.3g} %)"
