"""What differs from the declared calls and words is said, with the reason; a server is named by its version."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.errors import UsageError
from qwen_sft.family import families
from qwen_sft.parser import Difference, Parsed, ToolParser, parsers
from qwen_sft.serving.parse import differences, parse_turn
from qwen_sft.serving.server import Server, serving

PARSERS = parsers()
NEWEST = PARSERS["vllm_qwen3_coder"]


def spelled(value: Any) -> str:
    """JSON, in which 1, 1.0 and true are three things and the order of keys is not."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def tool(**properties: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": properties}}}


def written(wire: str, value: Any, *, python: bool = False) -> str:
    """A call of `f` with one argument as a template writes it; `python` as those that print True and None."""
    if wire == "hermes":
        body = json.dumps({"name": "f", "arguments": {"k": value}}, ensure_ascii=False)
        return f"<tool_call>\n{body}\n</tool_call>"
    as_python = python and not isinstance(value, dict | list)
    text = value if isinstance(value, str) else str(value) if as_python else json.dumps(value, ensure_ascii=False)
    return f"<tool_call>\n<function=f>\n<parameter=k>\n{text}\n</parameter>\n</function>\n</tool_call>"


# -- one turn ----------------------------------------------------------------------------------------------------------


def test_a_turn_is_read_behind_the_reasoning_parser_of_its_model():
    text = "<think>\nR\n</think>\n\n" + written("hermes", 1)
    hermes, calls = PARSERS["vllm_hermes"], (("f", {"k": 1}),)
    assert parse_turn(text, [], parser=hermes) == Parsed("<think>\nR\n</think>\n\n", calls)
    assert parse_turn(text, [], parser=hermes, thinking=True) == Parsed("\n\n", calls, "\nR\n")
    no_parser = parse_turn(text, [], parser=hermes, thinking=True, reasoning_parser=None)
    assert no_parser == Parsed("<think>\nR\n</think>\n\n", calls)
    text = f"{written('hermes', 1)}</think>A"
    r1 = parse_turn(text, [], parser=hermes, thinking=True, reasoning_parser="deepseek_r1")
    assert r1 == Parsed("A", (), written("hermes", 1))
    assert parse_turn("R", [], parser=hermes, thinking=True, reasoning_parser="deepseek_r1") == Parsed(None, (), "R")


# -- servers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serve", "hermes", "coder"),
    [
        ("vllm", "vllm_hermes", "vllm_qwen3_coder"),
        ("vllm:0.33", "vllm_hermes", "vllm_qwen3_coder"),
        ("vllm:0.33.1", "vllm_hermes", "vllm_qwen3_coder"),
        ("vllm:0.30", "vllm_hermes", "vllm_qwen3_coder_to_0_32"),
        ("vllm:0.27.1", "vllm_hermes", "vllm_qwen3_coder_to_0_29"),
        ("vllm:0.25.1", "vllm_hermes", "vllm_qwen3_coder_to_0_25"),
        ("vllm:0.24", "vllm_hermes", "vllm_qwen3_coder_to_0_25"),
        ("vllm:0.23.0", "vllm_hermes_to_0_23", "vllm_qwen3_coder_to_0_23"),
        ("vllm:0.20", "vllm_hermes_to_0_23", "vllm_qwen3_coder_to_0_21"),
        ("sglang", "sglang_qwen", "sglang_qwen3_coder"),
        ("sglang:0.5.23", "sglang_qwen", "sglang_qwen3_coder"),
        ("sglang:0.5.20.post1", "sglang_qwen", "sglang_qwen3_coder"),
    ],
)
def test_a_server_reads_with_the_parser_of_its_version(serve: str, hermes: str, coder: str):
    assert [serving(serve).parser(wire).name for wire in ("hermes", "qwen3_coder")] == [hermes, coder]


