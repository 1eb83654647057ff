"""Python-list calls: `[f(a=1, b="x"), g()]`, as Llama's and ToolACE's prompts ask for; nothing is executed.

They are the whole turn. Names may hold spaces and dots, as ToolACE's do, and be words of Python's own. Arguments are
named, and literals; `true`, `false` and `null` too.
"""

import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.dialect import Dialect
from qwen_sft.sample import Tool, ToolCall
from qwen_sft.text.normalize import call
from qwen_sft.text.pyliteral import Reader

_NAME = re.compile(r"[^()\[\]{}'\"=,:#\\\n]++(?=\()")
_ARGUMENT = re.compile(r"[^()\[\]{}'\"=,:#\\\n]++(?==)")


def _calls(text: str, _tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    if not text.strip().startswith("["):
        return None
    reader = Reader(text)
    made: list[ToolCall] = []
    try:
        reader.skips("[")
        reader.listed("]", lambda: made.append(_call(reader)))
        reader.end()
    except ValueError:
        return None
    return ("", made) if made else None


def _call(reader: Reader) -> ToolCall:
    name = reader.takes(_NAME).strip()
    arguments: dict[str, Any] = {}

    def argument() -> None:
        key = reader.takes(_ARGUMENT).strip()
        if not key or key in arguments or not reader.skips("="):
            raise ValueError(f"{key!r} is no argument of its own")
        arguments[key] = reader.value()

    if not name or not reader.skips("("):
        raise ValueError("no call")
    reader.listed(")", argument)
    return call(name, arguments)


DIALECT = Dialect(
    name="python_list",
    title="[name(key=value), ...]",
    marks=("(",),
    calls=_calls,
    results=lambda _text: None,
)
