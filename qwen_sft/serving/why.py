"""Why a server reads a value otherwise than the sample has it, and what to do about it.

That some markup in a value is to blame is found by asking the parser itself.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from qwen_sft.parser import ToolParser, Tools, parsers
from qwen_sft.sample import Path
from qwen_sft.serving.reasoning import SPECIAL
from qwen_sft.serving.schema import types_of
from qwen_sft.serving.tools import functions, kind, list_, mapping, properties_of

ABSENT = object()
"""Stands for what is not read at all."""

MARKUP = (
    *("</parameter>", "<parameter=", "</function>", "<function=", "</tool_call>", "<tool_call>"),
    *("</think>", "<think>", *SPECIAL),
)
"""Text that a parser may take for its own."""


@dataclass(frozen=True, slots=True)
class Why:
    """A reason: `says` begins with "because", and is empty where we know none; `fix` is what to do.

    `spelling` is True where no more than the spelling of a number is lost.
    """

    says: str = ""
    fix: str = "see what `qwen-sft models` says to serve this model with, or take the call out"
    spelling: bool = False


PRINTS_JSON = "leave the argument out if it may be, or choose a model whose template prints JSON"
OTHER_MODEL = "choose a model that writes its calls as JSON"


def why_call(arguments: Any, parser: ToolParser | None) -> Why:
    """Why a whole call is lost, or one too many read."""
    return _markup(arguments, parser) or Why()


def why_words(declared: str, read: str, parser: ToolParser | None) -> Why:
    """Why the words beside the calls are lost."""
    blame = _markup(declared, parser, in_words=True)
    if blame is None and not read:
        return Why("because the server drops what stands there", "put the words before the calls, or take them out")
    return blame or Why("", "take out of the words what the server reads as markup")


def why_value(path: Path, declared: Any, read: Any, *, tools: Tools, name: str, parser: ToolParser | None) -> Why:
    """Why an argument is not read as it is declared; `read` is ABSENT where it is not read."""
    if {kind(declared), kind(read)} <= {"integer", "number"}:
        return _number(declared, read)
    blame = _markup(declared, parser)
    if blame is not None:
        return blame
    if not path and isinstance(read, str):
        fix = f"serve the model with another parser, or {OTHER_MODEL}"
        return Why("because what the server makes of the call is no JSON", fix)
    if isinstance(read, str) and any(declared is value and read == str(value) for value in (True, False, None)):
        return Why(f"because the model's template prints Python's {read}, which is no JSON", PRINTS_JSON)
    if isinstance(declared, str):
        return _string(declared, read, _schema(path, tools, name))
    if isinstance(read, str) and len(path) == 1:
        fix = f"declare the argument in the tool's schema with one plain type, such as {kind(declared)}"
        return Why(f"because {_untyped(path[0], tools, name)}, so it stays a string", fix)
    return Why()


def _number(declared: Any, read: Any) -> Why:
    if declared == read:
        fix = "none is needed where the tool takes any number; else write it as the server spells it"
        return Why("the same number spelled otherwise", fix, spelling=True)
    if isinstance(read, int) and read == _through_float(declared):
        return Why("because the server reads a number as a float, of 16 digits", "declare the argument as an integer")
    return Why()


def _through_float(number: int | float) -> float | None:
    try:
        return float(number)
    except OverflowError:
        return None


def _string(declared: str, read: Any, schema: Any) -> Why:
    if read is None:
        return Why("because the server reads the text null as null", f"write another word for it, or {OTHER_MODEL}")
    if declared.lower() == "null" and read == "":
        return Why("because the server reads the text null as nothing", f"write another word for it, or {OTHER_MODEL}")
    if isinstance(read, str):
        if declared.strip() == read.strip():
            return Why("because the server takes white space off a value's ends", "take it off in the sample too")
        if declared.replace("\r\n", "\n").replace("\r", "\n") == read:
            return Why("because the server's XML parser makes one newline of a carriage return", "write \\n")
        return Why()
    if read is ABSENT:
        return Why()
    allowed = " or ".join(sorted(types_of(schema)))
    return Why(
        f"because its schema says {allowed}, and the server takes the text for the first that it can be",
        "declare it as a string only, or write what cannot be taken for another type",
    )


def _schema(path: Path, tools: Tools, name: str) -> Any:
    return properties_of(name, tools).get(str(path[0])) if path else None


def _untyped(key: str | int, tools: Tools, name: str) -> str:
    if all(function.get("name") != name for function in functions(tools)):
        return "the tool is not declared"
    schemas = properties_of(name, tools)
    if key not in schemas:
        return "the tool does not declare it"
    schema = mapping(schemas[str(key)])
    if types_of(schema) != {"string"}:
        return "the server cannot read it by its schema"
    return "its schema says string" if "type" in schema or "enum" in schema else "its schema names no type"


# -- markup in values -------------------------------------------------------------------------------------------------


def _markup(value: Any, parser: ToolParser | None, *, in_words: bool = False) -> Why | None:
    """The first text in a value, or in what is inside of it, that this parser takes for its own."""
    if parser is None:
        return None
    for text in _strings(value):
        found = sorted(
            (text.find(mark), mark) for mark in MARKUP if mark in text and _breaks(parser.name, mark, in_words)
        )
        if found:
            mark = found[0][1]
            place = "words" if in_words else "value"
            fix = f"take {mark!r} out of the {place}" + (
                "" if in_words else ", or have its tool take it in another spelling"
            )
            if mark in SPECIAL or mark in ("<think>", "</think>"):
                return Why(f"because the server takes {mark!r} out of what it reads", fix)
            return Why(
                f"because the server takes {mark!r} in {'words' if in_words else 'a value'} for its own markup", fix
            )
    return None


def _strings(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, str):
            yield here
        waiting.extend([*mapping(here).keys(), *mapping(here).values(), *list_(here)][::-1])


@cache
def _breaks(parser: str, mark: str, in_words: bool) -> bool:
    """True if this text, in a value or else in the words before a call, does not come through this parser."""
    one = parsers()[parser]
    marked = f"a {mark} b"
    words, value = (marked, "v") if in_words else ("", marked)
    schema = {"type": "object", "properties": {"k": {"type": "string"}}}
    tools: Tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    body = (
        json.dumps({"name": "f", "arguments": {"k": value}})
        if one.wire == "hermes"
        else f"<function=f>\n<parameter=k>\n{value}\n</parameter>\n</function>"
    )
    turn = f"{words}\n<tool_call>\n{body}\n</tool_call>"
    for parsed in (one.read(turn, tools), one.read(f"</think>{turn}", tools, thinking=True)):
        if ((parsed.content or "").strip(), parsed.calls) != (words, (("f", {"k": value}),)):
            return True
    return False
