"""THK rules, and those of MSG and TOL that look for what a gate should stop: what each says, where, and where not."""

import json
from pathlib import Path as File
from typing import Any

import pytest
from hypothesis import given
from strategies import samples

from qwen_sft.finding import Finding, Severity
from qwen_sft.ingesting.ingest import expand
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.rule import Rule
from qwen_sft.rule import rules as shelf_of_rules
from qwen_sft.sample import Path, Sample, value_at
from qwen_sft.settings import Settings

CODES = (
    *(f"THK{n:03}" for n in range(1, 6)),
    *(f"MSG{n:03}" for n in range(14, 21)),
    *(f"TOL{n:03}" for n in (23, 24, 25, 27, 28, 29, 30)),
)
RULES: dict[str, Rule] = {code: shelf_of_rules()[code] for code in CODES}

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
USER = {"role": "user", "content": "Weather?"}
SAID = ("messages", 1, "content")


def said(text: Any, **fields: Any) -> Any:
    return {"role": "assistant", "content": text, **fields}


def call(arguments: Any = None, call_id: str | None = "c1", name: str = "weather") -> Any:
    function = {"name": name, "arguments": {"city": "Oslo"} if arguments is None else arguments}
    return {"type": "function", "function": function, **({"id": call_id} if call_id else {})}


def calling(*calls: Any, text: str = "") -> Any:
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def result(text: str = "4", call_id: str | None = "c1", **fields: Any) -> Any:
    return {"role": "tool", "content": text, **({"tool_call_id": call_id} if call_id else {}), **fields}


def tool(parameters: Any = CITY, name: str = "weather") -> Any:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def findings(*messages: Any, tools: Any = (), codes: Any = CODES) -> list[tuple[str, Severity, Finding]]:
    sample: Any = {"messages": list(messages), **({"tools": list(tools)} if tools else {})}
    transcript = Transcript(sample, Settings())
    return [(c, f.severity or RULES[c].severity, f) for c in codes for f in RULES[c].check(transcript)]


def found(*messages: Any, tools: Any = ()) -> list[tuple[str, str, Path, str]]:
    """What all of these rules say: code, severity, place and sentence."""
    return [(code, severity.value, f.path, f.says) for code, severity, f in findings(*messages, tools=tools)]


# -- THK ---------------------------------------------------------------------------------------------------------------

BEGINS = "the content begins with a think block"


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (said("<think>\nRain.\n</think>\n\nWet."), ("THK001", "warning", BEGINS)),
        (said("\n <think>Rain.</think>"), ("THK001", "warning", BEGINS)),
        (
            said("Rain.\n</think>\n\nWet."),
            (
                "THK001",
                "warning",
                "the content holds '</think>' and begins with no '<think>': what stands before is reasoning",
            ),
        ),
        (
            said("<think>Rain"),
            ("THK002", "error", "the text begins with '<think>', which is never closed"),
        ),
        (said("Hm. <think>Rain.</think>Wet."), ("THK003", "warning", "a think block stands behind other words")),
        (
            said("<think>a</think>b<think>c</think>d"),
            ("THK003", "warning", "a second '</think>' stands behind the first one"),
        ),
        (
            said("<think>a</think>b", reasoning_content="a"),
            ("THK003", "warning", "the content begins with a think block, and the turn has reasoning_content too"),
        ),
        (said("<think>\n\n</think>\n\nWet."), ("THK004", "info", "the content begins with an empty think block")),
        (said("Wet.", reasoning_content="Rain."), None),
        (said("A <think> tag opens a block, and I close none."), None),
        (said("Write </think> behind it.", reasoning_content="The tag."), None),
        (said("Put <think> and </think> around it.", reasoning_content="The tags."), None),
        (said("I think> therefore"), None),
        (said("<thinking>Rain.</thinking>Wet."), None),
    ],
)
def test_think_tags_of_a_turn_are_one_fault_at_most(turn: Any, expected: Any) -> None:
    code, severity, says = expected or ("", "", "")
    assert found(USER, turn) == ([(code, severity, SAID, says)] if expected else [])


