"""JSON text to records: a line each, or one value after another wherever they end; nothing is read twice.

What cannot be parsed becomes a record with a fault. Behind a bad line reading goes on; inside a document nothing tells
where the next value begins, so there it ends, and the fault says so. A record that is too long to hold is read over, up
to its last bracket or the end of its line, and becomes a fault too.
"""

import codecs
import io
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from qwen_sft.record import Record, Where
from qwen_sft.sample import MOST_NESTED, is_list, is_object, is_too_deep

MOST_RECORD_BYTES = 64_000_000
"""A longer record is not held: it becomes a fault, with its beginning as its bytes, and reading goes on behind it."""

_CHUNK = 1 << 20
_CUT = 1 << 20  # bytes that are kept of a record that is too long
_LONG = 1 << 23  # a value that goes on for longer is not tried again and again: its end is looked for by its brackets
_SPACE = b" \t\r\n"
_decode = msgspec.json.Decoder().decode


def is_lines(stream: io.BufferedReader) -> bool:
    """True if the first line is a whole record: then the text is read line by line.

    Or if it is garbage: no JSON that could go on as the second line does, which is a whole record.
    """
    first, newline, rest = stream.peek(_CHUNK).lstrip(_SPACE).partition(b"\n")
    try:
        value = _decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return not first.rstrip(_SPACE).endswith((b":", b",", b"[", b"{")) and _is_record(rest.partition(b"\n")[0])
    return bool(newline) and (not is_list(value) or _is_message_list(value))


def _is_record(line: bytes) -> bool:
    try:
        return line.startswith(b"{") and is_object(_decode(line))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False


def lines(
    name: str, stream: io.BufferedReader, byte: int = 0, most: int = MOST_RECORD_BYTES, *, line_number: int = 0
) -> Iterator[Record]:
    """The records of JSON Lines; blank lines are none.

    Args:
        byte: where the stream stands in its file.
        line_number: how many lines stand before that.
    """
    piece = _piece(most)
    number = line_number
    while line := stream.readline(piece):
        number += 1
        n_bytes = len(line)
        if n_bytes == piece:
            line, n_bytes = _whole(stream, line, most)
        text = line.strip(_SPACE)
        if n_bytes > len(line):
            yield too_long(line, Where(name, number, byte), most)
        elif text:
            yield parse(text, Where(name, number, byte + line.index(text[:1])))
        byte += n_bytes


def limited(stream: io.BufferedReader, most: int = MOST_RECORD_BYTES) -> Iterator[tuple[bytes, int]]:
    """The lines of a stream with their lengths in bytes; of one that is longer than `most`, only its beginning."""
    piece = _piece(most)
    while line := stream.readline(piece):
        yield _whole(stream, line, most) if len(line) == piece else (line, len(line))


def _piece(most: int) -> int:
    return min(_CUT, most + 1)


def _whole(stream: io.BufferedReader, beginning: bytes, most: int) -> tuple[bytes, int]:
    """A long line from its beginning on, or only that if the line is too long, and its length in bytes."""
    parts, n_bytes, last = [beginning], len(beginning), beginning
    while not last.endswith(b"\n") and (last := stream.readline(_CHUNK)):
        n_bytes += len(last)
        parts = [*parts, last] if n_bytes <= most else parts[:1]
    return b"".join(parts), n_bytes


def too_long(beginning: bytes, where: Where, most: int = MOST_RECORD_BYTES) -> Record:
    """The record of which only the beginning was held."""
    says = f"a record of more than {most:,} bytes, which begins at byte {where.byte:,}"
    return Record(where, None, beginning[:_CUT], says, cut=True)


def parse(text: bytes, where: Where) -> Record:
    """The record of one JSON text; with a fault where it is none."""
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Record(where, None, text, _fault(text, error))
    if text.count(b"[") + text.count(b"{") > MOST_NESTED and is_too_deep(value):
        return Record(where, None, text, _TOO_DEEP)
    return Record(where, value, text)


_TOO_DEEP = f"it is nested deeper than {MOST_NESTED} levels"


