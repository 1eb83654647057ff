"""The parts of Gemini's generateContent: what each is to a chat, and streamed ones put together.

A call's id is optional: calls without ids are paired by position. A result may stand in the model's own turn. What a
function returned is an object: its JSON is the result's text, and the text itself where the object is nothing but
{"output": text}, which Google's documents give as the form, {"result": text} or {"content": text}. Code that Google
ran (`executableCode`) and what it printed are a call of `code_execution` and its result where one follows the other;
the results of its other tools (`toolCall`: a web search, say) are not in the trace, so these are dropped as lost.
Signatures are no words of the model.

In a stream text goes on from chunk to chunk, and so may the arguments of a call, which come in pieces named by a path
({jsonPath: "$.items[0].name", stringValue, willContinue}). The call itself says `willContinue` too until its last
piece, which may have nothing in it.
"""

import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.reading.blocks import Block, written
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import call

_CALL = ("functionCall", "function_call")
_RESULT = ("functionResponse", "function_response")
_CODE = ("executableCode", "executable_code")
_PRINTED = ("codeExecutionResult", "code_execution_result")
_HOSTED = ("toolCall", "tool_call", "toolResponse", "tool_response")
_FILES = ("inlineData", "inline_data", "fileData", "file_data")
_SIGNATURE = ("thoughtSignature", "thought_signature")
_PARTS = ("text", *_CALL, *_RESULT, *_CODE, *_PRINTED, *_HOSTED, *_FILES, *_SIGNATURE)
_PLAIN_RESULTS = ("output", "result", "content")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")


def field(given: Any, keys: Sequence[str]) -> Any:
    """What an object holds under the first of some spellings that it has."""
    return next((given[key] for key in keys if key in given), None) if is_object(given) else None


def is_part(part: dict[str, Any]) -> bool:
    """True if an object has a field that a part can have."""
    return any(key in part for key in _PARTS)


def blocks(parts: Sequence[tuple[Path, Any]], role: Any) -> list[Block]:
    """What each part of a turn is: code with what it printed behind it is a call with its result."""
    made: list[Block] = []
    for i, (place, part) in enumerate(parts):
        before, after = parts[i - 1][1] if i else None, parts[i + 1][1] if i + 1 < len(parts) else None
        code, printed = field(part, _CODE), field(part, _PRINTED)
        if role == "assistant" and is_object(code) and is_object(field(after, _PRINTED)):
            given = {key: code[key] for key in ("language", "code") if key in code}
            made.append(Block(place, "call", call("code_execution", given, code.get("id"))))
        elif role == "assistant" and is_object(printed) and is_object(field(before, _CODE)):
            told: Any = printed.get("output") or printed.get("outcome")
            made.append(Block(place, "result", _result(written(told), None, printed.get("id"))))
        else:
            made.append(block(place, part, role))
    return made


def block(place: Path, part: Any, role: Any) -> Block:
    """What one part is to a chat."""
    if isinstance(part, str):
        return Block(place, "text", part)
    called, returned = field(part, _CALL), field(part, _RESULT)
    if is_object(called):
        return Block(place, "call", call(called.get("name"), called.get("args"), called.get("id")))
    if is_object(returned):
        text = _returned(returned.get("response"))
        files: Any = returned.get("parts")
        content: Any = [{"type": "text", "text": text}, *files] if is_list(files) and files else text
        return Block(place, "result", _result(content, returned.get("name"), returned.get("id")))
    if is_object(part) and isinstance(part.get("text"), str):
        is_thought = role == "assistant" and part.get("thought") is True and part["text"] != ""
        return Block(place, "reasoning" if is_thought else "text", part["text"])
    if role != "assistant" or field(part, _FILES) is not None:
        return Block(place, "part", part)
    keys = sorted(key for key in part if key not in _SIGNATURE) if is_object(part) else [type(part).__name__]
    if not keys:
        return Block(place, "dropped", "a signature")
    return Block(place, "dropped", f"a part with {', '.join(keys)} has no place in a chat"[:200], loses=True)


def _returned(response: Any) -> str:
    if is_object(response) and len(response) == 1:
        (key,) = response
        if key in _PLAIN_RESULTS and isinstance(response[key], str):
            return response[key]
    return written(response)


def _result(content: Any, name: Any, call_id: Any) -> dict[str, Any]:
    given = {"tool_call_id": call_id, "name": name}
    return {"role": "tool", "content": content, **{key: v for key, v in given.items() if v not in (None, "")}}


