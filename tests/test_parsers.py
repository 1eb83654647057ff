"""Each parser answers as the real one of its versions does: for recorded outputs, for our own, and for any text."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import qwen_sft.parsers
from qwen_sft.parser import Parsed, ToolParser, parsers
from qwen_sft.serving.reasoning import (
    split_reasoning,
    split_reasoning_r1,
    split_reasoning_sglang,
    split_reasoning_to_0_23,
)
from qwen_sft.serving.server import NEWEST

CASES = Path(__file__).parents[2] / "shared" / "data" / "parser_cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no recorded outputs of the real parsers at {CASES}")

PARSERS = parsers()
XML = [name for name, parser in PARSERS.items() if parser.wire == "qwen3_coder"]
every_parser = pytest.mark.parametrize("parser", PARSERS.values(), ids=list(PARSERS))

RECORDED = {
    "vllm0.33/hermes": "vllm_hermes",
    "vllm0.33/qwen3_coder": "vllm_qwen3_coder",
    "vllm0.20/qwen3_coder": "vllm_qwen3_coder_to_0_21",
    "vllm0.20/qwen3_xml": "vllm_qwen3_xml_to_0_22",
    "sglang0.5.23/qwen25": "sglang_qwen",
    "sglang0.5.23/qwen3_coder": "sglang_qwen3_coder",
    "sglang0.5.23/hermes": "sglang_hermes",
}
"""Who was recorded, and who is to answer like that."""

AS_RECORDED = {"vllm0.33/qwen3_coder": False}
"""How they were run, but for alone: this one as it runs behind a reasoning parser that found nothing to part."""

THINKING = {"vllm0.33/qwen3 thinking": True, "vllm0.33/qwen3 enable_thinking=false": False}


def spelled(value: Any) -> str:
    """JSON, in which 1, 1.0 and true are three things and the order of keys is not."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def as_recorded(parsed: Parsed) -> dict[str, Any]:
    return {"content": parsed.content, "calls": [list(call) for call in parsed.calls]}


def recorded(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def tool(name: str = "f", **properties: Any) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": properties}},
    }


def call(**values: str) -> str:
    """A call of `f` as the XML templates write it."""
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<tool_call>\n<function=f>\n{parameters}</function>\n</tool_call>"


def read(name: str, text: str, *tools: dict[str, Any], thinking: bool | None = None) -> Parsed:
    return PARSERS[name].read(text, tools, thinking=thinking)


def value_read(name: str, value: str, schema: Any) -> Any:
    """What one parameter becomes under a schema; "lost" where it does not come back in one call."""
    calls = read(name, call(k=value), tool(k=schema)).calls
    return calls[0][1]["k"] if len(calls) == 1 and isinstance(calls[0][1], dict) and "k" in calls[0][1] else "lost"


# -- the shelf ---------------------------------------------------------------------------------------------------------


def test_parsers_are_named_as_their_files():
    files = sorted(path.stem for path in Path(qwen_sft.parsers.__path__[0]).glob("*.py") if path.stem != "__init__")
    assert list(PARSERS) == files


def test_every_version_has_one_parser_for_each_way_to_write_calls():
    versions = [
        *(("vllm", (0, minor, patch)) for minor in range(19, 34) for patch in (0, 1)),
        *(("sglang", (0, 5, patch)) for patch in range(20, 24)),
    ]
    assert len(versions) == 34
    for server, version in versions:
        for wire in ("hermes", "qwen3_coder"):
            found = [
                name
                for name, parser in PARSERS.items()
                if parser.recommended and (parser.server, parser.wire) == (server, wire) and parser.runs_in(version)
            ]
            assert len(found) == 1, (server, version, wire, found)
    assert {parser.server for parser in PARSERS.values()} == set(NEWEST)
    assert len(PARSERS) >= 12


# -- recorded outputs of the real parsers ------------------------------------------------------------------------------


