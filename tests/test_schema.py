"""Tools' schemas: their foreign spellings, what stays invalid, and arguments held to them by two libraries."""

import json
import socket
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_specifications import REGISTRY
from strategies import ODD_SCHEMAS, json_values

from qwen_sft.inspecting.schema import faults, normalised, normalised_function, validator


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"not": value}
    return value


# -- spelling ----------------------------------------------------------------------------------------------------------

NULL = "null stands for nothing here and is left out"


@pytest.mark.parametrize(
    ("spelling", "written"),
    [
        *[(name, "object") for name in ("dict", "Dict", "HashMap", "map", "OBJECT", "Object")],
        *[(name, "array") for name in ("list", "List", "tuple", "ArrayList", "ARRAY")],
        *[(name, "string") for name in ("str", "String", "STRING", "text", "char", "str, optional")],
        *[(name, "integer") for name in ("int", "Integer", "INTEGER", "long", "int64", "int, optional")],
        *[(name, "number") for name in ("float", "double", "NUMBER", "Float")],
        *[(name, "boolean") for name in ("bool", "Boolean", "BOOLEAN", "bool, optional")],
        *[(name, "null") for name in ("None", "NoneType", "NULL")],
    ],
)
def test_a_foreign_name_of_a_type_is_written_as_json_schemas(spelling: str, written: str) -> None:
    schema, changes = normalised({"type": "object", "properties": {"a": {"description": "A.", "type": spelling}}})
    assert schema == {"type": "object", "properties": {"a": {"description": "A.", "type": written}}}
    assert changes == [(("properties", "a", "type"), f"{spelling!r} is written {written!r}")]


@pytest.mark.parametrize(
    ("given_schema", "made", "changes"),
    [
        (
            {"type": "any", "title": "A"},
            {"title": "A"},
            [("type", "'any' is left out, as any value is allowed without it")],
        ),
        (
            {"type": "List[float]"},
            {"type": "array", "items": {"type": "number"}},
            [("type", "'List[float]' is written 'array' of 'number'")],
        ),
        (
            {"type": "Optional[str]"},
            {"type": ["string", "null"]},
            [("type", "'Optional[str]' is written ['string', 'null']")],
        ),
        (
            {"type": ["str", "string", "None"]},
            {"type": ["string", "null"]},
            [("type", "['str', 'string', 'None'] is written ['string', 'null']")],
        ),
        (
            {"type": "string", "enum": None, "items": None, "default": None, "x-note": None, "description": None},
            {"type": "string", "default": None, "x-note": None},
            [("enum", NULL), ("items", NULL), ("description", NULL)],
        ),
        ({"type": None}, {}, [("type", NULL)]),
        ({"properties": []}, {"properties": {}}, [("properties", "[] is written {}")]),
        ({"properties": None, "required": None}, {}, [("properties", NULL), ("required", NULL)]),
        (
            {"properties": {"a": None, "b": None}, "required": ["b"]},
            {"properties": {"b": {}}, "required": ["b"]},
            [
                (("properties", "a"), NULL),
                (("properties", "b"), "null is written {}: a required argument of any kind"),
            ],
        ),
        (
            {"properties": {"a": {"required": True}, "b": {"required": False}}, "required": ["c"]},
            {"properties": {"a": {}, "b": {}}, "required": ["c", "a"]},
            [
                (("properties", "a", "required"), "true is said by the list beside the properties"),
                (("properties", "b", "required"), "false is left out"),
            ],
        ),
        (
            {"anyOf": [{"type": "int"}], "items": {"not": {"type": "str"}}, "$defs": {"d": {"type": "dict"}}},
            {"anyOf": [{"type": "integer"}], "items": {"not": {"type": "string"}}, "$defs": {"d": {"type": "object"}}},
            [
                (("anyOf", 0, "type"), "'int' is written 'integer'"),
                (("items", "not", "type"), "'str' is written 'string'"),
                (("$defs", "d", "type"), "'dict' is written 'object'"),
            ],
        ),
        (
            {"properties": {"type": {"type": "str"}, "properties": {"type": "dict", "properties": {}}}},
            {"properties": {"type": {"type": "string"}, "properties": {"type": "object", "properties": {}}}},
            [
                (("properties", "type", "type"), "'str' is written 'string'"),
                (("properties", "properties", "type"), "'dict' is written 'object'"),
            ],
        ),
    ],
)
def test_what_has_one_reading_is_normalised(given_schema: Any, made: Any, changes: list[tuple[Any, str]]) -> None:
    before = deepcopy(given_schema)
    schema, found = normalised(given_schema)
    assert schema == made
    assert found == [((path,) if isinstance(path, str) else path, says) for path, says in changes]
    assert given_schema == before
    assert faults(given_schema) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": ["a"], "properties": {"a": {"type": ["string", "null"], "enum": ["x", None]}}},
        {"enum": ["dict"], "const": None, "default": {"type": "dict"}, "examples": [{"type": None}]},
        {"type": "array", "items": {"type": "integer"}, "x": {"type": "float"}},
        *({}, True, False, None, "dict", 3, [], ["dict"]),
    ],
)
def test_a_schema_that_needs_no_change_comes_back_as_the_same_object(schema: Any) -> None:
    made, changes = normalised(schema)
    assert made is schema
    assert changes == []