class Parts:
    """The parts of one candidate while its chunks arrive.

    Attributes:
        cut_off: True if a call said that it would go on, and did not, once the parts are finished.
    """

    def __init__(self) -> None:
        self._whole: list[Any] = []
        self._open: _Call | None = None
        self.cut_off = False

    def add(self, part: Any) -> None:
        """The next part of a chunk: one of its own, or the continuation of the one before."""
        called = field(part, _CALL)
        if is_object(part) and is_object(called):
            self._add_call(part, called)
        elif not self._goes_on(part):
            self._whole.append(_Text(part) if _is_text(part) else part)

    def _goes_on(self, part: Any) -> bool:
        last: Any = self._whole[-1] if self._whole else None
        return isinstance(last, _Text) and _is_text(part) and last.add(part)

    def _add_call(self, part: dict[str, Any], called: dict[str, Any]) -> None:
        if called.get("name"):
            self.cut_off = self.cut_off or self._open is not None
            self._open = _Call(part, called)
            self._whole.append(self._open)
        if self._open is None:
            return
        self._open.add(called)
        if not called.get("willContinue"):
            self._open = None

    def finished(self) -> list[Any]:
        """All parts, as an answer that was not streamed has them."""
        self.cut_off = self.cut_off or self._open is not None
        return [part.part() if isinstance(part, _Call | _Text) else part for part in self._whole]


def _is_text(part: Any) -> bool:
    return is_object(part) and isinstance(part.get("text"), str)


class _Text:
    """Text, or a thought, while it arrives."""

    def __init__(self, part: dict[str, Any]) -> None:
        self._first = part
        self._pieces: list[str] = [part["text"]]

    def add(self, part: dict[str, Any]) -> bool:
        """Goes on with a part, unless one is a thought and one is not."""
        same = bool(part.get("thought")) == bool(self._first.get("thought"))
        if same:
            self._pieces.append(part["text"])
        return same

    def part(self) -> dict[str, Any]:
        return {**self._first, "text": "".join(self._pieces)}


class _Call:
    """A call while its arguments arrive."""

    def __init__(self, part: dict[str, Any], called: dict[str, Any]) -> None:
        self._rest = {key: value for key, value in part.items() if key not in _CALL}
        self._called = {key: value for key, value in called.items() if key not in ("partialArgs", "willContinue")}
        self._pieces: list[Any] = []

    def add(self, called: dict[str, Any]) -> None:
        pieces: Any = called.get("partialArgs")
        self._pieces += pieces if is_list(pieces) else []
        if is_object(called.get("args")):
            self._called["args"] = called["args"]

    def part(self) -> dict[str, Any]:
        given = dict(self._called)
        if self._pieces:
            made: dict[str, Any] = {}
            exact = all(_put(made, piece) for piece in self._pieces)
            given["args"] = made if exact else written(self._pieces)
        return {**self._rest, _CALL[0]: given}


def _put(made: dict[str, Any], piece: Any) -> bool:
    """Puts a piece's value at its path; text goes on from the text that stands there. False for a path that has no
    exact reading.
    """
    steps = _steps(piece.get("jsonPath")) if is_object(piece) else None
    key = next((key for key in _VALUES if key in piece), None) if steps else None
    if not steps or key is None:
        return bool(steps)
    value: Any = None if key == "nullValue" else piece[key]
    at: Any = made
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if not (is_object(at) if isinstance(step, str) else is_list(at) and step <= len(at)):
            return False
        before = _held(at, step)
        if following is not None:
            new: Any = before if before is not None else {} if isinstance(following, str) else []
        else:
            new = before + value if isinstance(before, str) and isinstance(value, str) else value
        _hold(at, step, new)
        at = new
    return True


def _held(holder: Any, step: Any) -> Any:
    return holder.get(step) if is_object(holder) else holder[step] if step < len(holder) else None


def _hold(holder: Any, step: Any, value: Any) -> None:
    if is_list(holder) and step == len(holder):
        holder.append(value)
    else:
        holder[step] = value


def _steps(path: Any) -> list[str | int] | None:
    """The keys and indices of a JSON path; None for one that is more than these."""
    if not isinstance(path, str) or not path.startswith("$"):
        return None
    made: list[str | int] = []
    end = 1
    for match in _STEP.finditer(path, 1):
        if match.start() != end:
            return None
        name, index, quoted = match.groups()
        made.append(int(index[:9]) if index else name or re.sub(r"\\(.)", r"\1", quoted))
        end = match.end()
    return made if end == len(path) else None
