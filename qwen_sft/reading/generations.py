"""Calls of a model as observability tools record them, and which of a record's say the same once more.

Every call repeats the messages of the one before it: what no later one repeats is a sample.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qwen_sft.api import Turns
from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.reading.chat import sample
from qwen_sft.reading.dedup import chain
from qwen_sft.reading.metadata import cut_off
from qwen_sft.reading.recorded import as_one, decoded, dialects
from qwen_sft.reading.story import refused
from qwen_sft.sample import Message, Path, Sample, is_list, is_object

REPEATED = "repeated by a later generation"
NO_CHAT = "a generation without messages"
UNKNOWN = "messages of no known shape"
UNASKED = "an answer to a request that was not recorded"
FAILED = "a request that failed"

_NO_LABELS = frozenset({"messages", "role", "id"})


@dataclass(frozen=True, slots=True)
class Generation:
    """One call of a model: the event of the record that holds it, and what the model saw and said."""

    place: Path
    sample: Sample


# -- tools -------------------------------------------------------------------------------------------------------------


def tools(declared: Any) -> tuple[Any, dict[str, Any]]:
    """Tools in whatever dialect, in OpenAI's form, and the labels that keep the dialect's own."""
    declared = decoded(declared)
    if not is_list(declared) or not declared:
        return declared or None, {}
    for api in dialects():
        for bare in ({"role": "user", "content": "x"}, {"role": "user", "parts": [{"text": "x"}]}):
            body = {api.bare: [bare], "tools": declared}
            if api.name != "openai_chat" and _is_own(declared) and api.is_request(body):
                read = api.asked(body)
                return read.tools, {key: read.metadata[key] for key in ("builtin_tools",) if key in read.metadata}
    return declared, {}


def _is_own(declared: list[Any]) -> bool:
    keys = ("input_schema", "functionDeclarations", "function_declarations")
    return any(is_object(one) and any(key in one for key in keys) for one in declared)


# -- a record's generations --------------------------------------------------------------------------------------------


def told(
    place: Path,
    request: Turns | None,
    answers: list[Turns] | None,
    *,
    declared: Any = None,
    name: str | None = None,
    labels: dict[str, Any] | None = None,
    failed: str | None = None,
) -> list[Generation] | Event:
    """The generations of one event: one for each choice; or why it holds none.

    Args:
        request: what was asked (`asked`), None where that has no known shape.
        answers: what was answered (`answered`).
        declared: tools that are declared apart from the request, in any dialect; those of the request come first.
        failed: what went wrong, where the call failed; it counts where there is no answer.
    """
    if request is None:
        return Event(place, "dropped", UNKNOWN, loses=True)
    fault = next((one.refusal for one in (request, *(answers or ())) if one.refusal), None)
    if fault is not None:
        return Event(place, "dropped", f"messages that cannot be read: {fault.says}"[:200], loses=True)
    if not request.messages:
        return Event(place, "dropped", UNASKED if answers else NO_CHAT, loses=bool(answers))
    if answers is None:
        return Event(place, "dropped", "an answer of no known shape", loses=True)
    if not answers and failed is not None:
        return Event(place, "dropped", f"{FAILED}: {failed}"[:200] if failed else FAILED)
    made: list[Generation] = []
    for choice in answers or [Turns()]:
        messages = [*request.messages, *as_one(choice.messages)]
        given = next((one for one in (request.tools, declared, choice.tools) if one), None)
        functions, own = tools(given)
        lost = sorted({event.reason for event in (*request.aside, *choice.aside) if event.loses})
        left_out = {"left_out": "; ".join(lost)} if lost else {}
        about = {**(labels or {}), **_labels(request.metadata), **_labels(choice.metadata), **own, **left_out}
        made.append(Generation(place, sample(messages, functions, name, about)))
    return made


def _labels(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if key not in _NO_LABELS}


def reading(found: Iterable[list[Generation] | Event], silent: str, empty: str, fix: str) -> Reading:
    """The samples of a record's generations: those that no other one repeats and goes on with.

    Reasoning that a later one's history no longer has is carried over to it, as `--dedup-prefixes` does, and so is why
    an answer was cut off.

    Args:
        silent: the reason of events that have nothing to do with a chat; a refusal names any other before it.
        empty: what to say where there is no other, a sentence.
        fix: what to do where the record holds no chat at all.
    """
    generations: list[Generation] = []
    aside: dict[Path, Event] = {}
    for one in found:
        if isinstance(one, Event):
            aside[one.path] = one
        else:
            generations += one
    chains = [_links(one.sample) for one in generations]
    ends = {links[-1]: i for i, links in enumerate(chains)}
    passed = {link for links in chains for link in links[:-1]}
    kept = [i for i, links in enumerate(chains) if links[-1] not in passed and ends[links[-1]] == i]
    made: list[Conversation] = []
    for i in kept:
        one, links = generations[i], set(chains[i])
        earlier = [generations[k].sample for k, other in enumerate(chains) if k != i and other[-1] in links]
        turns = _with_thoughts(one.sample.get("messages", []), earlier)
        made.append(Conversation({**one.sample, "messages": turns}, [one.place] * len(turns), rebuilt=True))
    places = {generations[i].place for i in kept}
    for one in generations:
        if one.place not in places:
            aside[one.place] = Event(one.place, "merged", REPEATED)
    if not made:
        telling = [event for event in aside.values() if event.reason not in (silent, NO_CHAT)]
        first = next((event for event in telling if event.loses), next(iter(telling), None))
        return refused(first.path if first else (), first.reason if first else empty, fix)
    return Reading(made, list(aside.values()))


def _links(one: Sample) -> list[tuple[str, bytes]]:
    """For each turn what tells it apart: everything up to it, and the declared tools."""
    declared = json.dumps(one.get("tools", []), sort_keys=True)
    return [(declared, link) for link in chain(one.get("messages", []))]


def _with_thoughts(messages: list[Message], earlier: list[Sample]) -> list[Message]:
    made = list(messages)
    for one in earlier:
        turns = one.get("messages", [])
        ended = cut_off(turns, one.get("metadata", {}).get("finish_reason"))
        made[: len(turns)] = [
            {**turn, "finish_reason": end["finish_reason"]} if "finish_reason" in end else turn
            for turn, end in zip(made, ended, strict=False)
        ]
        for k, turn in enumerate(turns):
            thought = turn.get("reasoning_content")
            if thought and not made[k].get("reasoning_content"):
                made[k] = {**made[k], "reasoning_content": thought}
    return made
