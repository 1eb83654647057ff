"""Samples with rows over the limit as several samples that fit: none is cut inside a turn, or between call and result.

    split-at-user         parts that each begin at a user's turn, behind the same system message and tools
    drop-oldest-results   the sample up to several of its turns: each time the next turns that fit are trained, with a
                          placeholder for as many of the oldest results as must give way

Both change what the model is shown, as a harness does that forgets. No result gives way for the turn that answers it:
a turn is trained with all that stands behind the assistant's turn before it. It is trained in one part only.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from qwen_sft.format import Conversation, Event
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Message
from qwen_sft.settings import Settings

PLACEHOLDER = "[older result left out]"
"""What stands in place of a result that gave way."""

Lengths = Callable[[Conversation], Mapping[int, int]]
"""For each turn of a conversation that would be trained, the tokens of its row up to the end of the turn; empty where
the template refuses it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a sample became.

    Attributes:
        conversations: its parts, in order; in each of them a turn that it does not train says `train: false`. Empty
            where no turn fits.
        lost: the events whose words stand in none of them.
        n_results: results that stand as a placeholder in some part.
        turns: turns that were to be trained and are in no part, since they fit into none.
    """

    conversations: list[Conversation]
    lost: list[Event]
    n_results: int
    turns: tuple[int, ...]


Shorten = Callable[[Conversation, Settings, Sequence[int], int, Lengths], Parts]
"""A sample in parts: the sample, the settings, the turns to train, most tokens in a row, and who counts them."""


def split_at_user(
    conversation: Conversation, settings: Settings, wanted: Sequence[int], limit: int, lengths: Lengths
) -> Parts:
    """The sample in parts that begin at a user's turn, each with as many of the next ones as fit.

    What stands from one user's turn to the next and does not fit alone is left out.
    """
    transcript = Transcript(conversation.sample, settings)
    edges = _edges(transcript)
    head = list(range(edges[0]))
    made: list[Conversation] = []
    kept: set[int] = set()

    def part(first: int, last: int) -> Conversation:
        return _part(conversation, [*head, *range(edges[first], edges[last])], wanted)

    def asks(first: int, last: int) -> bool:
        return any(edges[first] <= turn < edges[last] for turn in wanted)

    def fits(first: int, last: int) -> bool:
        return _fits(part(first, last), limit, lengths)

    first = 0
    while first < len(edges) - 1:
        end = next((n for n in range(first + 1, len(edges)) if asks(first, n)), None)
        if end is None:
            break
        start = _least(end - 1 - first, lambda n, first=first, end=end: fits(first + n, end))
        if start is not None:
            first += start
            end = _greatest(end, len(edges) - 1, lambda number, first=first: fits(first, number))
            made.append(part(first, end))
            kept |= {*head, *range(edges[first], edges[end])}
        first = end
    turns = tuple(turn for turn in wanted if turn not in kept)
    return Parts(made, _lost(conversation, kept, "split-at-user"), 0, turns)


def drop_oldest_results(
    conversation: Conversation, settings: Settings, wanted: Sequence[int], limit: int, lengths: Lengths
) -> Parts:
    """The sample up to several of its turns, each time with placeholders for the fewest of the oldest results.

    The first part is the sample as it is, as far as it fits. Where the rest cannot become one part, a part leaves half
    of the limit to the turns that it trains, so that a long sample does not become a part for each turn.
    """
    transcript = Transcript(conversation.sample, settings)
    made: list[Conversation] = []
    shown: set[int] = set()  # messages that stand in some part as they were
    replaced: set[int] = set()
    trainable = lengths(_part(conversation, range(len(conversation.origins)), wanted))
    rest, misfits = [turn for turn in wanted if turn in trainable], list[int]()
    told = [turn for turn in wanted if turn not in trainable]  # each is left to the part in which it comes first
    while rest:
        one = _next_part(conversation, transcript, rest, told, limit, lengths)
        if one is None:
            misfits.append(rest.pop(0))
            continue
        part, trained, gone = one
        made.append(part)
        shown |= set(range(len(part.origins))) - set(gone)
        replaced |= set(gone)
        rest = rest[len(trained) :]
        told = [turn for turn in told if turn > trained[-1]]
    return Parts(made, _lost(conversation, shown, "drop-oldest-results"), len(replaced), tuple(misfits))


SHORTEN: Mapping[str, Shorten] = {"split-at-user": split_at_user, "drop-oldest-results": drop_oldest_results}
"""The policies, by the values of `on-too-long`."""


def _next_part(
    conversation: Conversation,
    transcript: Transcript,
    rest: Sequence[int],
    told: Sequence[int],
    limit: int,
    lengths: Lengths,
) -> tuple[Conversation, Sequence[int], Sequence[int]] | None:
    """The part that trains the first turns of the rest, these turns, and the results that gave way; None for none.

    Args:
        told: turns that no server could be asked for, for the part to say so.
    """
    old = _old_results(transcript, rest[0])

    def without(n_results: int, trained: Sequence[int]) -> Conversation:
        indices = range(_end(transcript, trained[-1]))
        return _part(conversation, indices, {*trained, *told}, gone=old[:n_results])

    def ends(n_results: int) -> list[int]:
        found = lengths(without(n_results, rest))
        return [found.get(turn, limit + 1) for turn in rest]

    def holds_all(n_results: int) -> bool:
        return max(ends(n_results)) <= limit

    def leaves_half(n_results: int) -> bool:
        return ends(n_results)[0] <= limit // 2

    n_results = _least(len(old), holds_all)
    if n_results is None:
        n_results = _least(len(old), leaves_half)
    if n_results is None:
        n_results = len(old)
    while n_results <= len(old):
        n_turns = len(list(takewhile(lambda end: end <= limit, ends(n_results))))
        for n in range(n_turns, 0, -1):  # a template may print a last turn longer than one in the middle
            part = without(n_results, rest[:n])
            if _fits(part, limit, lengths):
                return part, rest[:n], old[:n_results]
        n_results += 1
    return None


def _old_results(transcript: Transcript, turn: int) -> list[int]:
    """The results that may give way for a turn: those before the assistant's turn that came before it."""
    before = max((one for one in transcript.turns if one < turn), default=0)
    return [
        index
        for index, message in enumerate(transcript.messages[:before])
        if message.get("role") == "tool" and _is_longer(message.get("content"))
    ]