@needs_cases
@pytest.mark.parametrize("column", RECORDED)
@pytest.mark.parametrize(("name", "n_cases"), [("json_hermes", 38), ("xml_qwen3_coder", 122)])
def test_every_recorded_output_is_reproduced(column: str, name: str, n_cases: int):
    cases = recorded(name)
    n_equal = n_not_json = 0
    for each in cases:
        parsed = read(RECORDED[column], each["text"], *each["tools"], thinking=AS_RECORDED.get(column))
        expected = each["oracles"][column]
        if "error" in expected:  # the recorder could not read the arguments as JSON: they are passed on as text
            assert any(isinstance(arguments, str) for _, arguments in parsed.calls), each["id"]
            n_not_json += 1
        else:
            assert spelled(as_recorded(parsed)) == spelled(expected), each["id"]
            n_equal += 1
    n_expected_not_json = 8 if (column, name) == ("vllm0.20/qwen3_xml", "xml_qwen3_coder") else 0
    assert (n_equal, n_not_json) == (n_cases - n_expected_not_json, n_expected_not_json)
    assert set(cases[0]["oracles"]) == set(RECORDED)


@needs_cases
@pytest.mark.parametrize("column", THINKING)
def test_every_recorded_reasoning_is_reproduced(column: str):
    cases = recorded("reasoning_qwen3")
    assert len(cases) == 9
    for each in cases:
        parsed = read("vllm_qwen3_coder", each["text"], thinking=THINKING[column])
        assert spelled({"reasoning": parsed.reasoning, **as_recorded(parsed)}) == spelled(each[column]), each["id"]
        assert split_reasoning(each["text"], thinking=THINKING[column])[0] == each[column]["reasoning"], each["id"]


# -- reasoning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\nR\n</think>\n\nC", ("\nR\n", "\n\nC")),
        ("R</think>", ("R", None)),
        ("</think>C", (None, "C")),
        ("no end", ("no end", None)),
        ("", (None, None)),
        ("R<tool_call>x", ("R", "<tool_call>x")),
        ("R<function=f>", ("R<function=f>", None)),
        ("R</think>A</think>B<think>", ("R", "AB<think>")),
        ("R<|im_start|></think>A<|im_end|>", ("R", "A")),
    ],
)
def test_reasoning_is_split(text: str, expected: tuple[str | None, str | None]):
    assert split_reasoning(text, thinking=True) == expected
    assert split_reasoning(text, thinking=False) == (None, text)


@pytest.mark.parametrize(
    ("text", "thinking", "to_0_23", "sglang"),
    [
        ("<think>\nR\n</think>\n\nC", True, ("\nR\n", "\n\nC"), ("\nR\n", "\n\nC")),
        ("a<think>R</think>C", True, ("R", "C"), ("a<think>R", "C")),
        ("R</think>A</think>B", True, ("R", "A</think>B"), ("R", "A</think>B")),
        ("<tool_call>a</think>b", True, ("<tool_call>a", "b"), ("<tool_call>a", "b")),
        ("R<tool_call>x", True, ("R", "<tool_call>x"), ("R", "<tool_call>x")),
        ("no end", True, ("no end", None), ("no end", None)),
        ("C", False, (None, "C"), (None, "C")),
        ("A</think>C", False, ("A", "C"), (None, "A</think>C")),
        ("<think>A</think>C", False, ("A", "C"), ("A", "C")),
    ],
)
def test_reasoning_is_split_otherwise_by_older_vllm_and_by_sglang(
    text: str, thinking: bool, to_0_23: tuple[str | None, str | None], sglang: tuple[str | None, str | None]
):
    assert split_reasoning_to_0_23(text, thinking=thinking) == to_0_23
    assert split_reasoning_sglang(text, thinking=thinking) == sglang


def test_a_closing_think_tag_stays_where_no_reasoning_parser_runs_since_0_30():
    text = f"R</think>C\n{call(s='v')}"
    assert read("vllm_qwen3_coder", text) == Parsed("R</think>C", F)
    assert read("vllm_qwen3_coder_to_0_32", text) == Parsed("R</think>C", F)
    assert read("vllm_qwen3_coder_to_0_29", text) == Parsed("RC", F)
    assert read("vllm_qwen3_coder", text, thinking=False) == Parsed("RC", F)


