"""The JSON Schema of a tool's parameters: its foreign spellings normalised, and arguments held to it.

A schema means what `$schema` says, and draft 2020-12 where that is absent or unknown. Two libraries read it:
jsonschema-rs answers yes or no, 60 times faster; jsonschema says in words why not. Where they differ, the first is
right, and a no that jsonschema does not understand is told in the first one's words. Known differences:

- `pattern` is ECMA 262 with a limit on backtracking in jsonschema-rs and Python's `re` without one in jsonschema,
  `multipleOf` is exact in one and a float division in the other, `uniqueItems` is quadratic in jsonschema: it asks
  jsonschema-rs for all three.
- `patternProperties` is `re` in jsonschema, and an inner `$schema` switches its dialect: a schema that has one of them
  is explained by jsonschema-rs.
- jsonschema-rs takes no lone surrogates: they are read as "?".

`format` is an annotation and rejects nothing. An integer may be written 1.0, and may be of any size. Neither library
may fetch anything: a `$ref` out of the schema makes it invalid, but for the drafts' own meta-schemas.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from itertools import islice
from typing import Any

import orjson

from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.exact import exactly
from qwen_sft.text.quote import quoted

Change = tuple[Path, str]
"""A place in a schema, and a sentence on what stands there."""

# -- spelling ----------------------------------------------------------------------------------------------------------

TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

_SPELLINGS = {
    **{name: name for name in TYPES},
    **dict.fromkeys(("dict", "hashmap", "map"), "object"),
    **dict.fromkeys(("list", "tuple", "arraylist"), "array"),
    **dict.fromkeys(("str", "text", "char"), "string"),
    **dict.fromkeys(("int", "int32", "int64", "long"), "integer"),
    **dict.fromkeys(("float", "float32", "float64", "double"), "number"),
    **dict.fromkeys(("bool",), "boolean"),
    **dict.fromkeys(("none", "nonetype"), "null"),
}
"""What Python, Java and Gemini call the seven types, in lower case."""

_ANY = "any"

MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SINGLE = frozenset(
    {"items", "additionalItems", "unevaluatedItems", "contains", "additionalProperties", "unevaluatedProperties"}
    | {"propertyNames", "not", "if", "then", "else"}
)
_PLAIN = frozenset(
    {"$schema", "$id", "$anchor", "$ref", "$dynamicRef", "$dynamicAnchor", "$comment", "type", "enum", "required"}
    | {"title", "description", "examples", "deprecated", "readOnly", "writeOnly", "format", "pattern"}
    | {"minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    | {"minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minProperties", "maxProperties"}
    | {"dependentRequired", "contentEncoding", "contentMediaType", "contentSchema"}
)
NEVER_NULL = MAPS | LISTS | SINGLE | _PLAIN
"""Keywords that no null can follow; `default` and `const` are not among them."""


def normalised(parameters: Any) -> tuple[Any, list[Change]]:
    """A tool's parameters in JSON Schema's own spelling, and each change with its place; the input stays as it is.

    Only what has one reading is changed: names of types, nulls that Arrow fills in where other rows have a keyword,
    `required: true` inside a property. A schema that needs no change comes back as the same object. One that does
    comes back as a value that later calls share: do not change it.
    """
    reading = _read(parameters)
    return (reading.schema, list(reading.changes)) if reading.changes else (parameters, [])


def normalised_function(function: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Change]]:
    """A declared function with its parameters normalised, and each change with its place in the function.

    Parameters that are null are left out. A `required` that stands beside the parameters is moved into them, if it
    names properties and none stands there; one that is null or says the same is left out.
    """
    made = dict(function)
    changes: list[Change] = []
    parameters: Any = function.get("parameters")
    if parameters is None and "parameters" in made:
        del made["parameters"]
        changes.append((("parameters",), "null stands for nothing here and is left out"))
    if "required" in made and is_object(parameters):
        outside, inside = made["required"], parameters.get("required")
        names = _names_properties(outside, parameters)
        if outside is None or (names and outside == inside):
            del made["required"]
            changes.append((("required",), f"{quoted(outside)} beside the parameters is left out"))
        elif names and inside is None:
            del made["required"]
            changes.append((("required",), f"{quoted(outside)} beside the parameters is moved into them"))
            made["parameters"] = parameters = {**parameters, "required": outside}
    schema, inner = normalised(parameters)
    if inner:
        made["parameters"] = schema
        changes += [(("parameters", *path), says) for path, says in inner]
    return (made, changes) if changes else (function, [])


def _names_properties(names: Any, parameters: dict[str, Any]) -> bool:
    properties = parameters.get("properties")
    return is_list(names) and is_object(properties) and all(isinstance(n, str) and n in properties for n in names)


def _spelled(given: Any, path: Path, changes: list[Change]) -> Any:
    """A schema in JSON Schema's spelling."""
    if not is_object(given):
        return given
    made: dict[str, Any] = {}
    for key, value in given.items():
        place = (*path, key)
        if value is None and key in NEVER_NULL:
            changes.append((place, "null stands for nothing here and is left out"))
        elif key == "type":
            made.update(_type(value, given, place, changes))
        elif key == "properties":
            _properties(value, given, made, place, changes)
        elif key in MAPS and is_object(value):
            made[key] = {name: _spelled(inner, (*place, name), changes) for name, inner in value.items()}
        elif is_list(value) and (key in LISTS or key == "items"):
            made[key] = [_spelled(inner, (*place, k), changes) for k, inner in enumerate(value)]
        elif key in SINGLE:
            made[key] = _spelled(value, place, changes)
        else:
            made.setdefault(key, value)  # not over the `required` that properties have just made
    return made


