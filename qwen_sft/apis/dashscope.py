"""DashScope's own protocol, which Alibaba Cloud serves Qwen with: text generation and multimodal conversation.

A request is {model, input: {messages | prompt}, parameters: {tools, result_format, incremental_output, ...}}, an answer
{output: {choices | text}, usage, request_id}. Multimodal content is a list of {text}, {image}, ... without a type. In
a stream `finish_reason` is the text "null" until the end, and every event holds all that was said so far, unless the
request asks for `incremental_output`: then it holds only what is new.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.chat import message
from qwen_sft.reading.delta import UNFINISHED, Pieces, Snapshots, failure, is_under_way
from qwen_sft.reading.metadata import metadata
from qwen_sft.sample import Message, Path, is_list, is_object, value_at

_REQUEST = frozenset({"model", "input", "parameters", "task_group", "task", "function", "resources", "debug", "stream"})
_PROMPTS = ("history", "messages", "prompt")
_TASK = "the output is a task that makes pictures, video or speech, no answer in a chat"
_RESPONSE = frozenset({"output", "usage", "request_id", "model", "status_code", "code", "message"})


def is_request(body: Any) -> bool:
    """An object `input` with messages or a prompt, and beside it only what DashScope knows."""
    given: Any = body.get("input") if is_object(body) else None
    if not is_object(given) or not (is_object(body.get("parameters")) or "model" in body) or not set(body) <= _REQUEST:
        return False
    return is_list(given.get("messages")) or isinstance(given.get("prompt"), str)


def is_response(body: Any) -> bool:
    """An object `output` with choices, a text or a task, and beside it a request_id or the usage."""
    output: Any = body.get("output") if is_object(body) else None
    if not is_object(output) or not ("request_id" in body or is_object(body.get("usage"))):
        return False
    if not set(body) <= _RESPONSE:
        return False
    return bool(_choices(output)) or isinstance(output.get("task_id"), str)


def is_event(value: Any) -> bool:
    """An event of a stream looks like a response."""
    return is_response(value)


def _choices(output: dict[str, Any]) -> list[Any]:
    """The choices of an output; a text (result_format "text") is the only one."""
    listed: Any = output.get("choices")
    if is_list(listed) and listed:
        return listed if is_object(listed[0]) and is_object(listed[0].get("message")) else []
    if not isinstance(output.get("text"), str):
        return []
    said = {"content": output["text"], "reasoning_content": output.get("reasoning_content")}
    return [{"message": said, "finish_reason": output.get("finish_reason")}]


def _places(output: dict[str, Any]) -> list[Path]:
    if is_list(output.get("choices")) and output["choices"]:
        return [("output", "choices", i, "message") for i in range(len(_choices(output)))]
    return [("output", "text") for _ in _choices(output)]


def places(body: Any) -> list[Path]:
    """The messages and the prompt of a request; the message of each choice, or the text, of a response."""
    if is_response(body):
        return _places(body["output"])
    if not is_request(body):
        return []
    given: dict[str, Any] = body["input"]
    made: list[Path] = []
    for key in _PROMPTS:
        listed: Any = given.get(key)
        made += [("input", key, i) for i in range(len(listed))] if is_list(listed) else []
        made += [("input", key)] if isinstance(listed, str) else []
    return made


def asked(body: Any) -> Turns:
    """The history ({user, bot} pairs of old SDKs), the messages, and the prompt as the user's words."""
    if not is_request(body):
        return Turns(refusal=Finding((), "no input of a chat", "write {input: {messages: [...]}}"))
    parameters: Any = body.get("parameters")
    parameters = parameters if is_object(parameters) else {}
    if parameters.get("use_raw_prompt"):
        return Turns(refusal=Finding(("input", "prompt"), "the prompt is the raw text of a template", "give messages"))
    messages: list[Message] = []
    origins: list[Path] = []
    for place in places(body):
        said = value_at(body, place)
        turns = _asked(place[1], said)
        if not turns:
            says = f"a turn is {type(said).__name__}, not an object"
            return Turns(refusal=Finding(place, says, "write {role, content}"))
        messages += turns
        origins += [place] * len(turns)
    labels = metadata(parameters, {"model": body.get("model")})
    return Turns(messages, origins, tools=parameters.get("tools"), metadata=labels)


def _asked(key: Any, said: Any) -> list[Message]:
    if key == "prompt":
        return [message({"role": "user", "content": said})]
    if not is_object(said):
        return []
    if key == "messages":
        return [message(said)]
    pair = (("user", said.get("user")), ("assistant", said.get("bot")))
    return [message({"role": role, "content": text}) for role, text in pair if isinstance(text, str)]


