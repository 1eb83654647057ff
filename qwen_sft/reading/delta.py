"""A streamed answer put together from its pieces, and what a failed one says: the habits that chat APIs share."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from qwen_sft.sample import is_list, is_object
from qwen_sft.text.normalize import decode_json

UNFINISHED = "unfinished"
"""The `finish_reason` of a stream that breaks off (see `qwen_sft.reading.metadata.TRUNCATED`)."""

_NOT_YET = (None, "", "null")
"""Values of `finish_reason` while an answer goes on; DashScope sends the text "null"."""

_TEXTS = ("reasoning_content", "reasoning", "thinking", "refusal")
_SAID = ("content", "tool_calls", "function_call", "audio", *_TEXTS)
_SEVERAL = "make each answer a record of its own, or keep the ids of their chunks"


@dataclass(eq=False, slots=True)
class _Call:
    index: Any
    id: Any = None
    name: Any = None
    arguments: list[str] = field(default_factory=list[str])

    @property
    def is_complete(self) -> bool:
        """True if the arguments so far are a whole JSON object."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}"):
            return False
        try:
            return is_object(decode_json("".join(self.arguments)))
        except ValueError:
            return False


class Pieces:
    """One choice of an answer while its pieces (deltas) arrive.

    Text is appended. A piece of a call belongs to the call of its index, or of its id where there is no index, or else
    to the last one; see `_belongs`.

    Attributes:
        finish_reason: as the stream gave it; UNFINISHED until then.
        fault: what has no exact reading, where something has none, and what to do.
        n_roles, n_ends: how many pieces name who speaks, and a finish_reason.
    """

    def __init__(self) -> None:
        self.finish_reason: Any = UNFINISHED
        self.fault: tuple[str, str] | None = None
        self.n_roles = self.n_ends = 0
        self._texts: dict[str, list[str]] = {}
        self._parts: list[Any] = []  # texts are lists of their pieces
        self._calls: list[_Call] = []

    def add(self, delta: Any, finish_reason: Any = None) -> None:
        """Takes the next piece: the fields of a message, each of them a continuation."""
        says = is_object(delta) and any(delta.get(key) for key in _SAID)
        if says and self.n_ends:
            self.fault = (f"the stream goes on behind its end (finish reason {self.finish_reason!r})", _SEVERAL)
        if finish_reason not in _NOT_YET:
            self.finish_reason = finish_reason
            self.n_ends += 1
        if not is_object(delta):
            return
        self.n_roles += bool(delta.get("role"))
        for key in _TEXTS:
            self._append(key, delta.get(key))
        self._add_content(delta.get("content"))
        audio: Any = delta.get("audio")
        self._append("audio", audio.get("transcript") if is_object(audio) else None)
        pieces: Any = delta.get("tool_calls")
        touched: list[_Call] = []
        for piece in pieces if is_list(pieces) else []:
            if is_object(piece):
                self._add_call(piece, touched)
        if is_object(delta.get("function_call")):
            self._add_call({"index": 0, "function": delta["function_call"]}, touched)

    def _append(self, key: str, text: Any) -> None:
        if isinstance(text, str):
            self._texts.setdefault(key, []).append(text)

    def _add_content(self, content: Any) -> None:
        for part in content if is_list(content) else [content]:
            if isinstance(part, str):
                self._add_text(part)
            elif is_object(part) and part.get("type") == "thinking" and is_list(part.get("thinking")):
                for thought in part["thinking"]:  # Mistral
                    self._append("reasoning_content", thought.get("text") if is_object(thought) else None)
            elif is_object(part) and part.get("type", "text") == "text" and isinstance(part.get("text"), str):
                self._add_text(part["text"])
            elif is_object(part):
                self._parts.append(part)

    def _add_text(self, text: str) -> None:
        if not self._parts or not is_list(self._parts[-1]):
            self._parts.append([])
        self._parts[-1].append(text)

    def _add_call(self, piece: dict[str, Any], touched: list[_Call]) -> None:
        function: Any = piece.get("function")
        function = function if is_object(function) else {}
        name, own, index = function.get("name"), piece.get("id"), piece.get("index")
        given: Any = function.get("arguments")
        if given is not None and not isinstance(given, str):
            given = msgspec.json.encode(given).decode()
        call = self._belongs(index, own, name, given, touched)
        if call is None:
            call = _Call(index)
            self._calls.append(call)
        touched.append(call)
        if name and call.name and name != call.name:
            says = f"the stream has pieces of {call.name!r} and of {name!r} that cannot be told apart"
            self.fault = (says, "record the calls with an id or an index of their own")
        call.id = call.id or own
        call.name = call.name or name
        if given:
            call.arguments.append(given)

    def _belongs(self, index: Any, own: Any, name: Any, given: Any, touched: list[_Call]) -> _Call | None:
        """The call that a piece goes on; None if it begins another.

        A piece with a name begins another call if it brings another id, or, without an id, if the call had a piece in
        this same delta or has complete arguments and gets more. An id without a name begins none: servers are known to
        send a fresh id with every piece. An empty id or name, or the same one again, says nothing.
        """
        same = [call for call in self._calls if own and call.id == own and index in (None, call.index)]
        if not same:
            same = [call for call in self._calls if call.index == index] if index is not None else self._calls[-1:]
        call = same[-1] if same else None
        if call is None or not name:
            return call
        if own and call.id:
            return call if own == call.id else None
        return None if call in touched or (given and call.is_complete) else call

    def are_mixed(self) -> bool:
        """True for pieces that begin twice and end twice."""
        return self.n_roles > 1 and self.n_ends > 1

    def message(self) -> dict[str, Any]:
        """The message that the pieces come to."""
        said: dict[str, Any] = {"role": "assistant", "content": self._content()}
        said |= {key: "".join(texts) for key, texts in self._texts.items() if key != "audio"}
        if "audio" in self._texts:
            said["audio"] = {"transcript": "".join(self._texts["audio"])}
        if self._calls:
            said["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in self._calls
            ]
        return said

    def _content(self) -> Any:
        parts = [{"type": "text", "text": "".join(part)} if is_list(part) else part for part in self._parts]
        if len(parts) == 1 and is_list(self._parts[0]):
            return parts[0]["text"]
        return [part for part in parts if part.get("text") != ""] or None