def _type(value: Any, given: dict[str, Any], place: Path, changes: list[Change]) -> dict[str, Any]:
    """The keywords that a value of `type` stands for: `type`, `items` too, or none."""
    if is_list(value):
        listed = [_SPELLINGS.get(name.lower(), name) if isinstance(name, str) else name for name in value]
        if listed == value:
            return {"type": value}
        distinct = [name for k, name in enumerate(listed) if name not in listed[:k]]
        changes.append((place, f"{quoted(value)} is written {quoted(distinct)}"))
        return {"type": distinct}
    meant = _meaning(value) if isinstance(value, str) and value not in TYPES else None
    if meant is None or ("items" in meant and given.get("items") is not None):
        return {"type": value}
    if not meant:
        changes.append((place, f"{value!r} is left out, as any value is allowed without it"))
    else:
        said = quoted(meant["type"]) + (f" of {meant['items']['type']!r}" if "items" in meant else "")
        changes.append((place, f"{value!r} is written {said}"))
    return meant


def _meaning(spelling: str) -> dict[str, Any] | None:
    """The keywords for a name of a type that is not JSON Schema's; None for one that we do not know.

    `str, optional` is Python's docstring style and says what `required` says; List[str] and Optional[str] are Python's
    annotations.
    """
    name = spelling.lower().strip().removesuffix(", optional")
    outer, bracket, inner = name.removesuffix("]").partition("[")
    if name == _ANY:
        return {}
    if not bracket:
        return {"type": _SPELLINGS[name]} if name in _SPELLINGS else None
    if not name.endswith("]") or inner not in _SPELLINGS:
        return None
    if outer == "optional":
        return {"type": [_SPELLINGS[inner], "null"]}
    return {"type": "array", "items": {"type": _SPELLINGS[inner]}} if outer == "list" else None


def _properties(value: Any, given: dict[str, Any], made: dict[str, Any], place: Path, changes: list[Change]) -> None:
    """Puts `properties` into `made`, and what they say of `required`."""
    if not is_object(value):
        made["properties"] = {} if value == [] else value
        if value == []:
            changes.append((place, "[] is written {}"))
        return
    listed = given.get("required")
    required: list[Any] = listed if is_list(listed) else []
    spelled: dict[str, Any] = {}
    demanded: list[str] = []
    for name, inner in value.items():
        inner_place = (*place, name)
        if inner is None and name in required:
            changes.append((inner_place, "null is written {}: a required argument of any kind"))
            inner = {}
        elif inner is None:
            changes.append((inner_place, "null stands for nothing here and is left out"))
            continue
        elif is_object(inner) and isinstance(inner.get("required"), bool):
            says = "is said by the list beside the properties" if inner["required"] else "is left out"
            changes.append(((*inner_place, "required"), f"{str(inner['required']).lower()} {says}"))
            if inner["required"] and name not in required:
                demanded.append(name)
            inner = {key: word for key, word in inner.items() if key != "required"}
        spelled[name] = _spelled(inner, inner_place, changes)
    made["properties"] = spelled
    if demanded and (listed is None or is_list(listed)):
        made["required"] = [*required, *demanded]


