"""TOL rules: what each says of a sample, and where; one fault is one rule's."""

import json
from typing import Any

import pytest
from hypothesis import given
from strategies import samples

from qwen_sft.finding import Severity
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import Rule
from qwen_sft.rule import rules as shelf_of_rules
from qwen_sft.sample import Path, Sample, value_at
from qwen_sft.settings import Settings

RULES: dict[str, Rule] = {
    code: rule for code, rule in shelf_of_rules().items() if code.startswith("TOL") and code <= "TOL022"
}
"""Later ones are in test_rules_gate.py."""

USER = {"role": "user", "content": "Weather?"}
ANSWER = {"role": "assistant", "content": "Rain."}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def tool(name: str, parameters: Any = CITY, **more: Any) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


TOOLS = [tool("weather"), tool("time")]


def call(call_id: str | None = None, name: str = "weather", arguments: Any = None) -> Any:
    function = {"name": name, "arguments": {"city": "Oslo"} if arguments is None else arguments}
    return {"type": "function", "function": function, **({} if call_id is None else {"id": call_id})}


def calling(*calls: Any, content: Any = "") -> Any:
    return {"role": "assistant", "content": content, "tool_calls": list(calls)}


def result(call_id: str | None = None, name: str | None = None) -> Any:
    given_fields = {"tool_call_id": call_id, "name": name}
    return {"role": "tool", "content": "4", **{key: value for key, value in given_fields.items() if value is not None}}


def user(text: Any) -> Any:
    return {"role": "user", "content": text}


def said(text: Any) -> Any:
    return {"role": "assistant", "content": text}


def found(*messages: Any, tools: Any = TOOLS, **settings: Any) -> list[tuple[str, str, Path, str]]:
    """What all TOL rules say: code, severity, place and sentence."""
    sample: Any = {"messages": list(messages), **({} if tools is None else {"tools": tools})}
    transcript = Transcript(sample, Settings(**settings))
    return [
        (code, (finding.severity or rule.severity).value, finding.path, finding.says)
        for code, rule in RULES.items()
        for finding in rule.check(transcript)
    ]


CALL_TEXT = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
XML_TEXT = "<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>"
RESULT_TEXT = "<tool_response>\n4\n</tool_response>"
ARGUMENTS: Path = ("messages", 1, "tool_calls", 0, "function", "arguments")


# -- pairing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ANSWER],
        [USER, calling(call("a")), result("a"), ANSWER],
        [USER, calling(call()), result(), ANSWER],
        [USER, calling(call("a")), result(), ANSWER],
        [USER, calling(call()), result("a"), ANSWER],
        [USER, calling(call("a"), call("b")), result("a"), result("b"), ANSWER],
        [USER, calling(call("a")), result("a"), calling(call("a")), result("a"), ANSWER, USER],
        [USER, calling(call(), call(name="time")), result(name="weather"), result(name="time"), ANSWER],
        [USER, calling(call("a")), result("a")],
        [ANSWER],
    ],
)
def test_a_matched_sample_is_clean_and_an_id_may_come_again_in_a_later_turn(messages: list[Any]) -> None:
    assert found(*messages) == []


NO_RESULT = "no result answers this call of 'weather'"
NO_CALL_OPEN = "this tool result stands where no call is open"


def late(turn: int) -> str:
    return f"this result answers a call in messages[{turn}], and other turns stand between"