class Snapshots:
    """Snapshots of a stream, turned into what is new in each.

    Attributes:
        broken: a snapshot does not begin with the one before it: these are none.
        grew: how often a text that was there already became longer, at most for one text.
    """

    def __init__(self) -> None:
        self.broken = False
        self._seen: dict[Any, str] = {}
        self._growth: dict[Any, int] = {}

    @property
    def grew(self) -> int:
        return max(self._growth.values(), default=0)

    def news(self, index: int, given: dict[str, Any]) -> dict[str, Any]:
        """What is new in a snapshot."""
        made = {**given}
        for key in ("content", *_TEXTS):
            content: Any = given.get(key)
            if is_list(content):
                made[key] = self._new_parts((index, key), content)
            elif isinstance(content, str):
                made[key] = self._new((index, key), content)
        listed: Any = given.get("tool_calls")
        calls: list[Any] = listed if is_list(listed) else []
        made["tool_calls"] = [self._new_call((index, i), call) for i, call in enumerate(calls) if is_object(call)]
        return made

    def _new(self, key: Any, text: str) -> str:
        before = self._seen.get(key, "")
        if not text or text == before:
            return ""
        if not text.startswith(before):
            self.broken = True
        if before:
            self._growth[key] = self._growth.get(key, 0) + 1
        self._seen[key] = text
        return text[len(before) :]

    def _new_parts(self, key: Any, parts: list[Any]) -> list[Any]:
        made: list[Any] = []
        for i, part in enumerate(parts):
            if is_object(part) and isinstance(part.get("text"), str):
                made.append({**part, "text": self._new((key, i), part["text"])})
            elif self._new((key, i), repr(part)):
                made.append(part)
        return made

    def _new_call(self, key: Any, call: dict[str, Any]) -> dict[str, Any]:
        function: Any = call.get("function")
        function = function if is_object(function) else {}
        given: Any = function.get("arguments")
        key = (*key, call.get("index"))
        news = {**function, "arguments": self._new(key, given)} if isinstance(given, str) else function
        return {**call, "function": news, "index": call.get("index", key[1])}


def is_under_way(finish_reason: Any) -> bool:
    """True for a `finish_reason` that says nothing yet."""
    return finish_reason in _NOT_YET


def failure(body: Any) -> str:
    """What the body of a failed request says, in short: OpenAI's {error: {message}}, DashScope's {code, message}."""
    error: Any = body.get("error", body) if is_object(body) else body
    says: Any = error
    if is_object(error):
        says = next((error[key] for key in ("message", "detail", "code") if error.get(key)), error)
    text = says if isinstance(says, str) else repr(says)
    return " ".join(text.split())[:200]