# -- checking ----------------------------------------------------------------------------------------------------------


_NOT_EXPLAINED = ("patternProperties", "$schema", "$ref", "$dynamicRef", "$recursiveRef")
"""Keys that jsonschema must not meet: Python's `re` hangs on hostile patterns, and a schema that refers to itself walks
jsonschema to the end of Python's stack, where the Rust functions that it asks panic with what is no Exception."""


@dataclass(frozen=True)
class Validator:
    """Whether arguments satisfy one schema, and why not."""

    schema: Any
    _compiled: Any

    def accepts(self, arguments: Any) -> bool:
        """True if the arguments satisfy the schema; False for ones that nest too deep to be checked."""
        try:
            return self._compiled.is_valid(arguments)
        except UnicodeEncodeError:
            return self._compiled.is_valid(_without_surrogates(arguments))
        except (ValueError, RecursionError):
            return False

    def violations(self, arguments: Any, most: int = 10) -> list[Change]:
        """Places in the arguments that break the schema, with how, and no more than `most` of them.

        Empty if and only if the arguments are accepted.
        """
        if self.accepts(arguments):
            return []
        try:
            return [_said(e) for e in islice(self._errors(arguments), most)] or self._in_rust(arguments, most)
        except (ValueError, RecursionError, _unresolvable()):
            return self._in_rust(arguments, most)

    def _errors(self, arguments: Any) -> Iterator[Any]:
        """What jsonschema says; nothing where it must not be asked."""
        return iter(()) if self._explainer is None else self._explainer.iter_errors(arguments)

    @cached_property
    def _explainer(self) -> Any:
        inner = {k: v for k, v in self.schema.items() if k != "$schema"} if is_object(self.schema) else self.schema
        if any(_holds_key(inner, key) for key in _NOT_EXPLAINED):
            return None
        return _explainer(inner, _draft(self.schema))

    def _in_rust(self, arguments: Any, most: int) -> list[Change]:
        """What jsonschema-rs says; never empty."""
        found: list[Change] = []
        try:
            errors = islice(self._compiled.iter_errors(_without_surrogates(arguments)), most)
            found = [(tuple(e.instance_path), e.message) for e in errors]
        except (ValueError, RecursionError):
            pass
        return found or [((), "the arguments nest too deep to be checked")]


def _without_surrogates(value: Any) -> Any:
    """The value with "?" for each lone surrogate, which no UTF-8 holds; as it is where it nests too deep."""
    try:
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except RecursionError:
        return value


class Declared:
    """The functions of some declared tools, with what there is to say of each; do not change it: samples share it.

    Attributes:
        functions: each with its parameters in JSON Schema's spelling, and what was changed for that.
    """

    def __init__(self, tools: Iterable[Mapping[str, Any]]) -> None:
        self.functions = [normalised_function(tool.get("function", {})) for tool in tools]

    @cached_property
    def validators(self) -> dict[str, list[Validator | None]]:
        """By name what holds arguments to a tool's parameters, for each of the tools that share the name."""
        found: dict[str, list[Validator | None]] = {}
        for function, _ in self.functions:
            made = validator(function["parameters"]) if "parameters" in function else None
            found.setdefault(function.get("name", ""), []).append(made)
        return found

    @cached_property
    def faults(self) -> list[list[Change]]:
        """For each function what is invalid in its parameters."""
        return [faults(one["parameters"]) if "parameters" in one else [] for one, _ in self.functions]


_MOST_DECLARED = 256
_declared: dict[bytes, Declared] = {}


def declared(tools: Sequence[Mapping[str, Any]]) -> Declared:
    """What there is to say of some declared tools. The rows of a set share a few lists of them: they are kept."""
    key = exactly(tools)
    if key is None:
        return Declared(tools)
    found = _declared.get(key)
    if found is None:
        if len(_declared) >= _MOST_DECLARED:
            _declared.clear()
        found = _declared[key] = Declared(tools)
    return found


def validator(parameters: Any) -> Validator | None:
    """What holds arguments to a tool's parameters, normalised; None where those are no valid schema."""
    return _read(parameters).validator


