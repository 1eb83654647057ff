"""Calls as text: each dialect reads back what is written in it, exactly or not at all, and never at a high price."""

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_sft.dialect import dialects
from qwen_sft.format import Conversation
from qwen_sft.shaping.lift import lifted
from qwen_sft.text import normalize
from qwen_sft.text.markup import lift_tools
from qwen_sft.text.pyliteral import literal

DIALECTS = dialects()
every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))


def test_shelf_holds_the_dialects_of_the_documentation():
    assert set(DIALECTS) == {"coder_xml", "functioncall", "hermes", "python_list", "react"}


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


KINDS = {
    "s": {"type": "string"},
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "b": {"type": "boolean"},
    "o": {"type": "object"},
    "a": {"type": "array"},
    "m": {"type": ["integer", "null"]},
}
TOOLS: list[Any] = [tool("f", **KINDS), tool("Get Weather", city={"type": "str"}), tool("a.b")]


# What is read, and what is left.

XML = (
    "<tool_call>\n<function=f>\n"
    "<parameter=s>\nx\n</parameter>\n<parameter=i>\n3\n</parameter>\n"
    "</function>\n</tool_call>"
)


@pytest.mark.parametrize(
    ("dialect", "text", "read"),
    [
        ("hermes", '<tool_call>{"name": "f", "arguments": {"i": 1}}</tool_call>', ("", [call("f", i=1)])),
        (
            "hermes",
            "So.\n<tool_call>\n{'arguments': {'s': 'it\\'s', 'b': True, 'm': None}, 'name': 'f'}\n</tool_call>",
            ("So.", [call("f", s="it's", b=True, m=None)]),
        ),
        ("hermes", "<tool_call>\n{'arguments': {1: 2}, 'name': 'f'}\n</tool_call>", None),
        ("coder_xml", XML, ("", [call("f", s="x", i=3)])),
        ("coder_xml", f"I look.\n\n{XML}\n{XML}\n", ("I look.", [call("f", s="x", i=3), call("f", s="x", i=3)])),
        ("coder_xml", XML.replace("<tool_call>\n", "").replace("\n</tool_call>", ""), None),
        ("coder_xml", XML + "Done.", None),
        ("coder_xml", XML.replace("\n3\n", "\n3.5\n"), None),
        ("coder_xml", XML.replace("=i>\n3", "=b>\nTrue"), ("", [call("f", s="x", b=True)])),
        ("coder_xml", XML.replace("=i>\n3", "=m>\nNone"), ("", [call("f", s="x", m=None)])),
        ("coder_xml", XML.replace("=i>\n3", "=b>\n1"), None),
        ("coder_xml", XML.replace("=i>\n3", "=unknown>\n3"), None),
        ("coder_xml", XML.replace("=i>\n3", "=s>\n3"), None),
        ("coder_xml", XML.replace("\nx\n", "x"), ("", [call("f", s="x", i=3)])),
        ("coder_xml", XML.replace("\nx\n", "\n\nx\n\n"), ("", [call("f", s="\nx\n", i=3)])),
        ("coder_xml", XML.replace("\nx\n", "\n<function=g>\n"), None),
        ("coder_xml", f"</parameter>{XML}", None),
        ("coder_xml", "<tool_call><function=a.b></function></tool_call>", ("", [call("a.b")])),
        (
            "coder_xml",
            "<tool_call><function=Get Weather><parameter=city>7</parameter></function></tool_call>",
            ("", [call("Get Weather", city="7")]),
        ),
        ("functioncall", '<functioncall> {"name": "f", "arguments": \'{"i": 1}\'}', ("", [call("f", i=1)])),
        (
            "functioncall",
            'Let me see.\n<functioncall> {"name": "f", "arguments": \'{"s": "it\\\'s"}\'} <|endoftext|>',
            ("Let me see.", [call("f", s="it's")]),
        ),
        (
            "functioncall",
            '<functioncall> {"name": "f", "arguments": \'{"s": "it\'s"}\'}',
            ("", [call("f", s="it's")]),
        ),
        ("functioncall", '<functioncall>{"name": "f", "arguments": "{\\"i\\": 1}"}', ("", [call("f", i=1)])),
        ("functioncall", '<functioncall>{"name": "f", "arguments": {"i": 1}}</functioncall>', ("", [call("f", i=1)])),
        ("functioncall", '<functioncall>{"name": "f"}', ("", [call("f")])),
        ("functioncall", '<functioncall>{"name": "f", "arguments": {}} Then I wait.', None),
        ("functioncall", '<functioncall>{"name": "f", "arguments": [1]}', None),
        ("functioncall", '<functioncall>{"name": "f"}<functioncall>{"name": "f"}', None),
        (
            "react",
            'Thought: I look.\nAction: f\nAction Input: {"i": 1}\nObservation:',
            ("I look.", [call("f", i=1)]),
        ),
        ("react", 'Action: f\nAction Input: {\n "i": 1\n}\n', ("", [call("f", i=1)])),
        ("react", "Action: f\nAction Input: Oslo", None),
        ("react", 'Action: f\nAction Input: {"i": 1}\nObservation: 4 degrees', None),
        ("react", 'Action: f\nAction Input: {}\nAction: f\nAction Input: {"i": 1}', None),
        ("react", 'Action:\nAction Input: {"i": 1}', None),
        (
            "python_list",
            "[f(i=-1, s='x', o={'k': (1, 2.5)}), Get Weather(city=\"Oslo\")]",
            ("", [call("f", i=-1, s="x", o={"k": [1, 2.5]}), call("Get Weather", city="Oslo")]),
        ),
        ("python_list", "[a.b()]\n", ("", [call("a.b")])),
        ("python_list", "[f(b=true, m=null)]", ("", [call("f", b=True, m=None)])),
        ("python_list", "[f(from='a', class=\"b)]\")]", ("", [call("f", **{"from": "a", "class": "b)]"})])),
        ("python_list", "[f(1)]", None),
        ("python_list", "[f(i=1, i=2)]", None),
        ("python_list", "[f(i=g())]", None),
        ("python_list", "[f(i=x)]", None),
        ("python_list", "[f(i=1+1)]", None),
        ("python_list", "[f(i=1)] Done.", None),
        ("python_list", "Here: [f(i=1)]", None),
        ("python_list", "[f(i=1) g()]", None),
        ("python_list", "[(i=1)]", None),
        ("python_list", "[f(=1)]", None),
        ("python_list", "[]", None),
        ("python_list", "[f(i=1)", None),
    ],
)
def test_calls_are_read_exactly_or_left(dialect: str, text: str, read: Any):
    assert DIALECTS[dialect].calls(text, TOOLS) == read