def test_a_parser_can_be_named():
    assert serving("vllm:0.20/qwen3_xml").parser("qwen3_coder").name == "vllm_qwen3_xml_to_0_22"
    assert serving("vllm:0.23/qwen3_xml").parser("qwen3_coder").name == "vllm_qwen3_xml_to_0_23"
    assert serving("vllm/qwen3_xml").parser("qwen3_coder").name == "vllm_qwen3_coder"
    assert serving("sglang/hermes").parser("hermes").name == "sglang_hermes"
    assert serving("sglang/qwen25") == Server("sglang", (0, 5, 23), "qwen25")
    says = (
        r"vllm 0\.33 with 'qwen3_xml' reads no calls of a model that is served with 'hermes'; parsers for it are hermes"
    )
    with pytest.raises(UsageError, match=says):
        serving("vllm/qwen3_xml").parser("hermes")


@pytest.mark.parametrize(
    ("serve", "says"),
    [
        ("", r"serve is ''; it names vllm or sglang, with a version and a parser if need be: vllm, vllm:0\.25\.1, "),
        ("tgi", "serve is 'tgi'; it names vllm or sglang"),
        ("vllm:", "serve is 'vllm:'; it names vllm or sglang"),
        ("vllm:new", "serve is 'vllm:new'; it names vllm or sglang"),
        ("vLLM", "serve is 'vLLM'; it names vllm or sglang"),
        ("vllm:0.34", r"serve is 'vllm:0\.34'; the parsers of vllm are known from 0\.19 to 0\.33: name one of these "),
        ("vllm:0.18.1", r"the parsers of vllm are known from 0\.19 to 0\.33"),
        ("vllm:1", r"the parsers of vllm are known from 0\.19 to 0\.33"),
        ("sglang:0.5", r"the parsers of sglang are known from 0\.5\.20 to 0\.5\.23"),
        ("sglang:0.5.24", r"the parsers of sglang are known from 0\.5\.20 to 0\.5\.23"),
        ("vllm/qwen25", r"serve is 'vllm/qwen25'; the parsers of vllm 0\.33 are hermes, qwen3_coder, qwen3_xml"),
    ],
)
def test_a_server_that_we_do_not_know_is_refused(serve: str, says: str):
    with pytest.raises(UsageError, match=says):
        serving(serve)


def test_every_family_says_what_to_serve_it_with():
    vllm, sglang = serving("vllm"), serving("sglang")
    assert vllm.flags("hermes", None) == "--enable-auto-tool-choice --tool-call-parser hermes"
    assert sglang.flags("hermes", "qwen3") == "--tool-call-parser qwen --reasoning-parser qwen3"
    assert sglang.flags("hermes", "deepseek_r1") == "--tool-call-parser qwen --reasoning-parser deepseek-r1"
    n_flags = 0
    for family in families().values():
        if family.parser is not None:
            for server in (vllm, sglang):
                flags = server.flags(family.parser, family.reasoning_parser)
                assert ("--reasoning-parser" in flags) == (family.reasoning_parser is not None)
                n_flags += 1
    assert n_flags >= 24


# -- differences -------------------------------------------------------------------------------------------------------


def said(declared: Any, read: Any) -> list[str]:
    return [difference.says for difference in differences([("f", declared)], Parsed(None, (("f", read),)))]


def test_equal_calls_say_nothing():
    nan = float("nan")
    assert said({"a": 1, "b": [{"c": None}, nan]}, {"b": [{"c": None}, float("nan")], "a": 1}) == []
    assert differences([], Parsed("text", ())) == []


def test_a_number_spelled_otherwise_is_told_apart_from_a_loss():
    found = differences([("f", {"a": 1.0, "b": [0], "c": 1.5})], Parsed(None, (("f", {"a": 1, "b": [-0.0], "c": 1}),)))
    assert [(each.path, each.says, each.spelling) for each in found] == [
        (
            ("tool_calls", 0, "function", "arguments", "a"),
            "call 1 'f': argument a: written 1.0 (number), but the server reads 1 (integer), "
            "the same number spelled otherwise",
            True,
        ),
        (
            ("tool_calls", 0, "function", "arguments", "b", 0),
            "call 1 'f': argument b[0]: written 0 (integer), but the server reads -0.0 (number), "
            "the same number spelled otherwise",
            True,
        ),
        (
            ("tool_calls", 0, "function", "arguments", "c"),
            "call 1 'f': argument c: written 1.5 (number), but the server reads 1 (integer)",
            False,
        ),
    ]