@given(json_values(20) | st.sampled_from(ODD_SCHEMAS))
def test_normalising_twice_changes_nothing_more(schema: Any) -> None:
    before = deepcopy(schema)
    made, changes = normalised(schema)
    assert schema == before
    assert (made is schema) == (not changes)
    assert normalised(made)[1] == []
    assert (validator(schema) is None) == bool(faults(schema))


CITY = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.mark.parametrize(
    ("function", "made", "changes"),
    [
        ({"name": "f", "parameters": CITY}, None, []),
        ({"name": "f", "strict": None}, None, []),
        ({"name": "f", "parameters": CITY, "required": ["town"]}, None, []),
        ({"name": "f", "parameters": None}, {"name": "f"}, [(("parameters",), NULL)]),
        (
            {"name": "f", "required": None, "parameters": CITY},
            {"name": "f", "parameters": CITY},
            [(("required",), "None beside the parameters is left out")],
        ),
        (
            {"name": "f", "parameters": {**CITY, "required": ["city"]}, "required": ["city"]},
            {"name": "f", "parameters": {**CITY, "required": ["city"]}},
            [(("required",), "['city'] beside the parameters is left out")],
        ),
        (
            {"name": "f", "parameters": {**CITY, "type": "dict"}, "required": ["city"]},
            {"name": "f", "parameters": {**CITY, "required": ["city"]}},
            [
                (("required",), "['city'] beside the parameters is moved into them"),
                (("parameters", "type"), "'dict' is written 'object'"),
            ],
        ),
    ],
)
def test_a_function_is_normalised_with_what_stands_beside_its_parameters(
    function: Any, made: Any, changes: Any
) -> None:
    before = deepcopy(function)
    found, says = normalised_function(function)
    assert says == changes
    assert found == (function if made is None else made)
    assert (found is function) == (made is None)
    assert function == before


# -- what stays invalid ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ("object", [((), "'object' is no JSON Schema, which is an object")]),
        (None, [((), "None is no JSON Schema, which is an object")]),
        ({"type": "town"}, [(("type",), "'town' is no type of JSON Schema")]),
        ({"type": 7}, [(("type",), "7 is no type of JSON Schema")]),
        ({"properties": {"a": {"type": "town"}}}, [(("properties", "a", "type"), "'town' is no type of JSON Schema")]),
        ({"properties": {"type": "dict"}}, [(("properties", "type"), "'dict' is not of type 'object' or 'boolean'")]),
        ({"required": "city"}, [(("required",), "'city' is not of type 'array'")]),
        ({"exclusiveMinimum": True}, [(("exclusiveMinimum",), "True is not of type 'number'")]),
        ({"items": [{}]}, [(("items",), "[{}] is not of type 'object' or 'boolean'")]),
        ({"type": "List[str]", "items": {}}, [(("type",), "'List[str]' is no type of JSON Schema")]),
        ({"$ref": "#/$defs/nowhere"}, [(("$ref",), "'#/$defs/nowhere' leads to nothing in the schema")]),
        (
            {"properties": {"a": {"$ref": "https://example.org/a.json"}}},
            [
                (
                    ("properties", "a", "$ref"),
                    "'https://example.org/a.json' leads out of the schema, and nothing is fetched",
                )
            ],
        ),
        ({"allOf": [{"$ref": "#a"}, {"$ref": "#a"}]}, [((), "Anchor 'a' does not exist")]),
        ({"pattern": "("}, [(("pattern",), '"(" is not a "regex"')]),
        (nested(100_000), [((), "the schema nests too deep to be read")]),
    ],
)
def test_what_is_invalid_is_named_and_gives_no_validator(schema: Any, found: list[Any]) -> None:
    assert faults(schema) == found
    assert validator(schema) is None