def test_reasoning_in_content_is_told_once_for_a_sample() -> None:
    turn = said("<think>a</think>b")
    assert found(USER, turn, USER, turn) == [("THK001", "warning", SAID, f"{BEGINS}; 2 turns have it so")]


def test_reasoning_of_white_space_is_empty_and_counts_with_empty_blocks() -> None:
    blank = said("Wet.", reasoning_content=" \n")
    path = ("messages", 1, "reasoning_content")
    assert found(USER, blank) == [("THK004", "info", path, "reasoning_content holds white space only")]
    assert found(USER, blank, USER, said("<think></think>Wet.")) == [
        ("THK004", "info", path, "reasoning_content holds white space only; 2 turns have it so")
    ]


def test_think_tags_that_the_model_reads_are_told_once() -> None:
    system = {"role": "system", "content": "Close with </think>."}
    assert found(system, USER, said("Wet.")) == [
        ("THK005", "info", ("messages", 0, "content"), "'</think>' stands in this text")
    ]
    given_result = {"role": "tool", "content": [{"type": "text", "text": "<think>"}]}
    assert found(USER, given_result, {"role": "user", "content": "<think>"}, said("Wet.")) == [
        (
            "THK005",
            "info",
            ("messages", 1, "content", 0, "text"),
            "'<think>' stands in this text; 2 texts that the model reads hold such a tag",
        )
    ]
    assert found({"role": "user", "content": "<thinking> rethink> < think >"}, said("Wet.")) == []


# -- MSG: words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m very sorry, but I can’t help with that request.",
        "Sorry, I cannot comply.",
        "I cannot help you with this.",
        "I am unable to assist with booking flights.",
        "Unfortunately, I won't engage in this.",
        "As an AI language model, I have no opinions.",
        "很抱歉，我无法协助您。",
        "对不起，我不能回答这个问题。",
    ],
)
def test_a_refusal_in_a_set_phrase_is_an_info(text: str) -> None:
    quote = repr(text) if len(text) <= 60 else f"{text[:60]!r}…"
    assert found(USER, said(text)) == [("MSG014", "info", SAID, f"the turn refuses: {quote}")]


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't find the file.",
        "I'm sorry to hear that. Let me help you with it.",
        "I cannot help but notice that it rains.",
        "Sorry, I can't cancel a basic economy ticket.",
        "He said: I can't assist with that.",
        "As an airline agent, I can help.",
        "抱歉，我找不到文件。",
    ],
)
def test_what_cannot_be_done_is_no_refusal(text: str) -> None:
    assert found(USER, said(text)) == []


def test_a_turn_that_calls_does_not_refuse() -> None:
    assert found(USER, calling(call(), text="I can't assist with that, but let me look."), result(), said("4")) == []


PROMPT = "You are the agent of an airline. " * 6


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("API Error: 529 Overloaded", "this is the harness's sentence: 'API Error: 529 Overloaded'"),
        ("\nPrompt is too long\n", "this is the harness's sentence: 'Prompt is too long'"),
        ("[Request interrupted by user for tool use]", None),
        ("Exit due to cost limit", "this is the harness's sentence: 'Exit due to cost limit'"),
        (
            "Done.\n<system-reminder>Use the list.</system-reminder>",
            "the turn holds the harness's block '<system-reminder>'",
        ),
        (f"My rules: {PROMPT}", f"the turn repeats the system message: {PROMPT[:60]!r}…"),
    ],
)
def test_what_a_harness_wrote_is_no_turn_of_the_assistant(text: str, says: str | None) -> None:
    says = says or f"this is the harness's sentence: {text!r}"
    system = {"role": "system", "content": f"{PROMPT}Be kind."}
    assert found(system, USER, said(text)) == [("MSG015", "warning", ("messages", 2, "content"), says)]