@pytest.mark.parametrize(
    ("messages", "code", "path", "says"),
    [
        ([USER, calling(call("a")), ANSWER], "TOL001", ("messages", 1, "tool_calls", 0), NO_RESULT),
        (
            [USER, calling(call("a"), call("b")), result("a"), ANSWER],
            "TOL001",
            ("messages", 1, "tool_calls", 1),
            NO_RESULT,
        ),
        (
            [USER, calling(call("a")), calling(call("b")), result("b"), ANSWER],
            "TOL001",
            ("messages", 1, "tool_calls", 0),
            NO_RESULT,
        ),
        ([USER, result("c9"), ANSWER], "TOL003", ("messages", 1, "tool_call_id"), "'c9' answers no open call"),
        ([USER, result(), ANSWER], "TOL003", ("messages", 1), NO_CALL_OPEN),
        (
            [USER, calling(call("a")), result("x"), ANSWER],
            "TOL003",
            ("messages", 2, "tool_call_id"),
            "'x' answers no open call",
        ),
        (
            [USER, calling(call("a")), result("x")],
            "TOL003",
            ("messages", 2, "tool_call_id"),
            "'x' answers no open call",
        ),
        (
            [USER, calling(call("a")), result("a"), result("a"), ANSWER],
            "TOL003",
            ("messages", 3, "tool_call_id"),
            "'a' answers no open call",
        ),
        ([USER, calling(call()), result(), result(), ANSWER], "TOL003", ("messages", 3), NO_CALL_OPEN),
        (
            [USER, result("a"), calling(call("a")), result("a"), ANSWER],
            "TOL003",
            ("messages", 1, "tool_call_id"),
            "'a' answers no open call",
        ),
        (
            [USER, result("a"), calling(call("a")), ANSWER],
            "TOL004",
            ("messages", 1, "tool_call_id"),
            "'a' is the id of a later call, in messages[2]",
        ),
        (
            [USER, result("a"), calling(call("a"))],
            "TOL004",
            ("messages", 1, "tool_call_id"),
            "'a' is the id of a later call, in messages[2]",
        ),
        (
            [USER, calling(call("a"), call("b")), result("a"), result("x"), ANSWER],
            "TOL006",
            ("messages", 1, "tool_calls"),
            "results that answer none of these 2 calls: ['x']; calls without a result: ['b']",
        ),
        (
            [USER, calling(call("a"), call("b")), result("a"), result("a"), ANSWER],
            "TOL006",
            ("messages", 1, "tool_calls"),
            "results that answer none of these 2 calls: ['a']; calls without a result: ['b']",
        ),
        (
            [USER, calling(call(), call()), result(), result(), result(), ANSWER],
            "TOL006",
            ("messages", 1, "tool_calls"),
            "results that answer none of these 2 calls: ['no id']; every call has its result",
        ),
        (
            [USER, calling(call("a"), call("b")), result("a"), result("x")],
            "TOL006",
            ("messages", 1, "tool_calls"),
            "results that answer none of these 2 calls: ['x']; calls without a result: ['b']",
        ),
        (
            [USER, calling(call("a"), call("a")), result("a"), result("a"), ANSWER],
            "TOL007",
            ("messages", 1, "tool_calls", 1, "id"),
            "'a' is the id of tool_calls[0] too",
        ),
        ([USER, calling(call("a")), USER, result("a"), ANSWER], "TOL018", ("messages", 3), late(1)),
        ([USER, calling(call()), USER, result(), ANSWER], "TOL018", ("messages", 3), late(1)),
        (
            [USER, calling(call("a")), calling(call("b")), result("b"), result("a"), ANSWER],
            "TOL018",
            ("messages", 4),
            late(1),
        ),
        (
            [USER, calling(call("a"), call("b")), result("a"), USER, result("b"), ANSWER],
            "TOL018",
            ("messages", 4),
            late(1),
        ),
        (
            [USER, calling(call("a")), ANSWER, calling(call("a")), result("a"), result("a"), ANSWER],
            "TOL018",
            ("messages", 5),
            late(1),
        ),
    ],
)
def test_one_fault_of_pairing_is_one_error_of_one_rule(messages: Any, code: str, path: Path, says: str) -> None:
    assert found(*messages) == [(code, "error", path, says)]


@pytest.mark.parametrize(
    ("messages", "n_unproven"),
    [
        ([calling(call(), call()), result(), result()], 2),
        ([calling(call("a"), call("b")), result("a"), result()], 1),
        ([calling(call(), call()), result("a"), result("b")], 2),
        ([calling(call(), call()), result(name="weather"), result(name="weather")], 2),
        ([calling(call(), call(name="time")), result(), result()], 2),
    ],
)
def test_parallel_results_without_labels_are_a_warning(messages: list[Any], n_unproven: int) -> None:
    says = f"{n_unproven} of the results of these 2 calls are paired by position alone"
    assert found(USER, *messages, ANSWER) == [("TOL005", "warning", ("messages", 1, "tool_calls"), says)]


