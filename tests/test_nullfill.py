"""Nulls that Arrow fills in: those that a schema proves are taken out, every other one stays and is reported."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_sft.ingesting.ingest import expand
from qwen_sft.pipeline import Outcome, Pipeline, outcomes
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings
from qwen_sft.shaping.nullfill import DOUBT_KEY, METADATA_KEY, admits_null, null_arguments, repaired, without_fillers

# -- what a schema says of a null -----------------------------------------------------------------------------------

REFUSING: tuple[Any, ...] = (
    *({"type": "string"}, {"type": ["string", "integer"]}, {"enum": ["a", "b"]}, {"const": 1}, False),
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"oneOf": [{"enum": [1]}, {"const": "x"}]},
    {"allOf": [{}, {"type": "object"}]},
    *({"$ref": "#/$defs/text"}, {"$ref": "#/$defs/again"}, {"type": ["string", "null"], "enum": ["a"]}),
)
ADMITTING: tuple[Any, ...] = (
    *({}, True, {"type": "null"}, {"type": ["string", "null"]}, {"enum": ["a", None]}, {"description": "any"}),
    {"type": "string", "nullable": True},
    {"anyOf": [{"type": "string"}, {"type": "null"}]},
    {"oneOf": [{"type": "string"}, {}]},
    *({"$ref": "#/$defs/maybe"}, {"$ref": "#/$defs/loop"}, {"$ref": "#/$defs/nowhere"}, {"$ref": "https://x.invalid"}),
)
DEFS = {
    "text": {"type": "string"},
    "again": {"$ref": "#/$defs/text"},
    "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    "loop": {"$ref": "#/$defs/loop"},
}


@pytest.mark.parametrize("schema", REFUSING, ids=json.dumps)
def test_null_on_an_optional_property_that_is_never_null_is_a_filler(schema: Any):
    root = {"type": "object", "properties": {"x": schema}, "$defs": DEFS}
    assert list(null_arguments({"x": None}, root)) == [(("x",), "filler")]
    assert list(null_arguments({"x": None}, {**root, "required": ["x"]})) == [(("x",), "required")]


@pytest.mark.parametrize("schema", ADMITTING, ids=json.dumps)
def test_null_that_a_schema_may_allow_is_none(schema: Any):
    root = {"type": "object", "properties": {"x": schema}, "$defs": DEFS}
    assert admits_null(schema, root)
    assert list(null_arguments({"x": None}, root)) == [(("x",), "nullable")]


def test_null_on_a_property_that_is_not_declared_is_told_apart():
    declared = {"type": "object", "properties": {"x": {"type": "string"}}}
    assert list(null_arguments({"y": None}, declared)) == [(("y",), "undeclared")]
    assert list(null_arguments({"y": None}, {**declared, "additionalProperties": False})) == [(("y",), "filler")]
    typed = {**declared, "additionalProperties": {"type": "integer"}}
    assert list(null_arguments({"y": None}, typed)) == [(("y",), "filler")]
    for free in ({}, {"type": "object"}, None, True):
        assert list(null_arguments({"y": None}, free)) == [(("y",), "free")]


def test_nulls_are_found_in_what_arguments_hold():
    point = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x"]}
    schema = {
        "type": "object",
        "properties": {
            "at": {"$ref": "#/$defs/point"},
            "many": {"type": "array", "items": {"$ref": "#/$defs/point"}},
            "maybe": {"anyOf": [{"$ref": "#/$defs/point"}, {"type": "null"}]},
            "both": {"allOf": [{"$ref": "#/$defs/point"}, {"required": ["y"]}]},
            "either": {"oneOf": [{"type": "string"}, {"$ref": "#/$defs/point"}]},
        },
        "$defs": {"point": point},
    }
    one = {"x": None, "y": None}
    given = {"at": one, "many": [one, None], "maybe": one, "both": one, "either": one}
    assert list(null_arguments(given, schema)) == [
        *((("at", "x"), "required"), (("at", "y"), "filler"), (("many", 0, "x"), "required")),
        *((("many", 0, "y"), "filler"), (("maybe", "x"), "required"), (("maybe", "y"), "filler")),
        *(
            (("both", "x"), "required"),
            (("both", "y"), "required"),
            (("either", "x"), "free"),
            (("either", "y"), "free"),
        ),
    ]


# -- what Arrow fills in is taken out again --------------------------------------------------------------------------

LEAVES: dict[str, Any] = {
    "string": st.text(max_size=5),
    "integer": st.integers(-(2**40), 2**40),
    "boolean": st.booleans(),
    "number": st.floats(-1e6, 1e6),
}


def schemas() -> Any:
    """Object schemas whose properties are never null, some of them required, to any depth."""
    leaf = st.sampled_from(sorted(LEAVES)).map(lambda kind: {"type": kind})

    def of(inner: Any) -> Any:
        return objects(inner) | inner.map(lambda items: {"type": "array", "items": items})

    def objects(inner: Any) -> Any:
        properties = st.dictionaries(st.sampled_from("abcde"), inner, min_size=1, max_size=4)
        return properties.flatmap(
            lambda named: st.sets(st.sampled_from(sorted(named))).map(
                lambda needed: {"type": "object", "properties": named, "required": sorted(needed)}
            )
        )

    return objects(st.recursive(leaf, of, max_leaves=6))


def values(schema: dict[str, Any]) -> Any:
    """Values that keep to such a schema."""
    if schema["type"] == "array":
        return st.lists(values(schema["items"]), max_size=3)
    if schema["type"] != "object":
        return LEAVES[schema["type"]]
    needed = schema["required"]
    every = {name: values(inner) for name, inner in schema["properties"].items()}
    return st.fixed_dictionaries(
        {name: one for name, one in every.items() if name in needed},
        optional={name: one for name, one in every.items() if name not in needed},
    )


def structs_of(kind: Any, name: str) -> set[tuple[str, frozenset[str]]]:
    if not pa.types.is_struct(kind):
        return structs_of(kind.value_type, name) if pa.types.is_list(kind) else set()
    fields = [kind.field(i) for i in range(kind.num_fields)]
    inner = [structs_of(field.type, field.name) for field in fields]
    return {(name, frozenset(field.name for field in fields))}.union(*inner)


def called(arguments: Any, schema: Any) -> Sample:
    call: Any = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    return {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}], "tools": tools}


@settings(max_examples=300, deadline=None)
@given(data=st.data(), schema=schemas())
def test_arguments_that_arrow_unified_are_had_back(data: st.DataObject, schema: dict[str, Any]):
    originals = data.draw(st.lists(values(schema), min_size=1, max_size=5))
    column = pa.array(originals)
    structs = frozenset(structs_of(column.type, "arguments"))
    for original, stored in zip(originals, column.to_pylist(), strict=True):
        given_sample = called(stored, schema)
        before = json.dumps(given_sample)
        made = repaired(given_sample, structs)
        assert made["messages"] == called(original, schema)["messages"]
        assert json.dumps(given_sample) == before
        assert (METADATA_KEY in made.get("metadata", {})) == (stored != original)


def test_object_that_no_struct_made_keeps_its_nulls():
    schema = {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "string"}}}
    sample = called({"x": "a", "y": None}, schema)
    assert (
        repaired(sample, frozenset({("args", frozenset({"x", "y", "z"})), ("properties", frozenset({"x", "y"}))}))
        is sample
    )
    (call,) = repaired(sample, frozenset({("args", frozenset({"x", "y"}))}))["messages"][0]["tool_calls"]
    assert call["function"]["arguments"] == {"x": "a"}


def test_tool_loses_the_nulls_that_are_no_json_schema_and_no_other():
    city = {"type": "string", "enum": None, "default": None, "const": None, "items": None}
    maybe = {"type": None, "enum": None, "default": None, "const": None, "items": None}
    parameters = {"type": "object", "properties": {"city": city, "any": maybe, "n": None}, "required": None}
    function = {"name": "f", "description": None, "parameters": parameters, "strict": None}
    objects = {"city": city, "parameters": parameters, "properties": parameters["properties"], "function": function}
    structs = frozenset((name, frozenset(one)) for name, one in {**objects, "any": maybe}.items())
    made = repaired({"messages": [], "tools": [{"type": "function", "function": function}]}, structs)
    assert made == {
        "messages": [],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "f",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "city": {"type": "string", "default": None},
                            "any": {"default": None, "const": None},
                        },
                    },
                },
            }
        ],
        "metadata": {METADATA_KEY: 10},
    }


def test_nulls_around_messages_go_and_what_says_something_stays():
    call = {"id": None, "function": {"name": "f", "arguments": {"x": None}}}
    turn = {"role": "assistant", "content": None, "tool_calls": [call], "name": None}
    own = {"name": None, "other": 1}
    row = {"messages": [turn], "tools": None, "own": own}
    objects = {"": row, "messages": turn, "tool_calls": call, "function": call["function"], "arguments": {"x": None}}
    structs = frozenset((name, frozenset(one)) for name, one in objects.items())
    assert without_fillers(row, structs) == {
        "messages": [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": {"name": "f", "arguments": {"x": None}}}],
            }
        ],
        "own": own,
    }


# -- a table, end to end ----------------------------------------------------------------------------------------------


def tool(name: str, properties: dict[str, Any], required: list[str], **more: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": required, **more}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": parameters}}


def conversation(tools: list[Any], name: str, arguments: Any) -> dict[str, Any]:
    call = {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": "Do it."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
            {"role": "assistant", "content": "Done."},
        ],
        "tools": tools,
    }


TEXT, NUMBER = {"type": "string", "description": "A text."}, {"type": "integer", "minimum": 0}
OPEN = tool("look", {"city": TEXT, "days": NUMBER}, ["city"])
CLOSED = tool("stop", {"why": TEXT}, [], additionalProperties=False)


def checked(folder: Path, rows: list[dict[str, Any]], name: str = "a.parquet") -> list[Outcome]:
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), folder / name)
    else:
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(outcomes(expand([str(folder / name)]), Pipeline(Settings())))


def said(outcome: Outcome) -> list[tuple[str, str, str]]:
    return [(d.code, d.severity.value, d.says) for d in outcome.diagnostics]


def test_rows_of_a_table_are_what_they_were_before(tmp_path: Path):
    rows = [
        conversation([OPEN], "look", {"city": "Oslo"}),
        conversation([OPEN], "look", {"city": "Rome", "days": 2}),
        conversation([CLOSED], "stop", {"why": "tired"}),
        conversation([CLOSED], "stop", {}),
    ]
    stored = pa.Table.from_pylist(rows).to_pylist()
    assert stored[3]["messages"][1]["tool_calls"][0]["function"]["arguments"] == {
        "city": None,
        "days": None,
        "why": None,
    }
    plain = checked(tmp_path, rows, "a.jsonl")
    made = checked(tmp_path, rows)
    samples = [[c.sample for c in one.conversations] for one in made]
    assert [s[0]["tools"] for s in samples] == [one.conversations[0].sample["tools"] for one in plain]
    assert [s[0]["messages"] for s in samples[2:]] == [one.conversations[0].sample["messages"] for one in plain[2:]]
    assert all(s[0].get("metadata", {})[METADATA_KEY] > 0 for s in samples)
    undeclared = "the call of 'look' gives null for why, which its tool does not declare"
    assert [said(one) for one in made] == [*[[("TOL022", "error", undeclared)]] * 2, [], []]


def test_null_that_is_legal_or_required_is_left_and_reported_in_a_table_alone(tmp_path: Path):
    maybe = {"type": ["string", "null"], "description": "A text, or none."}
    tools = [tool("look", {"city": TEXT, "unit": maybe, "must": maybe}, ["must"])]
    rows = [conversation(tools, "look", {"city": None, "unit": None, "must": None}) for _ in range(2)]
    rows.append(conversation(tools, "look", {"city": "Oslo", "unit": "C", "must": "x"}))
    (one, _, clean) = checked(tmp_path, rows)
    assert said(clean) == []
    given = one.conversations[0].sample["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert given == {"unit": None, "must": None}
    assert [(code, severity) for code, severity, _ in said(one)] == [("TOL022", "warning")] * 2
    assert [text.partition(":")[0] for _, _, text in said(one)] == [
        "the call of 'look' gives null for unit, which the schema allows",
        "the call of 'look' gives null for must, where a value is required",
    ]
    assert [said(line) for line in checked(tmp_path, [conversation(tools, "look", {"must": None})], "a.jsonl")] == [[]]


def test_copy_of_a_table_is_doubted_as_the_table_is(tmp_path: Path):
    maybe = {"type": ["string", "null"], "description": "A text, or none."}
    look, free = tool("look", {"unit": maybe, "city": TEXT}, []), tool("free", {}, [])
    rows = [
        conversation([look], "look", {"unit": "C", "city": "Oslo"}),
        conversation([look], "look", {}),
        conversation([free], "free", {}),
    ]
    made = checked(tmp_path, rows)
    allowed = "the call of 'look' gives null for unit, which the schema allows: "
    allowed += "nothing tells whether the model wrote it or Arrow filled it in"
    unsaid = "the call of 'free' gives null for unit, city, of which its tool's schema says nothing"
    expected = [[], [("TOL022", "warning", allowed)], [("TOL022", "error", unsaid)]]
    assert [said(one) for one in made] == expected
    samples: list[Any] = [one.conversations[0].sample for one in made]
    assert [one.get("metadata", {}).get(DOUBT_KEY) for one in samples] == [None, 1, 2]
    assert [said(one) for one in checked(tmp_path, samples, "a.jsonl")] == expected


def test_arguments_kept_as_text_keep_their_nulls(tmp_path: Path):
    maybe = tool("look", {"city": TEXT, "unit": {"type": ["string", "null"]}}, [])
    rows = [conversation([maybe], "look", json.dumps({"city": "Oslo", "unit": None}))] * 2
    for one in checked(tmp_path, rows):
        assert said(one) == []
        call = one.conversations[0].sample["messages"][1]["tool_calls"][0]
        assert call["function"]["arguments"] == {"city": "Oslo", "unit": None}


def test_line_of_json_with_a_null_for_another_tool_s_argument_is_warned_of(tmp_path: Path):
    (one,) = checked(tmp_path, [conversation([OPEN], "look", {"city": "Oslo", "why": None})], "a.jsonl")
    assert said(one) == [
        ("TOL022", "warning", "the call of 'look' gives null for why, which its tool does not declare")
    ]
    assert one.diagnostics[0].json_path == "$.messages[1].tool_calls[0].function.arguments.why"
    assert not one.rejected