def meant(schema: Any, arguments: Any, path: Path) -> Any:
    """The value that an argument that breaks its schema stands for; None where nothing tells.

    It stands for the one value of an enum that it spells in another case or with other marks between the words, for the
    number or boolean that its text holds, or for the text of a number. Only `properties` and `items` lead to an
    argument's schema.
    """
    value = arguments
    for step in path:
        if is_object(value) and is_object(schema) and isinstance(step, str):
            properties = schema.get("properties")
            schema = properties.get(step) if is_object(properties) else None
            value = value.get(step)
        elif is_list(value) and is_object(schema) and isinstance(step, int):
            schema, value = schema.get("items"), value[step]
        else:
            return None
    if not is_object(schema):
        return None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if schema.get("type") == "string" and "enum" not in schema else None
    if not isinstance(value, str):
        return None
    listed = schema.get("enum")
    if is_list(listed):
        alike = [one for one in listed if isinstance(one, str) and _bare(one) == _bare(value) != ""]
        return alike[0] if len(alike) == 1 else None
    kind = schema.get("type")
    try:
        inner = orjson.loads(value) if kind in ("integer", "number", "boolean") else None
    except ValueError:
        return None
    if isinstance(inner, bool) != (kind == "boolean") or (kind == "integer" and not isinstance(inner, int)):
        return None
    return inner if isinstance(inner, bool | int | float) else None


def _bare(name: str) -> str:
    """A name in one case, without what stands between its words."""
    return "".join(c for c in name.casefold() if c.isalnum())


def faults(parameters: Any) -> list[Change]:
    """What is invalid in a tool's parameters when they are normalised, each with its place; empty if nothing is."""
    return list(_read(parameters).faults)


@dataclass(frozen=True, slots=True)
class _Reading:
    schema: Any
    changes: tuple[Change, ...] = ()
    faults: tuple[Change, ...] = ()
    validator: Validator | None = None


_TOO_DEEP = _Reading(None, faults=(((), "the schema nests too deep to be read"),))


def _read(parameters: Any) -> _Reading:
    """All that there is to say of a schema. 100,000 samples share one: it is looked up by its bytes, in 0.3 µs."""
    try:
        key = orjson.dumps(parameters)
    except TypeError:  # an integer past 64 bits, a lone surrogate, or more than 254 levels
        try:
            key = json.dumps(parameters).encode()
        except (TypeError, ValueError, RecursionError):
            return _TOO_DEEP
    return _read_bytes(key)


@lru_cache(maxsize=1024)  # 20 KB each, made in 50 µs
def _read_bytes(key: bytes) -> _Reading:
    changes: list[Change] = []
    try:
        schema = _spelled(json.loads(key), (), changes)
        if not is_object(schema) and not isinstance(schema, bool):
            return _Reading(schema, faults=(((), f"{quoted(schema)} is no JSON Schema, which is an object"),))
        compiled, refusal = _compiled(schema)
        if compiled is not None:
            return _Reading(schema, tuple(changes), (), Validator(schema, compiled))
        return _Reading(schema, tuple(changes), tuple(_schema_faults(schema) or [_refused(schema, refusal)]))
    except RecursionError:
        return _TOO_DEEP


_DRAFTS: dict[str | None, str] = {
    "http://json-schema.org/draft-04/schema": "Draft4Validator",
    "http://json-schema.org/draft-06/schema": "Draft6Validator",
    "http://json-schema.org/draft-07/schema": "Draft7Validator",
    "https://json-schema.org/draft/2019-09/schema": "Draft201909Validator",
}


def _draft(schema: Any) -> str:
    """The name that both libraries give to the validator of a schema's draft."""
    named = schema.get("$schema") if is_object(schema) else None
    return _DRAFTS.get(named.removesuffix("#") if isinstance(named, str) else None, "Draft202012Validator")


def _compiled(schema: Any) -> tuple[Any, str]:
    """jsonschema-rs' validator of a schema, or None and why it refuses."""
    library: Any = import_module("jsonschema_rs")
    try:
        return getattr(library, _draft(schema))(schema, retriever=_refuse, validate_formats=False), ""
    except (ValueError, RecursionError) as error:  # its ValidationError and ReferencingError are ValueErrors
        return None, str(getattr(error, "message", error)).partition("\n")[0]


def _refuse(uri: str) -> Any:
    """Fetches nothing: a schema from a stranger's trace must not make us read a file or ask a server."""
    raise LookupError(f"{uri!r} is outside of the schema and is not fetched")