@pytest.mark.parametrize(
    "messages",
    [
        [calling(call("a"), call("b")), result("b"), result("a")],
        [calling(call(), call(name="time")), result(name="time"), result(name="weather")],
    ],
)
def test_labelled_results_in_another_order_are_an_info(messages: list[Any]) -> None:
    says = "the results of these calls stand in another order, at messages [3, 2]"
    assert found(USER, *messages, ANSWER) == [("TOL019", "info", ("messages", 1, "tool_calls"), says)]


@pytest.mark.parametrize(
    ("setting", "severity", "outcome"),
    [
        ("error", "error", ""),
        ("drop-turn", "info", "; the turn is left out"),
        ("keep", "info", "; it is trained as the last turn"),
    ],
)
def test_a_trailing_call_is_what_the_setting_makes_of_it(setting: str, severity: str, outcome: str) -> None:
    for messages, what in (
        ([calling(call("a"))], "a call has no result"),
        ([calling(call("a"), call("b"))], "2 of 2 calls have no result"),
        ([calling(call("a"), call("b"), call("c")), result("a"), result("c")], "1 of 3 calls has no result"),
    ):
        says = f"the sample ends here, and {what}{outcome}"
        place = ("messages", 1, "tool_calls")
        assert found(USER, *messages, trailing_calls=setting) == [("TOL002", severity, place, says)]


def test_two_faults_are_two_findings() -> None:
    first = ("TOL001", "error", ("messages", 1, "tool_calls", 0), NO_RESULT)
    second = ("TOL003", "error", ("messages", 5, "tool_call_id"), "'x' answers no open call")
    third = ("TOL002", "error", ("messages", 7, "tool_calls"), "the sample ends here, and a call has no result")
    messages = [
        USER,
        calling(call("a")),
        ANSWER,
        calling(call("b")),
        result("b"),
        result("x"),
        USER,
        calling(call("c")),
    ]
    assert found(*messages) == [first, third, second]


# -- arguments and declarations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_arguments", "code", "says"),
    [
        ('{"city": "Os', "TOL008", '\'{"city": "Os\' breaks off at character 9 of 12: Unterminated string starting at'),
        ('{"city": ', "TOL008", "'{\"city\": ' breaks off at character 9 of 9: Expecting value"),
        (
            "{'city': 'Oslo'}",
            "TOL008",
            "\"{'city': 'Oslo'}\" is no JSON at character 1 of 16, at \"'city': 'Oslo'}\": "
            "Expecting property name enclosed in double quotes",
        ),
        ('"Oslo"', "TOL008", "'\"Oslo\"' is JSON of a str, not of an object"),
        ("[" * 100_000, "TOL008", f"'{'[' * 60}'… is no JSON that can be read"),
        (["Oslo"], "TOL009", "['Oslo'] is not an object"),
        (3, "TOL009", "3 is not an object"),
        (False, "TOL009", "False is not an object"),
        ({}, "TOL011", "the call of 'weather': 'city' is missing"),
    ],
)
def test_arguments_that_are_no_object_of_the_schema(given_arguments: Any, code: str, says: str) -> None:
    messages = [USER, calling(call("a", arguments=given_arguments)), result("a"), ANSWER]
    assert found(*messages) == [(code, "error", ARGUMENTS, says)]


def test_null_arguments_are_no_object() -> None:
    calls = calling({"type": "function", "id": "a", "function": {"name": "weather", "arguments": None}})
    assert found(USER, calls, result("a"), ANSWER) == [("TOL009", "error", ARGUMENTS, "None is not an object")]


@pytest.mark.parametrize(
    ("name", "closest"),
    [("wether", "; the closest that is declared is 'weather'"), ("finish", ""), ("x" * 100_000, "")],
)
def test_an_undeclared_tool_is_named_with_the_closest_declared_one(name: str, closest: str) -> None:
    shown = repr(name) if len(name) < 60 else f"{name[:60]!r}…"
    place = ("messages", 1, "tool_calls", 0, "function", "name")
    messages = [USER, calling(call("a", name=name)), result("a"), ANSWER]
    assert found(*messages) == [("TOL010", "error", place, f"{shown} is not declared{closest}")]


def test_calls_without_declared_tools_are_one_warning() -> None:
    says = "the sample makes 2 calls and declares no tools"
    warning = ("TOL020", "warning", ("messages", 1, "tool_calls"), says)
    messages = [USER, calling(call("a")), result("a"), calling(call("b")), result("b"), ANSWER]
    assert found(*messages, tools=None) == [warning]
    assert found(*messages, tools=[]) == [warning]
    assert found(USER, ANSWER, tools=None) == []


