"""One answer of a chat API, whole or assembled from the pieces of a stream, and what is wrong with its shape.

Read as strictly as OpenAI's clients do: they join the pieces of a call's name as well as those of its arguments.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.decoding.sse import is_events, payloads
from qwen_sft.probing.fault import Fault
from qwen_sft.probing.wire import Quote, Reply
from qwen_sft.sample import is_list, is_object

REASONING = ("reasoning_content", "reasoning")
"""The names under which servers send what was thought; vLLM has changed it."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it was sent. Each field is whatever JSON came; None where nothing did."""

    id: Any
    kind: Any
    name: Any
    arguments: Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        content: its words; "" where there are none.
        reasoning: what was thought; "" where nothing was sent apart.
        reasoning_name: the field that it came in; None without one.
        calls: in the order sent.
        finish: the finish_reason; None where none was sent.
        n_tokens: how many tokens were generated, by the server's count; None where it does not say.
        n_prompt_tokens: how many tokens the prompt has, by the server's count; None likewise.
        faults: what is wrong with the shape of the answer itself.
    """

    content: str
    reasoning: str
    reasoning_name: str | None
    calls: tuple[Call, ...]
    finish: str | None
    n_tokens: int | None
    n_prompt_tokens: int | None
    faults: tuple[Fault, ...] = ()


@dataclass(slots=True)
class _Parts:
    """A call while its pieces come in."""

    id: Any = None
    kind: Any = None
    name: Any = None
    arguments: Any = None
    n_pieces: int = 0


@dataclass(slots=True)
class _Stream:
    """An answer while its pieces come in."""

    content: str = ""
    reasoning: str = ""
    reasoning_name: str | None = None
    calls: dict[int, _Parts] = field(default_factory=dict[int, _Parts])
    finish: str | None = None
    n_tokens: int | None = None
    n_prompt_tokens: int | None = None
    faults: list[Fault] = field(default_factory=list[Fault])


def whole_answer(reply: Reply, quote: Quote) -> Answer | Fault:
    """The answer in the body of a request that does not stream; a fault where it is none."""
    body = reply.value()
    choice = _first(body)
    message: Any = choice.get("message") if choice is not None else None
    if not is_object(body) or choice is None or not is_object(message):
        what = f"{reply.kind or 'no content type'}: {quote(reply.text.strip(), 80)}"
        return Fault("no-answer", f"what comes back is no chat completion ({what})")
    name, reasoning = _reasoning(message)
    calls = [_call(one) for one in _list(message.get("tool_calls"))]
    n_tokens, n_prompt_tokens = _usage(body)
    return Answer(
        content=_text(message.get("content")),
        reasoning=reasoning,
        reasoning_name=name,
        calls=tuple(calls),
        finish=_name(choice.get("finish_reason")),
        n_tokens=n_tokens,
        n_prompt_tokens=n_prompt_tokens,
    )


def streamed_answer(reply: Reply, quote: Quote) -> Answer | Fault:
    """The answer that the events of a stream assemble to; a fault where they are none."""
    if not is_events(reply.text):
        if _first(reply.value()) is not None:
            return Fault("stream-ignored", "a stream was asked for, and a whole answer came", in_stream=True)
        what = f"{reply.kind or 'no content type'}: {quote(reply.text.strip(), 80)}"
        return Fault("no-answer", f"what comes back is no stream of events ({what})", in_stream=True)
    made = _Stream()
    try:
        for event in payloads(reply.text):
            error: Any = event.get("error") if is_object(event) else None
            if error is not None:
                said: Any = error.get("message") if is_object(error) else error
                return Fault("stream-error", f"the stream ends in an error: {quote(said)}", in_stream=True)
            _take(made, event, quote)
    except ValueError:
        return Fault("no-answer", "an event of the stream is no JSON", in_stream=True)
    if made.finish is None:  # `transformers serve` sends no [DONE] behind it, and clients do not wait for one
        made.faults.append(Fault("stream-cut", "the stream ends without a finish_reason", in_stream=True))
    return Answer(
        content=made.content,
        reasoning=made.reasoning,
        reasoning_name=made.reasoning_name,
        calls=tuple(
            Call(one.id, one.kind, one.name, one.arguments) for _, one in sorted(made.calls.items(), key=lambda x: x[0])
        ),
        finish=made.finish,
        n_tokens=made.n_tokens,
        n_prompt_tokens=made.n_prompt_tokens,
        faults=tuple(dict.fromkeys(made.faults)),
    )


def _take(made: _Stream, event: Any, quote: Quote) -> None:
    """Adds one event to the answer."""
    n_tokens, n_prompt_tokens = _usage(event)
    made.n_tokens = n_tokens if n_tokens is not None else made.n_tokens
    made.n_prompt_tokens = n_prompt_tokens if n_prompt_tokens is not None else made.n_prompt_tokens
    choice = _first(event)
    if choice is None:  # the last event, which has the usage
        return
    made.finish = _name(choice.get("finish_reason")) or made.finish
    delta: Any = choice.get("delta")
    if not is_object(delta):
        return
    made.content += _text(delta.get("content"))
    name, reasoning = _reasoning(delta)
    made.reasoning += reasoning
    made.reasoning_name = name or made.reasoning_name
    for piece in _list(delta.get("tool_calls")):
        made.faults.extend(_add(made.calls, piece, quote))


def _add(calls: dict[int, _Parts], piece: Any, quote: Quote) -> Iterator[Fault]:
    """Adds one piece of a call to those that are there."""
    index: Any = piece.get("index") if is_object(piece) else None
    sent = _call(piece)
    if type(index) is not int:
        yield Fault("stream-no-index", "a piece of a call does not say which call it belongs to", in_stream=True)
        index = max(calls, default=0)
        begun = index in calls and sent.id and calls[index].id not in (None, "", sent.id)
        index += int(bool(begun))  # what such servers mean
    one = calls.setdefault(index, _Parts())
    if one.n_pieces:
        for what, old, new in (("id", one.id, sent.id), ("name", one.name, sent.name)):
            if old and new:
                says = f"a call's {what} comes in more than one piece, which clients join to {quote(f'{old}{new}')}"
                yield Fault("stream-repeats", says, in_stream=True)
    one.n_pieces += 1
    one.id = sent.id if one.id is None or one.id == "" else one.id
    one.kind = one.kind or sent.kind
    one.name = sent.name if one.name is None or one.name == "" else one.name
    if isinstance(one.arguments, str) and isinstance(sent.arguments, str):
        one.arguments += sent.arguments
    elif sent.arguments is not None:
        one.arguments = sent.arguments


def _first(body: Any) -> dict[str, Any] | None:
    """The first choice of a body; None where it has none."""
    choices = _list(body.get("choices")) if is_object(body) else []
    return choices[0] if choices and is_object(choices[0]) else None


def _call(one: Any) -> Call:
    if not is_object(one):
        return Call(None, None, None, None)
    function: Any = one.get("function")
    function = function if is_object(function) else {}
    return Call(one.get("id"), one.get("type"), function.get("name"), function.get("arguments"))


def _usage(body: Any) -> tuple[int | None, int | None]:
    usage: Any = body.get("usage") if is_object(body) else None
    if not is_object(usage):
        return None, None
    n_tokens: Any = usage.get("completion_tokens")
    n_prompt_tokens: Any = usage.get("prompt_tokens")
    return (
        n_tokens if isinstance(n_tokens, int) else None,
        n_prompt_tokens if isinstance(n_prompt_tokens, int) else None,
    )


def _reasoning(message: dict[str, Any]) -> tuple[str | None, str]:
    for name in REASONING:
        said: Any = message.get(name)
        if isinstance(said, str) and said:
            return name, said
    return None, ""


def _text(content: Any) -> str:
    """The words of a content: a text, or the texts of its parts."""
    if isinstance(content, str):
        return content
    parts = [one.get("text") for one in _list(content) if is_object(one)]
    return "".join(part for part in parts if isinstance(part, str))


def _name(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _list(value: Any) -> list[Any]:
    return value if is_list(value) else []