def _fault(text: bytes, error: Exception) -> str:
    """Why a text is no JSON, in words that name the column."""
    if len(text) > _LONG:  # the second reader would need many times as much memory
        return _TOO_DEEP if isinstance(error, RecursionError) else str(error)
    try:
        value = json.loads(text.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as bad:
        return f"byte {bad.start} (0x{text[bad.start]:02x}) is not UTF-8"
    except json.JSONDecodeError as bad:
        return f"{bad.msg.removesuffix(' at')} at column {bad.colno}"
    except RecursionError:
        return _TOO_DEEP
    except ValueError as bad:
        return _too_large(bad)
    if isinstance(error, RecursionError):
        return _TOO_DEEP
    return "a \\u escape is half of a surrogate pair" if _has_surrogate(value) else str(error).partition(" - at ")[0]


def _too_large(error: ValueError) -> str:
    """What json says of a value that it cannot hold: its words for a long integer talk of Python's settings."""
    return "an integer has too many digits" if "digits" in str(error) else str(error)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _has_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def documents(name: str, stream: io.BufferedReader, byte: int = 0, most: int = MOST_RECORD_BYTES) -> Iterator[Record]:
    """The records of JSON text that is not in lines: one value, several, or lists of records."""
    text = _Text(name, stream, byte, most)
    while text.skip_space():
        if text.here() != "[":
            yield text.value(None)
            text.forget()
        else:
            yield from _list(text)
        if text.broken:
            return


def _list(text: "_Text") -> Iterator[Record]:
    """A list of records; a list of messages is one record, and so is an empty list."""
    start = text.mark()
    text.step()
    item = 0
    while text.skip_space() and not (text.here() == "]" and item == 0):
        record = text.value(item)
        if item == 0 and not text.broken and _is_message_list([record.data]):
            text.back(start)
            yield text.value(None)
            return
        text.forget()
        yield record
        if text.broken:
            return
        item += 1
        if not text.skip_space():
            break
        if text.here() == "]":
            text.step()
            return
        if text.here() != ",":
            yield text.fault("Expecting ',' delimiter")
            return
        text.step()
    if text.here() == "]":
        text.back(start)
        yield text.value(None)
    else:
        yield text.fault("the list is never closed")


def _is_message_list(value: list[Any]) -> bool:
    """True if a list is the messages of one conversation, going by the first of them."""
    first = value[0] if value else None
    return is_object(first) and ("role" in first or "from" in first) and not first.keys() & _RECORD_KEYS


_RECORD_KEYS = {"messages", "conversations"}


class _Text:
    """A cursor over JSON text that is read as it is needed."""

    def __init__(self, name: str, stream: io.BufferedReader, byte: int, most: int) -> None:
        self._most = most
        self._name = name
        self._stream = stream
        # Characters for bytes that are no UTF-8, so that the bytes can be had back: `parse` names them.
        self._utf8 = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        # It takes NaN: where such a value ends is plain, so `parse` can refuse it and reading goes on behind it.
        self._decoder = json.JSONDecoder()
        self._buffer = ""
        self._at = 0
        self._told = 0  # how far line, column and byte have been counted
        self._line = 1
        self._column = 1
        self._byte = byte
        self._ended = False
        self._failure: Exception | None = None
        self.broken = False

    def _more(self, n: int) -> bool:
        """Reads on; False at the end of the input."""
        if self._failure:
            raise self._failure
        parts: list[str] = []
        while n > 0 and not self._ended:
            try:
                data = self._stream.read1(n)
            except Exception as failure:  # what was read before it is looked at first
                self._failure = failure
                break
            self._ended = not data
            parts.append(self._utf8.decode(data, final=not data))
            n -= len(data)
        if self._failure and not parts:
            raise self._failure
        self._buffer += "".join(parts)
        return any(parts)

    def forget(self) -> None:
        """Lets go of the text before the cursor once there is much of it; `back` can then no longer reach it."""
        if self._at >= _CHUNK:
            self._advance()
            self._buffer = self._buffer[self._at :]
            self._at = self._told = 0

    def _advance(self) -> None:
        """Brings line, column and byte up to the cursor."""
        self._line, self._column = self._place(self._at)
        self._byte += len(self._buffer[self._told : self._at].encode("utf-8", "surrogateescape"))
        self._told = self._at

    def _place(self, at: int) -> tuple[int, int]:
        """Line and column of a character at or behind the last one counted."""
        n_lines = self._buffer.count("\n", self._told, at)
        if not n_lines:
            return self._line, self._column + at - self._told
        return self._line + n_lines, at - self._buffer.rindex("\n", self._told, at)

    def mark(self) -> tuple[int, int, int, int]:
        """A place to come back to, until the next `forget`."""
        self._advance()
        return self._at, self._line, self._column, self._byte

    def back(self, mark: tuple[int, int, int, int]) -> None:
        """Returns to a marked place."""
        self._at, self._line, self._column, self._byte = mark
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
        return self._bad(self._where(None), says, self._at)

    def value(self, item: int | None) -> Record:
        """The JSON value at the cursor, as a record; moves behind it."""
        where = self._where(item)
        wanted = _CHUNK
        while True:
            try:
                _, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                inside = error.pos < len(self._buffer) - 1024 and not error.msg.startswith("Unterminated string")
                if not inside and len(self._buffer) - self._at > _LONG and self.here() in '{["':
                    return self._long(where, keeps=item == 0)
                if inside or not self._more(wanted):
                    return self._bad(where, error.msg, error.pos)
            except RecursionError:
                return self._bad(where, _TOO_DEEP, self._at)
            except ValueError as error:
                return self._bad(where, _too_large(error), self._at)
            else:
                # A number may go on behind what has been read: of "1.5e+7" perhaps only "1.5e+" is there.
                if end + 2 < len(self._buffer) or not self._more(wanted):
                    break
            wanted *= 2
        raw = self._buffer[self._at : end].encode("utf-8", "surrogateescape")
        self._at = end
        return parse(raw, where)

    def _long(self, where: Where, *, keeps: bool) -> Record:
        """The value at the cursor, found by its brackets and held in bytes; moves behind it.

        Args:
            keeps: the buffer must hold it afterwards, so that `back` can reach what stands before it.
        """
        place, before = self.mark(), self._buffer[: self._at]
        ends, held, n_bytes = _End(), list[bytes](), 0
        while True:
            end = ends.find(self._buffer, self._at)
            piece = self._buffer[self._at : end].encode("utf-8", "surrogateescape")
            n_bytes += len(piece)
            held = [*held, piece] if n_bytes <= self._most else [b"".join(held)[:_CUT] or piece[:_CUT]]
            self._at = len(self._buffer) if end is None else end
            self._advance()
            self._buffer, self._at, self._told = self._buffer[self._at :], 0, 0
            if end is not None:
                break
            if not self._more(_CHUNK):
                self.broken = True
                says = f"the value that begins at byte {where.byte:,} is never closed; nothing behind it was read"
                return Record(where, None, b"".join(held)[:_CUT], says)
        raw = b"".join(held)
        if n_bytes > self._most:
            return too_long(raw, where, self._most)
        if keeps:
            value = raw.decode("utf-8", "surrogateescape")
            self._buffer = before + value + self._buffer
            self.back(place)
            self._at += len(value)
        return parse(raw, where)

    def _bad(self, where: Where, says: str, at: int) -> Record:
        self.broken = True
        line, column = self._place(at)
        raw = self._buffer[self._at : self._at + _CHUNK].encode("utf-8", "surrogateescape")
        says = f"{says.removesuffix(' at')} at line {line}, column {column}; nothing behind this place was read"
        return Record(where, None, raw, says)


_IN_STRING = re.compile(r'(?:[^"\\]++|\\.)*+', re.DOTALL)
_MARK = re.compile(r'["{}\[\]]')


class _End:
    """Finds where a JSON list, object or string ends, in text that comes in pieces, without reading what is in it."""

    def __init__(self) -> None:
        self._depth = 0
        self._string = False
        self._escaped = False

    def find(self, text: str, at: int) -> int | None:
        """Where it ends in a piece, looking from `at`; None if it goes on behind it."""
        while at < len(text):
            if self._string:
                at += self._escaped  # by the backslash that ended the last piece
                self._escaped = False
                found = _IN_STRING.match(text, at)
                at = found.end() if found else at
                if at >= len(text):
                    return None
                if text[at] == "\\":
                    self._escaped = True
                    return None
                self._string = False
                at += 1
            else:
                found = _MARK.search(text, at)
                if found is None:
                    return None
                at = found.end()
                if found[0] == '"':
                    self._string = True
                    continue
                self._depth += 1 if found[0] in "{[" else -1
            if self._depth <= 0:
                return at
        return None