def test_each_violation_of_a_schema_has_its_place() -> None:
    fields = {
        "days": {"type": "int"},
        "units": {"enum": ["C", "F"]},
        "tags": {"type": "list", "items": {"type": "str"}},
    }
    tools = [tool("weather", {"type": "dict", "properties": fields})]
    arguments = {"days": "3", "units": "K", "tags": ["a", 1]}
    messages = [USER, calling(call("a", arguments=arguments)), result("a"), ANSWER]
    assert [(path, says) for code, _, path, says in found(*messages, tools=tools) if code == "TOL011"] == [
        ((*ARGUMENTS, "days"), "the call of 'weather', argument days: '3' is not of type 'integer'"),
        ((*ARGUMENTS, "units"), "the call of 'weather', argument units: 'K' is not one of ['C', 'F']"),
        ((*ARGUMENTS, "tags", 1), "the call of 'weather', argument tags[1]: 1 is not of type 'string'"),
    ]


def test_violations_past_the_tenth_are_counted_as_more() -> None:
    tools = [tool("weather", {"additionalProperties": {"type": "string"}})]
    messages = [USER, calling(call("a", arguments={str(k): k for k in range(30)})), result("a"), ANSWER]
    says = found(*messages, tools=tools)
    assert len(says) == 11
    assert says[-1] == ("TOL011", "error", ARGUMENTS, "the call of 'weather': more than 10 places break the schema")


def test_a_required_list_beside_the_parameters_counts() -> None:
    outside = tool("weather", {"type": "object", "properties": {"city": {"type": "string"}}}, required=["city"])
    messages = [USER, calling(call("a", arguments={})), result("a"), ANSWER]
    place = ("tools", 0, "function", "required")
    assert found(*messages, tools=[outside]) == [
        ("TOL011", "error", ARGUMENTS, "the call of 'weather': 'city' is missing"),
        ("TOL012", "warning", place, "['city'] beside the parameters is moved into them"),
    ]


PARAMETERS: Path = ("tools", 0, "function", "parameters")
NULL = "null stands for nothing here and is left out"


@pytest.mark.parametrize(
    ("parameters", "findings"),
    [
        (CITY, []),
        ({}, []),
        (True, []),
        (None, [("warning", PARAMETERS, NULL)]),
        (
            {"type": "dict", "properties": {"city": {"type": "str, optional"}, "town": None}},
            [
                ("warning", (*PARAMETERS, "type"), "'dict' is written 'object'"),
                ("warning", (*PARAMETERS, "properties", "city", "type"), "'str, optional' is written 'string'"),
                ("warning", (*PARAMETERS, "properties", "town"), NULL),
            ],
        ),
        (
            {"type": "OBJECT", "properties": {"city": {"type": "town"}}},
            [
                ("error", (*PARAMETERS, "properties", "city", "type"), "'town' is no type of JSON Schema"),
                ("warning", (*PARAMETERS, "type"), "'OBJECT' is written 'object'"),
            ],
        ),
        ("object", [("error", PARAMETERS, "'object' is no JSON Schema, which is an object")]),
        (
            {"properties": {str(k): {"type": "float"} for k in range(8)}},
            [
                *[
                    ("warning", (*PARAMETERS, "properties", str(k), "type"), "'float' is written 'number'")
                    for k in range(5)
                ],
                ("warning", PARAMETERS[:-1], "3 more places of this tool are no JSON Schema"),
            ],
        ),
    ],
)
def test_a_tools_schema_is_normalised_or_invalid(parameters: Any, findings: list[Any]) -> None:
    messages = [USER, calling(call("a")), result("a"), ANSWER]
    assert found(*messages, tools=[tool("weather", parameters)]) == [("TOL012", *finding) for finding in findings]


def test_a_tool_without_parameters_takes_any_arguments() -> None:
    bare = {"type": "function", "function": {"name": "weather"}}
    assert found(USER, calling(call("a", arguments={"x": 1})), result("a"), ANSWER, tools=[bare]) == []