@pytest.mark.parametrize(
    ("dialect", "text", "read"),
    [
        ("hermes", "<tool_response>\n1\n</tool_response>\n<tool_response>2</tool_response>", ["1", "2"]),
        ("hermes", "So: <tool_response>1</tool_response>", None),
        ("coder_xml", "<tool_response>\n1\n</tool_response>", ["1"]),
        ("functioncall", 'FUNCTION RESPONSE: {"a": 1}', ['{"a": 1}']),
        ("functioncall", "It said FUNCTION RESPONSE: 1", None),
        ("react", "Observation: 4 degrees\nrain", ["4 degrees\nrain"]),
        ("react", "Observation:\n4 degrees", ["4 degrees"]),
        ("react", "My Observation: 4", None),
        ("python_list", "[1]", None),
    ],
)
def test_results_are_read_exactly_or_left(dialect: str, text: str, read: Any):
    assert DIALECTS[dialect].results(text) == read


# Python literals.


@pytest.mark.parametrize(
    "text",
    [
        "{'a': [1, -2, 3.5, 1e3, .5], 'b': (1,), 'c': (2), 'd': ()}",
        "'it\\'s \\x41\\u00e9\\n\\101\\N{DIGIT ONE}\\\n.'",
        "'''a'b\n''c'''",
        '"""a"b"""',
        '""',
        " [True, False, None,] ",
        "12345678901234567890123",
        "-0",
    ],
)
def test_literal_is_what_python_says(text: str):
    value = eval(text.strip(), {"__builtins__": {}})  # texts of our own
    assert json.dumps(literal(text)) == json.dumps(value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1 2", "{1}", "{1: 2}", "{'a': 1, 'a': 2}", "[1 2]", "[1", "(", "{'a'}", "f()", "1 + 1", "b'x'"),
        *("r'x'", "f'{x}'", "'a' 'b'", "'a\nb'", "'\\x4'", "'\\ud83d'", "'\\N{NO SUCH}'", "1_000", "007", "1j"),
        *("0x10", "1e999", "nan", "--1", "[" * 300 + "]" * 300, "9" * 5000, "{**a}", "[*a]", "...", "#"),
    ],
)
def test_text_that_is_not_exactly_one_json_value_is_no_literal(text: str):
    with pytest.raises(ValueError, match=r".+"):
        literal(text)


def test_escape_that_python_does_not_know_stays_two_characters():
    assert literal(r"'\d+'") == "\\d+"


# What is written is read back.

_REAL = st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SCALAR = st.none() | st.booleans() | st.integers() | _REAL | _TEXT
_JSON = st.recursive(
    _SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3), max_leaves=8
)
_NAME = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\- ]{0,8}[A-Za-z0-9_]", fullmatch=True)
_KEY = st.from_regex(r"[A-Za-z_][A-Za-z0-9_\-]{0,8}", fullmatch=True)
_WORDS = st.from_regex(r"[A-Za-z ,.]{0,20}[A-Za-z.]", fullmatch=True) | st.just("")
_ARGUMENTS = st.dictionaries(_KEY, _JSON, max_size=4)
_CALLS = st.lists(st.tuples(_NAME, _ARGUMENTS), min_size=1, max_size=3)


