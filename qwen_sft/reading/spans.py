"""The chat in a span's attributes and events, in each of the conventions that instrumentations follow.

OpenTelemetry's GenAI conventions (whole messages as JSON, or older: an event for each message), OpenLLMetry's
(`gen_ai.prompt.{i}.content`) and OpenInference's (`llm.input_messages.{i}.message.content`), which are flattened; and
the Vercel AI SDK's (`ai.prompt.messages`), whose outer spans repeat the beginning and the end of what they hold.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Turns
from qwen_sft.format import Event
from qwen_sft.reading.aisdk import all_told, declared
from qwen_sft.reading.aisdk import answered as sdk_answered
from qwen_sft.reading.flattened import INFERENCE, PROMPTS, Found, MissingError, inference, is_under, prompts, turn
from qwen_sft.reading.generations import Generation, told
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.recorded import answered, asked, decoded
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import decoded as plainly_decoded

SILENT = "a span without messages"
_AGENT = "a span of an agent: its calls of the model are spans of their own"
_LIMIT = "a span whose attributes were cut off by a limit of the exporter"
_GAP = "a span in which a message is missing"

_IN, _OUT = "gen_ai.input.messages", "gen_ai.output.messages"
_DETAILS = "gen_ai.client.inference.operation.details"
_ROLES = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE = "gen_ai.choice"
_SDK = "ai.prompt.messages"
_OF_MESSAGES = (
    _IN,
    _OUT,
    "gen_ai.prompt",
    "gen_ai.completion",
    "llm.prompts",
    "llm.completions",
    *INFERENCE,
    "ai.prompt",
)
_CALLS = frozenset({"chat", "generate_content", "text_completion", "completion", "responses"})
_LABELS = {
    "model": ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.request.model", "ai.model.id"),
    "conversation_id": ("gen_ai.conversation.id", "session.id"),
    "agent": ("gen_ai.agent.name",),
    "cost": ("gen_ai.usage.cost", "llm.cost.total"),
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
}
"""Labels of a call, and the attributes that hold them."""


def generations(
    place: Path,
    attributes: dict[str, Any],
    events: Sequence[tuple[Any, dict[str, Any]]],
    *,
    name: str | None,
    labels: dict[str, Any],
    failed: str | None,
    incomplete: bool,
) -> list[Generation] | Event:
    """The generations of a span: one for each choice of the answer; or why it holds none.

    Args:
        events: the name of each event of the span, and its attributes.
        name: of the sample.
        labels: of the span.
        failed: what went wrong, where the span's status is an error.
        incomplete: True if the span lost attributes or events to a limit.
    """
    nothing: dict[str, Any] = {}
    details = next((given for kind, given in events if kind == _DETAILS), nothing)
    attributes = {**details, **attributes}
    if not _is_chat(attributes, events):
        return Event(place, "dropped", SILENT)
    if not _is_call(attributes):
        return Event(place, "dropped", _AGENT)
    if incomplete or any(_base(key) in attributes or _is_of_messages(_base(key)) for key in attributes if _is_cut(key)):
        return Event(place, "dropped", _LIMIT, loses=True)
    try:
        request, answers, declared = _read(attributes, events)
    except MissingError:
        return Event(place, "dropped", _GAP, loses=True)
    about = {**labels, **_about(attributes)}
    return told(place, request, answers, declared=declared, name=name, labels=about, failed=failed)


def _is_chat(attributes: dict[str, Any], events: Sequence[tuple[Any, dict[str, Any]]]) -> bool:
    return any(map(_is_of_messages, attributes)) or any(kind in _ROLES or kind == _CHOICE for kind, _ in events)


def _is_of_messages(key: str) -> bool:
    return any(key == prefix or key.startswith(prefix + ".") for prefix in _OF_MESSAGES)


def _is_cut(key: str) -> bool:
    return key.endswith(("_truncated", ".truncated"))


def _base(key: str) -> str:
    return key[: -len("_truncated")]


def _is_call(attributes: dict[str, Any]) -> bool:
    """True for a span of one call of a model; False for an agent's, a tool's, a workflow's."""
    kind: Any = attributes.get("openinference.span.kind")
    if kind is not None:
        return kind == "LLM"
    if attributes.get("traceloop.span.kind") is not None:
        return False
    if "ai.prompt" in attributes:
        return _SDK in attributes
    operation: Any = attributes.get("gen_ai.operation.name")
    return not isinstance(operation, str) or operation in _CALLS


