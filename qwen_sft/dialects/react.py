"""ReAct: `Thought: ...`, `Action: name`, `Action Input: {...}`, answered by `Observation: ...`.

One call a turn. The input must be a JSON object: a bare text does not say which argument it is.
"""

import re
from collections.abc import Sequence

from qwen_sft.dialect import Dialect
from qwen_sft.normalize import call, decode_json
from qwen_sft.sample import Tool, ToolCall, is_object

_TURN = re.compile(
    r"(.*?)^Action:[ \t]*([^\n]+?)[ \t]*\n+Action Input:\s*(\{.*\})\s*(?:\nObservation:\s*)?\Z",
    re.DOTALL | re.MULTILINE,
)
_THOUGHT = re.compile(r"\A\s*Thought:[ \t]*")
_RESULT = re.compile(r"\s*Observation:[ \t]*\n?")


def _calls(text: str, _tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    found = _TURN.fullmatch(text)
    if found is None or text.count("\nAction:") + text.startswith("Action:") != 1:
        return None
    try:
        given = decode_json(found[3])
    except ValueError:
        return None
    return (_THOUGHT.sub("", found[1]).strip(), [call(found[2], given)]) if is_object(given) else None


def _results(text: str) -> list[str] | None:
    found = _RESULT.match(text)
    return [text[found.end() :]] if found else None


DIALECT = Dialect(
    name="react",
    title="Thought: ... Action: name Action Input: {...}",
    marks=("Action Input:",),
    calls=_calls,
    results=_results,
)
