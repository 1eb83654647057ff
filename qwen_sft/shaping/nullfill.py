"""Nulls that no one wrote: Arrow gives each struct the fields of all rows, and null where a row has none.

Which nulls those are is told where it can be proven. Around messages and calls, null says the same as nothing. In a
tool's schema, null after most keywords is no JSON Schema. In a call's arguments, the schema of its tool tells: where it
admits no null and does not require the property, the arguments that were stored break it, and those without the null
keep to it. Every other null stays as it is, for TOL022 to report.

An object is looked at only if one of the file's struct types has exactly its keys, under its name: what a row holds as
JSON text came with the nulls that it has.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from qwen_sft.inspecting.schema import LISTS, MAPS, NEVER_NULL, SINGLE, normalised_function
from qwen_sft.sample import MOST_NESTED, Path, Sample, is_list, is_object, is_same

Structs = frozenset[tuple[str, frozenset[str]]]
"""The struct types of a file: the name of the field that holds one, or a list of them, and those of its fields."""

METADATA_KEY = "n_nulls_removed"
"""Where a sample's metadata says how many nulls were taken out of its calls and tools."""

DOUBT_KEY = "n_nulls_in_doubt"
"""Where it says how many are left in its calls of which nothing tells who wrote them; in a copy, nothing else does."""

_OPAQUE = frozenset({"arguments", "args", "input", "parameters", "input_schema", "inputSchema", "kwargs", "schema"})
_SAYING = frozenset({"content", "value", "text"})
"""Keys whose null is told from nothing: an assistant turn without text, say."""

_MOST_STEPS = 20  # of $ref to $ref

# -- records -----------------------------------------------------------------------------------------------------------


def without_fillers(value: Any, structs: Structs, name: str = "") -> Any:
    """A row without the nulls in the objects around its messages and calls, and their arguments as they are."""
    if is_list(value):
        return [without_fillers(item, structs, name) for item in value]
    if not is_object(value):
        return value
    filled = (name, frozenset(value)) in structs
    return {
        key: inner if key in _OPAQUE and is_object(inner) else without_fillers(inner, structs, key)
        for key, inner in value.items()
        if inner is not None or not filled or key in _SAYING
    }


# -- samples -----------------------------------------------------------------------------------------------------------


def repaired(sample: Sample, structs: Structs) -> Sample:
    """A sample without the nulls in its tools and in the arguments of its calls that are proven to be filled in.

    Its metadata says how many there were, and how many others are left in the calls. The given sample stays as it is,
    and is returned where there were none.
    """
    count = [0, 0]  # what METADATA_KEY and DOUBT_KEY tell
    made = dict(sample)
    tools: Any = sample.get("tools")
    if is_list(tools):
        made["tools"] = tools = [_tool(tool, structs, count) for tool in tools]
    schemas = tool_schemas(tools)
    messages: Any = sample.get("messages")
    if is_list(messages):
        made["messages"] = [_message(message, schemas, structs, count) for message in messages]
    if not any(count):
        return sample
    told = zip((METADATA_KEY, DOUBT_KEY), count, strict=True)
    made["metadata"] = {**sample.get("metadata", {}), **{key: n for key, n in told if n}}
    return made  # pyright: ignore[reportReturnType]  # the keys are those of the sample


def tool_schemas(tools: Any) -> dict[str, Any]:
    """The parameters' schema of each tool by its name, in JSON Schema's spelling; {} where it declares none.

    A name that is declared twice has no schema: nothing tells which of the two is meant.
    """
    found: dict[str, Any] = {}
    for tool in tools if is_list(tools) else ():
        function: Any = tool.get("function") if is_object(tool) else None
        name: Any = function.get("name") if is_object(function) else None
        if isinstance(name, str):
            schema = normalised_function(function)[0].get("parameters", {})
            found[name] = schema if name not in found or is_same(found[name], schema) else None
    return {name: schema for name, schema in found.items() if schema is not None}


def _message(message: Any, schemas: Mapping[str, Any], structs: Structs, count: list[int]) -> Any:
    calls: Any = message.get("tool_calls") if is_object(message) else None
    if not is_list(calls):
        return message
    return {**message, "tool_calls": [_call(call, schemas, structs, count) for call in calls]}


