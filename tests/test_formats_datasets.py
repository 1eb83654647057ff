"""Rows of published data sets: ShareGPT, Hermes, Glaive, xLAM, ToolACE, ms-swift, Alpaca, LLaMA-Factory, TRL, verl."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reading import FORMATS, fates, read_whole, recognised, records_of, samples
from real import TRACES, needs_real_data

from qwen_sft.sample import json_path

F = {"name": "f", "description": "Does it.", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}
TOOL = {"type": "function", "function": F}


def call(name: str = "f", **arguments: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def user(text: str = "x", **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": text, **fields}


def said(text: str, *calls: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **({"tool_calls": list(calls)} if calls else {}), **fields}


def result(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": text, **fields}


def messages(name: str, record: Any) -> list[Any]:
    (sample,) = samples(name, record)
    return sample["messages"]


def refusal(name: str, record: Any) -> tuple[str, str]:
    assert recognised(record) == [name]
    found = read_whole(FORMATS[name], record).refusal
    assert found is not None
    return json_path(found.path), found.says


# ShareGPT.


@pytest.mark.parametrize(
    ("speaker", "role"),
    [
        *(("human", "user"), ("user", "user"), ("gpt", "assistant"), ("chatgpt", "assistant"), ("bing", "assistant")),
        *(("bard", "assistant"), ("assistant", "assistant"), ("system", "system"), ("tool", "tool")),
        *(("observation", "tool"), ("function_response", "tool"), ("tool_response", "tool"), ("critic", "critic")),
    ],
)
def test_sharegpt_speaker_has_its_role(speaker: str, role: str):
    record = {"conversations": [{"from": speaker, "value": "y"}, {"from": "human", "value": "x"}]}
    assert messages("sharegpt", record)[0] == {"role": role, "content": "y"}


@pytest.mark.parametrize("speaker", ["function_call", "tool_call"])
def test_sharegpt_call_may_be_spelled_in_two_ways(speaker: str):
    turns = [{"from": "human", "value": "x"}, {"from": speaker, "value": '{"name": "f", "arguments": {"a": 1}}'}]
    assert messages("sharegpt", {"conversations": turns}) == [user(), said("", call(a=1))]


def test_sharegpt_weight_stays_with_its_turn_and_parts_what_differs_in_it():
    one = {"from": "function_call", "value": '{"name": "f", "arguments": {}}'}
    turns = [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y", "weight": 0}, one, {**one, "weight": 0}]
    assert messages("sharegpt", {"conversations": turns})[1:] == [
        said("y", weight=0),
        said("", call()),
        said("", call(), weight=0),
    ]
    turns[2] = {**one, "weight": 0}
    assert messages("sharegpt", {"conversations": turns})[1:] == [said("y", call(), call(), weight=0)]


def test_sharegpt_row_keeps_its_labels_and_apigen_mt_its_system_prompt():
    record = {
        "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}],
        "system": "Be kind.",
        "tools": json.dumps([F]),
        "source": "mt",
        "score": 1,
    }
    assert samples("sharegpt", record) == [
        {
            "messages": [{"role": "system", "content": "Be kind."}, user(), said("y")],
            "tools": [TOOL],
            "metadata": {"source": "mt", "reward": 1},
        }
    ]


@pytest.mark.parametrize(
    ("field", "value"), [("loss", 0), ("loss", False), ("loss_mask", 0), ("trainable", False), ("training", False)]
)
def test_sharegpt_turn_that_is_not_to_be_trained_says_so(field: str, value: Any):
    turns = [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y", field: value}]
    assert messages("sharegpt", {"conversations": turns}) == [user(), said("y", train=False)]


# What stands beside the turns.

SYSTEM = {"role": "system", "content": "Be kind."}
ROLES: dict[str, Any] = {"messages": [user(), said("y"), user("z")]}
SPEAKERS: dict[str, Any] = {
    "conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}, {"from": "human", "value": "z"}]
}
TOLD = [user(), said("y"), user("z")]
LOST_ANSWER = "another answer, in {!r}, than the one that the turns end with"
SWIFT: dict[str, Any] = {"messages": [user(), {**said("y"), "loss_scale": None}, user("z")]}
in_all = pytest.mark.parametrize(
    ("name", "turns"), [("openai_chat", ROLES), ("sharegpt", SPEAKERS), ("ms_swift", SWIFT)]
)


def ended(turns: dict[str, Any]) -> dict[str, Any]:
    return {key: listed[:2] for key, listed in turns.items()}


@in_all
@pytest.mark.parametrize("key", ["system_prompt", "instructions"])
def test_system_prompt_beside_the_turns_is_the_first_message(name: str, turns: dict[str, Any], key: str):
    for prompt in ("Be kind.", [{"type": "text", "text": "Be kind."}]):
        assert samples(name, {**turns, key: prompt}) == [{"messages": [SYSTEM, *TOLD]}]
        assert fates(name, {**turns, key: prompt}) == []
    long = "Be kind. " * 100
    assert messages(name, {**turns, key: long}) == [{"role": "system", "content": long}, *TOLD]
    assert messages(name, {**turns, key: {"text": 3}}) == TOLD


@in_all
def test_second_system_prompt_is_lost_unless_it_says_the_same(name: str, turns: dict[str, Any]):
    spoken = {"from": "system", "value": "Be kind."}
    record: dict[str, Any] = {key: [SYSTEM if key == "messages" else spoken, *listed] for key, listed in turns.items()}
    record |= {"system_prompt": "Be kind.\n", "instructions": "Be brief."}
    assert samples(name, record) == [{"messages": [SYSTEM, *TOLD], "metadata": {"instructions": "Be brief."}}]
    assert fates(name, record) == [
        ("$.system_prompt", "merged", "repeats what the turns say", False),
        ("$.instructions", "dropped", "another system prompt than that of the turns", True),
    ]


def test_system_prompt_beside_calls_is_the_first_message():
    turns = [user(), said("", call(a=1)), result("1"), said("y")]
    record = {"system": [{"type": "text", "text": "Be"}, {"type": "text", "text": "kind."}], "messages": turns}
    assert messages("openai_chat", record) == [{"role": "system", "content": "Be\nkind."}, *turns]


@in_all
@pytest.mark.parametrize("key", ["response", "completion", "output", "answer"])
@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("End.", [said("End.")]),
        ({"content": "End."}, [said("End.")]),
        ({"role": "assistant", "content": "End.", "reasoning": "t"}, [said("End.", reasoning_content="t")]),
        ([said("", call(a=1)), result("1"), said("End.")], [said("", call(a=1)), result("1"), said("End.")]),
    ],
)
def test_answer_beside_the_turns_ends_them(name: str, turns: dict[str, Any], key: str, given: Any, made: list[Any]):
    assert samples(name, {**turns, key: given}) == [{"messages": [*TOLD, *made]}]
    assert fates(name, {**turns, key: given}) == []


@in_all
@pytest.mark.parametrize("given", ["y", " y\n", {"content": "y"}, said("y"), [said("y")]])
def test_answer_that_the_turns_end_with_is_told_once(name: str, turns: dict[str, Any], given: Any):
    record = {**ended(turns), "response": given}
    assert samples(name, record) == [{"messages": [user(), said("y")]}]
    assert [fate[1:] for fate in fates(name, record)] == [("merged", "repeats what the turns say", False)]


@in_all
def test_answer_that_stands_beside_the_turns_twice_is_told_once(name: str, turns: dict[str, Any]):
    record = {**turns, "response": "End.", "output": "End."}
    assert messages(name, record) == [*TOLD, said("End.")]
    assert fates(name, record) == [("$.output", "merged", "repeats what the turns say", False)]


@in_all
def test_another_answer_than_that_of_the_turns_is_lost_and_a_reference_stays_a_label(name: str, turns: dict[str, Any]):
    record = {**ended(turns), "completion": [said("no")], "answer": "42"}
    assert samples(name, record) == [{"messages": [user(), said("y")], "metadata": {"answer": "42"}}]
    assert fates(name, record) == [
        ("$.completion[0]", "dropped", LOST_ANSWER.format("completion"), True),
        ("$.answer", "dropped", LOST_ANSWER.format("answer"), False),
    ]


@in_all
@pytest.mark.parametrize("given", [None, "", " ", 42, [], {}, {"score": 1}, ["y"], [{"text": "y"}], [said("y"), "z"]])
def test_column_that_is_no_answer_says_nothing(name: str, turns: dict[str, Any], given: Any):
    assert messages(name, {**turns, "output": given}) == TOLD
    assert fates(name, {**turns, "output": given}) == []


def test_system_prompt_stands_before_each_choice_of_an_answer():
    choices = [{"message": said("1")}, {"message": said("2")}]
    record = {**ROLES, "instructions": "Be kind.", "response": {"choices": choices}}
    assert [one["messages"] for one in samples("openai_chat", record)] == [
        [SYSTEM, *TOLD, said("1")],
        [SYSTEM, *TOLD, said("2")],
    ]
    assert fates("openai_chat", record) == []


def test_label_of_our_own_sample_stays_though_a_column_has_its_name():
    record = {**ROLES, "instructions": "Be kind.", "metadata": {"instructions": "v2", "split": "a"}}
    assert samples("openai_chat", record) == [{"messages": [SYSTEM, *TOLD], "metadata": record["metadata"]}]


def test_two_lists_of_turns_must_say_the_same():
    other = {"conversations": SPEAKERS["conversations"][:2]}
    assert refusal("openai_chat", {**ROLES, **other}) == (
        "$.conversations",
        "'messages' and 'conversations' hold different turns",
    )
    assert refusal("sharegpt", {**SPEAKERS, "traj": ROLES["messages"][:2]}) == (
        "$.traj",
        "'conversations' and 'traj' hold different turns",
    )
    for same in (SPEAKERS["conversations"], [], [3]):
        assert samples("openai_chat", {**ROLES, "conversations": same}) == [{"messages": TOLD}]


# Hermes.


def test_hermes_call_that_python_printed_is_a_call():
    record = {
        "conversations": [
            {"from": "system", "value": "<tools> " + repr([TOOL]) + " </tools>"},
            {"from": "human", "value": "x"},
            {"from": "gpt", "value": "<tool_call>\n{'arguments': {'a': None}, 'name': 'f'}\n</tool_call>"},
            {"from": "tool", "value": "<tool_response>\n{'ok': True}\n</tool_response>"},
        ],
    }
    assert samples("hermes", record) == [
        {"messages": [user(), said("", call(a=None)), result("{'ok': True}")], "tools": [TOOL]}
    ]


# Glaive.

GLAIVE = "SYSTEM: You are a helpful assistant with access to the following functions. Use them if required -\n"
END = " <|endoftext|>\n\n\n"


def glaive(chat: str, system: str = GLAIVE + json.dumps(F, indent=4)) -> dict[str, Any]:
    return {"system": system, "chat": chat}


def test_glaive_text_becomes_turns():
    chat = f'USER: x\n\n\nASSISTANT: <functioncall> {{"name": "f", "arguments": \'{{"a": 1}}\'}}{END}'
    chat += f"FUNCTION RESPONSE: ok\n\n\nASSISTANT: Done.\n\nMore?{END}"
    assert samples("glaive", glaive(chat)) == [
        {"messages": [user(), said("", call(a=1)), result("ok"), said("Done.\n\nMore?")], "tools": [TOOL]}
    ]
    assert fates("glaive", glaive(chat)) == [
        ("$.system", "merged", "it only declares tools, which are the sample's tools now", False)
    ]


@pytest.mark.parametrize(
    ("system", "prompt", "has_tools"),
    [
        ("SYSTEM: Be kind. Functions -\n" + json.dumps(F), "Be kind. Functions -", True),
        ("SYSTEM: Be kind.", "Be kind.", False),
        (GLAIVE + '{"name": "f"', GLAIVE.removeprefix("SYSTEM: ") + '{"name": "f"', False),
        (GLAIVE + '{"nom": "f"}', GLAIVE.removeprefix("SYSTEM: ") + '{"nom": "f"}', False),
        (
            GLAIVE + json.dumps(F) + " Good luck.",
            GLAIVE.removeprefix("SYSTEM: ") + json.dumps(F) + " Good luck.",
            False,
        ),
        ("", None, False),
    ],
)
def test_glaive_system_prompt_keeps_what_does_not_declare_tools(system: str, prompt: str | None, has_tools: bool):
    (sample,) = samples("glaive", glaive(f"USER: x\n\n\nASSISTANT: y{END}", system))
    first = [{"role": "system", "content": prompt}] if prompt else []
    assert sample["messages"] == [*first, user(), said("y")]
    assert ("tools" in sample) == has_tools


@pytest.mark.parametrize(
    ("chat", "says"),
    [
        ("ASSISTANT: y", "ASSISTANT stands at the beginning, so turns cannot be told apart"),
        ("USER: x\n\n\nUSER: x", "USER stands behind USER, so turns cannot be told apart"),
        ("USER: x\nASSISTANT: y\nASSISTANT: z", "ASSISTANT stands behind ASSISTANT, so turns cannot be told apart"),
        (
            "USER: x\nASSISTANT: y\nFUNCTION RESPONSE: 1",
            "FUNCTION RESPONSE stands behind ASSISTANT, so turns cannot be told apart",
        ),
        (f"USER: x\nASSISTANT: y{END}z", "<|endoftext|> stands inside a turn of ASSISTANT"),
        (f"USER: x{END}ASSISTANT: y", "<|endoftext|> stands inside a turn of USER"),
    ],
)
def test_glaive_text_that_has_no_one_reading_is_refused(chat: str, says: str):
    assert refusal("glaive", glaive(chat)) == ("$.chat", says)


def test_glaive_call_without_an_exact_reading_stays_text_and_is_counted():
    chat = f'USER: x\n\n\nASSISTANT: <functioncall> {{"name": f}}{END}FUNCTION RESPONSE: no\n\n\nASSISTANT: y{END}'
    (sample,) = samples("glaive", glaive(chat))
    assert sample["messages"][1:] == [said('<functioncall> {"name": f}'), result("no"), said("y")]
    assert sample["metadata"] == {"unread_calls": 1}


def test_glaive_answer_without_its_end_was_cut_off():
    cut = f"USER: x\n\n\nASSISTANT: y{END}USER: x\n\n\nASSISTANT: y"
    assert samples("glaive", glaive(cut))[0]["metadata"] == {"finish_reason": "unfinished"}
    assert "metadata" not in samples("glaive", glaive(cut.replace("<|endoftext|>", "")))[0]


# xLAM.


def xlam(parameters: Any) -> dict[str, Any]:
    tools = json.dumps([{"name": "f", "description": "", "parameters": parameters}])
    return {"query": "x", "tools": tools, "answers": '[{"name": "f", "arguments": {"a": 1}}]'}


def test_xlam_answers_are_one_turn_of_calls():
    answers = [{"name": "f", "arguments": {"a": 1}}, {"name": "f", "arguments": {"a": 2}}]
    for tools in ([F], json.dumps([F]), [TOOL], [json.dumps(F)]):
        for spelled in (
            answers,
            json.dumps(answers),
            [{**one, "arguments": json.dumps(one["arguments"])} for one in answers],
        ):
            assert samples("xlam", {"id": 7, "query": "x", "tools": tools, "answers": spelled}) == [
                {"messages": [user(), said("", call(a=1), call(a=2))], "tools": [TOOL], "id": "7"}
            ]


@pytest.mark.parametrize(
    ("spelling", "schema"),
    [
        ("str", {"type": "string"}),
        ("int", {"type": "integer"}),
        ("float", {"type": "number"}),
        ("bool", {"type": "boolean"}),
        ("dict", {"type": "object"}),
        ("any", {}),
        ("List[int]", {"type": "array", "items": {"type": "integer"}}),
        ("List[List[float]]", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        ("List[Any]", {"type": "array"}),
        ("Dict[str, int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("Dict[str, Any]", {"type": "object"}),
        ("Tuple[int, int]", {"type": "array"}),
        ("Union[int, List[str]]", {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "string"}}]}),
    ],
)
def test_xlam_parameter_is_written_as_json_schema_where_that_is_exact(spelling: str, schema: Any):
    given = {"a": {"description": "A.", "type": spelling}, "b": {"type": f"{spelling}, optional", "default": ""}}
    (sample,) = samples("xlam", xlam(given))
    assert sample["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"a": {**schema, "description": "A."}, "b": {**schema, "default": ""}},
        "required": ["a"],
    }
    assert sample["metadata"] == {"tools_original": [{"name": "f", "description": "", "parameters": given}]}


@pytest.mark.parametrize("spelling", ["Callable[[float], float]", "np.ndarray", "List[", "Dict[str]", "", "List[x]"])
def test_xlam_type_that_no_schema_says_stays_for_a_rule_to_report(spelling: str):
    (sample,) = samples("xlam", xlam({"a": {"type": f"{spelling}, optional"}}))
    assert sample["tools"][0]["function"]["parameters"]["properties"] == {"a": {"type": f"{spelling}, optional"}}


@pytest.mark.parametrize(
    "parameters",
    [
        F["parameters"],
        {},
        {"properties": {"type": {"type": "string"}}},
        {"type": "dict", "properties": {}},
        {"a": "str"},
        {"a": {"type": ["string", "null"]}},
        None,
    ],
)
def test_xlam_parameters_in_no_dialect_of_its_own_stay(parameters: Any):
    (sample,) = samples("xlam", xlam(parameters))
    assert sample["tools"][0]["function"].get("parameters") == parameters
    assert "metadata" not in sample


def test_xlam_parameter_may_be_called_type():
    (sample,) = samples("xlam", xlam({"type": {"type": "str"}}))
    assert sample["tools"][0]["function"]["parameters"] == {
        "type": "object",
        "properties": {"type": {"type": "string"}},
        "required": ["type"],
    }


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ("[]", "the answer is no call and no text"),
        ("f(a=1)", "the answers are no list of {name, arguments}"),
        ({"name": "f", "arguments": {}}, "the answers are no list of {name, arguments}"),
        ([{"name": "f"}, 3], "the answers are no list of {name, arguments}"),
        (None, "the answers are no list of {name, arguments}"),
    ],
)
def test_xlam_row_without_calls_is_refused(answers: Any, says: str):
    assert refusal("xlam", {"query": "x", "tools": [], "answers": answers}) == ("$.answers", says)


def test_request_with_expected_calls_and_no_response_is_call_supervision():
    request = {"input": [{"role": "system", "content": "s"}, user()], "tools": [{"type": "function", **F}]}
    record = {"id": 1, "responses_create_params": request, "expected_answers": [{"name": "f", "arguments": {"a": 1}}]}
    assert samples("xlam", record) == [
        {"messages": [{"role": "system", "content": "s"}, user(), said("", call(a=1))], "tools": [TOOL], "id": "1"}
    ]
    assert recognised({**record, "response": {"object": "response", "output": []}}) == ["responses"]


# ToolACE.

ASKS = "You compose functions.\nHere is a list of functions in JSON format that you can invoke:\n"
HOW = (
    ". \nShould you decide to return the function call(s). \n"
    "Put it in the format of [func1(params_name=params_value, params_name2=params_value2...), func2(params)]\n\n"
    "NO other text MUST be included. "
)


def toolace(*turns: tuple[str, str], system: str = ASKS + json.dumps([F]) + HOW) -> dict[str, Any]:
    return {"system": system, "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


def test_toolace_calls_and_their_results_are_real_ones():
    results = [{"name": "f", "results": {"b": 1.0}}, {"name": "G h", "results": "ok"}]
    record = toolace(("user", "x"), ("assistant", "[f(a=1), G h(from='b')]"), ("tool", json.dumps(results)))
    assert samples("toolace", record) == [
        {
            "messages": [
                {"role": "system", "content": "You compose functions."},
                user(),
                said("", call(a=1), call("G h", **{"from": "b"})),
                result('{"b": 1.0}', name="f"),
                result("ok", name="G h"),
            ],
            "tools": [TOOL],
        }
    ]


@pytest.mark.parametrize("value", ['[{"name": "f", "results": 1}]', '[{"name": "f"}, {"name": "f"}]', "ok", "[1, 2]"])
def test_toolace_results_that_are_not_one_for_each_call_stay_one(value: str):
    record = toolace(("user", "x"), ("assistant", "[f(a=1), f(a=2)]"), ("tool", value))
    assert messages("toolace", record)[3:] == [result(value)]


def test_toolace_call_without_an_exact_reading_stays_text_and_is_counted():
    (sample,) = samples("toolace", toolace(("user", "x"), ("assistant", "[f(a=b)]"), ("assistant", "See [1] (here).")))
    assert sample["messages"][2:] == [said("[f(a=b)]"), said("See [1] (here).")]
    assert sample["metadata"] == {"unread_calls": 1}


@pytest.mark.parametrize(
    ("declared", "says"),
    [("[]", "You compose functions."), ("[{'name': 'f'}]", None), ('[{"nom": "f"}]', None), ('{"name": "f"}', None)],
)
def test_toolace_prompt_stays_where_its_tools_have_no_exact_reading(declared: str, says: str | None):
    (sample,) = samples("toolace", toolace(("user", "x"), system=ASKS + declared))
    assert sample["messages"][0]["content"] == (says or ASKS + declared)
    assert "tools" not in sample


# ms-swift.


def test_ms_swift_calls_join_the_text_before_them_unless_they_differ_in_training():
    calls = [{"role": "tool_call", "content": json.dumps({"name": "f", "arguments": {"a": a}})} for a in (1, 2)]
    turns = [user(), said("y"), *calls, {"role": "tool_response", "content": "1"}, {"role": "tool", "content": "2"}]
    assert messages("ms_swift", {"messages": turns}) == [
        user(),
        said("y", call(a=1), call(a=2)),
        result("1"),
        result("2"),
    ]
    turns[1] = said("y", loss=False)
    assert messages("ms_swift", {"messages": turns})[1:3] == [said("y", train=False), said("", call(a=1), call(a=2))]


@pytest.mark.parametrize(
    ("fields", "made"),
    [
        ({"loss": True}, {"train": True}),
        ({"loss": 0}, {"train": False}),
        ({"loss": None, "loss_scale": 0.5}, {"weight": 0.5}),
        ({"loss": "yes"}, {"train": "yes"}),
    ],
)
def test_ms_swift_loss_is_whether_and_how_much_a_turn_is_trained(fields: dict[str, Any], made: dict[str, Any]):
    assert messages("ms_swift", {"messages": [user(), said("y", **fields)]}) == [user(), said("y", **made)]


def test_ms_swift_call_that_is_no_json_stays_as_it_was():
    assert messages("ms_swift", {"messages": [user(), {"role": "tool_call", "content": "f(a=1)"}]})[1] == said(
        "", "f(a=1)"
    )


def test_ms_swift_query_and_response_follow_their_history():
    record = {"system": "s", "history": [["a", "b"]], "query": "x", "response": "y", "tools": json.dumps([F])}
    assert samples("ms_swift", record) == [
        {
            "messages": [{"role": "system", "content": "s"}, user("a"), said("b"), user(), said("y")],
            "tools": [TOOL],
        }
    ]


# Alpaca.


def test_alpaca_row_is_one_exchange_behind_its_history():
    record = {"instruction": "Do.", "input": "x", "output": "y", "history": [["a", "b"]], "tools": "[]", "system": ""}
    assert messages("alpaca", record) == [user("a"), said("b"), user("Do.\nx"), said("y")]
    assert fates("alpaca", record) == [
        ("$.input", "merged", "the second part of the user's turn, behind the instruction and a newline", False)
    ]


@pytest.mark.parametrize("name", ["alpaca", "ms_swift"])
@pytest.mark.parametrize("history", ["a", [["a"]], [["a", 1]], ["ab"], {"a": "b"}])
def test_history_that_is_no_list_of_pairs_is_refused(name: str, history: Any):
    record = {"instruction": "x", "output": "y"} if name == "alpaca" else {"query": "x", "response": "y"}
    assert refusal(name, {**record, "history": history}) == (
        "$.history",
        "a pair of the history is no query and response",
    )


def test_alpaca_input_that_is_no_text_is_refused():
    record = {"instruction": "x", "input": [1], "output": "y"}
    assert refusal("alpaca", record) == ("$.input", "the input is list, not a text")


# LLaMA-Factory v1.


def block(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "value": value}


def factory(*blocks: Any, role: str = "assistant", **fields: Any) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": [block("text", "x")]}, {"role": role, "content": blocks, **fields}]
    }


CALL = block("tool_call", '{"name": "f", "arguments": {"a": 1}}')


@pytest.mark.parametrize(
    ("blocks", "turns"),
    [
        (
            [block("reasoning", "t"), block("text", "a"), block("text", "b"), CALL],
            [said("ab", call(a=1), reasoning_content="t")],
        ),
        ([CALL, block("text", "a")], [said("", call(a=1)), said("a")]),
        ([block("text", "a"), block("reasoning", "t")], [said("a"), said("", reasoning_content="t")]),
        ([block("tool_call", "f()")], [said("", "f()")]),
        (
            [block("text", "a"), block("image_url", "i.png")],
            [said("") | {"content": [{"type": "text", "text": "a"}, block("image_url", "i.png")]}],
        ),
        ([block("text", 3)], [said("") | {"content": [block("text", 3)]}]),
    ],
)
def test_llama_factory_blocks_are_one_turn_in_its_order(blocks: list[Any], turns: list[Any]):
    record = json.loads(json.dumps(factory(*blocks)))
    assert messages("llama_factory", record) == [user(), *turns]
    n_kept = 1 + len(turns)
    assert len(fates("llama_factory", record)) == 1 + len(blocks) - n_kept


def test_llama_factory_results_are_a_message_each():
    results = [block("tool_result", "1"), block("tool_result", "2")]
    record = json.loads(json.dumps(factory(*results, role="tool", loss_weight=0.0)))
    assert messages("llama_factory", record)[1:] == [result("1", weight=0.0), result("2", weight=0.0)]


RESULTS = [{"name": "f", "content": {"b": 1}, "tool_call_id": "c"}, {"name": "f", "content": "ok"}]


def in_layout(layout: str, results: str) -> dict[str, Any]:
    """One exchange with two calls of f, and what came back, as a layout has it."""
    two = [{"name": "f", "arguments": {"a": 1}}] * 2
    if layout == "sharegpt":
        said_by = (("human", "x"), ("function_call", json.dumps(two)), ("observation", results))
        return {"conversations": [{"from": speaker, "value": value} for speaker, value in said_by]}
    if layout == "ms_swift":
        calls = [{"role": "tool_call", "content": json.dumps(one)} for one in two]
        return {"messages": [user(), *calls, {"role": "tool_response", "content": results}]}
    turns = [("user", [block("text", "x")]), ("assistant", [CALL, CALL]), ("tool", [block("text", results)])]
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


@pytest.mark.parametrize("layout", ["sharegpt", "ms_swift", "llama_factory"])
def test_results_of_all_calls_in_one_turn_become_a_message_each(layout: str):
    two = said("", call(a=1), call(a=1))
    apart = [result('{"b": 1}', name="f"), result("ok", name="f")]
    assert messages(layout, in_layout(layout, json.dumps(RESULTS))) == [user(), two, *apart]
    for other in (RESULTS[:1], [*RESULTS[:1], {"name": "g", "content": "ok"}], [{"b": 1}, {"b": 2}], {"f": 1}):
        assert messages(layout, in_layout(layout, json.dumps(other))) == [user(), two, result(json.dumps(other))]


def test_llama_factory_turn_without_blocks_is_read_as_it_is():
    record = {"messages": [{"role": "user", "content": [block("text", "x")]}, said("y"), said("") | {"content": []}]}
    assert messages("llama_factory", record) == [user(), said("y"), said("")]


@given(
    st.lists(
        st.sampled_from([block("reasoning", "t"), block("text", "a"), CALL, block("image_url", "i"), 3]), min_size=1
    )
)
def test_no_block_of_llama_factory_is_lost(blocks: list[Any]):
    record = json.loads(json.dumps(factory(*blocks)))
    (conversation,) = read_whole(FORMATS["llama_factory"], record).conversations
    told = Counter[str]()
    for turn in conversation.sample["messages"][1:]:
        content = turn["content"]
        told["t"] += turn.get("reasoning_content", "").count("t")
        told["f"] += len(turn.get("tool_calls", []))
        told["a"] += content.count("a") if isinstance(content, str) else 0
        for part in content if isinstance(content, list) else []:
            told["?"] += part == 3 or (isinstance(part, dict) and part["type"] == "image_url")
            told["a"] += isinstance(part, dict) and part.get("text") == "a"
            told["t"] += isinstance(part, dict) and part.get("value") == "t"
            told["f"] += part == CALL
    odd = sum(one == 3 or one == block("image_url", "i") for one in blocks)
    assert told == Counter(
        {
            "t": blocks.count(block("reasoning", "t")),
            "a": blocks.count(block("text", "a")),
            "f": blocks.count(CALL),
            "?": odd,
        }
    )


# TRL.


def test_only_the_completion_is_trained():
    record = {"prompt": [user(), said("y"), user()], "completion": [said("z")], "tools": json.dumps([F]), "label": True}
    assert samples("prompt_completion", record) == [
        {
            "messages": [user(train=False), said("y", train=False), user(train=False), said("z")],
            "tools": [TOOL],
        }
    ]
    assert messages("prompt_completion", {"prompt": "x", "completion": "y"}) == [user(train=False), said("y")]


@pytest.mark.parametrize("kwargs", [{"enable_thinking": False}, '{"enable_thinking": false}'])
def test_what_the_template_is_told_is_metadata(kwargs: Any):
    record = {"prompt": "x", "completion": "y", "chat_template_kwargs": kwargs}
    (sample,) = samples("prompt_completion", record)
    assert sample["metadata"] == {"chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize(
    ("record", "refused"),
    [
        (
            {"prompt": "x", "chosen": "y", "rejected": "z"},
            ("$.chosen", "a preference row has two answers and no one target"),
        ),
        (
            {"chosen": [user(), said("y")], "rejected": [user(), said("z")]},
            ("$.chosen", "a preference row has two answers and no one target"),
        ),
        (
            {"instruction": "x", "chosen": "y", "rejected": "z"},
            ("$.chosen", "a preference row has two answers and no one target"),
        ),
        ({"prompt": "x", "completion": "y", "label": False}, ("$.label", "the completion is labelled undesirable")),
        ({"prompt": [user(), 3], "completion": "y"}, ("$.prompt[1]", "a turn is int, not an object")),
    ],
)
def test_row_without_one_target_is_refused(record: Any, refused: tuple[str, str]):
    assert refusal("prompt_completion", record) == refused


def test_preference_row_of_llama_factory_is_refused():
    turns = [{"role": "user", "content": [block("text", "x")]}]
    says = "a preference row has two answers and no one target"
    assert refusal("llama_factory", {"chosen_messages": turns, "rejected_messages": turns}) == (
        "$.chosen_messages",
        says,
    )


# Agent sessions in columns.


def columns(**fields: Any) -> dict[str, Any]:
    return {"harness": "pi", "session_id": "s", "prompt": "x", "tools": None, "trace": "{}", "file_path": "a", **fields}


def test_session_in_columns_is_named_by_its_session_whichever_way_json_is_stored():
    turns = [user(), said("y", reasoning_content="t")]
    meta = {"model": "m", "trace_type": "pi"}
    for stored in (turns, [json.dumps(turn) for turn in turns]):
        for labels in (meta, json.dumps(meta)):
            assert samples("agent_columns", columns(messages=stored, tools=[TOOL], metadata=labels)) == [
                {
                    "messages": turns,
                    "tools": [TOOL],
                    "id": "s",
                    "metadata": {"harness": "pi", "file_path": "a", "model": "m"},
                }
            ]


@pytest.mark.parametrize("stored", [None, [], "{}"])
def test_session_without_messages_is_refused(stored: Any):
    assert refusal("agent_columns", columns(messages=stored)) == (
        "$.messages",
        "the row holds a raw log and no messages",
    )


def test_session_whose_turn_is_no_object_is_refused():
    assert refusal("agent_columns", columns(messages=["x"])) == ("$.messages[0]", "a turn is str, not an object")


# verl.


@pytest.mark.parametrize("prompt", ["x", [user()]])
def test_prompt_for_reinforcement_learning_is_refused(prompt: Any):
    record = {"data_source": "d", "prompt": prompt, "reward_model": {"ground_truth": "7"}, "extra_info": {"index": 1}}
    assert refusal("verl", record) == ("$.prompt", "a prompt for reinforcement learning has no answer to train on")


def test_verl_messages_are_read_with_whether_they_think():
    record = {"messages": [user(), said("y")], "tools": json.dumps([F]), "enable_thinking": True}
    assert samples("verl", record) == [
        {"messages": [user(), said("y")], "tools": [TOOL], "metadata": {"enable_thinking": True}}
    ]
    assert recognised({**record, "model": "qwen-plus"}) == ["openai_chat"]  # a request to a server


# Hostile rows: each of these took minutes or a deep recursion where the work was not in proportion to the text.


def test_prompt_that_begins_a_hint_again_and_again_is_read():
    hint = "If you decide to invoke any of the function(s), you MUST put it in the format of [func" * 5000
    record = toolace(("user", "x"), system=hint + ASKS + json.dumps([F]) + " ." * 200_000)
    assert messages("toolace", record)[0]["content"].startswith(hint)


def test_type_of_a_hundred_thousand_brackets_stays_as_it_is():
    given = {"a": {"type": "List[" * 100_000 + "int" + "]" * 100_000}}
    (sample,) = samples("xlam", xlam(given))
    assert sample["tools"][0]["function"]["parameters"]["properties"] == given


# Which row is whose.


@pytest.mark.parametrize(
    ("record", "name"),
    [
        ({"prompt": [user()], "completion": [said("y")], "data_source": "d", "reward_model": {}}, "prompt_completion"),
        ({"messages": [user(), said("y")], "instruction": "x", "output": "y"}, "openai_chat"),
        ({"messages": [user(), said("y")], "chosen": "a", "rejected": "b"}, "openai_chat"),
        ({"messages": [user(), said("y", loss=True)], "enable_thinking": True}, "ms_swift"),
        ({"query": "x", "response": "y", "tools": [], "answers": "[]"}, "xlam"),
        ({"system": ASKS, "conversations": [{"from": "user", "value": "x"}], "chat": "USER: x"}, "toolace"),
        ({"conversations": [{"from": "user", "value": "x"}], "system": "s"}, "sharegpt"),
    ],
)
def test_row_with_the_columns_of_two_layouts_is_read_by_one(record: Any, name: str):
    assert recognised(record) == [name]


# Real data.


@needs_real_data
@pytest.mark.parametrize(
    ("source", "name", "counts"),
    [
        (
            "llama-factory/reason_tool_use_demo_50.jsonl",
            "llama_factory",
            {"records": 50, "messages": 280, "merged": 127, "calls": 68, "results": 48},
        ),
        (
            "llama-factory/glaive_toolcall_en_demo.json",
            "sharegpt",
            {"records": 300, "messages": 1914, "merged": 0, "calls": 211, "results": 211},
        ),
        (
            "nemo-gym/resources_servers/xlam_fc/data/example.jsonl",
            "xlam",
            {"records": 5, "messages": 15, "merged": 0, "calls": 6, "results": 0},
        ),
    ],
)
def test_real_rows_are_read_whole(source: str, name: str, counts: dict[str, int]):
    seen = Counter[str](dict.fromkeys(counts, 0))
    for record in records_of(TRACES / source):
        assert recognised(record.data) == [name]
        reading = read_whole(FORMATS[name], record.data)
        assert reading.refusal is None
        (conversation,) = reading.conversations
        turns = conversation.sample["messages"]
        seen["records"] += 1
        seen["messages"] += len(turns)
        seen["merged"] += len(reading.aside)
        seen["calls"] += sum(len(turn.get("tool_calls", [])) for turn in turns)
        seen["results"] += sum(turn["role"] == "tool" for turn in turns)
    assert seen == counts
