"""Calls as JSON in `<tool_call>`: what the parsers that read them share.

Source: vLLM 0.33, SGLang 0.5.23.
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from qwen_sft.parser import Parsed, Tools
from qwen_sft.serving.tools import functions


def between(text: str, opening: str, closing: str) -> Iterator[str]:
    """What stands between each opening tag and the closing tag that comes next; one that is not closed ends it."""
    start = text.find(opening)
    while start >= 0:
        start += len(opening)
        end = text.find(closing, start)
        if end < 0:
            return
        yield text[start:end]
        start = text.find(opening, end + len(closing))


def read_hermes(text: str, _tools: Tools) -> Parsed:
    """vLLM's `hermes`: `<tool_call>{"name": ..., "arguments": ...}</tool_call>`, the last one open or closed.

    One block that is not such an object turns the whole text into content. What follows the first `<tool_call>`
    outside of the blocks is lost. The tools are not looked at.
    """
    start = text.find("<tool_call>")
    if start < 0:
        return Parsed(content=text, calls=())
    try:
        calls = tuple(_call(json.loads(block)) for block in blocks(text))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Parsed(content=text, calls=())
    return Parsed(content=text[:start] or None, calls=calls)


def _call(block: Any) -> tuple[str, Any]:
    name, arguments = block["name"], block["arguments"]
    if not isinstance(name, str):
        raise TypeError(name)
    return name, arguments


def blocks(text: str, *, cut_newline: bool = False) -> Iterator[str]:
    """What stands in each `<tool_call>`, the last one open or closed; `cut_newline` takes a newline off an open one.

    A `</tool_call>` ends it wherever it comes, in a JSON string too.
    """
    start = text.find("<tool_call>")
    while start >= 0:
        start += len("<tool_call>")
        end = text.find("</tool_call>", start)
        if end < 0:
            yield text[start:].removesuffix("\n") if cut_newline else text[start:]
            return
        yield text[start:end]
        start = text.find("<tool_call>", end)


def declared_calls(block: Any, tools: Tools) -> Iterator[tuple[str, Any]]:
    """The calls in one JSON value, an object or a list of them; those to tools that nobody declared are lost.

    `parameters` goes before `arguments`, unless it is empty; without either the arguments are {}.

    Raises:
        TypeError: an item is no object, or has a name that is neither text nor nothing.
    """
    known = {function.get("name") for function in functions(tools)}
    for each in cast("list[Any]", block) if isinstance(block, list) else [block]:  # of whatever JSON holds
        if not isinstance(each, dict):
            raise TypeError(each)
        call = cast("dict[str, Any]", each)  # JSON keys are strings
        name = call.get("name")
        if name and name in known:
            yield str(name), call.get("parameters") or call.get("arguments", {})
