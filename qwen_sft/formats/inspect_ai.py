"""Inspect logs (UK AI Security Institute): a whole EvalLog, or one of its samples, as an .eval archive holds them.

A sample's `messages` are the conversation, which its model events repeat call by call. Calls that it does not hold (a
sub-agent's), or that saw less than all of it (after a compaction), are conversations of their own. Quirks: long texts
stand once under `attachments` and elsewhere as `attachment://<hash>` (`tc://` and `transcript.content` in old logs);
inputs of model events may be ranges of a pool; only model events name the tools; a call whose arguments were no JSON
has none, and they stand in its `parse_error`; the text of a failed call may stand in its `error` alone.
"""

from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.inspect_log import Attachments
from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path, is_list, is_object

_LACKS = "a text of the sample is an attachment that the Inspect log does not hold"
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Inspect's grades (correct, partial, incorrect, no answer) as numbers, as its `value_to_float` has them."""


def recognises(record: Any) -> bool:
    """A log (`eval`, `status`, `version`), a sample (`epoch` and `messages`), or a list of a log's events."""
    return _is_log(record) or _is_sample(record) or _is_events(record)


def _is_log(record: Any) -> bool:
    return is_object(record) and is_object(record.get("eval")) and {"status", "version"} <= record.keys()


def _is_sample(record: Any) -> bool:
    if not is_object(record) or not isinstance(record.get("epoch"), int) or not is_list(record.get("messages")):
        return False
    if not all(is_object(given) and "role" in given for given in record["messages"]):
        return False
    return "target" in record or "scores" in record or "store" in record


def _is_events(record: Any) -> bool:
    listed: Any = record.get("events") if is_object(record) and "messages" not in record else record
    first: Any = listed[0] if is_list(listed) and listed else None
    return is_object(first) and isinstance(first.get("event"), str) and {"timestamp", "working_start"} <= first.keys()


def _samples(record: Any) -> list[tuple[Path, dict[str, Any]]]:
    if not _is_log(record):
        return [((), record)] if _is_sample(record) else []
    listed: Any = record.get("samples")
    return [(("samples", i), one) for i, one in enumerate(listed) if _is_sample(one)] if is_list(listed) else []


def events(record: Any) -> list[Path]:
    """Each message, each part of a message's content, and each event of a sample that is a call of a model."""
    return [place for at, sample in _samples(record) for place in _places(at, sample)]


def _places(at: Path, sample: dict[str, Any]) -> list[Path]:
    places: list[Path] = []
    for i, given in enumerate(sample["messages"]):
        place: Path = (*at, "messages", i)
        content: Any = given.get("content") if is_object(given) else None
        places += [place, *((*place, "content", k) for k in range(len(content) if is_list(content) else 0))]
    return [*places, *(place for place, _, _ in _model_events(at, sample))]


def _model_events(at: Path, sample: dict[str, Any]) -> list[tuple[Path, dict[str, Any], bool]]:
    """The calls of models in a sample, those inside of tool and subtask events too, and whether a scorer made them."""
    found: list[tuple[Path, dict[str, Any], bool]] = []
    scorers: set[str] = set()
    for holder, place in ((sample, at), (sample.get("transcript"), (*at, "transcript"))):
        levels: list[tuple[Path, Any]] = [((*place, "events"), holder.get("events"))] if is_object(holder) else []
        while levels:
            here, listed = levels.pop()
            for i, event in enumerate(listed if is_list(listed) else []):
                if not is_object(event):
                    continue
                own, above, span = (str(event.get(key)) for key in ("id", "parent_id", "span_id"))
                if event.get("type") == "scorer" or (event.get("event") == "span_begin" and above in scorers):
                    scorers.add(own)
                if event.get("event") == "model":
                    found.append(((*here, i), event, span in scorers or event.get("role") == "grader"))
                levels.append(((*here, i, "events"), event.get("events")))
    return found


