"""`--dedup-prefixes`: conversations that a later record of the file repeats and goes on with, as recorded requests do.

Two turns are the same if role, text and calls are; ids, reasoning and white space at the ends do not count, because
histories are sent without them. Reasoning that a later history no longer has is carried over to it.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from qwen_sft.format import Conversation
from qwen_sft.record import Marks, Record, Where
from qwen_sft.sample import Message, Sample, is_list, is_object

MOST_RECORDS = 1000
MOST_BYTES = 64_000_000
"""How many records, of how many bytes together, are held back to see whether a later one repeats them."""

Read = Callable[[Record], Sequence[Conversation]]
"""The conversations that a record holds; none where it cannot be read."""


@dataclass(slots=True)
class _Held:
    """A record that waits: what is known of each of its conversations."""

    record: Record
    chains: list[list[bytes]] = field(default_factory=list[list[bytes]])
    thoughts: list[dict[int, str]] = field(default_factory=list[dict[int, str]])
    repeated: dict[int, Where] = field(default_factory=dict[int, Where])
    carried: dict[int, dict[int, str]] = field(default_factory=dict[int, dict[int, str]])


def marked(records: Iterable[Record], read: Read) -> Iterator[Record]:
    """The records of one file in their order, each with marks on the conversations that a later one repeats.

    Of two that are the same the later one counts. Memory holds MOST_RECORDS records or MOST_BYTES bytes.
    """
    waiting: deque[_Held] = deque()
    ends: dict[bytes, tuple[_Held, int]] = {}
    size = 0
    for record in records:
        held = _held(record, read)
        for index, chain in enumerate(held.chains):
            for link in chain:
                found = ends.get(link)
                if found is not None and found[0] is not held:
                    _repeat(*found, held, index)
                    del ends[link]
        ends.update({chain[-1]: (held, index) for index, chain in enumerate(held.chains) if chain})
        waiting.append(held)
        size += len(record.raw)
        while len(waiting) > MOST_RECORDS or (size > MOST_BYTES and len(waiting) > 1):
            size -= len(waiting[0].record.raw)
            yield _released(waiting.popleft(), ends)
    while waiting:
        yield _released(waiting.popleft(), ends)


def _held(record: Record, read: Read) -> _Held:
    conversations = read(record) if record.fault is None else ()
    return _Held(
        record,
        [chain(one.sample) for one in conversations],
        [
            {
                i: turn.get("reasoning_content", "")
                for i, turn in enumerate(one.sample.get("messages", []))
                if _thinks(turn)
            }
            for one in conversations
        ],
    )


def _thinks(turn: Message) -> bool:
    return isinstance(turn.get("reasoning_content"), str) and bool(turn.get("reasoning_content"))


def chain(sample: Sample) -> list[bytes]:
    """For each turn a digest of everything up to it, the declared tools included."""
    digest = hashlib.blake2b(_encoded(sample.get("tools", [])), digest_size=16)
    links: list[bytes] = []
    for turn in sample.get("messages", []):
        digest.update(_encoded(_gist(turn)))
        links.append(digest.digest())
    return links


def _gist(turn: Message) -> list[object]:
    content: object = turn.get("content")
    listed: object = turn.get("tool_calls")
    calls = [call.get("function") if is_object(call) else call for call in listed] if is_list(listed) else listed
    return [turn.get("role"), content.strip() if isinstance(content, str) else content, calls]


def _encoded(value: object) -> bytes:
    try:
        return msgspec.json.encode(value, order="sorted")
    except (
        msgspec.MsgspecError,
        OverflowError,
        UnicodeEncodeError,
    ):  # an integer beyond 64 bits, half a surrogate pair
        return repr(value).encode("utf-8", "backslashreplace")


def _repeat(earlier: _Held, at: int, later: _Held, index: int) -> None:
    """Marks a conversation as repeated, and carries over the reasoning that the later one lacks."""
    earlier.repeated[at] = later.record.where
    thoughts = {**earlier.thoughts[at], **earlier.carried.get(at, {})}
    missing = {i: thought for i, thought in thoughts.items() if i not in later.thoughts[index]}
    if missing:
        later.carried[index] = {**missing, **later.carried.get(index, {})}


def _released(held: _Held, ends: dict[bytes, tuple[_Held, int]]) -> Record:
    for chain in held.chains:
        if chain and ends.get(chain[-1], (None,))[0] is held:
            del ends[chain[-1]]
    if not held.repeated and not held.carried:
        return held.record
    return replace(held.record, marks=Marks(held.repeated, held.carried))
