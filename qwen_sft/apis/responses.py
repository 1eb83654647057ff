"""OpenAI Responses API: instructions and a list of input items, a list of output items, a stream of typed events.

Streams are followed by `output_index`, not by item ids, which some servers change from event to event. The response of
the last event is the whole answer where it has output; else the answer is rebuilt from its items.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.format import Event
from qwen_sft.reading.chat import dialogue
from qwen_sft.reading.items import Item, declared, has_items, kind, placed, repeats, turns
from qwen_sft.reading.metadata import metadata
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS

_ENDS = ("response.completed", "response.incomplete", "response.cancelled", "response.done", "response.failed")
_ONLY = ("previous_response_id", "max_output_tokens", "parallel_tool_calls", "truncation")
_NO_LABELS = frozenset({*ID_KEYS, "object", "input", "instructions", "previous_response_id", "conversation", "stream"})

_PIECES: dict[str, tuple[str, str, str]] = {
    "response.function_call_arguments": ("arguments", "", "function_call"),
    "response.custom_tool_call_input": ("input", "", "custom_tool_call"),
    "response.output_text": ("content", "output_text", "message"),
    "response.refusal": ("content", "refusal", "message"),
    "response.reasoning_text": ("content", "reasoning_text", "reasoning"),
    "response.reasoning_summary_text": ("summary", "summary_text", "reasoning"),
}
"""Events that bring a piece (.delta) or the whole (.done) of a text: its field, its part's type, its item's type."""


def is_request(body: Any) -> bool:
    """An `input` of typed items, or an `input` beside fields that only this API has."""
    if not is_object(body) or "input" not in body:
        return False
    if is_response(body):
        return True
    given: Any = body["input"]
    if not (is_list(given) or isinstance(given, str)) or not given or dialogue(body) is not None:
        return False
    if is_list(given) and has_items(given) and (len(body) > 1 or dialogue(given) is None):
        return True
    return _is_asking(body) and (isinstance(given, str) or any(is_object(item) and "role" in item for item in given))


def _is_asking(body: dict[str, Any]) -> bool:
    if any(key in body for key in _ONLY) or is_object(body.get("reasoning")) or is_object(body.get("text")):
        return not isinstance(body.get("output"), str)
    listed: Any = body.get("tools")
    if is_list(listed) and any(is_object(tool) and "type" in tool and "name" in tool for tool in listed):
        return True
    given = isinstance(body.get("instructions"), str) or is_list(body.get("include")) or "conversation" in body
    return isinstance(body.get("model"), str) and (given or isinstance(body.get("store"), bool))


def is_response(body: Any) -> bool:
    """A list of output, of typed items or in an object that calls itself a response."""
    if not is_object(body) or not is_list(body.get("output")) or dialogue(body) is not None:
        return False
    return body.get("object") == "response" or has_items(body["output"])


def is_event(value: Any) -> bool:
    """An event whose type begins with "response.", or a numbered error or keepalive."""
    given: Any = value.get("type") if is_object(value) else None
    if not isinstance(given, str):
        return False
    return given.startswith("response.") or (given in ("error", "keepalive") and "sequence_number" in value)


def places(body: Any) -> list[Path]:
    """Each item of a request's instructions and input, and of a response's output, nested or not."""
    made: list[Path] = []
    if is_object(body) and "input" in body:
        made += [place for place, _ in _given(body)]
    if is_response(body):
        made += [place for state in _states(body) for place, _ in state]
    return made


def _given(body: dict[str, Any]) -> list[Item]:
    return [
        *placed(("instructions",), body.get("instructions"), "system"),
        *placed(("input",), body.get("input"), "user"),
    ]


def _states(body: dict[str, Any]) -> list[list[Item]]:
    output: list[Any] = body["output"]
    if output and all(is_list(state) for state in output):
        return [placed(("output", i), state, "assistant") for i, state in enumerate(output)]
    return [placed(("output",), output, "assistant")]


def asked(body: Any) -> Turns:
    """The instructions are a system turn; a string of input is the user's."""
    if not is_object(body) or "input" not in body:
        return Turns(refusal=Finding((), "no list of items", "write {input: [...]}"))
    made = turns(_given(body))
    functions, labels = declared(body.get("tools"), made.tools)
    told = {**metadata(body, body.get("metadata"), without=_NO_LABELS), **labels}
    return Turns(made.messages, made.origins, made.aside, functions, told, made.refusal)


