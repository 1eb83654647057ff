"""The parsers answer as the real servers do; what differs from the declared calls is said in words."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.parse import PARSERS, Parsed, differences, parse_turn, split_reasoning

CASES = Path(__file__).parents[2] / "shared" / "data" / "parser_cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason=f"no recorded outputs of the real parsers at {CASES}")

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
    """A call of `f` as the templates write it."""
    parameters = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in values.items())
    return f"<tool_call>\n<function=f>\n{parameters}</function>\n</tool_call>"


def hermes(text: str, *, thinking: bool | None = None) -> Parsed:
    return parse_turn(text, [], parser="hermes", thinking=thinking)


def coder(text: str, *tools: dict[str, Any], thinking: bool | None = None) -> Parsed:
    return parse_turn(text, tools, parser="qwen3_coder", thinking=thinking)


def value_read(value: str, schema: Any) -> Any:
    """What one parameter becomes under a schema."""
    ((_, arguments),) = coder(call(k=value), tool(k=schema)).calls
    return arguments["k"]


# -- recorded outputs of the real parsers ------------------------------------------------------------------------------


@needs_cases
@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(("name", "n_cases"), [("json_hermes", 38), ("xml_qwen3_coder", 122)])
def test_every_recorded_output_is_reproduced(parser: str, name: str, n_cases: int) -> None:
    cases = recorded(name)
    ours = {each["id"]: spelled(as_recorded(parse_turn(each["text"], each["tools"], parser=parser))) for each in cases}
    assert ours == {each["id"]: spelled(each["oracles"][f"vllm0.33/{parser}"]) for each in cases}
    assert len(ours) == n_cases


@needs_cases
@pytest.mark.parametrize("column", THINKING)
def test_every_recorded_reasoning_is_reproduced(column: str) -> None:
    cases = recorded("reasoning_qwen3")
    assert len(cases) == 9
    for each in cases:
        parsed = coder(each["text"], thinking=THINKING[column])
        assert spelled({"reasoning": parsed.reasoning, **as_recorded(parsed)}) == spelled(each[column]), each["id"]
        assert split_reasoning(each["text"], thinking=THINKING[column])[0] == each[column]["reasoning"], each["id"]


# -- hermes ------------------------------------------------------------------------------------------------------------

ONE = '<tool_call>\n{"name": "f", "arguments": {"s": "v"}}\n</tool_call>'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Just text.", Parsed("Just text.", ()), id="no call"),
        pytest.param("", Parsed("", ()), id="nothing"),
        pytest.param(ONE, Parsed(None, (("f", {"s": "v"}),)), id="one call"),
        pytest.param(f"Hi \n{ONE}", Parsed("Hi \n", (("f", {"s": "v"}),)), id="content is not stripped"),
        pytest.param(f"{ONE} bye {ONE} x", Parsed(None, (("f", {"s": "v"}),) * 2), id="text after the first is lost"),
        pytest.param(ONE.removesuffix("</tool_call>"), Parsed(None, (("f", {"s": "v"}),)), id="last block open"),
        pytest.param(f"{ONE}<tool_call>", Parsed(f"{ONE}<tool_call>", ()), id="one bad block spoils all"),
        pytest.param(
            '<tool_call>{"name": "f", "arguments": "{}"}',
            Parsed(None, (("f", "{}"),)),
            id="arguments in a string stay one",
        ),
        pytest.param('<tool_call>{"name": "f"}', Parsed('<tool_call>{"name": "f"}', ()), id="arguments are required"),
        pytest.param(
            '<tool_call>{"name": 1, "arguments": {}}',
            Parsed('<tool_call>{"name": 1, "arguments": {}}', ()),
            id="a name is a string",
        ),
        pytest.param(
            '<tool_call>{"name": "f", "arguments": {"s": "</tool_call>"}}</tool_call>',
            Parsed('<tool_call>{"name": "f", "arguments": {"s": "</tool_call>"}}</tool_call>', ()),
            id="the closing tag in a string breaks it",
        ),
        pytest.param(
            '<tool_call>{"name": "f", "arguments": {"s": "<tool_call>"}}</tool_call>',
            Parsed(None, (("f", {"s": "<tool_call>"}),)),
            id="the opening tag in a string does not",
        ),
    ],
)
def test_hermes_reads(text: str, expected: Parsed) -> None:
    assert hermes(text) == expected


def test_hermes_behind_a_reasoning_parser_loses_tags_inside_of_strings() -> None:
    text = 'R\n</think>\n\n<tool_call>{"name": "f", "arguments": {"s": "a </think> b <|im_end|> c"}}</tool_call>'
    assert hermes(text, thinking=True) == Parsed("\n\n", (("f", {"s": "a  b  c"}),), "R\n")
    assert hermes(text, thinking=False) == Parsed("R\n</think>\n\n", (("f", {"s": "a </think> b <|im_end|> c"}),), None)
    assert hermes("R", thinking=True) == Parsed(None, (), "R")


# -- qwen3_coder: which text is which ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Just text.\n", Parsed("Just text.\n", ()), id="no call, not stripped"),
        pytest.param("", Parsed(None, ()), id="nothing"),
        pytest.param("\n", Parsed("\n", ()), id="only whitespace"),
        pytest.param(call(s="v"), Parsed(None, (("f", {"s": "v"}),)), id="one call"),
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
def test_qwen3_coder_reads(text: str, expected: Parsed) -> None:
    assert coder(text) == expected


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
def test_parameters_are_cut(body: str, expected: dict[str, Any]) -> None:
    assert coder(f"<function=f>{body}</function>") == Parsed(None, (("f", expected),))


def test_a_value_with_function_tags_loses_the_parameter() -> None:
    assert coder(call(s="a </function> b")) == Parsed(None, (("f", {}),))
    assert coder(call(s="a <function=g> b")) == Parsed(None, (("f", {}), ("g", {})))


# -- qwen3_coder: what a value becomes ---------------------------------------------------------------------------------


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
def test_a_value_becomes_what_its_schema_says(value: str, schema: Any, expected: Any) -> None:
    assert spelled(value_read(value, schema)) == spelled(expected)


def test_a_value_that_no_tool_declares_is_a_string() -> None:
    integer = {"type": "integer"}
    assert coder(call(k="5"), tool(other=integer), tool(k=integer)).calls == (("f", {"k": "5"}),)
    assert coder(call(k="5"), tool("g", k=integer)).calls == (("f", {"k": "5"}),)
    for broken in ({}, {"function": None}, {"function": {"name": "f", "parameters": "x"}}):
        assert coder(call(k="5"), broken).calls == (("f", {"k": "5"}),)


def test_deep_json_is_left_as_text() -> None:
    deep = "[" * 100_000
    assert value_read(deep, {"type": "array"}) == deep
    assert hermes(f"<tool_call>{deep}") == Parsed(f"<tool_call>{deep}", ())
    digits = "9" * 5_000  # more than Python's int() takes
    assert value_read(digits, {"type": "integer"}) == digits


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
def test_reasoning_is_split(text: str, expected: tuple[str | None, str | None]) -> None:
    assert split_reasoning(text, thinking=True) == expected
    assert split_reasoning(text, thinking=False) == (None, text)


def test_a_block_in_the_reasoning_ends_it() -> None:
    assert coder(f"R\n{call(s='v')}", thinking=True) == Parsed(None, (("f", {"s": "v"}),), "R\n")
    assert coder("R <function=f></function>", thinking=True) == Parsed(None, (), "R <function=f></function>")


# -- differences -------------------------------------------------------------------------------------------------------


def said(declared: Any, read: Any) -> list[str]:
    return differences([("f", declared)], Parsed(None, (("f", read),)))


def test_equal_calls_say_nothing() -> None:
    nan = float("nan")
    assert said({"a": 1, "b": [{"c": None}, nan]}, {"b": [{"c": None}, float("nan")], "a": 1}) == []
    assert differences([], Parsed("text", ())) == []
    assert said({"a": 1.0, "b": [-0.0]}, {"a": 1, "b": [0]}) == []


@pytest.mark.parametrize(
    ("declared", "read", "expected"),
    [
        ({"k": "12"}, {"k": 12}, "argument k: declared '12' (string), but the server reads 12 (integer)"),
        ({"k": True}, {"k": 1}, "argument k: declared True (boolean), but the server reads 1 (integer)"),
        ({"k": 1.5}, {"k": 1}, "argument k: declared 1.5 (number), but the server reads 1 (integer)"),
        ({"k": None}, {"k": "None"}, "argument k: declared None (null), but the server reads 'None' (string)"),
        ({"k": {}}, {"k": []}, "argument k: declared {} (object), but the server reads [] (array)"),
        ({"k": "a\n"}, {"k": "a"}, r"argument k: declared 'a\n', but the server reads 'a'"),
        ({"a b": [{"c": 1}]}, {"a b": [{"c": 2}]}, "argument ['a b'][0].c: declared 1, but the server reads 2"),
        ({"k": "a </function> b"}, {}, "argument k 'a </function> b' is lost"),
        ({}, {"z": " b"}, "argument z is not declared, but the server reads ' b'"),
        ({}, "{}", "the arguments: declared {} (object), but the server reads '{}' (string)"),
        ({"k": [1]}, {"k": []}, "argument k: declared 1 items, but the server reads 0: [1] against []"),
        (
            {"k": "x" * 99 + "a" + "x" * 99},
            {"k": "x" * 99 + "b" + "x" * 99},
            "argument k: from character 99 on declared "
            f"'a{'x' * 36}...{'x' * 38}', but the server reads 'b{'x' * 36}...{'x' * 38}'",
        ),
    ],
)
def test_a_difference_in_one_argument_is_said(declared: Any, read: Any, expected: str) -> None:
    assert said(declared, read) == [f"call 1 'f': {expected}"]


def test_calls_that_are_lost_added_or_renamed_are_said() -> None:
    declared = [("f", {}), ("g", {}), ("h", {})]
    assert differences(declared, Parsed("x", ())) == [
        "call 1 'f' is lost: the server reads no call",
        "call 2 'g' is lost: the server reads no call",
        "call 3 'h' is lost: the server reads no call",
    ]
    assert differences(declared, Parsed(None, (("f", {}), ("x", {"k": 1})))) == [
        "call 2: declared 'g', but the server reads 'x'",
        "call 2 'g': argument k is not declared, but the server reads 1",
        "call 3 'h' is lost: the server reads only 2 calls",
    ]
    assert differences([("f", {})], Parsed(None, (("f", {}), ("g", {"k": "v"})))) == [
        "call 2 is not declared, but the server reads 'g' with {'k': 'v'}"
    ]
    assert differences(declared[:2], Parsed(None, (("f", {}),))) == ["call 2 'g' is lost: the server reads only 1 call"]


def test_differences_follow_the_order_of_the_declared_arguments() -> None:
    declared = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1, 2]}
    assert said(declared, {"e": [2, 1], "b": {"d": 3, "c": 4}, "a": 5}) == [
        "call 1 'f': argument a: declared 1, but the server reads 5",
        "call 1 'f': argument b.c: declared 1, but the server reads 4",
        "call 1 'f': argument b.d: declared 2, but the server reads 3",
        "call 1 'f': argument e[0]: declared 1, but the server reads 2",
        "call 1 'f': argument e[1]: declared 2, but the server reads 1",
    ]


# -- any text ----------------------------------------------------------------------------------------------------------

TAGS = (
    *("<think>", "</think>", "<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>"),
    *(">", "<", "\n", "f", "k", "null", "1e999", "[", "{", '"', '{"name": "f", "arguments": ', "}", "<|im_end|>"),
)
texts = st.lists(st.sampled_from(TAGS) | st.text(max_size=5), max_size=40).map("".join)
floats = st.floats().map(lambda number: number + 0.0)  # no -0.0: it equals 0.0 and is written differently
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | floats | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=3), json_values, max_size=3)


@given(
    text=texts, parser=st.sampled_from(sorted(PARSERS)), thinking=st.sampled_from([None, True, False]), k=json_values
)
def test_no_text_raises(text: str, parser: str, thinking: bool | None, k: Any) -> None:
    parsed = parse_turn(text, [tool(k=k)], parser=parser, thinking=thinking)
    assert all(isinstance(name, str) for name, _ in parsed.calls)
    assert (parsed.reasoning is None) or thinking
    assert differences(list(parsed.calls), parsed) == []


@given(calls=st.lists(st.tuples(st.text(min_size=1, max_size=5), objects), min_size=1, max_size=3))
def test_hermes_gives_back_what_is_written_without_tags(calls: list[tuple[str, dict[str, Any]]]) -> None:
    written = [json.dumps({"name": name, "arguments": arguments}) for name, arguments in calls]  # ASCII, as \u escapes
    parsed = hermes("\n".join(f"<tool_call>\n{each}\n</tool_call>" for each in written))
    assert differences(calls, parsed) == []


@given(left=objects, right=objects)
def test_differences_are_silent_exactly_where_the_json_is_the_same(left: Any, right: Any) -> None:
    assert (said(left, right) == []) == (spelled(left) == spelled(right))


def hostile() -> Iterator[str]:
    for unit in (*TAGS, "<parameter=a", "<parameter=a>", "<function=f>", "< parameter =", "</ parameter ", "< "):
        for head in ("", "<function=f>", "<function=f><parameter=", "<function=f><parameter=k>", "<tool_call>"):
            yield head + unit * (200_000 // len(unit))


@pytest.mark.parametrize("parser", PARSERS)
def test_hostile_text_is_read_in_time(parser: str) -> None:
    n_texts, slowest = 0, 0.0
    for text in hostile():
        for thinking in (None, True):
            start = time.perf_counter()
            parse_turn(text, [tool(k={"type": ["array", "null", "number"]})], parser=parser, thinking=thinking)
            slowest = max(slowest, time.perf_counter() - start)
        n_texts += 1
    assert n_texts == 135
    assert slowest < 5, f"{slowest:.1f} s for 200 kB"