@pytest.mark.parametrize(
    ("declared", "read", "expected"),
    [
        ({"k": True}, {"k": 1}, "argument k: written True (boolean), but the server reads 1 (integer)"),
        ({"k": {}}, {"k": []}, "argument k: written {} (object), but the server reads [] (array)"),
        ({"k": "ab"}, {"k": "a"}, r"argument k: written 'ab', but the server reads 'a'"),
        ({"a b": [{"c": 1}]}, {"a b": [{"c": 2}]}, "argument ['a b'][0].c: written 1, but the server reads 2"),
        ({"k": "a </function> b"}, {}, "argument k 'a </function> b' is lost"),
        ({}, {"z": " b"}, "argument z is not written, but the server reads ' b'"),
        ({"k": [1]}, {"k": []}, "argument k: written 1 items, but the server reads 0: [1] against []"),
        (
            {"k": "x" * 99 + "a" + "x" * 99},
            {"k": "x" * 99 + "b" + "x" * 99},
            "argument k: from character 99 on written "
            f"'a{'x' * 36}...{'x' * 38}', but the server reads 'b{'x' * 36}...{'x' * 38}'",
        ),
    ],
)
def test_a_difference_in_one_argument_is_said(declared: Any, read: Any, expected: str):
    assert said(declared, read) == [f"call 1 'f': {expected}"]


def test_calls_that_are_lost_added_or_renamed_are_said():
    def places(declared: list[tuple[str, Any]], parsed: Parsed) -> list[tuple[Any, str]]:
        return [(each.path[1:], each.says) for each in differences(declared, parsed)]

    declared: list[tuple[str, Any]] = [("f", {}), ("g", {}), ("h", {})]
    assert places(declared, Parsed("x", ())) == [
        ((0,), "call 1 'f' is lost: the server reads no call"),
        ((1,), "call 2 'g' is lost: the server reads no call"),
        ((2,), "call 3 'h' is lost: the server reads no call"),
    ]
    assert places(declared, Parsed(None, (("f", {}), ("x", {"k": 1})))) == [
        ((1, "function", "name"), "call 2: written 'g', but the server reads 'x'"),
        ((1, "function", "arguments"), "call 2 'g': argument k is not written, but the server reads 1"),
        ((2,), "call 3 'h' is lost: the server reads only 2 calls"),
    ]
    added = Parsed(None, (("f", {}), ("g", {"k": "v"})))
    assert places([("f", {})], added) == [((), "call 2 is not written, but the server reads 'g' with {'k': 'v'}")]
    assert places(declared[:2], Parsed(None, (("f", {}),))) == [
        ((1,), "call 2 'g' is lost: the server reads only 1 call")
    ]


def test_differences_follow_the_order_of_the_declared_arguments():
    declared = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1, 2]}
    assert said(declared, {"e": [2, 1], "b": {"d": 3, "c": 4}, "a": 5}) == [
        "call 1 'f': argument a: written 1, but the server reads 5",
        "call 1 'f': argument b.c: written 1, but the server reads 4",
        "call 1 'f': argument b.d: written 2, but the server reads 3",
        "call 1 'f': argument e[0]: written 1, but the server reads 2",
        "call 1 'f': argument e[1]: written 2, but the server reads 1",
    ]


