"""What the text of a value becomes by its schema, in vLLM from 0.22 on.

Source: vLLM 0.23, 0.26 and 0.33.
"""

import json
import math
from typing import Any

from qwen_sft.serving.tools import kind, list_, mapping

# How schemas written by hand spell the seven types.
_ALIASES = {
    **dict.fromkeys(("str", "text", "varchar", "char", "enum"), "string"),
    **dict.fromkeys(("int", "int32", "int64", "uint", "uint32", "uint64", "long", "short", "unsigned"), "integer"),
    **dict.fromkeys(("float", "float32", "float64", "double"), "number"),
    **dict.fromkeys(("dict",), "object"),
    **dict.fromkeys(("arr", "list", "sequence"), "array"),
    **dict.fromkeys(("bool",), "boolean"),
}


def types_of(schema: Any) -> set[str]:
    """Every type that a schema allows: by `type`, by the values of `enum`, by its alternatives; else string.

    `$ref` is not followed, so a parameter that has nothing else is a string.
    """
    types: set[str] = set()
    waiting = [schema]
    while waiting:
        here = mapping(waiting.pop())
        said = here.get("type")
        spelled = [each.strip().lower() for each in [said, *list_(said)] if isinstance(each, str)]
        own = {_ALIASES.get(each, each) for each in spelled} | {kind(each) for each in list_(here.get("enum"))}
        choices = [choice for key in ("anyOf", "oneOf", "allOf") for choice in list_(here.get(key))]
        types |= own if own or choices else {"string"}
        waiting += choices
    return types


def as_schema_says(value: str, schema: Any, *, finite: bool = True, exact: bool = True) -> Any:
    """The value as the first type that it can be, in this order; where it can be none, whatever JSON it is, or text.

    Args:
        finite: infinity and NaN, which JSON has no number for, leave it text, as from 0.24 on; else they are read.
        exact: a number keeps all digits of a whole number, as from 0.33 on; else it goes through a float.

    Raises:
        OverflowError: not `finite`, and a number is infinite.
        RecursionError: not `finite`, and JSON is nested too deep.
    """
    types = types_of(schema)
    if "null" in types and value.lower() == "null":
        return None
    if "integer" in types or ("number" in types and exact):
        try:
            return int(value)
        except ValueError:
            pass
    if "number" in types and (number := _number(value)) is not None:
        if finite and not math.isfinite(number):
            pass
        elif not math.isnan(number):
            return int(number) if number == int(number) else number
    if "boolean" in types and (said := value.lower().strip()) in _BOOLEANS:
        return _BOOLEANS[said]
    if "string" in types and not types & {"object", "array"}:
        return value
    return _json(value, finite=finite)


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _json(value: str, *, finite: bool) -> Any:
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    except RecursionError:
        if finite:
            return value
        raise
    return parsed if not finite or _is_finite(parsed) else value


def _is_finite(value: Any) -> bool:
    """Whether every number in it is one that JSON has; 1e999 overflows, NaN is none."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, float) and not math.isfinite(here):
            return False
        waiting.extend((*list_(here), *mapping(here).values()))
    return True