def read(record: Any) -> Reading:
    """For each sample of the log its messages, and the conversations of models that those do not hold."""
    if _is_events(record):
        return refused((), "these are events of an Inspect log, without their sample", "read the whole log")
    found = _samples(record)
    if not found:
        return refused((), "the Inspect log holds no samples", "write the log with its samples (log_samples)")
    log: dict[str, Any] = record if _is_log(record) else {}
    shared = metadata({key: log.get("eval", {}).get(key) for key in ("task", "model")}, {"status": log.get("status")})
    made, aside = list[Conversation](), list[Event]()
    for at, sample in found:
        reading = _Sample(at, sample).reading(shared)
        made += reading.conversations
        aside += reading.aside
    if not made and any(event.reason == _LACKS for event in aside):
        return refused((), _LACKS, "write the log with its attachments")
    if not made:
        return refused((), "no sample of the Inspect log has a message", "leave out samples that failed at the start")
    return Reading(made, aside)


class _Call:
    """One call of a model: what it was asked, with the answer as the last message."""

    def __init__(self, place: Path, event: dict[str, Any], messages: list[Any], keys: list[Any]) -> None:
        self.place, self.event, self.messages, self.keys = place, event, messages, keys
        self.earlier: list[Path] = []
        self.ends: dict[int, Any] = {len(messages) - 1: _ended(event.get("output")).get("finish_reason")}


class _Sample:
    """One sample while it is being read."""

    def __init__(self, at: Path, sample: dict[str, Any]) -> None:
        self.at, self.sample, self.messages = at, sample, list[Any](sample["messages"])
        self.texts = Attachments(sample)
        self.keys = [self.texts.key(given) for given in self.messages]

    def reading(self, shared: dict[str, Any]) -> Reading:
        main, tools, others = Story(), None, list[_Call]()
        ends: dict[int, Any] = {}
        if self.texts.lacks(self.messages):
            for place in _places(self.at, self.sample):
                main.drop(place, _LACKS, loses=True)
            return Reading([], main.aside)
        cut = len(self.messages)
        for place, event, scores in _model_events(self.at, self.sample):
            one = self._call(place, event)
            known = self.keys.index(one.keys[-1]) if one and one.keys[-1] in self.keys else None
            if scores or one is None:
                main.drop(place, "a scorer's call of a model" if scores else "a call of a model without an answer")
            elif known is None or not self._saw_all(one, known):
                cut = min(cut, cut if known is None else known)
                _add(others, one)
            else:
                main.merge(place, "a call of the model whose answer is in the messages")
                ends[known] = one.ends[len(one.messages) - 1]
                tools = self.texts.tools(event) or tools
        for i, given in enumerate(self.messages):
            place: Path = (*self.at, "messages", i)
            if i < cut:
                start = max(len(main.messages) - 1, 0)
                self.texts.tell(main, place, given, parts=True)
                main.messages[start:] = cut_off(main.messages[start:], ends.get(i))
            else:
                self._leave(main, place, given, others)
        name = f"{self.sample.get('id')}-{self.sample['epoch']}"
        labels = {**_labels(self.sample), **shared}
        made = [main.conversation(tools, name, labels)] if main.messages else []
        for k, one in enumerate(others, start=1):
            story = Story()
            for i, given in enumerate(one.messages):
                start = max(len(story.messages) - 1, 0)
                self.texts.tell(story, one.place, given, parts=False)
                story.messages[start:] = cut_off(story.messages[start:], one.ends.get(i))
            ended = _ended(one.event.get("output"))
            told = metadata({"model": one.event.get("model"), "model_role": one.event.get("role")}, ended, labels)
            made.append(story.conversation(self.texts.tools(one.event), f"{name}-call-{k}", told, rebuilt=True))
            for place in one.earlier:
                main.merge(place, "a call that a later one of the same conversation repeats")
        return Reading(made, main.aside)

    def _call(self, place: Path, event: dict[str, Any]) -> _Call | None:
        output: Any = event.get("output")
        choices: Any = output.get("choices") if is_object(output) else None
        first: Any = choices[0] if is_list(choices) and choices else None
        answer: Any = first.get("message") if is_object(first) else None
        if not is_object(answer):
            return None
        messages = [*self._input(event), answer]
        return _Call(place, event, messages, [self.texts.key(given) for given in messages])

    def _input(self, event: dict[str, Any]) -> list[Any]:
        """The messages that a model was asked with: in the event, or as ranges [start, end) of the sample's pool."""
        asked, ranges = event.get("input"), event.get("input_refs")
        data: Any = self.sample.get("events_data")
        pool: Any = data.get("messages") if is_object(data) else self.sample.get("message_pool")
        if not is_list(ranges) or not is_list(pool):
            return asked if is_list(asked) else []
        found: list[Any] = []
        for one in ranges:
            ends: list[Any] = [one, one + 1] if isinstance(one, int) else one if is_list(one) else []
            if len(ends) == 2 and all(isinstance(end, int) and end >= 0 for end in ends):
                found += pool[ends[0] : ends[1]]
        return found

    def _saw_all(self, one: _Call, answer: int) -> bool:
        """True unless a message before the answer is missing in what the model was asked with (compaction).

        Inspect joins neighbours of one role before it asks; only ids tell a message that is gone from one that changed.
        """
        seen = set(one.keys)
        roles = [given.get("role") if is_object(given) else None for given in self.messages]
        for i in range(answer):
            given: Any = self.messages[i]
            alone = roles[i] not in (roles[i - 1] if i else None, roles[i + 1] if i + 1 < len(roles) else None)
            if alone and is_object(given) and "id" in given and self.keys[i] not in seen:
                return False
        return True

    def _leave(self, main: Story, place: Path, given: Any, others: list[_Call]) -> None:
        """A message after the history was compacted is in the conversation that went on from there."""
        content: Any = given.get("content") if is_object(given) else None
        places: list[Path] = [place, *((*place, "content", k) for k in range(len(content) if is_list(content) else 0))]
        told = any(self.texts.key(given) in one.keys for one in others)
        for one in places:
            if told:
                main.merge(one, "in the conversation that goes on from a compacted history")
            else:
                main.drop(one, "behind the last answer of a compacted history")