def answered(body: Any) -> list[Turns]:
    """The message of each choice, or the text."""
    output: dict[str, Any] = body["output"]
    choices = _choices(output)
    if not choices:
        return [Turns(refusal=Finding(("output",), _TASK, "leave it out"))]
    made: list[Turns] = []
    for place, choice in zip(_places(output), choices, strict=True):
        given: Any = choice.get("message") if is_object(choice) else None
        if not is_object(given):
            return [Turns(refusal=Finding(place, "a choice has no message", "leave the choice out"))]
        reason: Any = choice.get("finish_reason")
        labels = metadata({"finish_reason": UNFINISHED if reason == "null" else reason, **_labels(body)})
        made.append(Turns([message({"role": "assistant", **given})], [place], metadata=labels))
    return made


def _labels(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body[key] for key in ("request_id", "model") if key in body}


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """An event with the request_id of those before it, while they have not ended."""
    ids = [body.get("request_id") for body in (gathered[-1], event)]
    if all(ids):
        return ids[0] == ids[1]
    before = _choices(gathered[-1]["output"])
    return any(is_object(choice) and is_under_way(choice.get("finish_reason")) for choice in before)


def whole(events: Sequence[Any]) -> Any:
    """The response that the events of a stream come to, by what they say alone."""
    return whole_of(None, events)


def whole_of(request: Any, events: Sequence[Any]) -> Any:
    """The response that the events of a stream come to.

    Whether each event holds all that was said or only what is new is what the request asked for, `incremental_output`;
    by default it is all. Where the events say otherwise, by not beginning with what stood before, they are right.
    Without a request they are read as snapshots where one grew at least twice; what could be both is refused.
    """
    body: dict[str, Any] = {}
    steps: list[tuple[int, dict[str, Any], Any]] = []
    for event in filter(is_object, events):
        output: Any = event.get("output")
        if not is_object(output):
            if event.get("code") or event.get("error"):
                return Finding((), f"the stream ends in an error: {failure(event)}", "leave failed requests out")
            continue
        if not _same(body, event):
            return Finding((), "the stream holds events of several answers", "split it by request_id")
        body |= _labels(event)
        for i, choice in enumerate(filter(is_object, _choices(output))):
            if is_object(choice.get("message")):
                index: Any = choice.get("index", i)
                steps.append((index if isinstance(index, int) else i, choice["message"], choice.get("finish_reason")))
    if not steps:
        return Finding((), "the stream holds no answer", "record it again")
    choices = _read(_is_told(request), steps)
    return choices if isinstance(choices, Finding) else {**body, "output": {"choices": choices}, "usage": {}}


def _same(body: dict[str, Any], event: dict[str, Any]) -> bool:
    given: Any = event.get("request_id")
    return not given or body.get("request_id", given) == given


def _is_told(request: Any) -> bool | str | None:
    """What the request says of `incremental_output`: "default" where it says nothing, None where there is none."""
    if not is_request(request):
        return None
    parameters: Any = request.get("parameters")
    given: Any = parameters.get("incremental_output") if is_object(parameters) else None
    return given if isinstance(given, bool) else "default"


def _read(told: bool | str | None, steps: list[tuple[int, dict[str, Any], Any]]) -> Any:
    pieces = _put_together(steps)
    snapshots = Snapshots()
    news = [(index, snapshots.news(index, given), reason) for index, given, reason in steps]
    if told is True or (snapshots.broken and told is not False):
        return pieces
    if snapshots.broken:
        return Finding((), "the request asks for whole snapshots, which these are not", "record it again")
    together = _put_together(news)
    if told is None and together != pieces and snapshots.grew < 2:
        says = "its events can be read as pieces or as snapshots of the answer"
        return Finding((), says, "keep the request beside the stream")
    return together


def _put_together(steps: list[tuple[int, dict[str, Any], Any]]) -> Any:
    choices: dict[int, Pieces] = {}
    for index, given, reason in steps:
        choices.setdefault(index, Pieces()).add(given, reason)
    fault = next((pieces.fault for pieces in choices.values() if pieces.fault), None)
    if fault:
        return Finding((), *fault)
    return [
        {"index": index, "message": pieces.message(), "finish_reason": pieces.finish_reason}
        for index, pieces in sorted(choices.items())
    ]


API = Api(
    name="dashscope",
    bare="input",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
    whole_of=whole_of,
    fields=frozenset({"input", "output"}),
)