def same(read: Any, calls: list[tuple[str, dict[str, Any]]], text: str = "") -> None:
    """That a reading is these calls, number spellings and all."""
    assert read is not None
    written = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in calls]
    assert (read[0], json.dumps(read[1])) == (text, json.dumps(written))


@given(_WORDS, _CALLS, st.booleans())
def test_hermes_call_is_read_back(words: str, calls: list[Any], as_python: bool):
    bodies = [{"name": name, "arguments": given} for name, given in calls]
    written = [repr(body) if as_python else json.dumps(body) for body in bodies]
    blocks_of = "\n".join(f"<tool_call>\n{body}\n</tool_call>" for body in written)
    if "tool_call>" not in "".join(written):
        same(DIALECTS["hermes"].calls(f"{words}\n{blocks_of}" if words else blocks_of, []), calls, words)


@given(_CALLS, st.sampled_from([repr, lambda value: json.dumps(value, ensure_ascii=False)]))
def test_python_list_call_is_read_back(calls: list[Any], spell: Callable[[Any], str]):
    spelled = [f"{name}({', '.join(f'{key}={spell(value)}' for key, value in given.items())})" for name, given in calls]
    same(DIALECTS["python_list"].calls(f"[{', '.join(spelled)}]", []), calls)


@given(_JSON)
def test_literal_reads_what_python_prints(value: Any):
    assert json.dumps(literal(repr(value))) == json.dumps(value)


@given(_WORDS, _NAME, _ARGUMENTS, st.booleans())
def test_react_call_is_read_back(words: str, name: str, arguments: dict[str, Any], pretty: bool):
    thought = f"Thought: {words}\n" if words else ""
    text = f"{thought}Action: {name}\nAction Input: {json.dumps(arguments, indent=2 if pretty else None)}"
    same(DIALECTS["react"].calls(text, []), [(name, arguments)], words.strip())


@given(_WORDS, _NAME, _ARGUMENTS, st.sampled_from(["dict", "string", "quoted", "escaped"]))
def test_functioncall_is_read_back(words: str, name: str, arguments: dict[str, Any], spelling: str):
    inner = json.dumps(arguments, ensure_ascii=False)
    spelled = {
        "dict": inner,
        "string": json.dumps(inner),
        "quoted": f"'{inner}'",
        "escaped": "'" + inner.replace("'", "\\'") + "'",
    }[spelling]
    if spelling == "escaped" and "\\" in inner:
        return  # two ways of escaping in one text have no one reading
    text = f'{words} <functioncall> {{"name": {json.dumps(name)}, "arguments": {spelled}}} <|endoftext|>'
    if "<functioncall>" not in inner:
        same(DIALECTS["functioncall"].calls(text, []), [(name, arguments)], words.rstrip())


_TYPED = st.fixed_dictionaries(
    {},
    optional={
        "s": _TEXT,
        "i": st.integers(),
        "n": _REAL | st.integers(),
        "b": st.booleans(),
        "o": st.dictionaries(_TEXT, _JSON, max_size=3),
        "a": st.lists(_JSON, max_size=3),
        "m": st.integers() | st.none(),
    },
)