def test_an_older_draft_is_read_as_itself() -> None:
    pair = {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}, {"type": "integer"}]}
    made = validator(pair)
    assert made is not None
    assert made.accepts(["a", 1])
    assert made.violations(["a", "b"]) == [((1,), "'b' is not of type 'integer'")]
    assert validator({**pair, "$schema": "https://json-schema.org/draft/2020-12/schema"}) is None


def test_nothing_is_fetched(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text('{"type": "string"}')
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        for uri in (url, file.as_uri(), f"{file.as_uri()}#", str(file), "schema.json", "urn:a"):
            for schema in (
                {"$ref": uri},
                {"$dynamicRef": uri},
                {"type": "object", "properties": {"a": {"$ref": uri}}},
                {"$id": uri.removesuffix("#"), "properties": {"a": {"$ref": "other.json"}}},
                {"$schema": uri, "type": "object", "properties": {"a": {"$ref": f"{uri}/x"}}},
                {"$defs": {"a": {"$id": uri.removesuffix("#"), "$ref": "b.json"}}, "$ref": "#/$defs/a"},
            ):
                assert validator(schema) is None, schema
                assert faults(schema), schema
        dialect = validator(
            {"$schema": url, "type": "object", "properties": {"a": {"$schema": url, "type": "integer"}}}
        )
        assert dialect is None or dialect.violations({"a": "x"})
        with pytest.raises(TimeoutError):
            server.accept()


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "dict", "required": ["a"]}, {}, [((), "'a' is missing")]),
        ({"properties": {"a": {"type": "int"}}}, {"a": "1"}, [(("a",), "'1' is not of type 'integer'")]),
        ({"type": ["string", "null"]}, 1, [((), "1 is not of type 'string' or 'null'")]),
        ({"enum": ["x", "y"]}, "z", [((), "'z' is not one of ['x', 'y']")]),
        (
            {"additionalProperties": False},
            {"a": 1},
            [((), "Additional properties are not allowed ('a' was unexpected)")],
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]},
            {"y": 1},
            [((), "'x' is missing")],
        ),
        ({"minimum": 3}, 2, [((), "2 is less than the minimum of 3")]),
        ({"maxLength": 5}, "long" * 100, [((), f"{'long' * 15!r}… breaks 'maxLength': 5")]),
        ({"multipleOf": 0.1}, 0.35, [((), "0.35 is not a multiple of 0.1")]),
        ({"multipleOf": 0.1}, 0.3, []),
        ({"uniqueItems": True}, [1, 1.0], [((), "[1, 1.0] holds an item twice, which is against 'uniqueItems': True")]),
        ({"uniqueItems": True}, [1, True], []),
        ({"type": "integer"}, 1.0, []),
        ({"type": "integer"}, True, [((), "True is not of type 'integer'")]),
        ({"maximum": 2**70}, 2**71, [((), f"{2**71} is greater than the maximum of {2**70}")]),
        ({"type": "integer"}, 2**200, []),
        ({"format": "date"}, "yesterday", []),
        ({"patternProperties": {"^a": False}}, {"ab": 1}, [(("ab",), "False schema does not allow 1")]),
        ({"maxLength": 1}, "\ud800", []),
        ({"maxLength": 1}, "\ud800a", [((), "'\\ud800a' is too long")]),
        ({"type": "array", "items": {"pattern": "^a$"}}, ["\ud800"], [((0,), '"?" does not match "^a$"')]),
    ],
)
def test_violations_name_the_place_and_what_is_wrong(schema: Any, value: Any, found: list[Any]) -> None:
    made = validator(schema)
    assert made is not None
    assert made.violations(value) == found
    assert made.accepts(value) == (not found)


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "^(a+)+$"},
        {"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "^(a+)+$", "anyOf": [{"$ref": "#"}]},
        {"allOf": [{"$schema": "https://json-schema.org/draft/2020-12/schema", "pattern": "^(a+)+$"}]},
    ],
)
def test_a_hostile_pattern_takes_no_time(schema: Any) -> None:
    made = validator(schema)
    assert made is not None
    assert len(made.violations("a" * 50 + "b")) > 0