def test_two_tools_of_one_name_are_an_error_unless_they_are_copies() -> None:
    place = ("tools", 1, "function", "name")
    messages = [USER, calling(call("a", arguments={})), result("a"), ANSWER]
    assert found(*messages[:1], ANSWER, tools=[tool("weather"), tool("weather")]) == [
        ("TOL021", "warning", place, "'weather' is declared at tools[0] too")
    ]
    assert found(*messages, tools=[tool("weather"), tool("weather", {})]) == [
        ("TOL021", "error", place, "'weather' is another tool at tools[0] too")
    ]


# -- calls and results as text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (CALL_TEXT, "TOL015", 'a call stands in the text: \'{"name": "weather", "arguments": {"city": "Oslo"}}\''),
        (f"Let me see.\n{XML_TEXT}\n", "TOL015", f"a call stands in the text: {XML_TEXT[12:-13][:60]!r}…"),
        (
            f"{CALL_TEXT}\n{CALL_TEXT}",
            "TOL015",
            '2 calls stand in the text: \'{"name": "weather", "arguments": {"city": "Oslo"}}\'',
        ),
        (f"{CALL_TEXT}\nRain.", "TOL017", "text stands behind a call: 'Rain.'"),
        (f"{CALL_TEXT} and {CALL_TEXT}", "TOL017", "text stands behind a call: 'and'"),
        ("Rain. </tool_call>", "TOL016", "'</tool_call>' closes a call that '<tool_call>' does not open"),
        ('<tool_call>\n{"na', "TOL016", "'<tool_call>' is never closed: '<tool_call>\\n{\"na'"),
        (f"<tool_call>{CALL_TEXT}", "TOL016", "'<tool_call>' is not closed before the next one begins"),
        ("<tool_call>\n{}\n</tool_call>", "TOL016", "a '<tool_call>' block does not hold one call: '{}'"),
        ("<tool_call>\n</tool_call>", "TOL016", "a '<tool_call>' block does not hold one call: ''"),
        (
            "<tool_call>\n<function=f>\n<parameter=a>\n</function>\n</tool_call>",
            "TOL016",
            "a '<tool_call>' block does not hold one call: '<function=f>\\n<parameter=a>\\n</function>'",
        ),
        ("<function=f>\n</function>", "TOL016", "'<function=' stands outside of '<tool_call>'"),
        (f"{XML_TEXT}<function=f>", "TOL016", "'<function=' stands outside of '<tool_call>'"),
        (f"{RESULT_TEXT}\nRain.", "TOL014", "a tool result stands in the assistant's own text: '4'"),
        (
            f"{CALL_TEXT}{RESULT_TEXT}{RESULT_TEXT}</tool_call>Rain.",
            "TOL014",
            "2 tool results stand in the assistant's own text: '4'",
        ),
    ],
)
def test_a_call_or_a_result_in_an_assistants_text_is_one_error(text: str, code: str, says: str) -> None:
    assert found(USER, said(text)) == [(code, "error", ("messages", 1, "content"), says)]
    in_part = ("messages", 1, "content", 1, "text")
    assert found(USER, said(["Hm.", {"type": "text", "text": text}])) == [(code, "error", in_part, says)]


REACT = 'Thought: I look.\nAction: f\nAction Input: {"city": "Oslo"}'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"{REACT}\nObservation: 4 degrees\nThought: Cold.", "4 degrees"),
        (f"{REACT}\n\nObservation:\n\n 4 degrees", "4 degrees"),
        (f"{REACT}\nObservation:\n{REACT}\nObservation: Rain", "Thought: I look."),
    ],
)
def test_an_observation_in_an_assistants_text_is_a_warning(text: str, shown: str) -> None:
    says = f"a result stands behind its call in the assistant's own text: {shown!r}"
    assert found(USER, said(text)) == [("TOL014", "warning", ("messages", 1, "content"), says)]


@pytest.mark.parametrize(
    "text",
    [
        f"{REACT}\nObservation:",
        f"{REACT}\nObservation:  \n ",
        "Observation: 4 degrees\nAction Input: none",
        "Action Input: {}\nAction: none\nObservation: 4 degrees",
        f"<think>{REACT}\nObservation: 4</think>It is cold.",
    ],
)
def test_an_observation_that_says_nothing_or_answers_no_call_is_no_result(text: str) -> None:
    assert [code for code, *_ in found(USER, said(text)) if code == "TOL014"] == []