def in_xml(arguments: dict[str, Any], as_template: bool) -> str:
    def spell(value: Any) -> str:
        plain = isinstance(value, str) or (as_template and not isinstance(value, dict | list))
        return str(value) if plain else json.dumps(value, ensure_ascii=False)

    inner = "".join(f"<parameter={key}>\n{spell(value)}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function=f>\n{inner}</function>\n</tool_call>"


@given(_WORDS, st.lists(_TYPED, min_size=1, max_size=3), st.booleans())
def test_coder_xml_call_is_read_back(words: str, calls: list[Any], as_template: bool):
    text = "\n".join([*([words] if words else []), *(in_xml(arguments, as_template) for arguments in calls)])
    if text.count("<") == sum(4 + 2 * len(arguments) for arguments in calls):  # no tags inside values
        same(DIALECTS["coder_xml"].calls(text, TOOLS), [("f", arguments) for arguments in calls], words)


# Any text at all.

# fmt: off
_PIECES = st.sampled_from([
    "<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=s>", "</parameter>", "<functioncall>",
    "<tool_response>", "</tool_response>", "Action:", "Action Input:", "Observation:", "Thought:", "FUNCTION RESPONSE:",
    "{", "}", "[", "]", "f(", "(", ")", "i=", "'", '"', ",", "1", "\\", "x", ":", "True", "<|endoftext|>", "\n", " ",
    "\ud800", '{"name": "f", "arguments": {}}', '{"name": "f", "arguments": \'{}\'}',
])
# fmt: on
_ANY_TEXT = st.lists(_PIECES | st.text(max_size=3), max_size=24).map("".join)
_ANY_TOOLS: list[Any] = [*TOOLS, None, 3, {}, {"function": 3}, {"function": {"name": "f", "parameters": [1]}}]


@settings(max_examples=400)
@given(_ANY_TEXT, st.sampled_from(["assistant", "user", "tool"]))
def test_any_text_is_read_or_left(text: str, role: str):
    for dialect in DIALECTS.values():
        for tools in ([], TOOLS, _ANY_TOOLS[::-1]):
            read = dialect.calls(text, tools)
            assert read is None or (read[1] and text.lstrip().startswith(read[0].lstrip()[:1]))
            if read is not None:
                assert any(mark in text for mark in dialect.marks)
                assert all(isinstance(made["function"]["arguments"], dict) for made in read[1])
        found = dialect.results(text)
        assert found is None or all(result in text for result in found)
    sample: Any = {"messages": [{"role": role, "content": text}], "tools": _ANY_TOOLS}
    assert len(lifted(Conversation(sample, [("messages", 0)])).origins) >= 1


# What is lifted.


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str, *calls: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {}), **fields}


def lift(*messages: Any, tools: Any = TOOLS) -> list[Any]:
    """The messages of a sample after lifting, each with its place."""
    sample: Any = {"messages": list(messages), **({} if tools is None else {"tools": tools})}
    made = lifted(Conversation(sample, [("messages", i) for i in range(len(messages))]))
    changed = made.sample["messages"] != sample["messages"]
    assert made.rebuilt == changed
    return [(place[1], message) for place, message in zip(made.origins, made.sample["messages"], strict=True)]


HERMES = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'


def test_calls_and_the_results_behind_them_are_lifted_in_their_places():
    two = f"{HERMES}\n{HERMES}"
    results = "<tool_response>1</tool_response><tool_response>2</tool_response>"
    assert lift(user("x"), said(two, weight=0.5), user(results), said("Done.")) == [
        (0, user("x")),
        (1, said("", call("f"), call("f"), weight=0.5)),
        (2, {"role": "tool", "content": "1"}),
        (2, {"role": "tool", "content": "2"}),
        (3, said("Done.")),
    ]


def test_result_in_a_tool_turn_keeps_what_else_the_turn_says():
    given = {"role": "tool", "tool_call_id": "c", "name": "f", "content": "<tool_response>\n1\n</tool_response>"}
    assert lift(said(HERMES), given)[1] == (1, {**given, "content": "1"})
    plain = {"role": "tool", "content": "1"}
    assert lift(said("[f(i=1)]"), plain)[1] == (1, plain)