@pytest.mark.parametrize(
    ("content", "read", "expected"),
    [
        (None, "Hi", None),
        ("", None, None),
        ("\n Hi ", "Hi\n\n", None),
        ("<think>\nR\n</think>\n\nHi", "Hi", None),
        ("<think>\nR\n</think>\n\nHi", "<think>\nR\n</think>\n\nHi", None),
        ("Hi", None, "content: written 'Hi', but the server reads '', because the server drops what stands there"),
        ("", "Hi", "content: written '', but the server reads 'Hi'"),
        (
            "Hi </think> you",
            "Hi  you",
            "content: written 'Hi </think> you', but the server reads 'Hi  you', "
            "because the server takes '</think>' out of what it reads",
        ),
    ],
)
def test_words_beside_the_calls_are_compared_without_the_space_around_them(
    content: str | None, read: str | None, expected: str | None
):
    found = differences([], Parsed(read, ()), content=content, parser=NEWEST)
    assert [(each.path, each.says) for each in found] == ([(("content",), expected)] if expected else [])


def test_words_are_not_compared_where_they_hold_a_lost_call():
    whole = Parsed('<tool_call>{"name": "f"}', ())
    found = differences([("f", {})], whole, content="", parser=PARSERS["vllm_hermes"])
    assert [each.says for each in found] == ["call 1 'f' is lost: the server reads no call"]


# -- which values come back --------------------------------------------------------------------------------------------

STRING, INTEGER, NUMBER, BOOLEAN = ({"type": name} for name in ("string", "integer", "number", "boolean"))
LIST, OBJECT, NULL = ({"type": name} for name in ("array", "object", "null"))

# A value and the schema of its argument; no schema where the tool does not declare it.
VALUES: dict[str, tuple[Any, Any]] = {
    "word": ("Oslo", STRING),
    "empty": ("", STRING),
    "space": (" ", STRING),
    "padded": ("  a  ", STRING),
    "newline": ("\n", STRING),
    "newlines around": ("\na\n", STRING),
    "lines": ("a\nb\n\nc", STRING),
    "carriage return": ("a\r\nb", STRING),
    "tab": ("\ta", STRING),
    "quotes": ("say \"hi\" 'now'", STRING),
    "backslash": ("C:\\temp\\n", STRING),
    "CJK and emoji": ("東京 😀", STRING),
    "entity": ("a &amp; b < c > d", STRING),
    "HTML": ('<div class="x">1</div>', STRING),
    "JSON as text": ('{"a": 1}', STRING),
    "digits": ("12", STRING),
    "decimal as text": ("1.50", STRING),
    "true as text": ("true", STRING),
    "True as text": ("True", STRING),
    "None as text": ("None", STRING),
    "null as text": ("null", STRING),
    "null as text, nullable": ("null", {"type": ["string", "null"]}),
    "digits, or integer": ("12", {"type": ["string", "integer"]}),
    "word, or integer": ("a12", {"type": ["string", "integer"]}),
    "list as text, or list": ("[1]", {"type": ["string", "array"]}),
    "</parameter>": ("a </parameter> b", STRING),
    "<parameter=": ("a <parameter=x> b", STRING),
    "</function>": ("a </function> b", STRING),
    "<function=": ("a <function=g> b", STRING),
    "</tool_call>": ("a </tool_call> b", STRING),
    "<tool_call>": ("a <tool_call> b", STRING),
    "</think>": ("a </think> b", STRING),
    "<|im_end|>": ("a <|im_end|> b", STRING),
    "undeclared word": ("Oslo", None),
    "integer": (7, INTEGER),
    "negative": (-7, INTEGER),
    "big integer": (2**53 + 1, INTEGER),
    "big number": (2**53 + 1, NUMBER),
    "integer as number": (7, NUMBER),
    "float": (1.5, NUMBER),
    "whole float": (1.0, NUMBER),
    "small float": (1e-7, NUMBER),
    "large float": (1e22, NUMBER),
    "nullable integer": (7, {"anyOf": [INTEGER, NULL]}),
    "optional integer": (7, {"type": ["integer", "null"]}),
    "enum integer": (2, {"enum": [1, 2]}),
    "untyped integer": (7, {}),
    "referred integer": (7, {"$ref": "#/$defs/n"}),
    "undeclared integer": (7, None),
    "true": (True, BOOLEAN),
    "false": (False, BOOLEAN),
    "nullable true": (True, {"type": ["boolean", "null"]}),
    "null": (None, NULL),
    "null for string": (None, {"type": ["string", "null"]}),
    "null for integer": (None, {"anyOf": [INTEGER, NULL]}),
    "empty list": ([], LIST),
    "list": ([1, "a", None], LIST),
    "list of texts": (["a'b", 'c"d'], LIST),
    "list of booleans": ([True, False], LIST),
    "empty object": ({}, OBJECT),
    "object": ({"a": 1, "b": [2]}, OBJECT),
    "nested object": ({"a": {"b": {"c": None}}}, OBJECT),
    "object with a quote": ({"a": "it's"}, OBJECT),
    "object with a whole float": ({"a": 1.0}, OBJECT),
    "object with </parameter>": ({"a": "</parameter>"}, OBJECT),
    "untyped object": ({"a": 1}, {}),
}