@pytest.mark.parametrize(
    "text",
    [
        "It said: API Error: 529 Overloaded",
        "Prompt is too long for this model, so I split it.",
        "Claude Code puts `<system-reminder>` blocks into prompts.",
        "The tag <system-reminder> ... </system-reminder> stands in a line.",
        f"My rules: {PROMPT[:100]}",
    ],
)
def test_speaking_of_a_harness_is_no_leak(text: str) -> None:
    assert found({"role": "system", "content": f"{PROMPT}Be kind."}, USER, said(text)) == []
    reminder = {"role": "user", "content": "<system-reminder>\nBe kind.\n</system-reminder>"}
    assert found(reminder, said("Wet.")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "It is 4.\nUser: And 5?\nAssistant: It is 6.",
            "lines begin with 'User:' and so on, 2 in all",
        ),
        ("Human: And 5?\n\nAssistant: 6.\nHuman: 7?", "lines begin with 'Human:' and so on, 3 in all"),
        ("Assistant: It is 4.", "the text begins with the label 'Assistant:'"),
        ("4.\n<|user|>\nAnd 5?", "a line begins with '<|user|>', as a turn of another model's template does"),
        (
            "4.\n### Instruction:\nAdd.",
            "a line begins with '### Instruction:', as a turn of another model's template does",
        ),
        ("4.\n[INST] And 5? [/INST]", "a line begins with '[INST]', as a turn of another model's template does"),
        ("<｜User｜>And 5?", "a line begins with '<｜User｜>', as a turn of another model's template does"),
    ],
)
def test_turns_in_an_assistants_text_are_a_warning(text: str, says: str) -> None:
    assert found(USER, said(text)) == [("MSG019", "warning", SAID, says)]


@pytest.mark.parametrize(
    "text",
    [
        "User: alice\nRole: admin",
        "The roles are user and assistant:\n- User: asks.\n- Assistant: answers.",
        "```\nUser: Hi\nAssistant: Hello.\n```\nThis is a transcript.",
        "```\n<|user|>\nHi",
        "Use `<|user|>` at the beginning of a turn.",
        "### Instructions\nAdd them.",
        "He is the assistant: a good one.",
    ],
)
def test_lines_that_only_look_like_turns_are_none(text: str) -> None:
    assert found(USER, said(text)) == []
    assert found({"role": "user", "content": "User: Hi\nAssistant: Hello."}, said("Wet.")) == []


# -- MSG: characters ---------------------------------------------------------------------------------------------------


def test_control_characters_are_a_warning_in_what_is_trained_and_one_info_in_what_is_read() -> None:
    red = "\x1b[31mred\x1b[0m"
    assert found(
        {"role": "user", "content": f"{red}\x07"},
        said("a\x00b", reasoning_content="\x84"),
        calling(call({"city": ["Os\x1blo"]})),
        result(red),
        said("Tab\tand\r\nlines."),
    ) == [
        ("MSG016", "warning", SAID, "this text holds control characters: '\\x00' (once)"),
        (
            "MSG016",
            "warning",
            ("messages", 1, "reasoning_content"),
            "this text holds control characters: '\\x84' (once)",
        ),
        (
            "MSG016",
            "warning",
            ("messages", 2, "tool_calls", 0, "function", "arguments", "city", 0),
            "this text holds control characters: '\\x1b' (once)",
        ),
        (
            "MSG016",
            "info",
            ("messages", 0, "content"),
            "this text holds control characters: '\\x1b' (2 times), '\\x07' (once); 2 texts hold such characters",
        ),
    ]


def test_no_more_than_four_control_characters_are_listed() -> None:
    ((_, _, _, says),) = found(USER, said("\x01\x02\x03\x04\x05"))
    listed = ", ".join(f"'\\x0{n}' (once)" for n in range(1, 5))
    assert says == f"this text holds control characters: {listed}, …"