@pytest.mark.parametrize(
    "turns",
    [
        [user(HERMES)],
        [said(HERMES.replace('"f"', '"g"'))],
        [said(HERMES), said("", call("f"))],
        [said("It is [1](https://a.b)")],
        [said([{"type": "text", "text": HERMES}])],
    ],
)
def test_what_is_no_call_to_a_declared_tool_or_stands_beside_real_ones_is_left(turns: list[Any]):
    assert [message for _, message in lift(*turns)] == turns


def test_without_declared_tools_nothing_is_lifted():
    assert lift(said(HERMES), tools=None) == [(0, said(HERMES))]
    assert lift(said(HERMES), tools="f") == [(0, said(HERMES))]


@pytest.mark.parametrize("behind", ["<tool_response>1</tool_response>" * 2, "Observation: 1", "1"])
def test_turn_behind_a_call_that_is_not_exactly_its_result_is_left(behind: str):
    assert lift(said(HERMES), user(behind))[1] == (1, user(behind))


def test_result_counts_only_directly_behind_its_call():
    result = user("<tool_response>1</tool_response>")
    assert lift(said(HERMES), user("Well?"), result)[2] == (2, result)
    assert lift(said(HERMES), result, result)[2] == (2, result)


def test_one_tool_list_in_python_spelling_is_lifted():
    assert lift_tools("<tools> [{'name': 'f', 'parameters': None}] </tools>") == (
        [{"type": "function", "function": {"name": "f"}}],
        "",
    )


# What it costs.

_LONG = 40_000
_REPEATED = [
    *("[(", "[f(", "f(),", "(", "[", "{", "{'a':", "a=1,", "'", '"', "\\", "1", "1.", "-", "f", " ", "\n", "\t \n"),
    *("<tool_call>", "</tool_call>", "<tool_call></tool_call>", "<tool_call>{", "<tool_call><function=f>"),
    *("<function=f>", "<parameter=s>", "<parameter=s></parameter>", "<tool_response>", "<functioncall>"),
    *("Action:", "\nAction:", "\nAction: f\nAction Input: {", "Action Input:", "Observation:", "<|endoftext|>"),
]
_BEFORE = ["", "[", "[f(a=", "[f(a='", '<functioncall> {"name": "f", "arguments": \'', "Action: f\nAction Input:"]
_BEFORE += ["<tool_call>", "<tool_call><function=f>", "<tool_call><function=f><parameter=s>", "<tool_response>"]
_BEHIND = ["", ")]", "'}", "</tool_call>"]


@pytest.mark.parametrize("before", _BEFORE, ids=range(len(_BEFORE)))
def test_hostile_text_costs_steps_and_decoded_characters_in_proportion_to_its_length(
    before: str, monkeypatch: pytest.MonkeyPatch
):
    decoded = count_decoded(monkeypatch)
    for repeated in _REPEATED:
        for behind in _BEHIND:
            text = before + repeated * (_LONG // len(repeated)) + behind
            decoded.clear()
            steps = steps_of(lambda text=text: read_by_all(text))
            assert steps < 16 * len(text), text[:60]
            assert sum(decoded) < 8 * len(text), text[:60]


@pytest.mark.parametrize("text", ["[" + "(" * 10**6, "<tool_call>" * 10**5, "[f(a=" + "[" * 10**6], ids=range(3))
def test_a_million_hostile_characters_cost_fewer_steps_than_they_are(text: str):
    assert steps_of(lambda: read_by_all(text)) < len(text)


def read_by_all(text: str) -> None:
    for dialect in DIALECTS.values():
        if any(mark in text for mark in dialect.marks):
            dialect.calls(text, TOOLS)
        dialect.results(text)


def steps_of(function: Callable[[], Any]) -> int:
    """How often Python code calls something: what regular expressions do inside is not in it, but they must end too."""
    steps = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return steps


def count_decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The lengths of the texts that are handed to the JSON decoder from now on."""
    decoded: list[int] = []

    def decode(text: str) -> Any:
        decoded.append(len(text))
        return normalize.decode_json(text)

    for module in ("text.markup", "dialects.coder_xml", "dialects.functioncall", "dialects.react"):
        monkeypatch.setattr(f"qwen_sft.{module}.decode_json", decode)
    return decoded