def test_deepseek_r1_ends_reasoning_at_its_tag_only():
    assert split_reasoning_r1("<think>R</think>\n\nC") == ("R", "\n\nC")
    assert split_reasoning_r1("R<tool_call>x") == ("R<tool_call>x", None)
    assert split_reasoning_r1("R</think>") == ("R", None)


def test_a_block_in_the_reasoning_ends_it():
    text = f"R\n{call(s='v')}"
    for name in XML:
        assert read(name, text, tool(s={"type": "string"}), thinking=True).calls == (("f", {"s": "v"}),), name
        assert read(name, text, tool(s={"type": "string"}), thinking=True).reasoning == "R\n", name
    text = "R <function=f></function>"
    assert read("vllm_qwen3_coder", text, thinking=True) == Parsed(None, (), text)


def test_hermes_behind_a_reasoning_parser_loses_tags_inside_of_strings():
    text = 'R\n</think>\n\n<tool_call>{"name": "f", "arguments": {"s": "a </think> b <|im_end|> c"}}</tool_call>'
    assert read("vllm_hermes", text, thinking=True) == Parsed("\n\n", (("f", {"s": "a  b  c"}),), "R\n")
    whole = ("f", {"s": "a </think> b <|im_end|> c"})
    assert read("vllm_hermes", text, thinking=False) == Parsed("R\n</think>\n\n", (whole,), None)
    assert read("vllm_hermes_to_0_23", text, thinking=True) == Parsed("\n\n", (whole,), "R\n")
    assert read("vllm_hermes", "R", thinking=True) == Parsed(None, (), "R")


# -- JSON calls --------------------------------------------------------------------------------------------------------

ONE = '<tool_call>\n{"name": "f", "arguments": {"s": "v"}}\n</tool_call>'
F = (("f", {"s": "v"}),)


@pytest.mark.parametrize(
    ("text", "vllm", "qwen", "hermes"),
    [
        pytest.param("Hi\n", Parsed("Hi\n", ()), Parsed("Hi\n", ()), Parsed("Hi\n", ()), id="no call"),
        pytest.param("", Parsed("", ()), Parsed("", ()), Parsed("", ()), id="nothing"),
        pytest.param(ONE, Parsed(None, F), Parsed("", F), Parsed("", F), id="one call"),
        pytest.param(f"Hi \n{ONE}", Parsed("Hi \n", F), Parsed("Hi", F), Parsed("Hi", F), id="content"),
        pytest.param(
            f"{ONE} bye {ONE} x", Parsed(None, F * 2), Parsed("", F * 2), Parsed("", F * 2), id="text after a call"
        ),
        pytest.param(
            ONE.removesuffix("</tool_call>"), Parsed(None, F), Parsed("", ()), Parsed("", F), id="last block open"
        ),
        pytest.param(
            ONE.replace("\n", ""),
            Parsed(None, F),
            Parsed(ONE.replace("\n", ""), ()),
            Parsed("", F),
            id="no newlines",
        ),
        pytest.param(
            f"{ONE}<tool_call>\nx\n</tool_call>{ONE}",
            Parsed(f"{ONE}<tool_call>\nx\n</tool_call>{ONE}", ()),
            Parsed("", F * 2),
            Parsed(f"{ONE}<tool_call>\nx\n</tool_call>{ONE}", ()),
            id="one bad block",
        ),
        pytest.param(
            '<tool_call>\n{"name": "f", "arguments": "{}"}\n</tool_call>',
            *(Parsed(None, (("f", "{}"),)), Parsed("", (("f", "{}"),)), Parsed("", (("f", "{}"),))),
            id="arguments in a string stay one",
        ),
        pytest.param(
            '<tool_call>\n{"name": "f"}\n</tool_call>',
            Parsed('<tool_call>\n{"name": "f"}\n</tool_call>', ()),
            *(Parsed("", (("f", {}),)), Parsed("", (("f", {}),))),
            id="no arguments",
        ),
        pytest.param(
            '<tool_call>\n{"name": "f", "parameters": {"s": "v"}}\n</tool_call>',
            Parsed('<tool_call>\n{"name": "f", "parameters": {"s": "v"}}\n</tool_call>', ()),
            *(Parsed("", F), Parsed("", F)),
            id="parameters for arguments",
        ),
        pytest.param(
            '<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
            *(Parsed(None, (("g", {}),)), Parsed("", ()), Parsed("", ())),
            id="a tool that nobody declared",
        ),
        pytest.param(
            "<tool_call>\n[1]\n</tool_call>",
            *(Parsed("<tool_call>\n[1]\n</tool_call>", ()),) * 3,
            id="JSON that is no call",
        ),
        pytest.param(
            '<tool_call>\n{"name": "f", "arguments": {"s": "</tool_call>"}}\n</tool_call>',
            Parsed('<tool_call>\n{"name": "f", "arguments": {"s": "</tool_call>"}}\n</tool_call>', ()),
            Parsed("", (("f", {"s": "</tool_call>"}),)),
            Parsed('<tool_call>\n{"name": "f", "arguments": {"s": "</tool_call>"}}\n</tool_call>', ()),
            id="the closing tag in a string",
        ),
    ],
)
def test_json_calls_are_read(text: str, vllm: Parsed, qwen: Parsed, hermes: Parsed):
    declared = tool(s={"type": "string"})
    assert read("vllm_hermes", text, declared) == vllm
    assert read("vllm_hermes_to_0_23", text, declared) == vllm
    assert read("sglang_qwen", text, declared) == qwen
    assert read("sglang_hermes", text, declared) == hermes