def _call(call: Any, schemas: Mapping[str, Any], structs: Structs, count: list[int]) -> Any:
    function: Any = call.get("function") if is_object(call) else None
    name: Any = function.get("name") if is_object(function) else None
    if not isinstance(name, str) or not is_object(function.get("arguments")):
        return call
    given = function["arguments"]
    nulls = {path for path, kind in null_arguments(given, schemas.get(name)) if kind == "filler"}
    arguments = _without(given, nulls, structs, count, ())
    return {**call, "function": {**function, "arguments": arguments}}


def _without(value: Any, nulls: set[Path], structs: Structs, count: list[int], at: Path) -> Any:
    if is_list(value):
        return [_without(item, nulls, structs, count, (*at, i)) for i, item in enumerate(value)]
    if not is_object(value):
        return value
    gone: set[str] = set()
    if None in value.values() and _is_struct(value, at, structs):
        gone = {key for key in value if (*at, key) in nulls}
        count[0] += len(gone)
        count[1] += sum(inner is None for inner in value.values()) - len(gone)
    return {k: _without(inner, nulls, structs, count, (*at, k)) for k, inner in value.items() if k not in gone}


def _is_struct(value: dict[str, Any], at: Path, structs: Structs, *, or_part: bool = False) -> bool:
    """True if an object in some arguments has the keys of a struct, or (`or_part`) no others.

    Formats call the arguments themselves by another name than the file may, so for these every name counts but those of
    a schema's properties, which have the same keys.
    """
    name = next((step for step in reversed(at) if isinstance(step, str)), None)
    keys = frozenset(value)
    return any(
        (keys <= fields if or_part else keys == fields)
        for own, fields in structs
        if (own not in MAPS if name is None else own == name)
    )


def may_be_filled(arguments: Any, path: Path, structs: Structs) -> bool:
    """True if the null at a place of some arguments, others perhaps taken out, stands in what a struct has held."""
    holder = arguments
    for step in path[:-1]:
        holder = holder[step]
    return not structs or _is_struct(holder, path[:-1], structs, or_part=True)


# -- tools -------------------------------------------------------------------------------------------------------------


def _tool(tool: Any, structs: Structs, count: list[int]) -> Any:
    """A declared tool without the nulls that stand for no keyword."""
    if not is_object(tool):
        return tool
    made = _kept(tool, structs, count)
    function: Any = made.get("function")
    if is_object(function):
        function = _kept(function, structs, count)
        if "parameters" in function:
            function["parameters"] = _schema(function["parameters"], None, structs, count)
        made["function"] = function
    return made


def _kept(value: dict[str, Any], structs: Structs, count: list[int]) -> dict[str, Any]:
    filled = _has_fields(value, None, structs)
    made = {key: inner for key, inner in value.items() if inner is not None or not filled}
    count[0] += len(value) - len(made)
    return made


def _has_fields(value: dict[str, Any], name: str | None, structs: Structs) -> bool:
    """True if a struct of that name, or of any, has exactly the keys of an object."""
    keys = frozenset(value)
    return any(keys == fields for own, fields in structs if name in (None, own))


def _schema(schema: Any, name: str | None, structs: Structs, count: list[int]) -> Any:
    """A schema without the nulls that are no JSON Schema; `name` is the key it stands under, None for the whole."""
    if not is_object(schema):
        return schema
    filled = _has_fields(schema, name, structs)
    made: dict[str, Any] = {}
    for key, value in schema.items():
        if value is None and filled and (key in NEVER_NULL or (key == "const" and not _may_be_only_null(schema))):
            count[0] += 1
        elif key in MAPS and is_object(value):
            made[key] = _schemas(key, value, schema, structs, count)
        elif is_list(value) and (key in LISTS or key == "items"):
            made[key] = [_schema(inner, key, structs, count) for inner in value]
        elif key in SINGLE:
            made[key] = _schema(value, key, structs, count)
        else:
            made[key] = value
    return made


def _may_be_only_null(schema: dict[str, Any]) -> bool:
    """False if a schema says by another keyword that it is for other values too, so that no one wrote `const: null`."""
    others = any(schema.get(key) is not None for key in ("anyOf", "oneOf", "allOf", "$ref", "enum"))
    return not others and schema.get("type") in (None, "null", ["null"])


