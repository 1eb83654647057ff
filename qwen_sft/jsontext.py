"""JSON text to records: a line each, or one value after another wherever they end; nothing is read twice.

What cannot be parsed becomes a record with a fault. Behind a bad line reading goes on; inside a document nothing tells
where the next value begins, so there it ends, and the fault says so.
"""

import io
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from qwen_sft.record import Record, Where
from qwen_sft.sample import is_object

_CHUNK = 1 << 20
_decode = msgspec.json.Decoder().decode


def first_line_is_json(stream: io.BufferedReader) -> bool:
    """True if the first line is a whole JSON value: then the text is read line by line."""
    head = stream.peek(_CHUNK)
    line, newline, _ = head.lstrip().partition(b"\n")
    try:
        _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return bool(newline)


def lines(name: str, stream: io.BufferedReader) -> Iterator[Record]:
    """The records of JSON Lines; blank lines are none."""
    byte = 0
    for number, line in enumerate(stream, start=1):
        text = line.strip()
        if text:
            yield parse(text, Where(name, number, byte))
        byte += len(line)


def parse(text: bytes, where: Where) -> Record:
    """The record of one JSON text; with a fault where it is none."""
    try:
        return Record(where, _decode(text), text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Record(where, None, text, _fault(text, error))


def _fault(text: bytes, error: Exception) -> str:
    """Why a text is no JSON, in words that name the column."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError as bad:
        return f"byte {bad.start} (0x{text[bad.start]:02x}) is not UTF-8"
    except json.JSONDecodeError as bad:
        return f"{bad.msg} at column {bad.colno}"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as bad:
        return str(bad)
    return "a \\u escape is half of a surrogate pair" if _has_surrogate(value) else str(error)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _has_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def documents(name: str, stream: io.BufferedReader) -> Iterator[Record]:
    """The records of JSON text that is not in lines: one value, several, or lists of records."""
    text = _Text(name, stream)
    while text.skip_space():
        if text.here() != "[":
            yield text.value(None)
            text.forget()
        else:
            yield from _list(text)
        if text.broken:
            return


def _list(text: "_Text") -> Iterator[Record]:
    """A list of records; a list of messages is one record."""
    start = text.mark()
    first = True
    text.step()
    item = 0
    while text.skip_space() and text.here() != "]":
        if item and text.here() == ",":
            text.step()
            text.skip_space()
        record = text.value(item)
        if first and not text.broken and is_object(record.data) and _is_message(record.data):
            text.back(start)
            yield text.value(None)
            return
        first = False
        text.forget()
        yield record
        if text.broken:
            return
        item += 1
    if text.here() == "]":
        text.step()
        if not item:
            yield text.fault("an empty list")
    else:
        yield text.fault("the list is never closed")


def _is_message(first: dict[str, Any]) -> bool:
    return ("role" in first or "from" in first) and "messages" not in first and "conversations" not in first


class _Text:
    """A cursor over JSON text that is read as it is needed."""

    def __init__(self, name: str, stream: io.BufferedReader) -> None:
        self._name = name
        self._stream = stream
        self._utf8 = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)
        self._buffer = ""
        self._at = 0
        self._told = 0  # how far line and byte have been counted
        self._line = 1
        self._byte = 0
        self._ended = False
        self.broken = False

    def _more(self, n: int) -> bool:
        """Reads on; False at the end of the input."""
        data = "" if self._ended else self._utf8.read(n)
        self._ended = not data
        self._buffer += data
        return bool(data)

    def forget(self) -> None:
        """Lets go of the text before the cursor once there is much of it; `back` can then no longer reach it."""
        if self._at >= _CHUNK:
            self._advance()
            self._buffer = self._buffer[self._at :]
            self._at = self._told = 0

    def _advance(self) -> None:
        """Brings line and byte up to the cursor."""
        passed = self._buffer[self._told : self._at]
        self._line += passed.count("\n")
        self._byte += len(passed.encode("utf-8", "surrogateescape"))
        self._told = self._at

    def mark(self) -> tuple[int, int, int]:
        """A place to come back to, until the next `forget`."""
        self._advance()
        return self._at, self._line, self._byte

    def back(self, mark: tuple[int, int, int]) -> None:
        """Returns to a marked place."""
        self._at, self._line, self._byte = mark
        self._told = self._at

    def skip_space(self) -> bool:
        """Moves to the next character that is no white space; False where the input ends."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._buffer):
                return True
            if not self._more(_CHUNK):
                return False

    def here(self) -> str:
        """The character under the cursor; "" at the end."""
        return self._buffer[self._at : self._at + 1]

    def step(self) -> None:
        """Moves one character on."""
        self._at += 1

    def _where(self, item: int | None) -> Where:
        self._advance()
        return Where(self._name, self._line, self._byte, item)

    def fault(self, says: str) -> Record:
        """A record for what stands here and cannot be read; reading ends with it."""
        self.broken = True
        rest = self._buffer[self._at : self._at + 200].encode("utf-8", "surrogateescape")
        return Record(self._where(None), None, rest, f"{says}; nothing behind this place was read")

    def value(self, item: int | None) -> Record:
        """The JSON value at the cursor, as a record; moves behind it."""
        where = self._where(item)
        wanted = _CHUNK
        while True:
            try:
                data, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                inside = error.pos < len(self._buffer) - 1024 and not error.msg.startswith("Unterminated string")
                if inside or not self._more(wanted):
                    return self._bad(where, f"{error.msg} at column {error.colno}")
            except (ValueError, RecursionError) as error:
                return self._bad(where, str(error) if isinstance(error, ValueError) else "it is nested too deeply")
            else:
                if end < len(self._buffer) or not self._more(wanted):
                    break
            wanted *= 2
        raw = self._buffer[self._at : end].encode("utf-8", "surrogateescape")
        self._at = end
        checked = parse(raw, where)
        return checked if checked.fault else Record(where, data, raw)

    def _bad(self, where: Where, says: str) -> Record:
        self.broken = True
        raw = self._buffer[self._at :].encode("utf-8", "surrogateescape")
        return Record(where, None, raw[:_CHUNK], f"{says}; nothing behind this place was read")
