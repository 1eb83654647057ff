"""Gemini's streamed parts put together: text goes on from chunk to chunk, and so may the arguments of a call.

Arguments come whole, or in pieces named by a path ({jsonPath: "$.items[0].name", stringValue, willContinue}). The call
itself says `willContinue` too until its last piece, which may have nothing in it.
"""

import re
from typing import Any

from qwen_sft.blocks import written
from qwen_sft.sample import is_list, is_object

CALL = ("functionCall", "function_call")

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['((?:[^'\\]|\\.)*)'\]")
_VALUES = ("stringValue", "numberValue", "boolValue", "nullValue")


class Parts:
    """The parts of one candidate while its chunks arrive.

    Attributes:
        cut_off: True while a call has said that it will go on.
    """

    def __init__(self) -> None:
        self._whole: list[Any] = []
        self._open: _Call | None = None
        self.cut_off = False

    def add(self, part: Any) -> None:
        """The next part of a chunk: one of its own, or the continuation of the one before."""
        called: Any = next((part[key] for key in CALL if key in part), None) if is_object(part) else None
        if is_object(called):
            self._add_call(part, called)
        elif not self._goes_on(part):
            self._whole.append(dict(part) if is_object(part) else part)

    def _goes_on(self, part: Any) -> bool:
        last: Any = self._whole[-1] if self._whole else None
        if not (is_object(part) and is_object(last) and isinstance(part.get("text"), str) and "text" in last):
            return False
        if not isinstance(last["text"], str) or bool(part.get("thought")) != bool(last.get("thought")):
            return False
        last["text"] += part["text"]
        return True

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
        return [part.part() if isinstance(part, _Call) else part for part in self._whole]


class _Call:
    """A call while its arguments arrive."""

    def __init__(self, part: dict[str, Any], called: dict[str, Any]) -> None:
        self._rest = {key: value for key, value in part.items() if key not in CALL}
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
            exact = all([_put(made, piece) for piece in self._pieces])
            given["args"] = made if exact else written(self._pieces)
        return {**self._rest, CALL[0]: given}


def _put(made: dict[str, Any], piece: Any) -> bool:
    """Puts a piece's value at its path; text goes on from the text that stands there. False for a path that no exact
    reading has.
    """
    steps = _steps(piece.get("jsonPath")) if is_object(piece) else None
    key = next((key for key in _VALUES if key in piece), None) if steps else None
    if not steps or key is None:
        return bool(steps)
    value: Any = None if key == "nullValue" else piece[key]
    at: Any = made
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        before: Any = None
        if isinstance(step, str) and is_object(at):
            before = at.get(step)
        elif isinstance(step, int) and is_list(at) and step <= len(at):
            before = at[step] if step < len(at) else None
        else:
            return False
        if following is not None:
            new: Any = before if before is not None else {} if isinstance(following, str) else []
        else:
            new = before + value if isinstance(before, str) and isinstance(value, str) else value
        if is_list(at) and step == len(at):
            at.append(new)
        else:
            at[step] = new
        at = new
    return True


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
