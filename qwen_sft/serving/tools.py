"""What servers look up in declared tools, whatever JSON these are; and the JSON type of a value."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from qwen_sft.parser import Tools


def functions(tools: Tools) -> Iterator[Mapping[str, Any]]:
    """The declared functions, an empty object for a tool that has none."""
    for tool in tools:
        yield mapping(mapping(tool).get("function"))


def properties_of(name: str, tools: Tools) -> Mapping[str, Any]:
    """The schemas of the parameters of the first tool of this name; nothing where no tool has it."""
    return mapping(parameters_of(name, tools).get("properties"))


def parameters_of(name: str, tools: Tools) -> Mapping[str, Any]:
    """The schema of the arguments of the first tool of this name; nothing where no tool has it."""
    for function in functions(tools):
        if function.get("name") == name:
            return mapping(function.get("parameters"))
    return {}


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