def _add(others: list[_Call], one: _Call) -> None:
    """A call that goes on from what another one was asked and answered stands for both."""
    for k, before in enumerate(others):
        if one.keys[: len(before.keys)] == before.keys:
            one.earlier = [*before.earlier, before.place]
            one.ends = {**before.ends, **one.ends}
            others[k] = one
            return
    others.append(one)


def _labels(sample: dict[str, Any]) -> dict[str, Any]:
    """The scores, why the last answer ended, and the limit or error that ended the run."""
    scores: Any = sample.get("scores")
    named: dict[str, Any] = scores if is_object(scores) else {"score": sample["score"]} if "score" in sample else {}
    values = {key: one.get("value") for key, one in named.items() if is_object(one)}
    first: Any = next(iter(values.values()), None)
    made: dict[str, Any] = {}
    graded: Any = _GRADES.get(first, first) if isinstance(first, str) else first
    if isinstance(graded, bool | int | float):
        made["reward"] = float(graded)
        if first in ("C", "I", "N") or isinstance(first, bool):
            made["success"] = graded == 1
    output: Any = sample.get("output")
    limit, error = (
        one.get(key) if is_object(one := sample.get(field)) else None
        for field, key in (("limit", "type"), ("error", "message"))
    )
    ended = {**_ended(output), "limit": limit, "error": error}
    model = {"model": output.get("model")} if is_object(output) else {}
    return {**made, **metadata({f"score_{key}": value for key, value in values.items()}, ended, model)}


def _ended(output: Any) -> dict[str, Any]:
    choices: Any = output.get("choices") if is_object(output) else None
    first: Any = choices[0] if is_list(choices) and choices else None
    return {"finish_reason": first.get("stop_reason")} if is_object(first) else {}


FORMAT = Format(
    name="inspect_ai",
    title="Inspect logs (UK AISI): an EvalLog or one of its samples, with attachments, scores and model events",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"eval", "epoch", "events"}),
)