# -- XML calls: which text is which ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Just text.\n", Parsed("Just text.\n", ()), id="no call, not stripped"),
        pytest.param("", Parsed(None, ()), id="nothing"),
        pytest.param("\n", Parsed("\n", ()), id="only whitespace"),
        pytest.param(call(s="v"), Parsed(None, F), id="one call"),
        pytest.param(
            f"\nHi\n\n{call(s='1')}\nand\n{call(s='2')}\nbye",
            Parsed("Hi", (("f", {"s": "1"}), ("f", {"s": "2"}))),
            id="content stripped, text after the first call lost",
        ),
        pytest.param("<function=f>\n</function>", Parsed(None, (("f", {}),)), id="no <tool_call> around it"),
        pytest.param(
            "<tool_call><function=f></function><function=g></function></tool_call>",
            Parsed(None, (("f", {}), ("g", {}))),
            id="two functions in one block",
        ),
        pytest.param("Write <function=f> to call.", Parsed("Write", (("f", {}),)), id="prose that starts a call"),
        pytest.param("Use <tool_call> so.", Parsed("Use ", ()), id="prose that opens a block"),
        pytest.param(f"A {ONE} B", Parsed("A  B", ()), id="a JSON block is lost, the text around it kept"),
        pytest.param(f"\n{ONE}\n", Parsed(None, ()), id="whitespace around a lost block goes too"),
        pytest.param("<function=>\n</function>", Parsed(None, ()), id="no name"),
        pytest.param(f"<function=>{ONE}", Parsed(None, (("f", {}),)), id="a name out of the body"),
        pytest.param("<function= f >\n</function>", Parsed(None, (("f", {}),)), id="the name is stripped"),
        pytest.param("<function=f</tool_call>A", Parsed(None, (("f", {}),)), id="name closed by its block"),
        pytest.param("<function=f<function=g", Parsed(None, (("f", {}), ("g", {}))), id="name closed by the next"),
        pytest.param("<function=f<tool_call>g", Parsed(None, (("f", {}),)), id="name closed by the next block"),
        pytest.param(
            "<function=f</parameter>g>", Parsed(None, (("f</parameter>g", {}),)), id="a whole tag closes no name"
        ),
    ],
)
def test_vllm_reads_turns(text: str, expected: Parsed):
    assert read("vllm_qwen3_coder", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Just text.\n", Parsed("Just text.\n", ()), id="no call"),
        pytest.param(f"\nHi\n\n{call(s='v')}\nbye", Parsed("\nHi\n\n", F), id="content is not stripped"),
        pytest.param("<function=f>\n</function>", Parsed(None, (("f", {}),)), id="no <tool_call> around it"),
        pytest.param("Use <tool_call> so.", Parsed("Use <tool_call> so.", ()), id="prose that opens a block"),
        pytest.param(f"A {ONE} B", Parsed(f"A {ONE} B", ()), id="a JSON block is text"),
        pytest.param(f"A {ONE}<function=f>", Parsed(f"A {ONE}<function=f>", ()), id="a call beside a block is text"),
        pytest.param("<function=f\n</function>", Parsed(None, ()), id="a name that is not closed"),
        pytest.param("<tool_call><function=f><parameter=s>\nv\n\n", Parsed(None, F), id="nothing is closed"),
        pytest.param(
            "<function=f><parameter=s</function>", Parsed("<function=f><parameter=s</function>", ()), id="key"
        ),
        pytest.param(
            "<tool_call><function=f><parameter=s>a</tool_call></function>",
            Parsed(None, (("f", {"s": "a"}),)),
            id="a block ends everything in it",
        ),
    ],
)
@pytest.mark.parametrize("name", ["vllm_qwen3_coder_to_0_21", "vllm_qwen3_coder_to_0_23"])
def test_older_vllm_reads_turns(name: str, text: str, expected: Parsed):
    assert read(name, text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"\nHi\n\n{call(s='v')}\nbye", Parsed("\nHi\n\n", F), id="content is not stripped"),
        pytest.param("<function=f>\n</function>", Parsed("<function=f>\n</function>", ()), id="no <tool_call>"),
        pytest.param("A <tool_call> <function=f>", Parsed("A ", (("f", {}),)), id="no closed block: anywhere"),
        pytest.param(f"{call(s='v')}<tool_call><function=f>", Parsed("", F), id="one closed block: only closed ones"),
        pytest.param(f"A {ONE} B", Parsed("A ", ()), id="a JSON block and the text after it are lost"),
        pytest.param("<tool_call><function=f><parameter=s</function>", Parsed("", (("f", {}),)), id="key not closed"),
    ],
)
def test_sglang_reads_turns(text: str, expected: Parsed):
    assert read("sglang_qwen3_coder", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Just text.\n", Parsed("Just text.\n", ()), id="no call"),
        pytest.param("a <b> < c", Parsed("a <b> < c", ()), id="other tags are text"),
        pytest.param("a <tool", Parsed("a ", ()), id="what may become a call is lost"),
        pytest.param(f"\nHi\n\n{call(s='v')}\nbye", Parsed("\nHi\n\n", F), id="content is not stripped"),
        pytest.param(
            f"{call(s='1')} and {call(s='2')}",
            Parsed(" and ", (("f", {"s": "1"}), ("f", {"s": "2"}))),
            id="text between calls is kept",
        ),
        pytest.param("<function=f>\n</function>", Parsed(None, (("f", {}),)), id="no <tool_call> around it"),
        pytest.param(f"A {ONE} B", Parsed("A ", ()), id="a JSON block is lost"),
        pytest.param(call(n="x"), Parsed(None, (("f", '{"n": x}'),)), id="arguments that are no JSON"),
        pytest.param(call(n=""), Parsed(None, (("f", '{"n": }'),)), id="no number"),
        pytest.param(call(s="a\r\nb &amp; <c>"), Parsed(None, (("f", {"s": "a\nb &amp; <c>"}),)), id="line ends"),
        pytest.param(call(s="a\x00b"), Parsed(None, (("f", {"s": ""}),)), id="what XML cannot hold is lost"),
    ],
)
@pytest.mark.parametrize("name", ["vllm_qwen3_xml_to_0_22", "vllm_qwen3_xml_to_0_23"])
def test_qwen3_xml_reads_turns(name: str, text: str, expected: Parsed):
    assert read(name, text, tool(s={"type": "string"}, n={"type": "integer"})) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param("<parameter=s>v</parameter>", {"s": "v"}, id="no newlines needed"),
        pytest.param("<parameter=s>\n\n a \n\n</parameter>", {"s": "\n a \n"}, id="one newline each side goes"),
        pytest.param("<parameter=s>\n</parameter>", {"s": ""}, id="one newline only"),
        pytest.param("<parameter=s>\na\r\n</parameter>", {"s": "a\r"}, id="a carriage return stays"),
        pytest.param("<parameter=s>a<parameter=t>b</parameter>", {"s": "a", "t": "b"}, id="the next one closes"),
        pytest.param("<parameter=s>a", {}, id="an open value is lost"),
        pytest.param("<parameter=s", {}, id="an open key is lost"),
        pytest.param("<parameter=s>1</parameter><parameter=s>2</parameter>", {"s": "2"}, id="the last one wins"),
        pytest.param("< parameter = s >v</ parameter >", {"s ": "v"}, id="spaces, of which the key keeps one"),
        pytest.param("<parameter=s>a</parameter>b</parameter>", {"s": "a"}, id="a value with the closing tag is cut"),
        pytest.param(
            "<parameter=s>a <tool_call></tool_call><think></think> b</parameter>",
            {"s": "a <tool_call></tool_call><think></think> b"},
            id="other tags are text",
        ),
        pytest.param("<parameter=s>a<|im_end|>b<|vision_pad|></parameter>", {"s": "ab"}, id="special tokens go"),
    ],
)
def test_vllm_cuts_parameters(body: str, expected: dict[str, Any]):
    assert read("vllm_qwen3_coder", f"<function=f>{body}</function>") == Parsed(None, (("f", expected),))