def _schemas(
    key: str, named: dict[str, Any], outer: dict[str, Any], structs: Structs, count: list[int]
) -> dict[str, Any]:
    """Schemas by name, without the names of other tools' properties; one that is required stays, for TOL012."""
    required: Any = outer.get("required")
    demanded: list[Any] = required if is_list(required) else []
    filled = _has_fields(named, key, structs)
    made = {k: _schema(v, k, structs, count) for k, v in named.items() if v is not None or not filled or k in demanded}
    count[0] += len(named) - len(made)
    return made


# -- arguments ---------------------------------------------------------------------------------------------------------


def null_arguments(arguments: Any, schema: Any) -> Iterator[tuple[Path, str]]:
    """Each null in some arguments that is the value of a key, with what the schema says of it.

    It is a `filler` (null is against the schema, and the property is not required), or else `required`, `nullable`,
    `undeclared`, or `free` where the schema declares no property of that object at all, or is None. Nulls in lists are
    values: Arrow fills in none.
    """
    yield from _nulls(arguments, schema, schema, ())


def _nulls(value: Any, schema: Any, root: Any, at: Path) -> Iterator[tuple[Path, str]]:
    if len(at) > MOST_NESTED:
        return
    if is_list(value):
        items = _merged(schema, root).get("items")
        for i, item in enumerate(value):
            yield from _nulls(item, items, root, (*at, i))
    elif is_object(value):
        merged = _merged(schema, root)
        for key, inner in value.items():
            place = (*at, key)
            declared: Any = merged["properties"].get(key, merged["others"])
            if inner is not None:
                yield from _nulls(inner, declared, root, place)
            elif key in merged["required"]:
                yield place, "required"
            elif declared is None:
                yield place, "undeclared" if merged["properties"] else "free"
            else:
                yield place, "nullable" if admits_null(declared, root) else "filler"


def _merged(schema: Any, root: Any) -> dict[str, Any]:
    """What a schema, the ones that it refers to and those of `allOf` say of an object's or a list's inner values.

    `others` is what holds of a property that is not named: None where nothing is said. Of `anyOf` and `oneOf` the
    branch that is not for null counts, if there is only one.
    """
    made: dict[str, Any] = {"properties": {}, "required": set[str](), "others": None, "items": None}
    waiting, seen = [schema], 0
    while waiting and seen < _MOST_STEPS:
        seen += 1
        one = waiting.pop()
        if not is_object(one):
            continue
        properties, required, others = one.get("properties"), one.get("required"), one.get("additionalProperties")
        if is_object(properties):
            made["properties"] = {**properties, **made["properties"]}
        if is_list(required):
            made["required"].update(name for name in required if isinstance(name, str))
        if (is_object(others) and others) or others is False:
            made["others"] = others
        if one.get("items") is not None:
            made["items"] = one["items"]
        waiting += [_target(one["$ref"], root)] if isinstance(one.get("$ref"), str) else []
        waiting += one["allOf"] if is_list(one.get("allOf")) else []
        for key in ("anyOf", "oneOf"):
            listed: Any = one.get(key)
            branches = [b for b in listed if not _only_null(b)] if is_list(listed) else []
            waiting += branches if len(branches) == 1 else []
    return made


def _only_null(schema: Any) -> bool:
    return is_object(schema) and schema.get("type") in ("null", ["null"])


def _target(ref: str, root: Any) -> Any:
    """What a `$ref` inside the schema points to; None for any other."""
    if not ref.startswith("#"):
        return None
    found = root
    for step in ref[1:].split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if is_object(found) and key in found:
            found = found[key]
        elif is_list(found) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def admits_null(schema: Any, root: Any, steps: int = _MOST_STEPS) -> bool:
    """False if a value that is null is against the schema for certain; keywords that are not understood allow it."""
    if schema is False:
        return False
    if not is_object(schema) or steps == 0 or schema.get("nullable") is True:
        return True
    kinds: Any = schema.get("type")
    if isinstance(kinds, str) and kinds != "null":
        return False
    if is_list(kinds) and "null" not in kinds:
        return False
    if is_list(schema.get("enum")) and None not in schema["enum"]:
        return False
    if schema.get("const") is not None:
        return False
    for key, needed in (("anyOf", any), ("oneOf", any), ("allOf", all)):
        listed: Any = schema.get(key)
        if is_list(listed) and listed and not needed(admits_null(one, root, steps - 1) for one in listed):
            return False
    target = _target(schema["$ref"], root) if isinstance(schema.get("$ref"), str) else None
    return target is None or admits_null(target, root, steps - 1)
