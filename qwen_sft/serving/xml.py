"""Calls as `<function=` and `<parameter=` tags, cut by the patterns that vLLM used up to 0.23 and SGLang uses still.

Source: vLLM 0.20 and 0.23, SGLang 0.5.23, `qwen3_coder`.
"""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from qwen_sft.parser import Parsed, Tools
from qwen_sft.serving.json import blocks
from qwen_sft.serving.tools import properties_of

Convert = Callable[[str, str, Mapping[str, Any]], Any]
"""The text of a value, its parameter's name and the schemas of all of them, to the value."""


def read_vllm(text: str, tools: Tools, convert: Convert) -> Parsed:
    """vLLM's `qwen3_coder` up to 0.23, in all but the conversion of values.

    Calls are looked for inside of `<tool_call>` where there is one, the last one open or closed, and in the whole text
    where there is none. Content is what stands before, unstripped. A parameter that cannot be read turns the whole text
    into content.
    """
    start = text.find("<function=")
    if start < 0:
        return Parsed(content=text, calls=())
    first_block = text.find("<tool_call>")
    bodies = [text] if first_block < 0 else blocks(text, cut_newline=True)
    found = [function for block in bodies for function in functions_in(block)]
    if not found:
        return Parsed(content=text, calls=())
    calls: list[tuple[str, Any]] = []
    try:
        for name, opened, body in (function.partition(">") for function in found):
            if opened:
                schemas = properties_of(name, tools)
                read = {key: convert(value, key, schemas) for key, value in parameters_in(body, strict=True)}
                calls.append((name, as_sent(read)))
    except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
        return Parsed(content=text, calls=())
    return Parsed(content=text[: start if first_block < 0 else first_block] or None, calls=tuple(calls))


def functions_in(block: str) -> Iterator[str]:
    """What stands behind each `<function=`: name, `>` and parameters, up to `</function>` or to the end."""
    start = block.find("<function=")
    while start >= 0:
        start += len("<function=")
        end = block.find("</function>", start)
        if end < 0:
            yield block[start:]
            return
        yield block[start:end]
        start = block.find("<function=", end)


_VALUE_END = re.compile(r"</parameter>|(?=<parameter=)|\n?\Z")


def parameters_in(body: str, *, strict: bool) -> Iterator[tuple[str, str]]:
    """Each parameter's name and the text of its value, less one newline on each side.

    A value ends at its `</parameter>`, at the next `<parameter=` or with the body.

    Raises:
        ValueError: `strict`, and a parameter's name is not closed by `>`; else that parameter is passed over.
    """
    start = body.find("<parameter=")
    while start >= 0:
        start += len("<parameter=")
        end = _VALUE_END.search(body, start)
        stop, behind = (end.start(), end.end()) if end else (len(body), len(body))
        name, opened, value = body[start:stop].partition(">")
        if opened:
            yield name, value.removeprefix("\n").removesuffix("\n")
        elif strict:
            raise ValueError(name)
        start = body.find("<parameter=", behind)


def as_sent(arguments: dict[str, Any]) -> Any:
    """The arguments as they come out of the JSON that the server makes of them: a tuple as a list, keys as strings.

    Raises:
        ValueError, TypeError, RecursionError: JSON cannot hold them, such as a set.
    """
    return json.loads(json.dumps(arguments))


def by_type_name(value: str, type_name: str, number: Callable[[str], Any]) -> Any:
    """The value as its one type says; text that cannot be read as that type stays text, a boolean becomes False.

    Args:
        type_name: as the schema spells it, in lower case.
        number: reads a number; raises ValueError where it is none.

    Raises:
        OverflowError: `number` does.
        RecursionError, MemoryError: it is nested too deep.
    """
    if type_name in _STRINGS:
        return value
    if type_name.startswith(("int", "uint", "long", "short", "unsigned")):
        return _or_text(int, value)
    if type_name.startswith(("num", "float")):
        return _or_text(number, value)
    if type_name in ("boolean", "bool", "binary"):
        return value.lower() == "true"
    if type_name in ("object", "array", "arr") or type_name.startswith(("dict", "list")):
        try:
            return json.loads(value)
        except ValueError:
            pass
    return _or_text(python_literal, value)


_STRINGS = ("string", "str", "text", "varchar", "char", "enum")


def _or_text(convert: Callable[[str], Any], value: str) -> Any:
    try:
        return convert(value)
    except (ValueError, SyntaxError, TypeError):
        return value


def python_literal(text: str) -> Any:
    """A Python literal: numbers, strings, True, None, and lists, tuples, sets and dicts of them.

    Raises:
        ValueError, SyntaxError, TypeError, RecursionError, MemoryError: it is none.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns of escapes such as "\d"
        return ast.literal_eval(text)