def _schema_faults(schema: Any) -> list[Change]:
    """Where a schema breaks its draft's meta-schema; empty if it does not, as with a `$ref` to nowhere."""
    draft = _draft(schema)
    explainer = _explainer(getattr(_jsonschema(), draft).META_SCHEMA, draft)
    found: dict[Change, None] = {}  # draft 2020-12 has eight vocabularies, which may all say the same
    for path, says in (_said(error) for error in explainer.iter_errors(schema)):
        is_type = path[-1:] == ("type",) and not MAPS.intersection(path[-2:-1])
        found[path, f"{quoted(_at(schema, path))} is no type of JSON Schema" if is_type else says] = None
    return list(found)


def _refused(schema: Any, refusal: str) -> Change:
    """What the library refuses although the meta-schema does not: a `$ref` to nowhere, or a pattern that is none.

    It names the value and not the place, which is looked for; where no single keyword has it, that is the whole schema.
    """
    found: list[Change] = []
    rest: list[tuple[Path, Any]] = [((), schema)]
    while rest:
        path, value = rest.pop()
        if is_object(value):
            rest += [((*path, key), inner) for key, inner in value.items()]
        elif is_list(value):
            rest += [((*path, k), inner) for k, inner in enumerate(value)]
        elif isinstance(value, str) and path[-1:] == ("$ref",) and f"'{value.removeprefix('#')}'" in refusal:
            where = "to nothing in the schema" if value.startswith("#") else "out of the schema, and nothing is fetched"
            found.append((path, f"{quoted(value)} leads {where}"))
        elif isinstance(value, str) and path[-1:] == ("pattern",) and json.dumps(value) in refusal:
            found.append((path, refusal))
    return found[0] if len(found) == 1 else ((), refusal)


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def _said(error: Any) -> Change:
    """One of jsonschema's errors: the place and the sentence of its most telling part."""
    best: Any = _exceptions().best_match([error])
    path: Path = tuple(best.absolute_path)
    match best.validator:
        case "required":
            says = f"{best.message.removesuffix(' is a required property')} is missing"
        case "type":
            wanted = best.validator_value
            kinds = " or ".join(map(repr, wanted if is_list(wanted) else [wanted]))
            says = f"{quoted(best.instance)} is not of type {kinds}"
        case "enum":
            says = f"{quoted(best.instance)} is not one of {quoted(best.validator_value, 120)}"
        case _ if len(best.message) <= 200:
            says = best.message
        case keyword:
            says = f"{quoted(best.instance)} breaks {keyword!r}: {quoted(best.validator_value, 120)}"
    return path, says


def _holds_key(value: Any, key: str) -> bool:
    """True if an object in a JSON value has a key."""
    if is_object(value):
        return key in value or any(_holds_key(inner, key) for inner in value.values())
    return is_list(value) and any(_holds_key(inner, key) for inner in value)


# jsonschema's types are partly unknown, and importing it takes 0.1 s: only a no needs it.
def _jsonschema() -> Any:
    return import_module("jsonschema")


def _exceptions() -> Any:
    return import_module("jsonschema.exceptions")


def _unresolvable() -> type[Exception]:
    return import_module("referencing.exceptions").Unresolvable


def _explainer(schema: Any, draft: str) -> Any:
    """jsonschema's validator of a schema; its registry holds the drafts' meta-schemas and fetches nothing."""
    registry = import_module("jsonschema_specifications").REGISTRY
    own = {keyword: _ask_rust(keyword, says) for keyword, says in _ASKED.items()}
    cls = import_module("jsonschema.validators").extend(getattr(_jsonschema(), draft), own)
    return cls(schema, registry=registry)


_ASKED = {
    "pattern": "does not match",
    "multipleOf": "is not a multiple of",
    "uniqueItems": "holds an item twice, which is against 'uniqueItems':",
}
"""Keywords of jsonschema's that jsonschema-rs answers, and what stands between the value and the keyword's."""


def _ask_rust(keyword: str, says: str) -> Any:
    error: Any = _exceptions().ValidationError

    def check(_: Any, wanted: Any, instance: Any, __: Any) -> Iterator[Any]:
        if not _one_keyword(keyword, wanted).is_valid(instance):
            yield error(f"{quoted(instance)} {says} {quoted(wanted)}")

    return check


@lru_cache(maxsize=1000)
def _one_keyword(keyword: str, wanted: Any) -> Any:
    return import_module("jsonschema_rs").Draft202012Validator({keyword: wanted}, validate_formats=False)