def answered(body: Any) -> list[Turns]:
    """The output, as one choice.

    An output of lists holds the growing conversation (NeMo-Gym's aviary): each begins with the whole of the one before.
    """
    error: Any = body.get("error")
    status: Any = body.get("status")
    if error or status in ("failed", "cancelled") or (status in ("queued", "in_progress") and not body["output"]):
        says: Any = (error.get("message") if is_object(error) else error) or f"it is {status!r}"
        return [Turns(refusal=Finding((), f"the response holds no answer: {says}"[:200], "leave such responses out"))]
    said: list[Item] = []
    aside: list[Event] = []
    for state in _states(body):
        if not repeats(state, said):
            place: Path = state[0][0] if state else ()
            fix = "keep only the output that the model was shown last"
            return [Turns(refusal=Finding(place, "an output does not continue the one before", fix))]
        aside += [Event(place, "merged", "repeated by the output after it") for place, _ in said]
        said = state
    made = turns(said)
    functions, labels = declared(body.get("tools"), made.tools)
    told = {**metadata({"model": body.get("model"), "finish_reason": _reason(body)}), **labels}
    return [Turns(made.messages, made.origins, [*aside, *made.aside], functions, told, made.refusal)]


def _reason(body: dict[str, Any]) -> Any:
    """Why the answer ends before its end; nothing where it does not."""
    details: Any = body.get("incomplete_details")
    if is_object(details) and details.get("reason"):
        return details["reason"]
    return "unfinished" if body.get("status") in ("incomplete", "in_progress") else None


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """Every event that begins no response goes on with the one before it, unless that has ended."""
    last: Any = gathered[-1].get("type") if is_object(gathered[-1]) else None
    return event.get("type") != "response.created" and last not in _ENDS


@dataclass(slots=True)
class _Streamed:
    """An item while its pieces come in: `texts` by their part's place in the item, each a list of pieces."""

    item: dict[str, Any]
    done: bool = False
    texts: dict[tuple[str, int, str], list[str]] = field(default_factory=dict[tuple[str, int, str], list[str]])


def whole(events: Sequence[Any]) -> Any:
    """The response that some events come to."""
    body: dict[str, Any] = {"object": "response"}
    items: dict[int, _Streamed] = {}
    ended = False
    for event in events:
        if not is_object(event):
            continue
        given: Any = event.get("type")
        if given in ("error", "response.failed"):
            return Finding((), f"the stream ends in an error: {_failure(event)}"[:200], "leave failed requests out")
        ended = ended or given in _ENDS
        response: Any = event.get("response")
        if is_object(response):
            body |= {key: value for key, value in response.items() if key != "output" or value}
        _add(items, event)
    if not ended:
        body |= {"status": "incomplete", "incomplete_details": {"reason": "unfinished"}}
    rebuilt = [made for index in sorted(items) if (made := _item(items[index]))]
    if not is_list(body.get("output")):
        body["output"] = rebuilt
    return body if body["output"] else Finding((), "the stream holds no answer", "record it again")


def _failure(event: dict[str, Any]) -> str:
    response: Any = event.get("response")
    holder = response if is_object(response) else event
    error: Any = holder.get("error") or holder
    return str(error.get("message", error)) if is_object(error) else str(error)


def _add(items: dict[int, _Streamed], event: dict[str, Any]) -> None:
    given: Any = event.get("type")
    item: Any = event.get("item")
    index: Any = event.get("output_index")
    begins = given == "response.output_item.added"
    if not isinstance(index, int):
        index = max(items, default=-1) + (1 if begins else 0)
    if is_object(item) and (begins or given == "response.output_item.done"):
        items[index] = _Streamed(item, done=not begins)
        return
    name, _, ending = str(given).rpartition(".")
    if name not in _PIECES or ending not in ("delta", "done"):
        return
    key, part, of = _PIECES[name]
    holder = items.setdefault(index, _Streamed({"type": of} if of != "message" else {"type": of, "role": "assistant"}))
    at: Any = event.get("summary_index" if key == "summary" else "content_index", 0)
    pieces = holder.texts.setdefault((key, at if isinstance(at, int) else 0, part), [])
    text: Any = event.get("delta") if ending == "delta" else event.get("refusal" if part == "refusal" else key)
    if ending == "done" and part not in ("", "refusal"):
        text = event.get("text")
    if isinstance(text, str):
        if ending == "done":
            pieces.clear()
        pieces.append(text)


def _item(streamed: _Streamed) -> dict[str, Any] | None:
    """The item as far as it came; None for a call whose arguments never began."""
    item = streamed.item
    if streamed.done:
        return item
    made = dict(item)
    for key, _, part in sorted(streamed.texts):
        if part:
            made[key] = []
    for (key, _, part), pieces in sorted(streamed.texts.items()):
        said = "".join(pieces)
        if part:
            made[key] = [*made[key], {"type": part, "refusal" if part == "refusal" else "text": said}]
        else:
            made[key] = said
    given = kind(item)
    waits = (given == "function_call" and not made.get("arguments")) or (
        given == "custom_tool_call" and not made.get("input")
    )
    return None if waits else made


API = Api(
    name="responses",
    bare="input",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
    fields=frozenset({"input", "output", "type"}),
)