UNTYPED = {"untyped integer", "referred integer", "undeclared integer", "untyped object"}
CUT = {"</parameter>", "<parameter=", "</function>", "object with </parameter>"}
SPELLED = {"whole float", "large float"}
PYTHON_NULLS = {"null", "null for string", "null for integer"}
EITHER = {"digits, or integer", "list as text, or list", "null as text, nullable"}
STRIPPED = {"space", "padded", "newline", "newlines around", "tab"}
OLD = {"null as text", "</tool_call>", "big number", "enum integer"}
EXPAT = {"carriage return", "<function=", "<tool_call>", "nullable integer", "optional integer", "nullable true"}

LOST: dict[str, tuple[set[str], set[str]]] = {
    "vllm_hermes": ({"</tool_call>"}, set()),
    "vllm_hermes_to_0_23": ({"</tool_call>"}, set()),
    "sglang_hermes": ({"</tool_call>"}, set()),
    "sglang_qwen": (set(), set()),
    "vllm_qwen3_coder": (UNTYPED | CUT | SPELLED | EITHER | {"<function=", "<|im_end|>"}, PYTHON_NULLS),
    "vllm_qwen3_coder_to_0_32": (UNTYPED | CUT | SPELLED | EITHER | {"big number", "<|im_end|>"}, PYTHON_NULLS),
    "vllm_qwen3_coder_to_0_29": (UNTYPED | CUT | SPELLED | EITHER | {"big number", "<|im_end|>"}, PYTHON_NULLS),
    "vllm_qwen3_coder_to_0_25": (
        UNTYPED | CUT | SPELLED | EITHER | STRIPPED | {"big number", "<|im_end|>"},
        PYTHON_NULLS,
    ),
    "vllm_qwen3_coder_to_0_23": (
        UNTYPED | CUT | SPELLED | EITHER | {"big number", "</tool_call>"},
        PYTHON_NULLS,
    ),
    "vllm_qwen3_coder_to_0_21": (UNTYPED | CUT | SPELLED | EITHER | OLD, set()),
    "vllm_qwen3_xml_to_0_22": (
        UNTYPED | CUT | SPELLED | OLD | EXPAT | PYTHON_NULLS | {"null as text, nullable", "list", "list of booleans"},
        set(),
    ),
    "vllm_qwen3_xml_to_0_23": (
        UNTYPED | CUT | SPELLED | OLD | EXPAT | PYTHON_NULLS | {"null as text, nullable"},
        set(),
    ),
    "sglang_qwen3_coder": (
        UNTYPED | CUT | {"null as text", "null as text, nullable", "</tool_call>", "big number"},
        {"null for string", "null for integer"},
    ),
}
"""What does not come back: however it is written, and what more where the template prints Python's True and None."""