def test_a_call_in_a_value_is_a_call_for_the_newest_vllm_only():
    text = call(s="a <function=g> b")
    assert read("vllm_qwen3_coder", text) == Parsed(None, (("f", {}), ("g", {})))
    for name in ("vllm_qwen3_coder_to_0_32", "vllm_qwen3_coder_to_0_25", "sglang_qwen3_coder"):
        assert read(name, text).calls == (("f", {"s": "a <function=g> b"}),)
    assert read("vllm_qwen3_coder", call(s="a </function> b")) == Parsed(None, (("f", {}),))


# -- XML calls: what a value becomes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        ("null", {"type": "string"}, "null"),
        ("NULL", {"type": ["string", "null"]}, None),
        ("None", {"type": ["string", "null"]}, "None"),
        ("null", {"type": "string", "enum": ["a", None]}, None),
        ("12", {"type": ["string", "integer"]}, 12),
        (" 1_0 ", {"type": "integer"}, 10),
        ("3.0", {"type": "integer"}, 3.0),
        ("three", {"type": "integer"}, "three"),
        ("1.0", {"type": "number"}, 1),
        ("1.5", {"type": "number"}, 1.5),
        ("9007199254740993", {"type": "number"}, 9007199254740993),
        ("1e999", {"type": "number"}, "1e999"),
        ("nan", {"type": "number"}, "nan"),
        (" True ", {"type": "boolean"}, True),
        ("0", {"type": "boolean"}, False),
        ("1", {"type": ["integer", "boolean"]}, 1),
        ("yes", {"type": "boolean"}, "yes"),
        ("5", {"type": "boolean"}, 5),
        ('{"a": [1.0, null]}', {"type": "object"}, {"a": [1.0, None]}),
        ("[1]", {"type": "object"}, [1]),
        ("{'a': 1}", {"type": "object"}, "{'a': 1}"),
        ("[1e999]", {"type": "array"}, "[1e999]"),
        ("[NaN]", {"type": "array"}, "[NaN]"),
        ("[1]", {"type": ["string", "array"]}, [1]),
        ("x", {"type": ["string", "array"]}, "x"),
        ("7", {"enum": [1, 2]}, 7),
        ("5", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 5),
        ("5", {"oneOf": [{"allOf": [{"type": " Int64 "}]}, {}]}, 5),
        ("true", {"anyOf": [{"$ref": "#/$defs/flag"}, {"type": "null"}]}, "true"),
        ("1.5", {"type": "double"}, 1.5),
        ("true", {"type": "any"}, True),
        ("5", {}, "5"),
        ("5", {"$ref": "#/$defs/count"}, "5"),
        ("5", True, "5"),
    ],
)
def test_vllm_reads_a_value_as_its_schema_says(value: str, schema: Any, expected: Any):
    assert spelled(value_read("vllm_qwen3_coder", value, schema)) == spelled(expected)


