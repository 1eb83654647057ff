"""OpenAI Responses traffic: requests, responses, pairs, streams, rollouts of NeMo-Gym, lists of items.

A request may name the response, or the conversation, that it continues; its input is then only what is new. Records of
one file that continue each other are one conversation; where several continue the same one, each end is a sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from qwen_sft.api import Turns, apis
from qwen_sft.finding import Finding
from qwen_sft.format import Conversation, Reading
from qwen_sft.reading import exchange
from qwen_sft.reading.chat import dialogue
from qwen_sft.reading.exchange import Exchange, api_format
from qwen_sft.reading.items import has_items, placed, turns
from qwen_sft.reading.legs import Leg, continues, parent_of
from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import sample_id

_API = apis()["responses"]
_PARAMS = "responses_create_params"
_LISTS = ("items", "messages", "conversations")
_NO_LABELS = frozenset({"id", "object", "uri", "url", "method", "source_file", "interaction", "status", "status_code"})


def _legs(record: Any) -> list[Leg]:
    """The exchanges of a record: one, or those of its lines if each after the first continues one before it."""
    found = _find(record)
    if found is not None:
        return [Leg((), record, found)]
    legs: list[Leg] = []
    for i, line in enumerate(record if is_list(record) and len(record) > 1 else []):
        leg = _leg(line, (i,))
        if leg is None or (legs and parent_of(legs, leg) is None):
            return []
        legs.append(leg)
    return legs


def _leg(line: Any, at: Path = ()) -> Leg | None:
    found = _exchange(line) if is_object(line) else None
    return Leg(at, line, found) if found and found.request is not None and found.answer else None


def _exchange(record: Any) -> Exchange | None:
    """The exchange of a record that is no list of items alone."""
    if is_object(record) and is_object(record.get(_PARAMS)) and "input" in record[_PARAMS]:
        if is_list(record.get("expected_answers")) and not record.get("response"):
            return None  # xlam's: the expected calls are the answer
        return Exchange(record[_PARAMS], (_PARAMS,), answer=record.get("response"), answer_at=("response",))
    return exchange.find(_API, record)


def _find(record: Any) -> Exchange | None:
    """The exchange of a record; a list of items counts as a request."""
    found = _exchange(record)
    if found is not None or not is_object(record):
        return found
    key = next((key for key in _LISTS if has_items(record.get(key))), None)
    return Exchange({_API.bare: record[key]}, (key,), bare=True) if key and dialogue(record) is None else None


def recognises(record: Any) -> bool:
    """An exchange of this API, a list of items, or the lines of a conversation that the provider keeps."""
    return bool(_legs(record))


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """Whether a line goes on with a stream, or continues an exchange; a record may begin with either."""
    if _API.is_event(line):
        return exchange.joins(_API, gathered, line) and (not gathered or _API.is_event(gathered[0]))
    leg = _leg(line)
    if leg is None or not gathered:
        return leg is not None
    if not (leg.previous or leg.conversation):
        return False
    before = (found for value in reversed(gathered) if (found := _leg(value)))
    return any(continues(one, leg) for one in before)


def events(record: Any) -> list[Path]:
    """Each item of the instructions, the input and the output; of a stream, each of its events."""
    made: list[Path] = []
    for leg in _legs(record):
        echoed = (
            [place for place, _ in _echoed(leg.found, leg.found.answer)] if _API.is_response(leg.found.answer) else []
        )
        made += [(*leg.at, *place) for place in (*echoed, *exchange.events(_API, leg.found))]
    return made


def _echoed(found: Exchange, body: Any) -> list[tuple[Path, Any]]:
    """The instructions that only the response tells of; of a stream, at the place of its first event."""
    if not is_object(body) or (is_object(found.request) and found.request.get("instructions")):
        return []
    if body is found.answer:
        return placed((*found.answer_at, "instructions"), body.get("instructions"), "system")
    first: Path = (*found.answer_at, 0) if is_list(found.answer) else found.answer_at
    return [(first, item) for _, item in placed((), body.get("instructions"), "system")]


@dataclass(frozen=True, slots=True)
class _Told:
    """What an exchange says, at the places of the record: its instructions, its input, its output."""

    leg: Leg
    prompt: Turns
    asked: Turns
    answered: Turns


def read(record: Any) -> Reading:
    """One sample; of exchanges that continue each other one for each that none continues."""
    legs = _legs(record)
    told: list[_Told] = []
    for leg in legs:
        made = _told(leg)
        if isinstance(made, Finding):
            return Reading(refusal=Finding((*leg.at, *made.path), made.says, made.fix, made.severity))
        told.append(made)
    absent = _absent(told[0]) if told else None
    if absent or not told:
        return Reading(refusal=absent)
    parents = [parent_of(legs[:i], leg) for i, leg in enumerate(legs)]
    chains: list[list[_Told]] = []
    for end in [i for i in range(len(legs)) if i not in parents]:
        path = [end]
        while (parent := parents[path[0]]) is not None:
            path.insert(0, parent)
        chains.append([told[i] for i in path])
    stories = [(_story(chain), chain) for chain in chains]
    made_of = [_conversation(story, chain) for story, chain in stories if story.messages]
    if not made_of:
        lost = next((f": {event.reason}" for story, _ in stories for event in story.aside if event.loses), "")
        return Reading(refusal=Finding((), f"no item is a turn of a chat{lost}", "give at least one message"))
    kept = {place for conversation in made_of for place in conversation.origins}
    aside = {event.path: event for story, _ in stories for event in story.aside if event.path not in kept}
    return Reading(made_of, list(aside.values()))


def _told(leg: Leg) -> _Told | Finding:
    said = exchange.told(_API, leg.found)
    if isinstance(said, Finding):
        return said
    asked, choices, body = said
    at = len(leg.found.request_at)
    n_prompt = 0 if leg.found.bare else sum(origin[at : at + 1] == ("instructions",) for origin in asked.origins)
    prompt = Turns(asked.messages[:n_prompt], asked.origins[:n_prompt])
    echoed = turns(_echoed(leg.found, body))
    if echoed.refusal:
        return echoed.refusal
    rest = replace(asked, messages=asked.messages[n_prompt:], origins=asked.origins[n_prompt:])
    parts = (prompt if prompt.messages else echoed, rest, choices[0] if choices else Turns())
    return _Told(leg, *(_moved(part, leg.at) for part in parts))


def _moved(said: Turns, at: Path) -> Turns:
    origins = [(*at, *place) for place in said.origins]
    return replace(
        said, origins=origins, aside=[structs.replace(event, path=(*at, *event.path)) for event in said.aside]
    )


def _absent(first: _Told) -> Finding | None:
    """Why an exchange that continues none of the record cannot be read; None where it is a beginning."""
    previous, conversation = first.leg.previous, first.leg.conversation
    starts = next((turn.get("role") for turn in first.asked.messages), None)
    if not previous and not (conversation and starts == "tool"):
        return None
    what = f"the response {previous!r}" if previous else f"the conversation {conversation!r}"
    says = f"it continues {what}, which no record before it holds"
    return Finding(first.leg.at, says, "put the records of a conversation into one file, in their order")


def _story(chain: Sequence[_Told]) -> Story:
    """Exchanges that continue each other, as one conversation under the instructions of the last."""
    story = Story()
    prompt = next(told.prompt for told in chain if told.prompt.messages == chain[-1].prompt.messages)
    for place, message in zip(prompt.origins, prompt.messages, strict=True):
        story.keep(place, message)
    for told in chain:
        for place in told.prompt.origins:
            if told.prompt.messages == prompt.messages:
                story.merge(place, "repeats the instructions of the request before it")
            else:
                story.drop(place, "instructions that a later request replaces", loses=True)
        n_repeated = _n_repeated(told)
        _tell(story, told.prompt, len(told.prompt.messages))
        _tell(story, told.asked, 0)
        for place in told.answered.origins[:n_repeated]:
            story.merge(place, "repeats the input")
        _tell(story, told.answered, n_repeated)
        if told is not chain[-1]:  # why that one ended is a label of the sample
            story.messages = cut_off(story.messages, told.answered.metadata.get("finish_reason"))
    return story


def _n_repeated(told: _Told) -> int:
    """How many turns of the output repeat the input: all of it or none."""
    given: list[Message] = told.asked.messages
    return len(given) if given and told.answered.messages[: len(given)] == given else 0


def _tell(story: Story, said: Turns, start: int) -> None:
    pairs = list(zip(said.origins, said.messages, strict=True))[start:]
    for i, (place, message) in enumerate(pairs):
        (story.keep if i else story.join)(place, message)
    for event in said.aside:
        if event.fate == "merged":
            story.merge(event.path, event.reason)
        else:
            story.drop(event.path, event.reason, loses=event.loses)


def _conversation(story: Story, chain: Sequence[_Told]) -> Conversation:
    """The conversation with the tools, the labels and the name of its last exchange."""
    last = chain[-1]
    record, found = last.leg.record, last.leg.found
    bodies = (found.request, found.answer)
    labels = {} if any(record is body for body in bodies) else metadata(record, without=_NO_LABELS)
    fields = [one for one in (record, found.request, found.answer) if is_object(one)]
    name = next(filter(None, map(sample_id, fields)), None) or last.leg.answer_id or None
    declared = next((told for told in (last.asked, last.answered) if told.tools), last.asked)
    said = {key: value for key, value in last.answered.metadata.items() if key in ("model", "finish_reason")}
    given = {**labels, **last.answered.metadata, **last.asked.metadata, **said}
    rebuilt = any(told.leg.found.answer is not None and not is_object(told.leg.found.answer) for told in chain)
    return story.conversation(declared.tools, name, given, rebuilt=rebuilt)


FORMAT = replace(
    api_format("responses", "OpenAI Responses requests, responses, pairs, streams and items; NeMo-Gym rollouts"),
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
    fields=frozenset({*exchange.REQUESTS, *exchange.RESPONSES, *(_API.fields or ()), *_LISTS}),
)