def lost(parser: ToolParser, *, python: bool) -> dict[str, list[Difference]]:
    found: dict[str, list[Difference]] = {}
    for name, (value, schema) in VALUES.items():
        tools = [tool(other=STRING) if schema is None else tool(k=schema)]
        parsed = parse_turn(written(parser.wire, value, python=python), tools, parser=parser)
        if several := differences([("f", {"k": value})], parsed, content="", tools=tools, parser=parser):
            found[name] = several
    return found


@pytest.mark.parametrize("name", PARSERS)
def test_exactly_these_values_do_not_come_back(name: str):
    parser = PARSERS[name]
    anyhow, in_python = LOST[name]
    if name == "vllm_qwen3_coder_to_0_21":
        assert set(lost(parser, python=False)) == anyhow | {"nullable true"}  # true is no Python
    else:
        assert set(lost(parser, python=False)) == anyhow
    if parser.wire == "qwen3_coder":
        assert set(lost(parser, python=True)) == anyhow | in_python
    assert len(VALUES) == 66


@pytest.mark.parametrize("name", PARSERS)
def test_every_loss_is_said_with_its_reason_and_only_spelling_is_none(name: str):
    for value, found in (lost(PARSERS[name], python=False) | lost(PARSERS[name], python=True)).items():
        for difference in found:
            assert difference.spelling == (value in SPELLED), difference
            assert ", because " in difference.says or difference.spelling, difference
            assert difference.fix


@pytest.mark.parametrize(
    ("name", "value", "python", "says", "fix"),
    [
        (
            *("vllm_qwen3_coder", "</parameter>", False),
            "written 'a </parameter> b', but the server reads 'a ', "
            "because the server takes '</parameter>' in a value for its own markup",
            "take '</parameter>' out of the value, or have its tool take it in another spelling",
        ),
        (
            *("vllm_qwen3_coder", "<|im_end|>", False),
            "written 'a <|im_end|> b', but the server reads 'a  b', "
            "because the server takes '<|im_end|>' out of what it reads",
            "take '<|im_end|>' out of the value, or have its tool take it in another spelling",
        ),
        (
            *("vllm_qwen3_coder", "null for string", True),
            "written None (null), but the server reads 'None' (string), "
            "because the model's template prints Python's None, which is no JSON",
            "leave the argument out if it may be, or choose a model whose template prints JSON",
        ),
        (
            *("vllm_qwen3_xml_to_0_22", "nullable true", True),
            "written True (boolean), but the server reads 'True' (string), "
            "because the model's template prints Python's True, which is no JSON",
            "leave the argument out if it may be, or choose a model whose template prints JSON",
        ),
        (
            *("vllm_qwen3_coder", "untyped integer", False),
            "written 7 (integer), but the server reads '7' (string), "
            "because its schema names no type, so it stays a string",
            "declare the argument in the tool's schema with one plain type, such as integer",
        ),
        (
            *("vllm_qwen3_coder", "undeclared integer", False),
            "written 7 (integer), but the server reads '7' (string), "
            "because the tool does not declare it, so it stays a string",
            "declare the argument in the tool's schema with one plain type, such as integer",
        ),
        (
            *("vllm_qwen3_coder_to_0_21", "enum integer", False),
            "written 2 (integer), but the server reads '2' (string), "
            "because the server cannot read it by its schema, so it stays a string",
            "declare the argument in the tool's schema with one plain type, such as integer",
        ),
        (
            *("sglang_qwen3_coder", "null as text", False),
            "written 'null' (string), but the server reads None (null), because the server reads the text null as null",
            "write another word for it, or choose a model that writes its calls as JSON",
        ),
        (
            *("vllm_qwen3_xml_to_0_22", "null as text", False),
            "written 'null', but the server reads '', because the server reads the text null as nothing",
            "write another word for it, or choose a model that writes its calls as JSON",
        ),
        (
            *("vllm_qwen3_coder", "digits, or integer", False),
            "written '12' (string), but the server reads 12 (integer), "
            "because its schema says integer or string, and the server takes the text for the first that it can be",
            "declare it as a string only, or write what cannot be taken for another type",
        ),
        (
            *("vllm_qwen3_coder_to_0_32", "big number", False),
            "written 9007199254740993, but the server reads 9007199254740992, "
            "because the server reads a number as a float, of 16 digits",
            "declare the argument as an integer",
        ),
        (
            *("vllm_qwen3_coder_to_0_25", "padded", False),
            "written '  a  ', but the server reads 'a', because the server takes white space off a value's ends",
            "take it off in the sample too",
        ),
        (
            *("vllm_qwen3_xml_to_0_23", "carriage return", False),
            r"written 'a\r\nb', but the server reads 'a\nb', "
            "because the server's XML parser makes one newline of a carriage return",
            "write \\n",
        ),
        (
            *("vllm_qwen3_coder", "whole float", False),
            "written 1.0 (number), but the server reads 1 (integer), the same number spelled otherwise",
            "none is needed where the tool takes any number; else write it as the server spells it",
        ),
    ],
)
def test_the_reason_of_a_loss_is(name: str, value: str, python: bool, says: str, fix: str):
    (difference,) = lost(PARSERS[name], python=python)[value]
    assert difference.says == f"call 1 'f': argument k: {says}"
    assert difference.fix == fix
    assert difference.path == ("tool_calls", 0, "function", "arguments", "k")