def _about(attributes: dict[str, Any]) -> dict[str, Any]:
    found = {
        label: next((attributes[key] for key in keys if key in attributes), None) for label, keys in _LABELS.items()
    }
    reasons: Any = decoded(attributes.get("gen_ai.response.finish_reasons"))
    found["finish_reason"] = reasons[0] if is_list(reasons) and len(reasons) == 1 else None
    return metadata(found)


def _read(attributes: dict[str, Any], events: Sequence[tuple[Any, dict[str, Any]]]) -> Found:
    """What was asked, what was answered, and the tools, by the first convention that the span follows."""
    if _IN in attributes or _OUT in attributes:
        return _whole(attributes)
    if any(is_under(key, INFERENCE) for key in attributes):
        return inference(attributes)
    if _SDK in attributes:
        return _sdk(attributes)
    for prompt, completion in PROMPTS:
        if any(is_under(key, (prompt, completion)) for key in attributes):
            return prompts(attributes, prompt, completion)
    return _told_by_events(events, attributes)


# -- OpenTelemetry -----------------------------------------------------------------------------------------------------


def _whole(attributes: dict[str, Any]) -> Found:
    """Messages of parts, as JSON or as structured values; instructions beside them."""
    given, said = (_messages(attributes.get(key)) for key in (_IN, _OUT))
    if isinstance(given, str) or isinstance(said, str):
        return None, None, None
    request = asked(given) if given else Turns()
    instructions = _instructions(attributes.get("gen_ai.system_instructions"))
    if instructions is not None and request is not None:
        request = Turns([*instructions.messages, *request.messages], tools=request.tools, metadata=request.metadata)
    return request, answered(said), attributes.get("gen_ai.tool.definitions")


def _messages(given: Any) -> Any:
    """A list of messages; .NET's wrap them in {version, messages}."""
    given = decoded(given)
    return given["messages"] if is_object(given) and is_list(given.get("messages")) else given


def _instructions(given: Any) -> Turns | None:
    given = decoded(given)
    if isinstance(given, str) and given:
        return Turns([{"role": "system", "content": given}])
    if not is_list(given) or not given:
        return None
    if all(is_object(one) and "role" in one for one in given):
        return asked(given)
    return asked([{"role": "system", "parts": given}])


def _sdk(attributes: dict[str, Any]) -> Found:
    """The Vercel AI SDK's: ModelMessages and calls as JSON, tools as a list of JSON."""
    given = plainly_decoded(attributes[_SDK])
    said = sdk_answered(attributes)
    reason = metadata({"finish_reason": attributes.get("ai.response.finishReason")})
    request = Turns(all_told(given)) if is_list(given) else None
    return request, [Turns(said, metadata=reason)] if said else [], declared(attributes.get("ai.prompt.tools"))


def _told_by_events(events: Sequence[tuple[Any, dict[str, Any]]], attributes: dict[str, Any]) -> Found:
    """An event for each message; what it says are its attributes, or JSON in one of them."""
    messages: list[Any] = []
    choices: list[Any] = []
    for kind, given in events:
        body = _body(given)
        if kind in _ROLES:
            messages.append({"role": _ROLES[kind], **turn(body)})
        elif kind == _CHOICE:
            message: Any = decoded(body.get("message", body))
            if is_list(message) or isinstance(message, str):  # Strands: blocks of Bedrock
                message = {"content": message}
            reason = {"finish_reason": body["finish_reason"]} if body.get("finish_reason") else {}
            choices.append({"role": "assistant", **turn(message if is_object(message) else {}), **reason})
    return asked(messages) if messages else Turns(), answered(choices), attributes.get("gen_ai.tool.definitions")


def _body(given: dict[str, Any]) -> dict[str, Any]:
    for key in ("gen_ai.event.content", "body", "event_body"):
        inner = decoded(given.get(key))
        if is_object(inner):
            return inner
        if isinstance(inner, str) and inner:
            return {"content": inner}
    return given