@pytest.mark.parametrize(
    ("text", "wrong", "right"),
    [
        ("A cafÃ©.", "Ã©", "é"),
        ("SÃ£o Paulo", "Ã£", "ã"),
        ("itâ€™s", "â€™", "’"),
        ("itâ\x80\x99s", "â\x80\x99", "’"),
        ("caf\xef\xbf\xbd", "ï¿½", "\ufffd"),
        ("20Â°C", "Â°", "°"),
        ("ðŸ˜€", "ðŸ˜€", "😀"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚", "ÐŸÑ€Ð¸Ð²ÐµÑ‚", "Привет"),
        ("ä½\xa0å¥½", "ä½\xa0å¥½", "你好"),
    ],
)
def test_utf_8_that_was_misread_is_told_with_what_it_was(text: str, wrong: str, right: str) -> None:
    says = f"{wrong!r} is {right!r} in UTF-8 that was read as Windows-1252 or Latin-1"
    assert found(USER, said(text)) == [("MSG017", "warning", SAID, says)]
    assert found({"role": "user", "content": text}, result(text), said("Hm.")) == [
        ("MSG017", "info", ("messages", 0, "content"), f"{says}; 2 texts hold such characters")
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("café", "São Paulo", "« LE CAFÉ»", "20 °C – 25 °C", "it’s “so”", "MANHÃ»", "IRMÃ – SÃO", "ΑΒΓ", "Привет"),
        *("你好，世界", "ÂNGELA", "naïve — Ærø", "ñandú¿", "Straße…", "€ 5 · 3½", "ÅÄÖ", "ðú", "𝒳", "Ã", "â"),
    ],
)
def test_text_of_many_languages_is_no_mojibake(text: str) -> None:
    assert found(USER, said(text)) == []


def test_every_letter_that_is_misread_in_a_word_is_found() -> None:
    for letter in "àáâãäåæçèéêëìíîïñòóôõöøùúûüýÿß":
        text = f"ab{letter}cd".encode().decode("cp1252", "replace")
        if "\ufffd" not in text:
            assert [code for code, *_ in found(USER, said(text))] == ["MSG017"], letter


def test_replacement_characters_are_told_once_an_assistants_first() -> None:
    odd = {"role": "user", "content": "caf\ufffd\ufffd"}
    assert found(odd, said("Hm.")) == [("MSG018", "info", ("messages", 0, "content"), "this text holds U+FFFD 2 times")]
    assert found(odd, said("A caf\ufffd.")) == [
        ("MSG018", "info", SAID, "this text holds U+FFFD once; 2 texts hold it")
    ]


# -- TOL ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call_id", ["c1", None])
def test_a_result_with_another_tools_name_is_misnamed(call_id: str | None) -> None:
    messages = [USER, calling(call(call_id=call_id)), result(call_id=call_id, name="time"), said("4")]
    says = "the result is 'time''s by its name, and the call that it answers is 'weather''s"
    assert found(*messages) == [("TOL023", "warning", ("messages", 2, "name"), says)]


@pytest.mark.parametrize("name", ["weather", "", "functions.weather", "mcp__x__weather", "Weather"])
def test_a_result_with_its_tools_name_is_not_misnamed(name: str) -> None:
    assert found(USER, calling(call()), result(name=name), said("4")) == []


def test_parallel_results_by_name_are_not_misnamed() -> None:
    calls = (call(call_id=None), call(call_id=None, name="time"))
    results = (result(call_id=None, name="time"), result(call_id=None, name="weather"))
    assert found(USER, calling(*calls), *results, said("4")) == []


UNITS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "default": "Oslo"},
        "unit": {"type": "string", "default": "celsius"},
        "days": {"type": "integer", "default": 1},
        "tags": {"type": "array", "default": []},
    },
    "required": ["city"],
}


