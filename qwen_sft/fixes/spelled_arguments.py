"""Arguments that are no JSON, but one object all the same: JSON with raw line breaks in its strings, or Python.

It changes how a call's arguments are spelled and not what they are. Safe, because TOL008 says of each text where it
stops to be JSON, and both other readings are exact: a key that stands twice, a number that overflows or half of a
surrogate pair has none. Text that breaks off has none either.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import is_object, value_at
from qwen_sft.text.normalize import decode_json
from qwen_sft.text.pyliteral import literal

_RAW = {chr(code): json.dumps(chr(code))[1:-1] for code in range(0x20)}


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        meant = _object(value_at(transcript.sample, finding.path))
        if meant is not None:
            yield Edit(finding.path, meant)


def _object(text: str) -> dict[str, Any] | None:
    """The one object that a text is; None if it is none, or more than one."""
    for read in (_relaxed, literal):
        try:
            value = read(text)
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError):
            continue
        if is_object(value):
            return value
    return None


def _relaxed(text: str) -> Any:
    """JSON in which strings may hold raw control characters."""
    escaped: list[str] = []
    inside = skip = False
    for char in text:
        inside = inside != (char == '"' and not skip)
        escaped.append(_RAW.get(char, char) if inside else char)
        skip = char == "\\" and inside and not skip
    value = decode_json("".join(escaped))
    json.loads(text, strict=False, object_pairs_hook=_distinct)
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


FIX = Fix(
    name="spelled-arguments",
    title="reads arguments that are text: JSON with raw line breaks in strings, or a Python dictionary",
    codes=("TOL008",),
    safe=True,
    edits=_edits,
)
