"""The Vercel AI SDK: UIMessages as applications store them, ModelMessages, and the SDK's telemetry spans.

A UIMessage holds a whole run of the assistant: `step-start` parts the steps, each of which is one turn with its results
behind it. A ModelMessage is known by its `tool-call` and `tool-result` parts. In spans, messages, calls and tools are
JSON in texts, tools each in one of its own; every call of a model has a span (`doGenerate`, `doStream`) that repeats
the conversation so far, and an outer span (`ai.generateText`) that repeats its beginning and end.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.aisdk import (
    all_told,
    answered,
    declared,
    is_model_message,
    is_ui_message,
    places,
    tell,
)
from qwen_sft.reading.aisdk import value_text as result_text
from qwen_sft.reading.chat import have_parts
from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS, decoded, sample_id

_NO_LABELS = frozenset(ID_KEYS)


def _is_span(given: Any) -> bool:
    attributes: Any = given.get("attributes") if is_object(given) else None
    return is_object(attributes) and isinstance(attributes.get("ai.operationId"), str)


def _spans(record: Any) -> list[tuple[Path, dict[str, Any]]]:
    if _is_span(record):
        return [((), record)]
    if is_list(record):
        return [((i,), one) for i, one in enumerate(record)] if record and all(map(_is_span, record)) else []
    if not is_object(record):
        return []
    lists = [(key, value) for key, value in record.items() if is_list(value) and value and _is_span(value[0])]
    return [((key, i), one) for key, value in lists for i, one in enumerate(value)]


def _messages(record: Any) -> tuple[Path, list[Any]] | None:
    holder: Any = record.get("messages") if is_object(record) else record
    if is_ui_message(record):
        return (), [record]
    if not is_list(holder) or not holder:
        return None
    if not is_ui_message(holder[0]) and not (have_parts(holder) and any(map(is_model_message, holder))):
        return None
    if not all(is_object(given) and "role" in given for given in holder):
        return None
    return (("messages",) if is_object(record) else ()), holder


def recognises(record: Any) -> bool:
    """UIMessages, ModelMessages with a call or a result, or spans with an `ai.operationId`."""
    return _messages(record) is not None or bool(_spans(record))


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """A UIMessage follows a UIMessage, a span one of the same trace."""
    if is_ui_message(line):
        return not gathered or is_ui_message(gathered[0])
    return _is_span(line) and (not gathered or (_is_span(gathered[0]) and _trace(gathered[0]) == _trace(line)))


def _trace(span: dict[str, Any]) -> Any:
    context: Any = span.get("spanContext")
    return span.get("traceId") or (context.get("traceId") if is_object(context) else None)


def events(record: Any) -> list[Path]:
    """Each part of each message; of spans, each span."""
    if (found := _messages(record)) is None:
        return [place for place, _ in _spans(record)]
    return [
        place
        for i, given in enumerate(found[1])
        for place in places(found[0] if given is record else (*found[0], i), given)
    ]


def read(record: Any) -> Reading:
    """One sample of a list of messages; of spans, one for each conversation, whose last call holds all of it."""
    if (found := _messages(record)) is None:
        return _read_spans(_spans(record))
    story = Story()
    for i, given in enumerate(found[1]):
        tell(story, found[0] if given is record else (*found[0], i), given)
    fields: dict[str, Any] = record if is_object(record) and "messages" in record else {}
    labels = metadata(fields, without=_NO_LABELS)
    return story.reading(declared(fields.get("tools")), sample_id(fields), labels)


class _Call:
    """What one span says: the conversation so far, the answer, and the spans that say less of the same."""

    def __init__(self, place: Path, attributes: dict[str, Any]) -> None:
        self.place, self.attributes = place, attributes
        self.inner = "ai.prompt.messages" in attributes
        self.asked, self.answer = _asked(attributes), answered(attributes)
        self.results: list[tuple[Path, Message]] = []
        self.cut: dict[int, Any] = {}  # how many messages end with an answer that was cut off, and why

    @property
    def messages(self) -> list[Message]:
        return [*self.asked, *self.answer, *(result for _, result in self.results)]

    def repeats(self, other: "_Call") -> bool:
        """True if another call says all of this one: a later call of the conversation, or the inner one of an outer."""
        whole = [*other.asked, *other.answer]
        if not self.inner:
            return whole[: len(self.asked)] == self.asked and whole[-1:] == self.answer[-1:]
        told = [*self.asked, *self.answer]
        return whole[: len(told)] == told


def _read_spans(spans: list[tuple[Path, dict[str, Any]]]) -> Reading:
    calls: list[_Call] = []
    aside: list[Event] = []
    ran: list[tuple[Path, Message]] = []
    for place, span in spans:
        attributes: Any = span.get("attributes") if is_object(span) else None
        attributes = attributes if is_object(attributes) else {}
        if isinstance(attributes.get("ai.toolCall.name"), str):
            ran.append((place, _ran(attributes)))
            continue
        one = _Call(place, attributes)
        if one.asked and one.answer:
            calls.append(one)
        else:
            told = bool(one.asked or one.answer)
            aside.append(Event(place, "dropped", "a span that holds no call of a chat model with its answer", told))
    whole: list[_Call] = []
    for one in sorted(calls, key=lambda one: (not one.inner, -len(one.messages))):
        repeating = [other for other in whole if one.repeats(other)]
        if repeating:
            if one.inner:
                for other in repeating:
                    other.cut[len(one.asked) + len(one.answer)] = one.attributes.get("ai.response.finishReason")
            aside.append(Event(one.place, "merged", "a call that another span repeats"))
        else:
            whole.append(one)
    for place, result in ran:
        asking = [one for one in whole if result.get("tool_call_id") in _open(one)]
        if asking:
            asking[0].results.append((place, result))
        else:
            aside.append(Event(place, "merged", "a run of a tool, whose result the next call repeats"))
    made = [_conversation(one) for one in sorted(whole, key=lambda one: [place for place, _ in spans].index(one.place))]
    if not made:
        return refused((), "no span is a call of a chat model with its answer", "record inputs and outputs")
    return Reading(made, aside)


def _open(one: _Call) -> list[Any]:
    listed: Any = one.answer[-1].get("tool_calls", []) if one.answer else []
    return [call["id"] for call in listed if is_object(call) and isinstance(call.get("id"), str)]


def _ran(attributes: dict[str, Any]) -> Message:
    made: Message = {"role": "tool", "content": result_text(_plain(decoded(attributes.get("ai.toolCall.result"))))}
    if attributes.get("ai.toolCall.id"):
        made["tool_call_id"] = attributes["ai.toolCall.id"]
    made["name"] = attributes["ai.toolCall.name"]
    return made


def _plain(value: Any) -> Any:
    """A result out of the {type, value} that newer versions write."""
    return value["value"] if is_object(value) and value.keys() == {"type", "value"} else value


def _asked(attributes: dict[str, Any]) -> list[Message]:
    if "ai.prompt.messages" in attributes:
        listed: Any = decoded(attributes["ai.prompt.messages"])
        return all_told(listed if is_list(listed) else [])
    prompt: Any = decoded(attributes.get("ai.prompt"))
    if not is_object(prompt):
        return []
    first: list[Any] = [{"role": "system", "content": prompt["system"]}] if prompt.get("system") else []
    given: Any = prompt.get("messages") or prompt.get("prompt") or []
    return all_told([*first, *(given if is_list(given) else [{"role": "user", "content": given}])])


def _conversation(one: _Call) -> Conversation:
    story = Story()
    messages = [*one.asked, *one.answer]
    for n_messages, reason in one.cut.items():
        messages[:n_messages] = cut_off(messages[:n_messages], reason)
    for message in messages:
        story.keep(one.place, message)
    for place, result in one.results:
        story.keep(place, result)
    told = one.attributes
    labels = metadata(
        {"model": told.get("ai.response.model") or told.get("ai.model.id")},
        {"finish_reason": told.get("ai.response.finishReason"), "operation": told.get("ai.operationId")},
    )
    return story.conversation(declared(told.get("ai.prompt.tools")), None, labels, rebuilt=True)


FORMAT = Format(
    name="vercel_ai",
    title="Vercel AI SDK: UIMessages, ModelMessages with tool-call parts, and telemetry spans",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
)