def _is_longer(content: Any) -> bool:
    return isinstance(content, str) and len(content) > len(PLACEHOLDER)


def _edges(transcript: Transcript) -> list[int]:
    """Where parts may begin, and the end: behind the system message, and at users' turns with no call open before."""
    messages = transcript.messages
    roles = [message.get("role") for message in messages]
    start = len(list(takewhile(lambda role: role == "system", roles)))
    links = _links(transcript)
    edges = [
        index
        for index in range(start + 1, len(messages))
        if roles[index] == "user"
        and roles[index - 1] != "user"
        and not any(min(link) < index <= max(link) for link in links)
    ]
    return [start, *edges, len(messages)]


def _links(transcript: Transcript) -> list[tuple[int, int]]:
    """Each turn with a call, with each message that answers one of its calls."""
    near = [(one.turn, result) for one in transcript.exchanges for result in one.results]
    return [*near, *((turn, result) for result, (turn, _) in transcript.misplaced.items())]


def _end(transcript: Transcript, turn: int) -> int:
    """The end of the messages up to a turn, with the results of all calls before it."""
    end = turn + 1
    while (further := max([end, *(result + 1 for call, result in _links(transcript) if call < end)])) > end:
        end = further
    return end


def _part(
    conversation: Conversation, indices: Sequence[int], trained: Collection[int], gone: Collection[int] = ()
) -> Conversation:
    """Some messages of a conversation, of which some are trained, and some are replaced."""
    messages: list[Message] = []
    source = conversation.sample.get("messages", [])
    for index in indices:
        message: Message = source[index]
        if index in gone:
            message = {**message, "content": PLACEHOLDER}
        elif message.get("role") == "assistant" and index not in trained:
            message = {**message, "train": False}
        messages.append(message)
    return replace(
        conversation,
        sample={**conversation.sample, "messages": messages},
        origins=[conversation.origins[index] for index in indices],
    )


def _lost(conversation: Conversation, kept: Collection[int], policy: str) -> list[Event]:
    """The events of the messages that stand nowhere as they were."""
    there = {conversation.origins[index] for index in kept}
    reason = f"too long (--on-too-long {policy})"
    gone = dict.fromkeys(place for place in conversation.origins if place not in there)
    return [Event(place, "dropped", reason, loses=True) for place in gone]


def _fits(conversation: Conversation, limit: int, lengths: Lengths) -> bool:
    found = lengths(conversation)
    return bool(found) and max(found.values()) <= limit


def _least(most: int, holds: Callable[[int], bool]) -> int | None:
    """The least number from 0 to `most` that holds, where those above one that holds do too; None if none does."""
    if not holds(most):
        return None
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return high


def _greatest(low: int, most: int, holds: Callable[[int], bool]) -> int:
    """The greatest number from `low` on that holds, where `low` does, and those between do if a greater one does."""
    if holds(most):
        return most
    high = most
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
