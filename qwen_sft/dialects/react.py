"""ReAct: `Thought: ...`, `Action: name`, `Action Input: {...}`, answered by `Observation: ...`.

One call a turn. The input must be a JSON object: a bare text does not say which argument it is.
"""

from collections.abc import Sequence

from qwen_sft.dialect import Dialect
from qwen_sft.sample import Tool, ToolCall, is_object
from qwen_sft.text.normalize import call, decode_json

_ACTION = "\nAction:"
_INPUT = "Action Input:"
_RESULT = "Observation:"


def _calls(text: str, _tools: Sequence[Tool]) -> tuple[str, list[ToolCall]] | None:
    before, action, rest = f"\n{text}".partition(_ACTION)
    name, _, given = rest.partition("\n")
    given = given.lstrip("\n")
    if not action or _ACTION in rest or not name.strip() or not given.startswith(_INPUT):
        return None
    try:
        value = decode_json(given.removeprefix(_INPUT).rstrip().removesuffix(_RESULT).strip())
    except ValueError:
        return None
    if not is_object(value):
        return None
    return before.strip().removeprefix("Thought:").strip(), [call(name.strip(), value)]


def _results(text: str) -> list[str] | None:
    inner = text.lstrip()
    if not inner.startswith(_RESULT):
        return None
    return [inner.removeprefix(_RESULT).lstrip(" \t").removeprefix("\n")]


DIALECT = Dialect(
    name="react",
    title="Thought: ... Action: name Action Input: {...}",
    marks=(_INPUT,),
    calls=_calls,
    results=_results,
)