def test_defaults_that_are_spelled_out_are_told_once() -> None:
    given_arguments = {"city": "Oslo", "unit": "celsius", "days": 1, "tags": []}
    path = ("messages", 1, "tool_calls", 0, "function", "arguments", "unit")
    assert found(USER, calling(call(given_arguments)), result(), said("4"), tools=[tool(UNITS)]) == [
        ("TOL024", "info", path, "'unit' is given its default, 'celsius'; 3 arguments do")
    ]
    others = {"city": "Oslo", "unit": "kelvin", "days": True}
    assert found(USER, calling(call(others)), result(), said("4"), tools=[tool(UNITS)]) == []


def test_an_argument_that_no_one_declares_is_a_warning_with_the_closest_name() -> None:
    arguments = {"city": "Oslo", "citty": "Bergen", "speed": None, "x": 1}
    ((_, _, first), (_, severity, second)) = findings(
        USER, calling(call(arguments)), result(), said("4"), tools=[tool()]
    )
    assert (first.says, first.fix) == (
        "'weather' declares no argument 'citty'",
        "take it out, or name 'city', or declare it",
    )
    assert (second.says, second.fix) == ("'weather' declares no argument 'x'", "take it out, or declare it")
    assert (severity, second.path[-1]) == (Severity.WARNING, "x")


@pytest.mark.parametrize(
    "parameters",
    [
        {**CITY, "additionalProperties": True},
        {**CITY, "additionalProperties": False},
        {**CITY, "patternProperties": {"^x": {}}},
        {"anyOf": [CITY], "properties": {}},
        {"type": "object"},
        None,
        True,
    ],
)
def test_arguments_are_undeclared_only_where_the_schema_says_nothing(parameters: Any) -> None:
    given_call = calling(call({"city": "Oslo", "x": 1}))
    assert found(USER, given_call, result(), said("4"), tools=[tool(parameters)]) == []
    assert found(USER, given_call, result(), said("4"), tools=[tool(name="time")]) == []


def test_integers_beyond_2_to_the_53_are_unsafe() -> None:
    arguments = {"a": 2**53, "b": [-(2**53)], "c": 2**53 - 1, "d": 1e300, "e": str(2**60), "f": True}
    place = ("messages", 1, "tool_calls", 0, "function", "arguments")
    assert found(USER, calling(call(arguments)), result(), said("4")) == [
        ("TOL027", "info", (*place, "a"), "9007199254740992 is beyond 2^53 - 1"),
        ("TOL027", "info", (*place, "b", 0), "-9007199254740992 is beyond 2^53 - 1"),
    ]


def loop(*results: str, arguments: Any = None) -> list[Any]:
    return [m for text in results for m in (calling(call(arguments)), result(text))]


def test_a_call_that_is_repeated_is_told_at_its_third_time() -> None:
    says = "'weather' is called {} times in a row with the same arguments and result"
    assert found(USER, *loop("4", "4", "4"), said("4")) == [
        ("TOL028", "warning", ("messages", 5, "tool_calls", 0), says.format(3))
    ]
    assert found(USER, *loop("5", "4", "4", "4", "4", "5"), said("4")) == [
        ("TOL028", "warning", ("messages", 7, "tool_calls", 0), says.format(4))
    ]
    parallel = [calling(*[call(call_id=f"c{n}") for n in range(3)]), *[result(call_id=f"c{n}") for n in range(3)]]
    assert found(USER, *parallel, said("4")) == [
        ("TOL028", "warning", ("messages", 1, "tool_calls", 2), says.format(3))
    ]


@pytest.mark.parametrize(
    "messages",
    [
        loop("4", "4"),
        loop("4", "4", "5"),
        [*loop("4", "4"), *loop("4", arguments={"city": "Bergen"})],
        [*loop("4", "4"), said("4"), USER, *loop("4", "4")],
        [*loop("4", "4"), calling(call())],
        [calling(call()), calling(call()), calling(call())],
    ],
)
def test_calls_that_differ_or_that_a_user_asks_for_again_are_no_loop(messages: list[Any]) -> None:
    assert found(USER, *messages) == []


