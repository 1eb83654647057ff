"""A sample with what rules ask of it again and again, computed once: which result answers which call."""

from collections.abc import Callable, Collection
from itertools import pairwise
from operator import itemgetter, methodcaller
from typing import Any, Generic, Literal, TypeVar

import msgspec

from qwen_sft.inspecting.characters import is_plain
from qwen_sft.inspecting.leak import LEAK_MARKS, Leak, leaks_of, texts
from qwen_sft.inspecting.schema import Declared, declared
from qwen_sft.inspecting.secret import KINDS, Kind, Secret, encoded, secrets_of
from qwen_sft.inspecting.thinktags import ThinkTags, think_tags
from qwen_sft.sample import ROLES, Message, Path, Sample, Tool, ToolCall, is_list, is_object
from qwen_sft.settings import Settings

_OfCalls = Literal["calls", "parallel", "unpaired", "results", "tools", "misplaced-calls"]
_OfRoles = Literal["odd-role", "no-user", "no-assistant", "repeats", "late-system", "unprompted"]
_OfTexts = Literal["parts", "weights", "cut-off", "reasoning"]
Trait = _OfCalls | _OfRoles | _OfTexts | Kind
"""What a rule may need of a sample to find anything in it.

An assistant's turn calls tools, or several at once; a call or a result may have no partner; there are tool messages;
tools are declared. A role is none of ROLES; no user speaks, or no assistant; two neighbours have one role; a system
message stands behind others; the assistant speaks first. Content is no text; a message says what it weighs in training,
or it or the sample why it ended; another message than the assistant's has calls; one has reasoning. A text may hold
a secret.
"""

T = TypeVar("T")
_ROLES = frozenset(ROLES)
_NO_KEYS = frozenset[str]()
_ROLE: Callable[[Message], str] = itemgetter("role")
_CONTENT: Callable[[Message], Any] = methodcaller("get", "content")


class once(Generic[T]):
    """`functools.cached_property` without its lock, which Python 3.12 has taken out too: half of what asking costs."""

    def __init__(self, find: "Callable[[Any], T]") -> None:
        self._find = find
        self.__doc__ = find.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, asked: Any, owner: type | None = None) -> T:
        if asked is None:
            return self  # pyright: ignore[reportReturnType]  # of the class, for documentation
        found = asked.__dict__[self._name] = self._find(asked)
        return found


class Exchange(msgspec.Struct, frozen=True):
    """An assistant turn with calls, and the tool messages directly behind it.

    Attributes:
        turn: index of the assistant message.
        calls: its calls, in order.
        results: indices of the tool messages that directly follow it.
        answers: for each call the index of the message that answers it, or None.
        unmatched: those of `results` that answer none of the calls.
    """

    turn: int
    calls: list[ToolCall]
    results: list[int]
    answers: list[int | None]
    unmatched: list[int]


