"""`--dedup-prefixes`: conversations that a later record of the file repeats and goes on with, as recorded requests do.

Two turns are the same if role, text and calls are; ids, reasoning and white space at the ends do not count, because
histories are sent without them. A later record repeats a conversation if it has the same system prompt, declares all of
its tools (others may have been added), begins with its turns, and stays: its own record is read, checked and, with a
model, encoded, and is neither rejected nor left out by a filter. Else the earlier one stays too.

What the earlier record knows goes over to the later one, turn by turn:

- reasoning that its history lacks. It is carried also where the tools or the system prompt differ (the date in it,
  say), unless the same turns stand behind several such prompts with different thoughts.
- that the turn is trained, where the later record says `train: false` or `weight: 0` of it, as data with one target a
  record do: what is left out loses no target. Which turns `--train` selects is then seen in the later record.
- that the answer was cut off. It is history then, and not trained; the record that ends in it is not left out, for
  MSG013 to report it.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import structs

from qwen_sft.format import Conversation
from qwen_sft.reading.metadata import remedy
from qwen_sft.record import Marks, Record, Where
from qwen_sft.sample import Message, Sample, is_list, is_object

MOST_RECORDS = 1000
MOST_BYTES = 64_000_000
"""How many records, of how many bytes together, are held back to see whether a later one repeats them."""

Read = Callable[[Record], Sequence[Conversation]]
"""The conversations that a record holds; none where it cannot be read."""

Stays = Callable[[Record], Collection[int]]
"""The conversations of a record, with its marks, that a training set gets, by number; none if it is rejected."""

_MOST_PROMPTS = 8  # the same turns behind more system prompts are a greeting, say, and no one conversation
_SETTINGS = ("train", "weight")


@dataclass(slots=True, eq=False)
class _Talk:
    """A conversation of a record that waits. Turns are counted behind the leading system messages, from 0.

    Attributes:
        links: for each turn a digest of everything up to it.
        thoughts: its own reasoning by turn; `carried` is what earlier records have for others.
        trained: its own turns that are trained; `freed` is what earlier records say of others, which are to be trained.
        cut: turns that were cut off, by itself or by an earlier record, and the reason.
        own_cut: those of them that it says itself.
        heirs: later conversations that repeat it.
    """

    held: "_Held"
    number: int
    prompt: bytes
    tools: frozenset[bytes]
    offset: int
    links: list[bytes]
    lacking: set[int]
    thoughts: dict[int, str]
    trained: set[int]
    own_cut: dict[int, Any]
    cut: dict[int, Any]
    said: dict[int, dict[str, Any]]
    carried: dict[int, str] = field(default_factory=dict[int, str])
    freed: dict[int, dict[str, Any]] = field(default_factory=dict[int, dict[str, Any]])
    heirs: list["_Talk"] = field(default_factory=list["_Talk"])

    @property
    def fields(self) -> dict[int, dict[str, Any]]:
        """What earlier records know of its messages, by their number; None for a field that is to go."""
        made: dict[int, dict[str, Any]] = {}
        for turn, thought in self.carried.items():
            made.setdefault(turn + self.offset, {})["reasoning_content"] = thought
        for turn, told in self.freed.items():
            made.setdefault(turn + self.offset, {}).update({key: told.get(key) for key in _SETTINGS})
        for turn in self.cut.keys() - self.own_cut.keys():
            made.setdefault(turn + self.offset, {}).update({"finish_reason": self.cut[turn], "train": False})
        return made


@dataclass(slots=True, eq=False)
class _Held:
    """A record that waits, with its conversations and those of them that later records repeat."""

    record: Record
    talks: list[_Talk] = field(default_factory=list[_Talk])
    repeated: dict[int, Where] = field(default_factory=dict[int, Where])
    staying: Collection[int] | None = None  # asked for once, and only where something hangs on it

    @property
    def marked(self) -> Record:
        """The record with its marks."""
        carried = {talk.number: told for talk in self.talks if (told := talk.fields)}
        return (
            structs.replace(self.record, marks=Marks(self.repeated, carried))
            if self.repeated or carried
            else self.record
        )


_Ends = dict[bytes, dict[bytes, dict[frozenset[bytes], _Talk]]]
"""The conversations that wait, by the digest of all their turns, by their system prompt and by their tools."""


def marked(records: Iterable[Record], read: Read, stays: Stays) -> Iterator[Record]:
    """The records of one file in their order, each with marks on the conversations that a later one repeats.

    Of two that are the same the later one counts. Memory holds MOST_RECORDS records or MOST_BYTES bytes.

    Args:
        read: is asked of every record.
        stays: is asked of those that repeat another, once.
    """
    waiting: deque[_Held] = deque()
    ends: _Ends = {}
    size = 0
    for record in records:
        held = _held(record, read)
        for talk in held.talks:
            _compare(talk, ends)
        for talk in held.talks:
            _list(talk, ends)
        waiting.append(held)
        size += len(record.raw)
        while len(waiting) > MOST_RECORDS or (size > MOST_BYTES and len(waiting) > 1):
            size -= len(waiting[0].record.raw)
            yield _released(waiting.popleft(), ends, stays)
    while waiting:
        yield _released(waiting.popleft(), ends, stays)


def _held(record: Record, read: Read) -> _Held:
    held = _Held(record)
    for number, one in enumerate(read(record) if record.fault is None else ()):
        talk = _talk(held, number, one.sample)
        if talk.links:
            held.talks.append(talk)
    return held


def _talk(held: _Held, number: int, sample: Sample) -> _Talk:
    messages: list[Message] = sample.get("messages", [])
    offset = next((i for i, one in enumerate(messages) if one.get("role") != "system"), len(messages))
    turns = messages[offset:]
    spoken = [i for i, turn in enumerate(turns) if turn.get("role") == "assistant"]
    thoughts = {i: turns[i].get("reasoning_content", "") for i in spoken if _thinks(turns[i])}
    cut: dict[int, Any] = {i: turns[i].get("finish_reason") for i in spoken}
    if spoken and not remedy(cut[spoken[-1]]):  # the label is the last answer's
        cut[spoken[-1]] = sample.get("metadata", {}).get("finish_reason")
    cut = {i: reason for i, reason in cut.items() if remedy(reason)}
    listed: Any = sample.get("tools", [])
    return _Talk(
        held=held,
        number=number,
        prompt=_digest([_gist(one) for one in messages[:offset]]),
        tools=frozenset(_digest(tool) for tool in (listed if is_list(listed) else [listed])),
        offset=offset,
        links=chain(turns),
        lacking=set(spoken).difference(thoughts),
        thoughts=thoughts,
        trained={i for i in spoken if turns[i].get("train") is not False and turns[i].get("weight") != 0},
        own_cut=cut,
        cut=dict(cut),
        said={i: {key: told for key, told in turns[i].items() if key in _SETTINGS} for i in spoken},
    )


def _thinks(turn: Message) -> bool:
    return isinstance(turn.get("reasoning_content"), str) and bool(turn.get("reasoning_content"))


def chain(turns: Iterable[Message]) -> list[bytes]:
    """For each turn a digest of everything up to it."""
    digest = hashlib.blake2b(digest_size=16)
    links: list[bytes] = []
    for turn in turns:
        digest.update(_encoded(_gist(turn)))
        links.append(digest.digest())
    return links


def _gist(turn: Message) -> list[object]:
    content: object = turn.get("content")
    listed: object = turn.get("tool_calls")
    calls = [call.get("function") if is_object(call) else call for call in listed] if is_list(listed) else listed
    return [turn.get("role"), content.strip() if isinstance(content, str) else content, calls]


def _digest(value: object) -> bytes:
    return hashlib.blake2b(_encoded(value), digest_size=16).digest()


def _encoded(value: object) -> bytes:
    try:
        return msgspec.json.encode(value, order="sorted")
    except (
        msgspec.MsgspecError,
        OverflowError,
        UnicodeEncodeError,
    ):  # an integer beyond 64 bits, half a surrogate pair
        return repr(value).encode("utf-8", "backslashreplace")


def _list(talk: _Talk, ends: _Ends) -> None:
    """Makes a conversation known to those that come."""
    same = ends.setdefault(talk.links[-1], {}).setdefault(talk.prompt, {})
    before = same.get(talk.tools)
    if before is not None and before.held is talk.held:  # two answers of one record: what repeats one repeats both
        before.heirs = talk.heirs
    same[talk.tools] = talk


def _compare(later: _Talk, ends: _Ends) -> None:
    """Notes which conversations this one repeats, and what they know of its turns; the longest of them counts first."""
    elsewhere: dict[int, set[str]] = {}  # thoughts behind other system prompts
    for link in reversed(later.links):
        by_prompt = ends.get(link, {})
        for earlier in by_prompt.get(later.prompt, {}).values():
            if earlier.tools <= later.tools:
                earlier.heirs.append(later)
            later.cut = {**earlier.cut, **later.cut}
            for turn, thought in _thoughts(earlier, later):
                later.carried.setdefault(turn, thought)
        later.lacking -= later.carried.keys()
        if len(by_prompt) <= _MOST_PROMPTS:
            others = (some for prompt, some in by_prompt.items() if prompt != later.prompt)
            for earlier in (one for some in others for one in some.values()):
                later.cut = {**earlier.cut, **later.cut}
                for turn, thought in _thoughts(earlier, later):
                    elsewhere.setdefault(turn, set()).add(thought)
    only = {turn: next(iter(told)) for turn, told in elsewhere.items() if len(told) == 1 and turn in later.lacking}
    later.carried.update(only)


def _thoughts(earlier: _Talk, later: _Talk) -> Iterator[tuple[int, str]]:
    """The reasoning that an earlier conversation has for turns where the later one has none."""
    for told in (earlier.thoughts, earlier.carried):
        yield from ((turn, told[turn]) for turn in later.lacking & told.keys())


def _released(held: _Held, ends: _Ends, stays: Stays) -> Record:
    for talk in held.talks:
        _unlist(talk, ends)
        heir = None if talk.trained & talk.own_cut.keys() else _heir(talk, stays)
        if heir is not None:
            held.repeated[talk.number] = heir.held.record.where
            _free(talk, heir)
    return held.marked


def _unlist(talk: _Talk, ends: _Ends) -> None:
    by_prompt = ends.get(talk.links[-1], {})
    same = by_prompt.get(talk.prompt, {})
    if same.get(talk.tools) is talk:
        del same[talk.tools]
        if not same:
            del by_prompt[talk.prompt]
        if not by_prompt:
            del ends[talk.links[-1]]


def _heir(talk: _Talk, stays: Stays) -> _Talk | None:
    """The last conversation that repeats it, or what repeats it, and stays."""
    waiting, seen = list(talk.heirs), {talk}
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.held.staying is None:
            one.held.staying = stays(one.held.marked)
        if one.number in one.held.staying:
            return one
        waiting += one.heirs
    return None


def _free(talk: _Talk, heir: _Talk) -> None:
    """Has the heir train what the other would have."""
    for turn in (talk.trained | talk.freed.keys()) - heir.trained - heir.freed.keys() - heir.cut.keys():
        heir.freed[turn] = talk.freed.get(turn, talk.said[turn])