@pytest.mark.parametrize(
    ("value", "schema", "to_0_21", "to_0_23", "xml", "sglang"),
    [
        ("NULL", {"type": "string"}, None, "NULL", "", None),
        ("12", {"type": ["string", "integer"]}, 12, 12, "12", "12"),
        ("12", {"type": ["null", "integer"]}, 12, 12, "12", 12),
        ("1.0", {"type": "number"}, 1, 1, 1, 1.0),
        ("9007199254740993", {"type": "number"}, *(9007199254740992,) * 4),
        ("1e999", {"type": "number"}, "lost", "lost", "lost", float("inf")),
        ("yes", {"type": "boolean"}, False, "yes", False, False),
        ("1", {"type": "boolean"}, False, True, False, False),
        ("{'a': (1,)}", {"type": "object"}, {"a": [1]}, "{'a': (1,)}", {"a": [1]}, {"a": [1]}),
        ("{1}", {"type": "object"}, "lost", "{1}", "lost", "lost"),
        ("[true]", {"type": "array"}, [True], [True], "\n[true]\n", [True]),
        ("[NaN]", {"type": "array"}, *([float("nan")],) * 2, "\n[NaN]\n", [float("nan")]),
        ("7", {"enum": [1, 2]}, "7", 7, "7", 7),
        ("5", {"anyOf": [{"type": "integer"}, {"type": "null"}]}, 5, 5, "5", 5),
        ("5", {"oneOf": [{"type": "integer"}]}, "5", 5, "5", 5),
        ("true", {"type": "bool"}, *(True,) * 4),
        ("5", {"items": {}}, "5", "5", "5", 5),
        ("5", {}, *("5",) * 4),
    ],
)
def test_other_parsers_read_a_value_otherwise(
    value: str, schema: Any, to_0_21: Any, to_0_23: Any, xml: Any, sglang: Any
):
    expected = {
        "vllm_qwen3_coder_to_0_21": to_0_21,
        "vllm_qwen3_coder_to_0_23": to_0_23,
        "vllm_qwen3_xml_to_0_22": xml,
        "sglang_qwen3_coder": sglang,
    }
    for name, one in expected.items():
        assert spelled(value_read(name, value, schema)) == spelled(one), name


