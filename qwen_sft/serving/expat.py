"""vLLM's `qwen3_xml` up to 0.23: an XML parser fed with one tag or text at a time, and JSON written as it goes.

Arguments come out as text that may be no JSON: a number or boolean that is empty, "null" or no such value is written as
it stands or not at all. What expat refuses it refuses for the rest of the call, silently.

Source: vLLM 0.20 and 0.23, `qwen3_xml`, a whole text at once.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from xml.parsers.expat import ExpatError, ParserCreate
from xml.sax.saxutils import escape

from qwen_sft.parser import Parsed, Tools
from qwen_sft.serving.tools import mapping, properties_of

_STRINGS = ("string", "str", "text", "varchar", "char", "enum")
_INTEGERS = ("int", "uint", "long", "short", "unsigned")
_NUMBERS = ("num", "float")
_BOOLEANS = ("boolean", "bool", "binary")
_LISTS = ("array", "arr", "sequence")
_CALL_TAGS = ("<tool_call>", "<function=", "<parameter=")

Literal = Callable[[str], Any]
"""Reads the text of a list as a Python or JSON value; raises where it is none."""


def read_expat(text: str, tools: Tools, literal: Literal) -> Parsed:
    """Calls and content of a whole text."""
    return _Reader(tools, literal).read(text)


class _Reader:
    """The state between two pieces. Call numbers stand for the ids that the server gives to calls."""

    def __init__(self, tools: Tools, literal: Literal) -> None:
        self.tools, self.literal = tools, literal
        self.written: list[tuple[int | None, str | None, str]] = []  # (call, its name, a piece of its arguments)
        self.content: list[str] = []
        self.n_calls = 0
        self._start_document()

    def _start_document(self) -> None:
        """Each call is an XML document of its own."""
        self.expat = ParserCreate()
        self.expat.buffer_text = True
        self.expat.StartElementHandler = self._start
        self.expat.EndElementHandler = self._end
        self.expat.CharacterDataHandler = self._text
        self.call: int | None = None
        self.function: str | None = None
        self.function_is_open = False
        self.has_parameters = False
        self.waiting_text = ""  # text beside calls
        self._forget_parameter()
        self.gathering, self.gathered, self.gathered_key = False, "", ""
        self.deferred: str | None = None  # the raw text of a list, read as a whole at its end

    def _forget_parameter(self) -> None:
        self.key: str | None = None
        self.value, self.value_written, self.quoted, self.newline_held = "", "", False, False

    def read(self, text: str) -> Parsed:
        any_fed = self._feed_all(text)
        if not any_fed:
            return Parsed(self.waiting_text or None if self.n_calls == 0 else None, ())
        with suppress(OverflowError):
            self._close_what_the_text_closes(text)
        return Parsed("".join(self.content) or None, tuple(self._calls()))

    def _close_what_the_text_closes(self, text: str) -> None:
        """For where expat has refused the closing tags."""
        if "</function>" in text and self._lacks("}", "{}"):
            if self.key:
                self._end("parameter")
            if self.function:
                self._end("function")
        if "</tool_call>" in text and self._lacks(""):
            if self.key:
                self._end("parameter")
            if self.function:
                self._end("function")
            self._end("tool_call")

    def _lacks(self, *pieces: str) -> bool:
        """True if the call at hand is one, and none of these has been written for it."""
        return self.call is not None and not any(c == self.call and piece in pieces for c, _, piece in self.written)

    def _calls(self) -> list[tuple[str, Any]]:
        names: dict[int | None, str] = {}
        arguments: dict[int | None, str] = {}
        for call, name, piece in self.written:
            names[call] = name or names.get(call, "")
            arguments[call] = arguments.get(call, "") + piece
        return [(name, _json_or_text(arguments[call])) for call, name in names.items() if name]

    # -- cutting the text into pieces ---------------------------------------------------------------------------------

    def _feed_all(self, text: str) -> bool:
        """Feeds piece by piece; True if expat took any."""
        any_fed, at = False, 0
        while at < len(text):
            piece = self._piece(text, at)
            if piece is None:
                break
            at += len(piece)
            if self.call is None and not piece.startswith(_CALL_TAGS):
                self.waiting_text += piece
                continue
            try:
                self._feed(piece)
                any_fed = True
            except (ExpatError, OverflowError, ValueError, RecursionError):
                continue
        return any_fed

    def _piece(self, text: str, at: int) -> str | None:
        """From a `<` to its `>`, but not past the next `<`; else the text up to the next `<`. None to stop reading."""
        ends = [end for end in (text.find("<", at + 1), text.find(">", at + 1)) if end >= 0]
        if text[at] != "<":
            end = text.find("<", at)
            return text[at:] if end < 0 else text[at:end]
        if ends:
            end = min(ends)
            return text[at : end + (text[end] == ">")]
        rest = text[at:]
        unfinished = "<tool_call>".startswith(rest) or "<function=".startswith(rest) or rest.startswith("<function=")
        return None if self.call is not None or unfinished else rest

    def _feed(self, piece: str) -> None:
        xml = self._as_xml(piece)
        starts = xml.strip()
        if starts.startswith(("<tool_call>", "<function name=")) and self.n_calls == 0 and self.waiting_text:
            self.content.append(self.waiting_text)
            self.waiting_text = ""
        if starts.startswith("<tool_call>") and self.n_calls > 0 and self.call is not None:
            if self.key:
                self._end("parameter")
            if self.function_is_open or self.function:
                self._end("function")
            self._write("")
            self._start_document()
        self.expat.Parse(xml, False)

    def _as_xml(self, piece: str) -> str:
        """The piece with its `=name` as an attribute and other text escaped; lists are gathered until they end."""
        tag = re.sub(r"<(function|parameter)=([^>]+)>", r'<\1 name="\2">', piece)
        if self.gathering:
            if tag.startswith("</parameter>"):
                self.gathering, self.deferred = False, self.gathered
                return f"{_escaped(self.gathered)}</parameter>"
            if self.gathered or self._is_deferred(piece):
                self.gathered += piece
                return ""
            self.gathering = False
            return _escaped(piece)
        if tag.startswith("<parameter name="):
            self.gathering, self.gathered = True, ""
            named = re.match(r'<parameter name="([^"]+)">', tag)
            self.gathered_key = named.group(1) if named else self.gathered_key
            return tag
        is_tag = piece.startswith((*_CALL_TAGS, "</tool_call>", "</function>", "</parameter>"))
        return tag if is_tag else _escaped(tag)

    def _is_deferred(self, first: str) -> bool:
        """Lists, and objects that begin like Python's: quoted with '."""
        type_name = self._type(self.gathered_key)
        python = "'" in first and any(bracket in first for bracket in "[{(")
        return type_name in _LISTS or type_name.startswith(("dict", "list")) or (type_name == "object" and python)

    # -- what expat finds ---------------------------------------------------------------------------------------------

    def _start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == "tool_call":
            self._close_before("tool_call")
            self.has_parameters = False
            self.n_calls += 1
            self.call = self.n_calls
        elif tag.startswith("function"):
            if self.call is None:
                self._start("tool_call", {})
            self._close_before("function")
            self.function = attributes.get("name")
            self.function_is_open = True
            if self.function:
                self._write("", name=self.function)
        elif tag.startswith("parameter"):
            self._close_before("parameter")
            self._forget_parameter_at_start(attributes.get("name"))
            if self.key:
                self._write(f'{", " if self.has_parameters else "{"}"{self.key}": ')

    def _forget_parameter_at_start(self, key: str | None) -> None:
        newline_held = self.newline_held  # a newline that the last value left behind
        self._forget_parameter()
        self.key, self.newline_held = key, newline_held

    def _close_before(self, tag: str) -> None:
        if self.key:
            self._end("parameter")
        if tag != "parameter" and self.function:
            self._end("function")
        if tag == "tool_call" and self.call is not None:
            self._end("tool_call")

    def _text(self, text: str) -> None:
        if not text or not self.key:
            return
        if self.deferred is not None:
            self._take(text)
            return
        type_name = self._type(self.key)
        if not self.value:
            text = text.removeprefix("\n")
        if type_name in _STRINGS and not self.quoted:
            self._write('"')
            self.quoted = True
        if not text:
            return
        self._take(text)
        written = _spelled(_converted(self.value, type_name), type_name)
        self._write(written[len(self.value_written) :])
        self.value_written = written

    def _take(self, text: str) -> None:
        """Adds to the value, holding back the last newline."""
        text = "\n" + text if self.newline_held else text
        self.newline_held = text.endswith("\n")
        self.value += text.removesuffix("\n")

    def _end(self, tag: str) -> None:
        if tag.startswith(("function", "tool_call")) and self.key:
            self._end("parameter")
        if tag.startswith("parameter") and self.key:
            self._end_parameter()
        elif tag.startswith("function"):
            self._write("}" if self.has_parameters else "{}")
            self.function_is_open = False
        elif tag == "tool_call":
            if self.function_is_open:
                self._end("function")
            self._write("")
            if self.waiting_text.strip():
                self.content.append(self.waiting_text)
            self._start_document()

    def _end_parameter(self) -> None:
        type_name = self._type(self.key or "")
        if self.deferred is not None:
            raw = self.deferred or self.value
            self._write(self._list(raw + "\n" if self.newline_held else raw, raw))
        else:
            _converted(self.value, type_name)  # raises for an infinite number
            if type_name in _STRINGS:
                self._write('"' if self.value or self.quoted else '""')
        self.deferred = None
        self.has_parameters = True
        self._forget_parameter()

    def _list(self, text: str, raw: str) -> str:
        try:
            return json.dumps(self.literal(text), ensure_ascii=False)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return json.dumps(raw, ensure_ascii=False)

    def _write(self, piece: str, *, name: str | None = None) -> None:
        self.written.append((self.call, name, piece))

    def _type(self, key: str) -> str:
        """What the schema says, where it is a type that this parser knows; else "string"."""
        schema = mapping(properties_of(self.function or "", self.tools).get(key))
        said = str(schema.get("type", "string"))
        known = said in (*_STRINGS, *_BOOLEANS, *_LISTS, "object")
        return said if known or said.startswith((*_INTEGERS, *_NUMBERS, "dict", "list")) else "string"


def _escaped(text: str) -> str:
    return escape(text, {'"': "&quot;", "'": "&apos;"})


def _converted(value: str, type_name: str) -> Any:
    """Raises OverflowError for an infinite number."""
    type_name = type_name.strip().lower()
    if value.lower() == "null":
        return None
    if type_name in _BOOLEANS:
        return value.lower() == "true"
    try:
        if type_name.startswith(_INTEGERS):
            return int(value)
        if type_name.startswith(_NUMBERS):
            number = float(value)
            return number if number != int(number) else int(number)
    except ValueError:
        pass
    return value


def _spelled(value: Any, type_name: str) -> str:
    """The JSON that is written so far: of a string without its quotes, of null nothing, of other text the text."""
    if value is None or value == "":
        return ""
    if type_name in _STRINGS:
        return json.dumps(value, ensure_ascii=False)[1:-1]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
