"""SGLang's `qwen3_coder`: `<function=` and `<parameter=` tags in closed blocks, one type for each parameter."""

from collections.abc import Mapping
from typing import Any

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.json import between
from qwen_sft.serving.reasoning import behind, split_reasoning_sglang
from qwen_sft.serving.tools import kind, list_, mapping, parameters_of
from qwen_sft.serving.xml import as_sent, by_type_name, functions_in, parameters_in


def read(text: str, tools: Tools) -> Parsed:
    """Calls in closed `<tool_call>` blocks, or anywhere if there is a `<tool_call>` and none is closed.

    Content is what stands before the first block, unstripped. Arguments that JSON cannot hold turn the whole text into
    content.
    """
    start = text.find("<tool_call>")
    if start < 0:
        return Parsed(content=text, calls=())
    bodies = list(between(text, "<tool_call>", "</tool_call>")) or [text]
    calls: list[tuple[str, Any]] = []
    try:
        for name, opened, body in (each.partition(">") for block in bodies for each in functions_in(block)):
            if opened:
                schemas = _schemas(parameters_of(name, tools))
                given = parameters_in(body, strict=False)
                calls.append((name, as_sent({key: _converted(value, key, schemas) for key, value in given})))
    except (ValueError, TypeError, RecursionError):
        return Parsed(content=text, calls=())
    return Parsed(content=text[:start], calls=tuple(calls))


def _schemas(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schemas of the parameters, of all alternatives if need be; without any, the schema's own keywords."""
    found = _properties(parameters)
    return found if found or "properties" in parameters else parameters


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(schema.get("properties"), Mapping):
        return mapping(schema["properties"])
    found: dict[str, Any] = {}
    for choice in (choice for key in ("anyOf", "oneOf", "allOf") for choice in list_(schema.get(key))):
        for key, value in _properties(mapping(choice)).items():
            found.setdefault(key, value)
    return found


def _converted(value: str, key: str, schemas: Mapping[str, Any]) -> Any:
    """ "null" is null for every type; what nothing declares is a string."""
    if value.lower() == "null":
        return None
    type_name = (_inferred(schemas[key]) if key in schemas else None) or "string"
    try:
        return by_type_name(value, str(type_name).strip().lower(), _number)
    except (RecursionError, MemoryError):
        return value


def _number(text: str) -> int | float:
    number = float(text)
    written_whole = "." not in text and "e" not in text.lower()
    return int(number) if written_whole and number.is_integer() else number


def _inferred(schema: Any) -> Any:
    """The one type by which a value is read: the first of several, without null; None where nothing says."""
    here = mapping(schema)
    said = here.get("type")
    if isinstance(said, str):
        return said
    if list_(said):
        return next((each for each in list_(said) if each != "null"), "string")
    choices = list_(here.get("anyOf") or here.get("oneOf"))
    if names := [name for each in choices if (name := _inferred(each))]:
        return _of_choices(names)
    if isinstance(here.get("enum"), list):
        kinds = {kind(each) for each in list_(here["enum"])}
        return kinds.pop() if len(kinds) == 1 else "string"
    if isinstance(here.get("allOf"), list):
        names = [_inferred(each) for each in list_(here["allOf"])]
        return next((name for name in names if name and name != "string"), "string")
    return "object" if "properties" in here else "array" if "items" in here else None


def _of_choices(names: list[Any]) -> Any:
    """What all alternatives say, null aside; a string where they differ and one is; else what the first says."""
    if len(set(names)) == 2 and "null" in names:
        return next(name for name in names if name != "null")
    return "string" if len(set(names)) > 1 and "string" in names else names[0]


PARSER = ToolParser(
    name="sglang_qwen3_coder",
    server="sglang",
    flags=("qwen3_coder",),
    wire="qwen3_coder",
    since=(0, 5, 20),
    before=None,
    read=behind(split_reasoning_sglang, read),
)
