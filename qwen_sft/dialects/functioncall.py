"""Glaive: `<functioncall> {"name": ..., "arguments": '{...}'}`, answered by `FUNCTION RESPONSE: ...`.

The arguments stand as JSON, as a JSON string of it, or in single quotes, which is no JSON and which Glaive v2 writes.
"""

import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.dialect import Dialect
from qwen_sft.sample import Tool, ToolCall, is_object
from qwen_sft.text.normalize import call, decode_json

_OPENING = "<functioncall>"
_ENDINGS = ("<|endoftext|>", "</functioncall>")
_QUOTED = re.compile(r"""\{\s*"name"\s*:\s*"([^"\\]+)"\s*,\s*"arguments"\s*:\s*'(.*)'\s*\}""", re.DOTALL)
_RESULT = "FUNCTION RESPONSE:"


def _calls(text: str, _tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    before, opening, rest = text.partition(_OPENING)
    if not opening or _OPENING in rest:
        return None
    body = rest.strip()
    for ending in _ENDINGS:
        body = body.removesuffix(ending).rstrip()
    found = _parsed(body)
    return None if found is None else (before.rstrip(), [call(*found)])


def _parsed(body: str) -> tuple[str, dict[str, Any]] | None:
    quoted = _QUOTED.fullmatch(body)
    try:
        if quoted:
            name: Any = quoted[1]
            given: Any = _unquoted(quoted[2])
        else:
            value: Any = decode_json(body)
            if not is_object(value) or not {"name"} <= set(value) <= {"name", "arguments"}:
                return None
            name, given = value["name"], value.get("arguments", {})
            given = decode_json(given) if isinstance(given, str) else given
    except ValueError:
        return None
    return (name, given) if isinstance(name, str) and is_object(given) else None


def _unquoted(text: str) -> Any:
    r"""What stands between single quotes: JSON, in which \' may stand for an apostrophe."""
    try:
        return decode_json(text)
    except ValueError:
        return decode_json(text.replace("\\'", "'"))


def _results(text: str) -> list[str] | None:
    inner = text.strip()
    return [inner.removeprefix(_RESULT).strip()] if inner.startswith(_RESULT) else None


DIALECT = Dialect(
    name="functioncall",
    title='<functioncall> {"name": ..., "arguments": \'{...}\'}',
    marks=(_OPENING,),
    calls=_calls,
    results=_results,
)