class Transcript:
    """A sample and the pairing of its calls and results.

    Pairing is within a turn, because ids are reused across turns in a quarter of real traces: results with an id answer
    the first open call of that id; results without one answer the first open call of the tool that they name, or else
    the first open call. Only what stays open or unmatched is paired across turns.
    """

    def __init__(
        self, sample: Sample, settings: Settings, structs: frozenset[tuple[str, frozenset[str]]] = frozenset()
    ) -> None:
        self.sample = sample
        self.settings = settings
        self.structs = structs  # see Record
        self.kinds: Collection[Kind] | None = None  # the secrets that may be in it, where someone has looked
        self.marks: frozenset[str] | None = None  # the rules' marks in its JSON, likewise
        self.messages: list[Message] = sample.get("messages", [])
        self.tools: list[Tool] = sample.get("tools", [])

    @once
    def traits(self) -> frozenset[Trait]:
        """What it has of all that rules may need; it must have the shape of a sample."""
        messages, exchanges = self.messages, self.exchanges
        roles = list(map(_ROLE, messages))
        pairs = set(pairwise(roles))
        keys = _NO_KEYS.union(*messages)
        contents = set(map(type, map(_CONTENT, messages)))
        n_placed = 0
        is_open = is_parallel = False
        for one in exchanges:
            n_placed += len(one.results)
            is_open = is_open or None in one.answers or bool(one.unmatched)
            is_parallel = is_parallel or len(one.calls) > 1
        n_calling = sum(["tool_calls" in one for one in messages]) if "tool_calls" in keys else 0
        has: dict[Trait, bool] = {
            "calls": bool(exchanges),
            "parallel": is_parallel,
            "unpaired": is_open or roles.count("tool") != n_placed,
            "results": "tool" in roles,
            "tools": bool(self.tools),
            "odd-role": not _ROLES.issuperset(roles),
            "no-user": "user" not in roles,
            "no-assistant": "assistant" not in roles,
            "repeats": ("user", "user") in pairs or ("assistant", "assistant") in pairs,
            "late-system": "system" in roles[1:],
            "unprompted": roles[0] == "assistant",
            "parts": contents != {str},
            "weights": "train" in keys or "weight" in keys,
            "cut-off": "finish_reason" in keys or "finish_reason" in self.sample.get("metadata", _NO_KEYS),
            "misplaced-calls": n_calling != len(exchanges),
            "reasoning": "reasoning_content" in keys,
        }
        found: list[Trait] = [trait for trait, is_there in has.items() if is_there]
        found += KINDS if self.kinds is None else self.kinds
        return frozenset[Trait](found)

    @once
    def exchanges(self) -> list[Exchange]:
        """Every assistant turn that calls, in order."""
        return [
            self._exchange(i)
            for i, message in enumerate(self.messages)
            if message.get("role") == "assistant" and message.get("tool_calls")
        ]

    def _exchange(self, turn: int) -> Exchange:
        calls = self.messages[turn].get("tool_calls", [])
        end = turn + 1
        while end < len(self.messages) and self.messages[end].get("role") == "tool":
            end += 1
        results = list(range(turn + 1, end))
        if len(calls) == len(results) == 1:  # nearly all are so
            wanted = self.messages[turn + 1].get("tool_call_id")
            if wanted is None or "id" not in calls[0] or wanted == calls[0]["id"]:
                return Exchange(turn, calls, results, [turn + 1], [])
        answers: list[int | None] = [None] * len(calls)
        unmatched: list[int] = []
        without_id: list[int] = []
        for result in results:
            wanted = self.messages[result].get("tool_call_id")
            if wanted is None:
                without_id.append(result)
                continue
            open_calls = [k for k, call in enumerate(calls) if call.get("id") == wanted and answers[k] is None]
            if open_calls:
                answers[open_calls[0]] = result
            elif any("id" in call for call in calls):
                unmatched.append(result)
            else:
                without_id.append(result)
        for result in without_id:
            call = _open_call(calls, answers, self.messages[result].get("name"))
            if call is None:
                unmatched.append(result)
            else:
                answers[call] = result
        return Exchange(turn, calls, results, answers, unmatched)

    def is_proven(self, exchange: Exchange, k: int) -> bool:
        """True if call k and its result say that they belong together: by one id, or by a tool that is called once."""
        call, result = exchange.calls[k], exchange.answers[k]
        message: Message = {} if result is None else self.messages[result]
        if "id" in call and message.get("tool_call_id") == call["id"]:
            return True
        names = [other.get("function", {}).get("name") for other in exchange.calls]
        return message.get("name") == names[k] and names.count(names[k]) == 1

    @once
    def stray_results(self) -> list[int]:
        """Indices of tool messages that do not stand behind a turn with calls."""
        placed = {result for exchange in self.exchanges for result in exchange.results}
        return [i for i, m in enumerate(self.messages) if m.get("role") == "tool" and i not in placed]

    @once
    def misplaced(self) -> dict[int, tuple[int, int]]:
        """Results that answer a call of another turn: for each message that turn and the number of the call in it.

        A result with an id answers the nearest open call of that id before it, or else the first one after it. One
        where ids are missing answers the first open call of the last turn with calls before it.
        """
        lost = sorted([*self.stray_results, *(result for e in self.exchanges for result in e.unmatched)])
        waiting = [(e.turn, k) for e in self.exchanges for k, answer in enumerate(e.answers) if answer is None]
        found: dict[int, tuple[int, int]] = {}
        if not waiting:
            return found
        for result in lost:
            place = self._call_elsewhere(result, waiting)
            if place is not None:
                waiting.remove(place)
                found[result] = place
        return found

    def _call_elsewhere(self, result: int, waiting: list[tuple[int, int]]) -> tuple[int, int] | None:
        wanted = self.messages[result].get("tool_call_id")
        same = [(turn, k) for turn, k in waiting if wanted is not None and self._call_id(turn, k) == wanted]
        before = [place for place in same if place[0] < result]
        if same:
            return before[-1] if before else same[0]
        last = max((e.turn for e in self.exchanges if e.turn < result), default=None)
        unnamed = (p for p in waiting if p[0] == last and (wanted is None or self._call_id(*p) is None))
        return next(unnamed, None) if result in self.stray_results else None

    def _call_id(self, turn: int, k: int) -> str | None:
        return self.messages[turn].get("tool_calls", [])[k].get("id")

    def unanswered(self, exchange: Exchange) -> list[int]:
        """The numbers of its calls that have no result anywhere."""
        elsewhere = self.misplaced.values()
        missing = [k for k, answer in enumerate(exchange.answers) if answer is None]
        return [k for k in missing if (exchange.turn, k) not in elsewhere]

    def unexplained(self, exchange: Exchange) -> list[int]:
        """Those of its results that answer no call of any turn."""
        return [result for result in exchange.unmatched if result not in self.misplaced]

    @once
    def trailing(self) -> Exchange | None:
        """The last exchange if it ends the sample with a call that has no result; else None."""
        if not self.exchanges:
            return None
        last = self.exchanges[-1]
        if None not in last.answers or last.turn + len(last.results) != len(self.messages) - 1:
            return None
        return last if self.unanswered(last) and not self.unexplained(last) else None

    @once
    def leaks(self) -> list[Leak]:
        """Calls and results that stand as text in assistant turns, in order."""
        if self.marks is not None and self.marks.isdisjoint(LEAK_MARKS):
            return []
        return [
            leak
            for i, message in enumerate(self.messages)
            if message.get("role") == "assistant"
            for path, text in texts(message, i)
            for leak in leaks_of(text, path, reasoned=bool(message.get("reasoning_content")))
        ]

    @once
    def think_tags(self) -> list[ThinkTags]:
        """What the think tags in the assistant's texts are, in order."""
        return [
            found
            for path, text in self.said
            if "think>" in text
            for found in [think_tags(text, path, reasoned=bool(self._message(path).get("reasoning_content")))]
            if found is not None
        ]

    @once
    def contents(self) -> list[tuple[Path, str]]:
        """The texts of all messages' content with their places, in order."""
        found: list[tuple[Path, str]] = []
        for i, message in enumerate(self.messages):
            content = message.get("content")
            if isinstance(content, str):
                found.append((("messages", i, "content"), content))
            else:
                found += texts(message, i)
        return found

    @once
    def said(self) -> list[tuple[Path, str]]:
        """The texts of the assistant's content with their places, in order."""
        turns = set(self.turns)
        return [one for one in self.contents if one[0][1] in turns]

    @once
    def leaves(self) -> list[tuple[Path, Any]]:
        """What is no object and no list in the arguments of all calls, with its place."""
        found: list[tuple[Path, Any]] = []
        for i, message in enumerate(self.messages):
            for k, call in enumerate(message.get("tool_calls", ())):
                _leaves(call.get("function", {}).get("arguments"), ("messages", i, "tool_calls", k), found)
        return found

    @once
    def odd_texts(self) -> list[tuple[Path, str]]:
        """Content, reasoning and strings in arguments that hold more than printable ASCII, with their places."""
        found = self.contents.copy()
        for i in self.turns:
            thought = self.messages[i].get("reasoning_content")
            if thought:
                found.append((("messages", i, "reasoning_content"), thought))
        found += [one for one in self.leaves if isinstance(one[1], str)]
        if is_plain("".join([text for _, text in found])):
            return []
        return [one for one in found if not is_plain(one[1])]

    @once
    def json(self) -> bytes | None:
        """Messages and tools as JSON; None where they are none: half a surrogate pair, or too deep."""
        return encoded([self.messages, self.tools])

    @once
    def secrets(self) -> dict[Kind, list[tuple[Path, Secret, int]]]:
        """The secrets in messages and tools, by kind: for each one its first place, and how often it stands there."""
        found: dict[tuple[Kind, str], tuple[Path, Secret, int]] = {}
        for path, secret in secrets_of(self.sample, self.json, self.kinds):
            first = found.get((secret.kind, secret.text))
            found[secret.kind, secret.text] = (first[0], first[1], first[2] + 1) if first else (path, secret, 1)
        kinds: dict[Kind, list[tuple[Path, Secret, int]]] = {}
        for (kind, _), one in found.items():
            kinds.setdefault(kind, []).append(one)
        return kinds

    def _message(self, path: Path) -> Message:
        """The message that a place is in."""
        return self.messages[path[1]] if isinstance(path[1], int) else {}

    def is_trained(self, path: Path) -> bool:
        """True for a place in an assistant's message, which a model would learn to write."""
        return self._message(path).get("role") == "assistant"

    def calls(self, path: Path) -> bool:
        """True for a place in an assistant's message that calls tools."""
        return self.is_trained(path) and bool(self._message(path).get("tool_calls"))

    @once
    def turns(self) -> list[int]:
        """Indices of the assistant messages."""
        return [i for i, message in enumerate(self.messages) if message.get("role") == "assistant"]

    @once
    def declarations(self) -> Declared:
        """What there is to say of the declared tools."""
        return declared(self.tools)

    @once
    def declared(self) -> dict[str, Any]:
        """The parameters' JSON Schema of each declared tool, by its name; None where it declares none."""
        named: dict[str, Any] = {}
        for tool in self.tools:
            function = tool.get("function", {})
            if "name" in function:
                named.setdefault(function["name"], function.get("parameters"))
        return named


def _open_call(calls: list[ToolCall], answers: list[int | None], name: str | None) -> int | None:
    """The number of the open call that a result without an id answers: the first of its tool's name, or the first."""
    waiting = [k for k, answer in enumerate(answers) if answer is None]
    named = [k for k in waiting if name is not None and calls[k].get("function", {}).get("name") == name]
    return next(iter(named or waiting), None)


def _leaves(arguments: Any, call: Path, found: list[tuple[Path, Any]]) -> None:
    """Adds what is no object and no list in a call's arguments; a loop, as they may nest deeper than Python's stack."""
    rest: list[tuple[Path, Any]] = [((*call, "function", "arguments"), arguments)]
    while rest:
        place, item = rest.pop()
        if is_object(item):
            rest += [((*place, key), item[key]) for key in reversed(item)]
        elif is_list(item):
            rest += [((*place, k), item[k]) for k in reversed(range(len(item)))]
        else:
            found.append((place, item))
