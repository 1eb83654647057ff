"""OpenAI Chat Completions, which many servers speak: vLLM, SGLang, DashScope's compatible mode, Groq, DeepSeek.

Streams follow the servers' habits as recorded: a call's id is empty or repeated in later chunks, its name is repeated
or empty, arguments are null, an object or missing, parallel calls share one index, the last chunk has no choices.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.chat import Dialogue, dialogue, message
from qwen_sft.reading.delta import Pieces, failure, is_under_way
from qwen_sft.reading.metadata import merged, metadata
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS, REASONING_KEYS, find_key

_TOOL_KEYS = ("tools", "functions")
_SAID = ("content", "tool_calls", "function_call", *REASONING_KEYS)
_NO_LABELS = frozenset({*ID_KEYS, "object", "role", "service_tier", "system_fingerprint"})


def is_request(body: Any) -> bool:
    """A list of messages with a `role`; tools are no text in the system message."""
    return _dialogue(body) is not None


def _dialogue(body: Any) -> Dialogue | None:
    found = dialogue(body) if is_object(body) else None
    return found if found and found.speaker == "role" and found.root != ("traj",) and not found.declares_tools else None


def is_response(body: Any) -> bool:
    """Choices, the first of which has a message."""
    choices: Any = body.get("choices") if is_object(body) else None
    return is_list(choices) and bool(choices) and is_object(choices[0]) and is_object(choices[0].get("message"))


def is_event(value: Any) -> bool:
    """A chunk: choices with a delta, or none and only usage (or, Azure's first one, the prompt's filter results)."""
    if not is_object(value) or not is_list(value.get("choices")) or value.get("object") == "text_completion":
        return False
    choices: list[Any] = value["choices"]
    if not choices:
        is_chunk = value.get("object") == "chat.completion.chunk" or "prompt_filter_results" in value
        return is_chunk or is_object(value.get("usage"))
    return is_object(choices[0]) and "delta" in choices[0] and "message" not in choices[0]


def places(body: Any) -> list[Path]:
    """Each message of a request; the message of each choice of a response."""
    found = _dialogue(body)
    made = list(found.places) if found else []
    if is_response(body):
        made += [("choices", i, "message") for i in range(len(body["choices"]))]
    return made


def asked(body: Any) -> Turns:
    """Every message is kept; `developer` becomes `system`, `function` becomes `tool`."""
    found = _dialogue(body)
    if found is None or found.fault:
        return Turns(refusal=found.fault if found else Finding((), "no list of messages", "write {messages: [...]}"))
    key = find_key(body, _TOOL_KEYS)
    functions, hosted = _parted(body[key]) if key else (None, [])
    return Turns(
        messages=[message(given) for given in found.turns],
        origins=found.places,
        tools=functions,
        metadata=merged(labels(body), {"hosted_tools": hosted}) if hosted else labels(body),
    )


def _parted(declared: Any) -> tuple[Any, list[Any]]:
    """The tools with a function, and those that the provider runs itself: {"type": "openrouter:web_search", ...}."""
    if not is_list(declared):
        return declared, []
    hosted = [tool for tool in declared if _is_hosted(tool)]
    return [tool for tool in declared if not _is_hosted(tool)] if hosted else declared, hosted


def _is_hosted(tool: Any) -> bool:
    kind: Any = tool.get("type") if is_object(tool) else None
    return isinstance(kind, str) and kind not in ("function", "custom") and not {"function", "name"} & tool.keys()


def labels(body: Any) -> dict[str, Any]:
    """The body's labels; those under `metadata`, where our own samples have them, come as they stand."""
    own: Any = body.get("metadata")
    return merged(own if is_object(own) else {}, metadata(body, without=_NO_LABELS))


def answered(body: Any) -> list[Turns]:
    """The message of each choice."""
    made: list[Turns] = []
    for i, choice in enumerate(body["choices"]):
        place: Path = ("choices", i, "message")
        given: Any = choice.get("message") if is_object(choice) else None
        if not is_object(given):
            fault = Finding(("choices", i), "a choice has no message", "leave the choice out")
            return [Turns(refusal=fault)]
        labels = metadata({"finish_reason": choice.get("finish_reason")}, {"model": body.get("model")})
        made.append(Turns([message({"role": "assistant", **given})], [place], metadata=labels))
    return made


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """A chunk with the id of those before it; without ids, one that adds nothing to a choice that has finished.

    Azure's first chunk has an empty id: the second one's counts too.
    """
    given: Any = event.get("id")
    known: Any = next((chunk["id"] for chunk in gathered[:2] if chunk.get("id")), None)
    if given and known:
        return given == known
    listed = [choice for chunk in gathered[-2:] for choice in chunk["choices"] if is_object(choice)]
    finished = [_index(choice) for choice in listed if not is_under_way(choice.get("finish_reason"))]
    return not any(_says(choice) and _index(choice) in finished for choice in event["choices"] if is_object(choice))


def _says(choice: dict[str, Any]) -> bool:
    delta: Any = choice.get("delta")
    return is_object(delta) and any(delta.get(key) for key in _SAID)


def whole(events: Sequence[Any]) -> Any:
    """The response that some chunks come to."""
    choices: dict[int, Pieces] = {}
    body: dict[str, Any] = {}
    for event in filter(is_object, events):
        if event.get("error"):
            return Finding((), f"the stream ends in an error: {failure(event)}", "leave failed requests out")
        if event.get("id") and body.get("id") and event["id"] != body["id"]:
            return Finding((), "the stream holds chunks of several answers", "split it by the chunks' id")
        for key in ("id", "model"):
            if event.get(key) and not body.get(key):
                body[key] = event[key]
        listed: Any = event.get("choices")
        for choice in filter(is_object, listed if is_list(listed) else []):
            pieces = choices.setdefault(_index(choice), Pieces())
            pieces.add(choice.get("delta"), choice.get("finish_reason"))
    if not choices:
        return Finding((), "the stream holds no answer", "record it again")
    fault = next((pieces.fault for pieces in choices.values() if pieces.fault), None)
    if fault:
        return Finding((), *fault)
    if not body.get("id") and any(pieces.are_mixed() for pieces in choices.values()):
        says = "its chunks have no id, and begin twice and end twice: they are of several answers"
        return Finding((), says, "make each answer a record of its own")
    said = sorted(choices.items())
    return {
        **body,
        "choices": [{"index": i, "message": p.message(), "finish_reason": p.finish_reason} for i, p in said],
    }


def _index(choice: dict[str, Any]) -> int:
    index: Any = choice.get("index")
    return index if isinstance(index, int) else 0


API = Api(
    name="openai_chat",
    bare="messages",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
    fields=frozenset({"messages", "conversations", "choices"}),
)