@pytest.mark.parametrize(
    "error",
    [
        "Error: city is unknown",
        "error: no such file",
        "ValueError: city",
        "Traceback (most recent call last):\n  File",
        '{"error": "no such city"}',
        "{'error': {'code': 404}}",
        "<tool_use_error>no such file</tool_use_error>",
        "fatal: not a git repository",
    ],
)
def test_an_answer_that_passes_over_an_error_is_an_info(error: str) -> None:
    says = f"the last result is an error, {error!r}, and the answer does not speak of it"
    assert found(USER, calling(call()), result(error), said("It is 4 degrees.")) == [
        ("TOL029", "info", ("messages", 3, "content"), says)
    ]


@pytest.mark.parametrize(
    ("results", "answer"),
    [
        (["Error: down"], "That did not work."),
        (["Error: down"], "The service is down."),
        (["Error: down"], "Please name a city."),
        (["Error: down"], "查询失败。"),
        (["Error: down", "4"], "It is 4 degrees."),
        (['{"error": null, "degrees": 4}'], "It is 4 degrees."),
        (['{"error": "", "degrees": 4}'], "It is 4 degrees."),
        (["errors are 0"], "It is 4 degrees."),
        (["No errors found: 0 warnings"], "It is 4 degrees."),
    ],
)
def test_an_error_that_is_addressed_or_is_none_is_no_fault(results: list[str], answer: str) -> None:
    calls = [call(call_id=f"c{n}") for n in range(len(results))]
    given_results = [result(text, f"c{n}") for n, text in enumerate(results)]
    assert found(USER, calling(*calls), *given_results, said(answer)) == []
    assert found(USER, calling(*calls), *given_results, USER, said("It is 4.")) == []


def test_a_key_that_stands_twice_in_arguments_is_told_at_its_place(tmp_path: File) -> None:
    texts = ['{"city": "Oslo"}', '{"city": "a", "at": {"x": 1, "x": 2}}', '[{"a": 1}, {"a": 2}]', "no JSON", "{"]
    calls = [{"id": f"c{n}", "function": {"name": "f", "arguments": text}} for n, text in enumerate([*texts, "HERE"])]
    user = {"role": "user", "content": 'The "arguments": {"a": 1, "a": 2}'}
    text = json.dumps({"messages": [user, said("", tool_calls=calls)]})
    file = tmp_path / "runs.jsonl"
    file.write_text(text.replace('"HERE"', '{"é": "arguments", "é": 2}') + "\n", encoding="utf-8")
    made = list(outcomes(expand([str(file)]), Pipeline(Settings(select=("TOL026",)))))
    place = "$.messages[1].tool_calls[{}].function.arguments"
    assert [(d.code, d.json_path, d.says) for outcome in made for d in outcome.diagnostics] == [
        ("TOL026", place.format(1), "the arguments of a call hold the key 'x' twice"),
        ("TOL026", place.format(5), "the arguments of a call hold the key 'é' twice"),
    ]


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (
            '{"messages": [{"role": "assistant", "content": [{"type": "tool_use", "name": "f", "id": "a", "input": '
            '{"x": 1, "x": 2}}, {"type": "tool_use", "name": "f", "id": "b", "input": {"x": {"input": 1}}}]}]}',
            ["$.messages[0].content[0].input"],
        ),
        (
            '{"contents": [{"role": "model", "parts": [{"functionCall": {"args": {"args": 1}, "name": "f"}}, '
            '{"functionCall": {"name": "f", "args": {"x": {"y": 1, "y": 2}}}}]}]}',
            ["$.contents[0].parts[1].functionCall.args"],
        ),
        ('{"input": {"messages": [], "a": 1, "a": 2}, "args": [{"x": 1, "x": 2}], "name": 1}', []),
        ('{"input": [{"x": 1, "x": 2}], "args": "{\\"x\\": 1, \\"x\\": 2}", "name": "f"}', []),
    ],
)
def test_a_key_that_stands_twice_in_arguments_of_other_names_is_told(
    text: str, places: list[str], tmp_path: File
) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text(text + "\n", encoding="utf-8")
    made = list(outcomes(expand([str(file)]), Pipeline(Settings(select=("TOL026",)))))
    found_at = [d.json_path for outcome in made for d in outcome.diagnostics if d.code == "TOL026"]
    assert found_at == places