@pytest.mark.parametrize(
    "messages",
    [
        [user(f"What is {CALL_TEXT}?"), ANSWER],
        [user("What does </tool_call> or <function= or <tool_response> mean?"), ANSWER],
        [{"role": "system", "content": f"Answer with {XML_TEXT}; you get {RESULT_TEXT}"}, USER, ANSWER],
        [USER, calling(call("a")), {**result("a"), "content": f"{CALL_TEXT} {RESULT_TEXT} <tool_call>"}, ANSWER],
        [USER, said("<think>I could write <tool_call> or </tool_response>.</think>Rain.")],
        [USER, said("a <tool_calling> <functions> </tool> <tool_response>")],
        [USER, said([{"type": "image", "text": None}, {"type": "text"}])],
    ],
)
def test_tags_elsewhere_are_no_fault(messages: list[Any]) -> None:
    assert found(*messages) == []


def test_a_result_as_a_users_words_is_one_error_and_its_call_none() -> None:
    says = "a tool result stands in a user's turn: '4'"
    error = ("TOL013", "error", ("messages", 2, "content"), says)
    assert found(USER, calling(call("a")), user(RESULT_TEXT), ANSWER) == [error]
    says = "2 tool results stand in a user's turn: '4'"
    error = ("TOL013", "error", ("messages", 0, "content"), says)
    assert found(user(f"See: {RESULT_TEXT}{RESULT_TEXT}"), ANSWER) == [error]


def test_the_result_of_a_call_that_stands_as_text_is_no_orphan() -> None:
    assert [code for code, *_ in found(USER, said(CALL_TEXT), result("a"), result("b"), ANSWER)] == ["TOL015"]
    assert [code for code, *_ in found(USER, said(RESULT_TEXT), result("a"), ANSWER)] == ["TOL003", "TOL014"]


# -- all of them -------------------------------------------------------------------------------------------------------


def test_every_rule_of_this_letter_is_met_here() -> None:
    assert list(RULES) == [f"TOL{number:03}" for number in range(1, 23)]
    assert {rule.stage for rule in RULES.values()} == {"sample"}


@given(samples())
def test_no_rule_raises_and_every_finding_says_where_what_and_how(sample: Sample) -> None:
    before = json.dumps(sample)
    transcript = Transcript(sample, Settings())
    for rule in RULES.values():
        for finding in rule.check(transcript):
            assert finding.says and len(finding.says) < 700
            assert finding.fix and not finding.fix.endswith(".")
            assert finding.severity in (None, *Severity)
            holder: Any = value_at(sample, finding.path[:-1])
            assert isinstance(holder, list) or finding.path[-1] in holder, finding
    assert json.dumps(sample) == before


@given(samples())
def test_each_result_has_one_fate(sample: Sample) -> None:
    """A tool message answers a call behind whose turn it stands, or one of another turn, or none; a call has one."""
    transcript = Transcript(sample, Settings())
    placed = [answer for e in transcript.exchanges for answer in e.answers if answer is not None]
    unmatched = [result for e in transcript.exchanges for result in e.unmatched]
    tools = [i for i, message in enumerate(transcript.messages) if message["role"] == "tool"]
    assert sorted([*placed, *unmatched, *transcript.stray_results]) == tools
    assert set(transcript.misplaced) <= {*unmatched, *transcript.stray_results}
    elsewhere = list(transcript.misplaced.values())
    assert len(set(elsewhere)) == len(elsewhere)
    for exchange in transcript.exchanges:
        own = [k for k, answer in enumerate(exchange.answers) if answer is not None]
        others = [k for turn, k in elsewhere if turn == exchange.turn]
        assert sorted([*own, *others, *transcript.unanswered(exchange)]) == list(range(len(exchange.calls)))


@pytest.mark.parametrize(("reasoning", "kinds"), [(None, []), ("I look it up.", ["text-after"])])
def test_call_before_a_closing_think_tag_is_reasoning_only_where_the_turn_has_none_apart(
    reasoning: str | None, kinds: list[str]
):
    text = '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n</think>'
    said = {"role": "assistant", "content": text, **({"reasoning_content": reasoning} if reasoning else {})}
    transcript = Transcript({"messages": [{"role": "user", "content": "x"}, said]}, Settings())
    assert [leak.kind for leak in transcript.leaks] == kinds
