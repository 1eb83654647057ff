"""The body of one `<function=` call: its parameters, and what each value becomes by the tool's schema.

As vLLM 0.33 does it for `qwen3_coder`; see parse.py.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, cast

_PARAMETER = re.compile(r"<\s*parameter\s*=\s*")
_PARAMETER_END = re.compile(r"(<\s*/\s*parameter\s*>)|<\s*parameter\s*=")


def read_arguments(body: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters in the body of one call, each value converted to what its schema in `properties` says.

    A value ends at its `</parameter>` or at the next `<parameter=`; one that ends at neither is lost. Of the newlines
    around it one on each side goes. The last of two parameters of one name wins.

    Cut by hand: one regular expression for a whole parameter takes quadratic time on 200 kB of `<parameter=`.
    """
    read: dict[str, Any] = {}
    start = _PARAMETER.search(body)
    while start is not None:
        name_end = body.find(">", start.end())
        end = _PARAMETER_END.search(body, name_end + 1) if name_end >= 0 else None
        if end is None:
            break
        key = body[start.end() : name_end]
        value = body[name_end + 1 : end.start()].removeprefix("\n").removesuffix("\n")
        schema = properties.get(key)
        read[key] = _converted(value, _types(schema)) if isinstance(schema, Mapping) else value
        start = _PARAMETER.search(body, end.end() if end.group(1) else end.start())
    return read


# How schemas written by hand spell the seven types.
_ALIASES = {
    **dict.fromkeys(("str", "text", "varchar", "char", "enum"), "string"),
    **dict.fromkeys(("int", "int32", "int64", "uint", "uint32", "uint64", "long", "short", "unsigned"), "integer"),
    **dict.fromkeys(("float", "float32", "float64", "double"), "number"),
    **dict.fromkeys(("dict",), "object"),
    **dict.fromkeys(("arr", "list", "sequence"), "array"),
    **dict.fromkeys(("bool",), "boolean"),
}


def _types(schema: Any) -> set[str]:
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


def _converted(value: str, types: set[str]) -> Any:
    """The value as the first type that it can be, in this order; where it can be none, whatever JSON it is, or text."""
    if "null" in types and value.lower() == "null":
        return None
    if types & {"integer", "number"}:
        try:
            return int(value)
        except ValueError:
            pass
    if "number" in types:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return int(number) if number == int(number) else number
    if "boolean" in types and (said := value.lower().strip()) in _BOOLEANS:
        return _BOOLEANS[said]
    if "string" in types and not types & {"object", "array"}:
        return value
    try:
        parsed = json.loads(value, parse_constant=_not_json)
    except (ValueError, RecursionError):
        return value
    return parsed if _is_finite(parsed) else value


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def _not_json(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity, which Python's reader lets through


def _is_finite(value: Any) -> bool:
    """Whether no number in it overflowed, as 1e999 does."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, float) and not math.isfinite(here):
            return False
        waiting.extend((*list_(here), *mapping(here).values()))
    return True


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object as it is, anything else as an empty one."""
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}  # a JSON object has string keys


def list_(value: Any) -> list[Any]:
    """A JSON array as it is, anything else as an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []  # of whatever JSON holds


def kind(value: Any) -> str:
    """The JSON type of a value; integers and other numbers are two types."""
    for name, python in _KINDS.items():
        if isinstance(value, python):
            return name
    return type(value).__name__


# In this order: a Python bool is an int.
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "null": type(None),
    "boolean": bool,
    "integer": int,
    "number": float,
    "string": str,
    "array": list,
    "object": Mapping,
}