# -- TOL011 and TOL008 say more ----------------------------------------------------------------------------------------

KINDS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "unit": {"type": "string", "enum": ["celsius", "degrees_fahrenheit"]},
        "text": {"type": "string"},
        "days": {"type": "integer"},
        "share": {"type": "number"},
        "rain": {"type": "boolean"},
        "list": {"type": "array", "items": {"enum": ["A", "a", "b"]}},
    },
}


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ({"unit": "Celsius"}, 'write "celsius", which the schema allows'),
        ({"unit": "Degrees Fahrenheit"}, 'write "degrees_fahrenheit", which the schema allows'),
        ({"text": 14}, 'write "14", which the schema allows'),
        ({"text": True}, None),
        ({"days": "3"}, "write 3, which the schema allows"),
        ({"share": "0.5"}, "write 0.5, which the schema allows"),
        ({"rain": "true"}, "write true, which the schema allows"),
        ({"list": ["A", "B"]}, 'write "b", which the schema allows'),
        ({"unit": "摄氏度"}, None),
        ({"unit": ""}, None),
        ({"days": "3.5"}, None),
        ({"days": "three"}, None),
        ({"days": "true"}, None),
        ({"rain": "1"}, None),
        ({"days": [3]}, None),
    ],
)
def test_a_violation_says_what_to_write_where_that_is_certain(arguments: Any, fix: str | None) -> None:
    sample: Any = {"messages": [USER, calling(call(arguments)), result()], "tools": [tool(KINDS)]}
    (finding,) = shelf_of_rules()["TOL011"].check(Transcript(sample, Settings()))
    assert finding.fix == (fix or "correct the arguments, or the schema of the tool")


def test_half_of_a_surrogate_pair_in_arguments_is_named() -> None:
    sample: Any = {"messages": [USER, calling(call('{"a": "\\ud83d"}')), result()]}
    (finding,) = shelf_of_rules()["TOL008"].check(Transcript(sample, Settings()))
    assert finding.says == '\'{"a": "\\\\ud83d"}\' holds half of a surrogate pair, or nests too deep'


RAIN = "4 degrees, rain from the west"


@pytest.mark.parametrize("turn", [{"content": f"I see {RAIN}."}, {"content": "", "reasoning_content": f"So {RAIN}"}])
def test_a_result_that_its_own_call_foretells_is_a_warning(turn: Any) -> None:
    asking = {"role": "assistant", "tool_calls": [call()], **turn}
    field = "reasoning_content" if "reasoning_content" in turn else "content"
    says = f"this turn holds a result of its own calls: {RAIN!r}"
    assert found(USER, asking, result(f" {RAIN}\n"), said("It rains.")) == [
        ("TOL030", "warning", ("messages", 1, field), says)
    ]


@pytest.mark.parametrize(
    "messages",
    [
        [USER, calling(call(), text=f"I see {RAIN[:19]}."), result(RAIN[:19])],
        [{"role": "user", "content": f"Is it {RAIN}?"}, calling(call(), text=f"I see {RAIN}."), result(RAIN)],
        [USER, calling(call({"text": [f"{RAIN}!"]}), text=f"I write {RAIN}."), result(RAIN)],
        [USER, calling(call(), text="Let me see."), result(RAIN), said(RAIN)],
    ],
)
def test_words_that_are_short_or_were_known_are_no_foretold_result(messages: list[Any]) -> None:
    assert [finding for finding in found(*messages) if finding[0] == "TOL030"] == []