@pytest.mark.parametrize(
    "schema", [{"$ref": "#"}, {"not": {"$ref": "#"}}, {"allOf": [{"$ref": "#"}, {"type": "null"}]}]
)
def test_a_schema_that_refers_to_itself_gets_an_answer(schema: Any) -> None:
    made = validator(schema)
    assert made is not None
    assert made.accepts(1) == (not made.violations(1))


def test_arguments_that_nest_too_deep_are_not_accepted() -> None:
    made = validator({"type": "string"})
    assert made is not None
    assert made.violations(nested(100_000)) == [((), "the arguments nest too deep to be checked")]


def test_of_many_violations_the_first_are_named() -> None:
    made = validator({"items": {"type": "string"}})
    assert made is not None
    assert made.violations(list(range(100)), most=2) == [((k,), f"{k} is not of type 'string'") for k in range(2)]


def schemas() -> st.SearchStrategy[Any]:
    """Valid schemas of draft 2020-12, without what the two libraries are known to differ in."""
    name = st.sampled_from(["a", "b", "city"])
    leaf = st.one_of(
        st.sampled_from(["string", "integer", "number", "boolean", "null", "array", "object"]).map(
            lambda t: {"type": t}
        ),
        st.builds(lambda v: {"const": v}, json_values(3)),
        st.builds(lambda v: {"enum": v}, st.lists(json_values(2), max_size=3)),
        st.fixed_dictionaries({}, optional={"minimum": st.integers(), "maximum": st.floats(-9, 9)}),
        st.fixed_dictionaries({}, optional={"minLength": st.integers(0, 4), "maxLength": st.integers(0, 9)}),
        st.fixed_dictionaries({}, optional={"minItems": st.integers(0, 3), "uniqueItems": st.booleans()}),
        st.fixed_dictionaries({"multipleOf": st.integers(1, 9)}),
        st.fixed_dictionaries({"pattern": st.sampled_from(["^a", "o$", "[0-9]+", ".", "^$"])}),
        st.fixed_dictionaries({"required": st.lists(name, unique=True)}),
        st.fixed_dictionaries({"format": st.sampled_from(["date", "email", "uri"])}),
        st.booleans(),
    )
    whole = st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.fixed_dictionaries(
                {"properties": st.dictionaries(name, inner, max_size=3)},
                optional={"additionalProperties": inner, "required": st.lists(name, unique=True)},
            ),
            st.fixed_dictionaries({"items": inner}, optional={"prefixItems": st.lists(inner, min_size=1, max_size=2)}),
            st.fixed_dictionaries({"contains": inner}),
            st.fixed_dictionaries({"propertyNames": inner}),
            st.dictionaries(st.sampled_from(["anyOf", "oneOf", "allOf"]), st.lists(inner, min_size=1), max_size=1),
            st.builds(lambda i, t, e: {"if": i, "then": t, "else": e}, inner, inner, inner),
            st.builds(lambda s: {"not": s}, inner),
        ),
        max_leaves=6,
    )
    return whole | whole.map(lambda s: {"$defs": {"s": s}, "properties": {"a": {"$ref": "#/$defs/s"}}})


def values() -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(["a", "b", "city", "x"]), json_values(3), max_size=3)
    return fields | json_values() | st.lists(json_values(2), max_size=3)


@settings(max_examples=400)
@given(schemas(), values())
def test_both_libraries_give_one_verdict(schema: Any, value: Any) -> None:
    reference: Any = jsonschema.Draft202012Validator(schema, registry=REGISTRY)
    made = validator(schema)
    assert made is not None, faults(schema)
    assert made.accepts(value) == reference.is_valid(value), json.dumps(schema)
    assert made.accepts(value) == (not made.violations(value))