def test_a_call_that_is_lost_whole_says_why():
    (difference,) = lost(PARSERS["vllm_hermes"], python=False)["</tool_call>"]
    assert difference.says == (
        "call 1 'f' is lost: the server reads no call, "
        "because the server takes '</tool_call>' in a value for its own markup"
    )
    assert difference.path == ("tool_calls", 0)
    tools = [tool(n=INTEGER)]
    text = written("qwen3_coder", "x").replace("=k>", "=n>")
    xml = PARSERS["vllm_qwen3_xml_to_0_22"]
    (difference,) = differences([("f", {"n": "x"})], parse_turn(text, tools, parser=xml), tools=tools, parser=xml)
    assert difference.says == (
        "call 1 'f': the arguments: written {'n': 'x'} (object), but the server reads '{\"n\": x}' (string), "
        "because what the server makes of the call is no JSON"
    )
    unknown = [("g", {"n": 1})]
    (difference,) = differences(unknown, Parsed(None, (("g", {"n": "1"}),)), tools=tools, parser=NEWEST)
    assert difference.says.endswith("because the tool is not declared, so it stays a string")


# -- any calls ---------------------------------------------------------------------------------------------------------

floats = st.floats().map(lambda number: number + 0.0)  # no -0.0: it equals 0.0 and is written differently
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=3), json_values, max_size=3)


@given(calls=st.lists(st.tuples(st.text(min_size=1, max_size=5), objects), min_size=1, max_size=3))
def test_hermes_gives_back_what_is_written_without_tags(calls: list[tuple[str, dict[str, Any]]]):
    texts = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]  # ASCII, as \u escapes
    text = "\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in texts)
    assert differences(calls, parse_turn(text, [], parser=PARSERS["vllm_hermes"])) == []


@given(left=objects, right=objects)
def test_differences_are_silent_exactly_where_the_json_is_the_same(left: Any, right: Any):
    assert (said(left, right) == []) == (spelled(left) == spelled(right))


@given(declared=objects, read=json_values, parser=st.sampled_from(list(PARSERS.values())), schema=json_values)
def test_differences_never_raise(declared: Any, read: Any, parser: ToolParser, schema: Any):
    tools = [tool(**dict.fromkeys(declared, schema)), {}]
    for parsed in (Parsed("x", (("f", read), ("f", {}))), Parsed(None, ())):
        for difference in differences([("f", declared)], parsed, content="y", tools=tools, parser=parser):
            assert difference.says
            assert difference.fix