ENGLISH = "How do I keep basil fresh for a week?"
CHINESE = "把罗勒放在一杯水里，室温保存，每天换水即可。"
RUSSIAN = "Поставьте базилик в стакан воды и меняйте воду каждый день."


@pytest.mark.parametrize(
    ("asked", "answer", "wanted", "given"),
    [
        (ENGLISH, CHINESE, "Latin", "Chinese or Japanese"),
        (CHINESE, f"```\nкод\n``` {ENGLISH}", "Chinese or Japanese", "Latin"),
        (RUSSIAN, f"{CHINESE} `cat` https://a.b/c <b>", "Cyrillic", "Chinese or Japanese"),
    ],
)
def test_an_answer_in_another_script_is_an_info(asked: str, answer: str, wanted: str, given: str) -> None:
    says = f"the request is written in {wanted} letters, and this answer in {given} ones"
    assert found({"role": "user", "content": asked}, said(answer)) == [("MSG020", "info", SAID, says)]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": ENGLISH}, said("Put it into water.")],
        [{"role": "user", "content": f"{ENGLISH} Answer in Chinese."}, said(CHINESE)],
        [{"role": "system", "content": "You translate."}, {"role": "user", "content": ENGLISH}, said(CHINESE)],
        [{"role": "user", "content": f"{ENGLISH} 水"}, said(CHINESE)],
        [{"role": "user", "content": ENGLISH}, said(f"{CHINESE} Basil")],
        [{"role": "user", "content": ENGLISH}, said("水。")],
        [{"role": "user", "content": "Hi"}, said(CHINESE)],
        [{"role": "user", "content": CHINESE}, said("```python\nprint('basil in water for a whole week')\n```")],
        [{"role": "user", "content": ENGLISH}, said(CHINESE, tool_calls=[call()]), result(), said("Put it so.")],
        [{"role": "assistant", "content": CHINESE}],
    ],
)
def test_answers_that_may_be_meant_or_cannot_be_told_are_none_in_another_script(messages: list[Any]) -> None:
    assert [finding for finding in found(*messages) if finding[0] == "MSG020"] == []


# -- all ---------------------------------------------------------------------------------------------------------------


def test_what_is_an_error_is_no_guess() -> None:
    heuristic = {code for code, rule in shelf_of_rules().items() if rule.heuristic}
    assert heuristic == {
        *("MSG014", "MSG015", "MSG017", "MSG019", "MSG020", "SEC004", "SEC005", "TOL028", "TOL029", "TOL030"),
        *("SET007", "SET010", "SET015"),
    }
    for code in heuristic:
        assert shelf_of_rules()[code].severity is not Severity.ERROR
        assert code.startswith("SET") or shelf_of_rules()[code].page.catches.startswith("heuristic: ")


@given(samples())
def test_no_rule_raises_and_every_finding_says_where_what_and_how(sample: Sample) -> None:
    transcript = Transcript(sample, Settings())
    for rule in RULES.values():
        for finding in rule.check(transcript):
            assert finding.says and finding.fix
            assert value_at(sample, finding.path) is not None


def test_refusal_is_looked_for_in_time_that_grows_with_the_text_only():
    """A degenerate answer of white space took minutes: two repetitions could share it in every way."""
    for blank in (" ", "\n ", "i'm sorry, "):
        turns: list[Any] = [{"role": "user", "content": "x"}, {"role": "assistant", "content": blank * 100_000}]
        sample: Any = {"messages": turns}
        assert list(shelf_of_rules()["MSG014"].check(Transcript(sample, Settings()))) == []