def test_versions_differ_in_what_they_take_off_a_value_and_in_big_numbers():
    names = ("vllm_qwen3_coder_to_0_25", "vllm_qwen3_coder_to_0_32", "vllm_qwen3_coder")
    assert [value_read(name, " a ", {"type": "string"}) for name in names] == ["a", " a ", " a "]
    number = {"type": "number"}
    assert [value_read(name, "9007199254740993", number) for name in names] == [*(2**53,) * 2, 2**53 + 1]
    lists = ("vllm_qwen3_xml_to_0_22", "vllm_qwen3_xml_to_0_23")
    assert [value_read(name, "[true]", {"type": "array"}) for name in lists] == ["\n[true]\n", [True]]


def test_a_value_that_no_tool_declares_is_a_string():
    integer = {"type": "integer"}
    for name in XML:
        assert read(name, call(k="5"), tool(other=integer), tool(k=integer)).calls == (("f", {"k": "5"}),), name
        assert read(name, call(k="5"), tool("g", k=integer)).calls == (("f", {"k": "5"}),), name
        for broken in ({}, {"function": None}, {"function": {"name": "f", "parameters": "x"}}):
            assert read(name, call(k="5"), broken).calls == (("f", {"k": "5"}),), name


def test_sglang_looks_for_parameters_in_alternatives_and_else_among_the_keywords_of_the_schema():
    alternatives = {"anyOf": [{"properties": {"k": {"type": "integer"}}}, {"properties": {"k": {"type": "null"}}}]}
    for parameters in (alternatives, {"k": {"type": "integer"}}):
        declared = {"type": "function", "function": {"name": "f", "parameters": parameters}}
        assert read("sglang_qwen3_coder", call(k="5"), declared).calls == (("f", {"k": 5}),)


