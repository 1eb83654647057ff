"""OpenAI Chat Completions, which many servers speak: vLLM, SGLang, DashScope's compatible mode, Groq, DeepSeek.

Streams follow the servers' habits as recorded: a call's id is empty or repeated in later chunks, its name is repeated
or empty, arguments are null, an object or missing, parallel calls share one index, the last chunk has no choices.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from qwen_sft.api import Api, Turns
from qwen_sft.chat import Dialogue, dialogue, message
from qwen_sft.finding import Finding
from qwen_sft.metadata import metadata
from qwen_sft.normalize import ID_KEYS, find_key
from qwen_sft.sample import Path, is_list, is_object

_TOOL_KEYS = ("tools", "functions")
_TEXTS = ("content", "reasoning_content", "reasoning", "thinking", "refusal")
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
    """A chunk: choices with a delta, or none and only usage."""
    if not is_object(value) or not is_list(value.get("choices")) or "output" in value:
        return False
    choices: list[Any] = value["choices"]
    if not choices:
        return value.get("object") == "chat.completion.chunk" or is_object(value.get("usage"))
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
    return Turns(
        messages=[message(given) for given in found.turns],
        origins=found.places,
        tools=body[key] if key else None,
        metadata=metadata(body, without=_NO_LABELS),
    )


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
    """A chunk with the id of those before it, or with none; one with another id begins another answer."""
    first: Any = gathered[0].get("id")
    given: Any = event.get("id")
    return not given or not first or given == first


def whole(events: Sequence[Any]) -> Any:
    """The response that some chunks come to."""
    choices: dict[int, dict[str, Any]] = {}
    body: dict[str, Any] = {}
    for event in events:
        if not is_object(event):
            continue
        if not is_list(event.get("choices")):
            if event.get("error"):
                return Finding(
                    (), f"the stream ends in an error: {event['error']!r}"[:200], "leave failed requests out"
                )
            continue
        for key in ("id", "model"):
            if event.get(key) and not body.get(key):
                body[key] = event[key]
        for choice in event["choices"]:
            if is_object(choice):
                _add(choices.setdefault(_index(choice, 0), {"texts": {}, "calls": []}), choice)
    if not choices:
        return Finding((), "the stream holds no answer", "record it again")
    return {**body, "choices": [_choice(index, choices[index]) for index in sorted(choices)]}


def _index(piece: dict[str, Any], default: int) -> int:
    index: Any = piece.get("index")
    return index if isinstance(index, int) else default


def _add(state: dict[str, Any], choice: dict[str, Any]) -> None:
    if choice.get("finish_reason") not in (None, "", "null"):
        state["finish_reason"] = choice["finish_reason"]
    delta: Any = choice.get("delta")
    if not is_object(delta):
        return
    for key in _TEXTS:
        if isinstance(delta.get(key), str):
            state["texts"].setdefault(key, []).append(delta[key])
    pieces: Any = delta.get("tool_calls")
    for piece in pieces if is_list(pieces) else []:
        if is_object(piece):
            _add_call(state["calls"], piece)
    if is_object(delta.get("function_call")):
        _add_call(state["calls"], {"index": 0, "function": delta["function_call"]})


def _add_call(calls: list[dict[str, Any]], piece: dict[str, Any]) -> None:
    """Adds a piece to the call it belongs to: the last one of its index, unless it brings an id of its own."""
    function: Any = piece.get("function")
    function = function if is_object(function) else {}
    index = _index(piece, -1)
    own: Any = piece.get("id")
    same = [call for call in calls if call["index"] == index] if index >= 0 else calls[-1:]
    if index < 0 and own:
        same = [call for call in calls if call["id"] == own]
    call: dict[str, Any] | None = same[-1] if same else None
    if call is None or (own and call["id"] and own != call["id"] and function.get("name")):
        call = {"index": index, "id": None, "name": None, "arguments": []}
        calls.append(call)
    call["id"] = call["id"] or own
    call["name"] = call["name"] or function.get("name")
    given: Any = function.get("arguments")
    if is_object(given):
        given = msgspec.json.encode(given).decode()
    if isinstance(given, str):
        call["arguments"].append(given)


def _choice(index: int, state: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = {"role": "assistant", **{key: "".join(texts) for key, texts in state["texts"].items()}}
    if state["calls"]:
        said["tool_calls"] = [
            {
                "id": call["id"],
                "type": "function",
                "function": {"name": call["name"], "arguments": "".join(call["arguments"])},
            }
            for call in state["calls"]
        ]
    return {"index": index, "message": said, "finish_reason": state.get("finish_reason", "unfinished")}


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
)