def test_deep_json_and_long_numbers_do_not_raise():
    deep, digits = "[" * 100_000, "9" * 5_000  # deeper than Python's recursion, more than its int() takes
    for name in XML:
        read(name, call(k=deep), tool(k={"type": "array"}))
        assert value_read(name, digits, {"type": "integer"}) in (digits, "lost"), name
    assert value_read("vllm_qwen3_coder", deep, {"type": "array"}) == deep
    for name in ("vllm_hermes", "sglang_qwen", "sglang_hermes"):
        assert read(name, f"<tool_call>\n{deep}\n</tool_call>").calls == (), name


# -- any text ----------------------------------------------------------------------------------------------------------

TAGS = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>"),
    *(">", "<", "\n", "f", "k", "null", "1e999", "[", "{", '"', '{"name": "f", "arguments": ', "}", "<|im_end|>"),
    *("<function=f>", "<parameter=k>", "'", "(", "\\d", "&", "\x00", "\r\n", "-"),
)
texts = st.lists(st.sampled_from(TAGS) | st.text(max_size=5), max_size=40).map("".join)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
KEYWORDS = ("type", "anyOf", "oneOf", "allOf", "enum", "items", "properties")
TYPES = ("string", "integer", "number", "boolean", "object", "array", "null", "Float", "list[int]")
schemas = st.recursive(
    json_values | st.fixed_dictionaries({"type": st.sampled_from(TYPES)}),
    lambda inner: st.dictionaries(st.sampled_from(KEYWORDS), inner | st.lists(inner, max_size=2), max_size=2),
    max_leaves=4,
)


@every_parser
@given(text=texts, thinking=st.sampled_from([None, True, False]), schema=schemas)
def test_no_text_raises(parser: ToolParser, text: str, thinking: bool | None, schema: Any):
    parsed = parser.read(text, [tool(k=schema), {"function": {"name": "f", "parameters": schema}}], thinking=thinking)
    assert all(isinstance(name, str) for name, _ in parsed.calls)
    if thinking is None:
        assert parsed.reasoning is None
    for _, arguments in parsed.calls:
        assert json.loads(json.dumps(arguments)) is not None or arguments is None


@every_parser
@given(value=st.text(alphabet=st.characters(exclude_characters="<\r", exclude_categories=["Cs", "Cc"]), max_size=20))
def test_plain_words_come_back(parser: ToolParser, value: str):
    if parser.name == "vllm_qwen3_coder_to_0_25":
        value = value.strip()
    if value.lower() == "null" or "\ufffe" in value or "\uffff" in value:
        value = "x"  # see the tests on null; XML cannot hold the other two
    body = json.dumps({"name": "f", "arguments": {"s": value}})
    text = f"<tool_call>\n{body}\n</tool_call>" if parser.wire == "hermes" else call(s=value)
    assert parser.read(text, [tool(s={"type": "string"})]).calls == (("f", {"s": value}),)


def hostile() -> Iterator[str]:
    for unit in (*TAGS, "<parameter=a", "<parameter=a>", "< parameter =", "</ parameter ", "< "):
        for head in ("", "<function=f>", "<function=f><parameter=", "<function=f><parameter=k>", "<tool_call>"):
            yield head + unit * (50_000 // len(unit))


@every_parser
def test_hostile_text_is_read_in_time(parser: ToolParser):
    n_texts, slowest = 0, 0.0
    for text in hostile():
        start = time.perf_counter()
        parser.read(text, [tool(k={"type": ["array", "null", "number"]})], thinking=True)
        slowest = max(slowest, time.perf_counter() - start)
        n_texts += 1
    assert n_texts == 175
    assert slowest < 5, f"{slowest:.1f} s for 50 kB"
