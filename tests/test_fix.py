"""`qwen-sft fix`: each fix's whole answer, the laws that hold for all of them, and the command from end to end."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from reading import FORMATS, ROOT, example_files, records_of

import qwen_sft.fixes
from qwen_sft.fix import ABSENT, Change, Edit, edited, fixes, in_turn, value_or_absent
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline
from qwen_sft.rule import rules
from qwen_sft.running.repair import Mended, Mender
from qwen_sft.sample import value_at
from qwen_sft.settings import Settings

FIXES = fixes()
SAFE = {name for name, fix in FIXES.items() if fix.safe}
PIPELINE = Pipeline(Settings())
MENDERS = {unsafe: Mender(Settings(), PIPELINE.rules["sample"], unsafe=unsafe) for unsafe in (False, True)}


def mend(sample: Any, *, unsafe: bool = False, **settings: Any) -> Mended:
    if not settings:
        return MENDERS[unsafe].mend(sample)
    told = Settings(**settings)
    return Mender(told, Pipeline(told).rules["sample"], unsafe=unsafe).mend(sample)


def told(made: Mended) -> list[tuple[Any, ...]]:
    """The changes as fix, place, what stood there, what stands there."""
    return [(one.fix, one.json_path, one.before, one.after) for one in made.changes]


ASKED = {"MSG005", "TOL005", *(code for fix in FIXES.values() for code in fix.codes)}


def left(made: Mended) -> list[str]:
    """The codes of what is left, of those that a fix may take away or bring."""
    return [rule.code for rule, _ in made.left if rule.code in ASKED]


USER = {"role": "user", "content": "Weather in Oslo?"}
ANSWER = {"role": "assistant", "content": "It rains."}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"}


def tool(name: str, *properties: str, **more: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {one: {"type": "string"} for one in properties}, **more}
    return {"type": "function", "function": {"name": name, "description": "It.", "parameters": schema}}


WEATHER = tool("weather", "city", required=["city"])


def call(arguments: Any = None, call_id: str | None = "c1", name: str = "weather") -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": {"city": "Oslo"}}}
    if arguments is not None:
        made["function"]["arguments"] = arguments
    return made if call_id is None else {**made, "id": call_id}


def calling(*calls: Any, content: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(calls or (call(),))}


def sample(*messages: Any, tools: Any = (WEATHER,)) -> Any:
    return {"messages": list(messages), "tools": list(tools)}


WHOLE = sample(USER, calling(), RESULT, ANSWER)


# -- each fix ----------------------------------------------------------------------------------------------------------


def test_shelf_holds_every_file_of_its_folder_and_only_rules_that_there_are():
    files = {path.stem for path in Path(qwen_sft.fixes.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in FIXES}
    assert len(files) >= 20
    assert {code for fix in FIXES.values() for code in fix.codes} <= set(rules())
    for name in FIXES:
        doc = __import__(f"qwen_sft.fixes.{name.replace('-', '_')}", fromlist=["x"]).__doc__
        assert ("Safe" if name in SAFE else "Unsafe") in doc, name


def test_whole_sample_comes_back_as_the_same_object():
    made = mend(WHOLE, unsafe=True)
    assert (made.sample is WHOLE, made.changes, left(made)) == (True, [], [])


@pytest.mark.parametrize(
    ("role", "meant"),
    [
        *(("User", "user"), (" ASSISTANT\n", "assistant"), ("human", "user"), ("model", "assistant")),
        ("ipython", "tool"),
    ],
)
def test_role_under_another_name_is_written_as_ours(role: str, meant: str):
    made = mend({"messages": [USER, {"role": role, "content": "x"}, ANSWER]})
    assert told(made) == [("aliased-role", "$.messages[1].role", role, meant)]
    assert "MSG001" not in left(made)


@pytest.mark.parametrize("role", ["critic", "function_call", "tool_call", ""])
def test_unknown_role_is_the_users_only_where_that_is_asked_for(role: str):
    given = {"messages": [USER, {"role": role, "content": "Be brief."}, ANSWER]}
    assert told(mend(given)) == []
    assert told(mend(given, unsafe=True)) == [("unknown-role", "$.messages[1].role", role, "user")]
    given["messages"][1]["reasoning_content"] = "Hm."
    assert told(mend(given, unsafe=True))[0] == ("unknown-role", "$.messages[1].role", role, "assistant")


def test_training_labels_go_from_messages_that_no_model_writes():
    made = mend({"messages": [{**USER, "train": True, "weight": 2.0}, {**ANSWER, "train": True}]})
    assert told(made) == [
        ("trained-prompt", "$.messages[0].train", True, ABSENT),
        ("trained-prompt", "$.messages[0].weight", 2.0, ABSENT),
    ]
    assert made.sample["messages"] == [USER, {**ANSWER, "train": True}]


ARGUMENTS = "$.messages[1].tool_calls[0].function.arguments"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"city": "Os\nlo\t"}', {"city": "Os\nlo\t"}),
        ('{"city": "a\\\\", "x": "\\"\n"}', {"city": "a\\", "x": '"\n'}),
        (
            "{'city': 'Oslo', 'snow': None, 'n': 12345678901234567890}",
            {"city": "Oslo", "snow": None, "n": 12345678901234567890},
        ),
        ("{'city': \"it's\"}", {"city": "it's"}),
    ],
)
def test_arguments_in_another_spelling_of_one_object_are_read(text: str, meant: Any):
    made = mend(sample(USER, calling(call(text)), RESULT, ANSWER))
    assert told(made) == [("spelled-arguments", ARGUMENTS, text, meant)]
    assert "TOL008" not in left(made)


@pytest.mark.parametrize(
    "text",
    [
        *(
            '{"city": "Os',
            "Oslo",
            '"Oslo"',
            "['Oslo']",
            "{'a': 1, 'a': 2}",
            '{"a": "\n", "a": 1}',
            '{"a": "\n", "b": NaN}',
        ),
        *(
            "{'city'}",
            '{"a": "\n", "b": 1e999}',
            '{"a": "\n", "b": "\\ud800"}',
            '{"a": "\n"} x',
            "{'a': f()}",
            "[" * 9999,
        ),
    ],
)
def test_arguments_without_one_exact_reading_stay_the_text_that_they_are(text: str):
    made = mend(sample(USER, calling(call(text)), RESULT, ANSWER))
    assert (told(made), left(made)) == ([], ["TOL008"])


def test_calls_that_share_an_id_get_ids_that_nobody_has():
    again = {**RESULT, "content": "21 degrees"}
    given = sample(
        USER,
        calling(call(), call()),
        RESULT,
        again,
        calling(call(call_id="c1_2")),
        {**RESULT, "tool_call_id": "c1_2"},
        ANSWER,
    )
    made = mend(given)
    assert told(made) == [
        ("duplicate-call-id", "$.messages[1].tool_calls[1].id", "c1", "c1_3"),
        ("duplicate-call-id", "$.messages[3].tool_call_id", "c1", "c1_3"),
    ]
    assert "TOL007" not in left(made)


@pytest.mark.parametrize(
    "results",
    [[RESULT], [{**RESULT, "name": "time"}, {**RESULT, "name": "weather"}], [RESULT, {"role": "tool", "content": "x"}]],
)
def test_shared_ids_stay_where_it_is_not_said_which_result_is_whose(results: list[Any]):
    assert told(mend(sample(USER, calling(call(), call()), *results, ANSWER))) == []


def test_results_in_a_users_turn_become_tool_messages():
    text = "<tool_response>\n4 degrees\n</tool_response>\n<tool_response>\n\n 9 \n</tool_response>\n\nAnd now?"
    given = sample(USER, calling(call(), call(call_id="c2")), {"role": "user", "content": text}, ANSWER)
    made = mend(given)
    parts = [
        {"role": "tool", "content": "4 degrees"},
        {"role": "tool", "content": "\n 9 "},
        {"role": "user", "content": "And now?"},
    ]
    assert told(made) == [("result-in-user-turn", "$.messages[2:3]", [given["messages"][2]], parts)]
    assert left(made) == ["TOL005"]


@pytest.mark.parametrize(
    "before", [[USER], [USER, ANSWER], [USER, calling(call(), call(call_id="c2"))], [USER, calling(), RESULT]]
)
def test_results_in_a_users_turn_stay_where_not_as_many_calls_wait_before_it(before: list[Any]):
    made = mend(sample(*before, {"role": "user", "content": "<tool_response>\n4\n</tool_response>"}, ANSWER))
    assert (told(made), "TOL013" in left(made)) == ([], True)


@pytest.mark.parametrize(
    "text", ["So: <tool_response>4</tool_response>", "<tool_response>4</tool_response></tool_response>"]
)
def test_results_in_a_users_turn_stay_where_their_edges_are_not_exact(text: str):
    made = mend(sample(USER, calling(), {"role": "user", "content": text}, ANSWER))
    if "So" in text:
        assert told(made) == []
    else:
        assert made.sample["messages"][3] == {"role": "user", "content": "</tool_response>"}


HERMES = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
SHOWN = "<tool_response>\n4 degrees\n</tool_response>"


def test_merged_turn_is_split_at_its_tags():
    text = f"I look.\n{HERMES}\n{SHOWN}\n{HERMES}\n{HERMES}\n{SHOWN}\n{SHOWN}\nIt rains."
    given = sample(USER, {"role": "assistant", "content": text, "reasoning_content": "Hm."})
    made = mend(given)
    seen = {"role": "tool", "content": "4 degrees"}
    unnamed = call(call_id=None)
    assert made.sample["messages"] == [
        USER,
        {**calling(unnamed, content="I look."), "reasoning_content": "Hm."},
        seen,
        calling(unnamed, unnamed),
        seen,
        seen,
        ANSWER,
    ]
    assert told(made)[0][:3] == ("merged-turn", "$.messages[1:2]", [given["messages"][1]])
    assert (len(made.changes), left(made)) == (1, ["TOL005"])


@pytest.mark.parametrize(
    "text",
    [
        *(
            SHOWN,
            f"{HERMES}\n{SHOWN}\n{SHOWN}",
            f"{HERMES}\nSo\n{SHOWN}",
            f"{HERMES}\n{SHOWN}\n{HERMES}",
            f"<think>\n{HERMES}\n{SHOWN}",
        ),
        f"{HERMES.replace('weather', 'time')}\n{SHOWN}",
    ],
)
def test_merged_turn_stays_where_a_boundary_is_not_exact(text: str):
    made = mend(sample(USER, {"role": "assistant", "content": text}))
    assert (told(made), "TOL014" in left(made)) == ([], True)


def test_late_and_early_results_are_moved_behind_their_calls():
    hm = {"role": "user", "content": "Hm?"}
    late = sample(USER, calling(call(), call(call_id="c2")), {**RESULT, "tool_call_id": "c2"}, hm, RESULT, ANSWER)
    made = mend(late)
    other = {**RESULT, "tool_call_id": "c2"}
    assert told(made) == [
        ("misplaced-result", "$.messages[3:5]", [hm, RESULT], [RESULT, hm]),
        ("results-out-of-order", "$.messages[2:4]", [other, RESULT], [RESULT, other]),
    ]
    early = mend(sample(USER, RESULT, calling(), ANSWER))
    assert told(early) == [("misplaced-result", "$.messages[1:3]", [RESULT, calling()], [calling(), RESULT])]
    assert (left(made), left(early)) == ([], [])


@pytest.mark.parametrize(
    "messages",
    [
        [USER, calling(), ANSWER, RESULT, ANSWER],
        [USER, RESULT, ANSWER, calling(), ANSWER],
        [USER, calling(call(call_id=None)), USER, {"role": "tool", "content": "4"}, ANSWER],
    ],
)
def test_misplaced_result_stays_where_the_assistant_spoke_between_or_no_id_tells(messages: list[Any]):
    assert told(mend(sample(*messages))) == []


def test_trailing_call_goes_with_the_results_that_are_there():
    given = sample(USER, ANSWER, USER, calling(call(), call(call_id="c2")), RESULT)
    made = mend(given)
    assert told(made) == [("trailing-call", "$.messages[3:5]", given["messages"][3:], [])]
    assert left(made) == ["MSG005"]
    assert told(mend(given, trailing_calls="keep")) == []
    assert len(told(mend(given, trailing_calls="drop-turn"))) == 1


def test_trailing_call_stays_where_nothing_else_is_trained():
    made = mend(sample(USER, calling()))
    assert (told(made), left(made)) == ([], ["TOL002"])


def test_schema_is_spelled_as_json_schema():
    odd = tool("f", "x")
    odd["function"]["parameters"] = {"type": "dict", "properties": {"x": {"type": "float", "enum": None}}}
    wanted = {"type": "object", "properties": {"x": {"type": "number"}}}
    given = sample(USER, ANSWER, tools=[WEATHER, odd, {"function": {"name": "g", "parameters": None}}])
    made = mend(given)
    assert told(made) == [
        ("tool-schema", "$.tools[1].function.parameters", odd["function"]["parameters"], wanted),
        ("tool-schema", "$.tools[2].function", {"name": "g", "parameters": None}, {"name": "g"}),
    ]
    assert left(made) == []


def test_copy_of_a_tool_goes_and_another_tool_of_its_name_stays():
    other = tool("weather", "town")
    made = mend(sample(*WHOLE["messages"], tools=[WEATHER, copy.deepcopy(WEATHER), other, WEATHER]))
    assert told(made) == [
        ("copied-tool", "$.tools[3:4]", [WEATHER], []),
        ("copied-tool", "$.tools[1:2]", [WEATHER], []),
    ]
    assert (made.sample["tools"], left(made)) == ([WEATHER, other], ["TOL021"])


NULLS = {"city": "Oslo", "query": None, "days": None, "page": None}


def test_nulls_for_another_tools_arguments_go_and_with_them_those_that_the_schema_forbids():
    tools = [tool("weather", "city", "days", required=["city"]), tool("search", "query")]
    made = mend(sample(USER, calling(call(NULLS)), RESULT, ANSWER, tools=tools))
    assert told(made) == [("filled-null", f"{ARGUMENTS}.{name}", None, ABSENT) for name in ("query", "days", "page")]
    assert left(made) == []


def test_nulls_that_nobody_else_declares_go_only_where_that_is_asked_for():
    given = sample(
        USER, calling(call(NULLS)), RESULT, ANSWER, tools=[tool("weather", "city", "days", required=["city"])]
    )
    assert told(mend(given)) == []
    made = mend(given, unsafe=True)
    assert told(made) == [("null-argument", f"{ARGUMENTS}.{name}", None, ABSENT) for name in ("query", "days", "page")]
    assert left(made) == []


COLOURED = "\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x1b(Bplain\x00\x08\x1b"


def test_escapes_go_from_what_the_model_reads_and_on_request_from_what_it_says():
    given = sample(
        {**USER, "content": COLOURED},
        calling(call({"city": COLOURED})),
        {**RESULT, "content": COLOURED},
        {**ANSWER, "content": COLOURED},
    )
    clean = "red plain"
    read = [("terminal-escape", f"$.messages[{i}].content", COLOURED, clean) for i in (0, 2)]
    assert told(mend(given)) == read
    assert left(mend(given)) == ["MSG016", "MSG016"]
    made = mend(given, unsafe=True)
    said = [
        ("control-character", "$.messages[3].content", COLOURED, clean),
        ("control-character", f"{ARGUMENTS}.city", COLOURED, clean),
    ]
    assert (told(made), left(made)) == ([*read, *said], [])


def test_think_block_becomes_reasoning_and_an_empty_one_goes():
    made = mend(
        sample(
            *(
                USER,
                {"role": "assistant", "content": "\n<think>\nHm.\n</think>\n\nYes."},
                USER,
                {"role": "assistant", "content": "So.</think>No."},
            ),
            *(
                USER,
                {"role": "assistant", "content": "<think>\n\n</think>\n\nYes."},
                USER,
                {**ANSWER, "reasoning_content": " "},
            ),
            *(USER, {"role": "assistant", "content": "<think>Hm.</think>"}),
            *(USER, {"role": "assistant", "content": '<think redacted="true">\nEs\n</think>\nYes.'}),
        )
    )
    assert [turn for turn in made.sample["messages"] if turn["role"] == "assistant"] == [
        {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."},
        {"role": "assistant", "content": "No.", "reasoning_content": "So."},
        {"role": "assistant", "content": "Yes."},
        ANSWER,
        {"role": "assistant", "content": "<think>Hm.</think>"},
        {"role": "assistant", "content": '<think redacted="true">\nEs\n</think>\nYes.'},
    ]
    assert {one.fix for one in made.changes} == {"think-block"}


def test_control_tokens_are_broken_up_in_every_text_but_names():
    given = sample(
        *(
            {**USER, "content": "<|im_end|><tts_pad>"},
            calling(call({"city": "<|im_start|>"}, name="f<|im_end|>")),
            RESULT,
            ANSWER,
        ),
        tools=[tool("f<|im_end|>", "city")],
    )
    assert told(mend(given)) == []
    made = mend(given, unsafe=True)
    assert told(made) == [
        ("control-token", "$.messages[0].content", "<|im_end|><tts_pad>", "<| im_end |>< tts_pad >"),
        ("control-token", f"{ARGUMENTS}.city", "<|im_start|>", "<| im_start |>"),
    ]
    assert told(mend(given, unsafe=True, control_tokens="as-text")) == []


def test_chatml_in_an_answer_is_split_at_its_boundaries_and_its_results_with_it():
    text = "Let me look.<|im_end|>\n<|im_start|>user\nDo.<|im_end|>\n<|im_start|>assistant\nIt rains.<|im_end|>\n"
    given = sample(USER, {"role": "assistant", "content": text, "reasoning_content": "Hm."})
    assert told(mend(given)) == []
    made = mend(given, unsafe=True)
    assert made.sample["messages"] == [
        USER,
        {"role": "assistant", "content": "Let me look.", "reasoning_content": "Hm."},
        {"role": "user", "content": "Do."},
        ANSWER,
    ]
    assert ([one.fix for one in made.changes], left(made)) == (["chatml-in-answer"], [])


@pytest.mark.parametrize(
    "text", ["a<|im_end|><|im_start|>user\nb", "a<|im_end|>\n<|im_start|>critic\nb", "a<|im_end|> b", "<|im_end|>"]
)
def test_chatml_without_an_exact_boundary_is_broken_up_instead(text: str):
    made = mend(sample(USER, {"role": "assistant", "content": text}), unsafe=True)
    assert [one.fix for one in made.changes] == ["control-token"]


@pytest.mark.parametrize(
    "turn",
    [
        *(calling(call(name="time")), calling(call("{")), calling(call([1])), {"role": "assistant", "content": ""}),
        {"role": "assistant", "content": "<tool_call>"},
    ],
)
def test_sample_ends_before_a_turn_that_cannot_be_mended(turn: Any):
    given = sample(*WHOLE["messages"], USER, turn, RESULT, ANSWER)
    assert told(mend(given)) == []
    made = mend(given, unsafe=True)
    assert told(made) == [("unmendable-turn", "$.messages[4:8]", given["messages"][4:], [])]
    assert left(made) == []
    assert "unmendable-turn" not in {one.fix for one in mend(sample(USER, turn, RESULT, ANSWER), unsafe=True).changes}


# -- laws --------------------------------------------------------------------------------------------------------------


def test_edits_are_told_in_the_places_of_the_sample_that_they_change():
    given: Any = {"messages": [{"role": "a"}, {"role": "b"}, {"role": "c"}, {"role": "d"}]}
    before = copy.deepcopy(given)
    edits = [
        Edit(("messages", 0), [], until=1),
        Edit(("messages", 3, "role"), "e"),
        Edit(("messages", 2), [{"role": "x"}, {"role": "y"}], until=3),
        Edit(("messages", 1, "role"), ABSENT),
    ]
    assert edited(given, in_turn(edits)) == {"messages": [{}, {"role": "x"}, {"role": "y"}, {"role": "e"}]}
    assert given == before


def replayed(given: Any, changes: list[Change]) -> Any:
    """The sample after the changes of a report, one by one; each must find what it says stood there."""
    for one in changes:
        there = value_or_absent(given, one.path) if one.until is None else value_at(given, one.path[:-1])
        assert (there if one.until is None else there[one.path[-1] : one.until]) == one.before
        given = edited(given, [Edit(one.path, one.after, one.until)])
    return given


def said(sample: Any) -> list[Any]:
    """What the assistant says in a sample, turn by turn."""
    return [
        (m.get("content"), m.get("reasoning_content"), [c["function"] for c in m.get("tool_calls", [])])
        for m in sample["messages"]
        if m["role"] == "assistant"
    ]


REWRITES = {"aliased-role", "filled-null", "merged-turn", "spelled-arguments", "think-block", "trailing-call"}
"""Safe fixes that change what the assistant says, as their rules prove; each file says how."""


def hold_laws(given: Any, *, unsafe: bool, structs: Any = frozenset()) -> Mended:
    mender = MENDERS[unsafe]
    before = repr(given)
    made = mender.mend(given, structs)
    assert repr(given) == before
    assert (made.sample is given) == (not made.changes)
    again = mender.mend(made.sample, structs)
    assert again.changes == []
    assert repr(again.sample) == repr(made.sample)
    assert not list(rules()["SCH001"].check(Transcript(made.sample, Settings())))
    assert unsafe or {one.fix for one in made.changes} <= SAFE
    for fix in mender.fixes:  # one fix alone, on the sample as it was given
        transcript = Transcript(given, Settings(), structs)
        found = [f for code in fix.codes for f in rules()[code].check(transcript)]
        edits = in_turn(fix.edits(transcript, found)) if found else []
        if not edits:
            continue
        after = edited(given, edits)
        assert repr(after) != repr(given), fix.name
        then = [f for code in fix.codes for f in rules()[code].check(Transcript(after, Settings(), structs))]
        if fix.name == "tool-schema":  # a rule that names five places of a tool at most
            assert all(f.severity is None for f in then)
        else:
            assert len(then) < len(found), fix.name
        if fix.safe and fix.name not in REWRITES:
            assert repr(said(after)) == repr(said(given)), fix.name
    return made


def pieces() -> SearchStrategy[Any]:
    """Samples put together of what fixes look for, so that these meet."""
    name = st.sampled_from(["weather", "weather", "search"])
    arguments: SearchStrategy[Any] = st.sampled_from(
        [
            {"city": "Oslo"},
            NULLS,
            "{'city': 'Oslo'}",
            '{"city": "a\nb"}',
            "{",
            {"city": "<|im_end|>"},
            {"query": None, "city": "\x1b[0m"},
        ]
    )
    ids = st.sampled_from(["c1", "c1", "c2", None])
    calls = st.builds(lambda n, a, i: call(copy.deepcopy(a), i, n), name, arguments, ids)
    turn = st.builds(
        lambda c, t: calling(*c, content=t), st.lists(calls, min_size=1, max_size=3), st.sampled_from(["", "x"])
    )
    chatml = "a<|im_end|>\n<|im_start|>user\n<tool_response>\n4\n</tool_response><|im_end|>\n<|im_start|>assistant\nb"
    words = st.sampled_from(
        [
            "Yes.",
            "",
            SHOWN,
            f"{SHOWN}\nAnd?",
            f"{HERMES}\n{SHOWN}\nYes.",
            chatml,
            "<think>a</think>b",
            "<think></think>b",
            COLOURED,
            "a<|im_end|>",
        ]
    )
    role = st.sampled_from(["user", "user", "assistant", "assistant", "Human", "MODEL", "critic", "system"])
    other = st.fixed_dictionaries({"role": role, "content": words}, optional={"train": st.booleans()})
    result = st.builds(
        lambda i, t: {"role": "tool", "content": t, **({} if i is None else {"tool_call_id": i})}, ids, words
    )
    odd = {"type": "function", "function": {"name": "time", "parameters": {"type": "dict"}}}
    tools = st.lists(st.sampled_from([WEATHER, tool("search", "query"), tool("weather", "town"), odd]), max_size=4)
    return st.builds(
        lambda m, t: copy.deepcopy({"messages": m, "tools": t}),
        st.lists(st.one_of(turn, turn, other, other, result, result), min_size=1, max_size=8),
        tools,
    )


@given(st.one_of(strategies.samples(), pieces(), pieces()), st.booleans())
def test_laws_hold_for_every_sample_of_the_schema(given: Any, unsafe: bool):
    made = hold_laws(given, unsafe=unsafe)
    assert all(one.codes and set(one.codes) <= set(FIXES[one.fix].codes) for one in made.changes)


@given(pieces(), st.booleans())
def test_changes_of_the_report_lead_from_the_sample_that_was_read_to_the_one_written(given: Any, unsafe: bool):
    made = mend(given, unsafe=unsafe)
    assert repr(replayed(given, made.changes)) == repr(made.sample)


def files() -> Iterator[Path]:
    yield from (ROOT / "examples" / name for name in ("broken.jsonl", "clean.jsonl", "thinking.jsonl"))
    for kind in FORMATS:
        yield from example_files(kind)


@pytest.mark.parametrize("path", list(files()), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_laws_hold_for_every_example(path: Path):
    n_samples = 0
    for record in records_of(path):
        for conversation in PIPELINE.conversations(record) if record.fault is None else ():
            if not list(rules()["SCH001"].check(Transcript(conversation.sample, Settings()))):
                for unsafe in (False, True):
                    hold_laws(conversation.sample, unsafe=unsafe, structs=record.structs)
                n_samples += 1
    assert n_samples


# -- the command -------------------------------------------------------------------------------------------------------


def write(path: Path, *records: Any) -> str:
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in records))
    return str(path)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


DOUBLED = {"id": "s1", **sample(*WHOLE["messages"], tools=[WEATHER, WEATHER])}
ROLE = {"messages": [{"role": "critic", "content": "Be \x1b[1mbrief.\u2028"}, USER, ANSWER]}


def test_samples_changes_and_rejects_are_written_and_counted(run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", WHOLE, DOUBLED, ROLE, {"x": 1})
    done = run("fix", "a.jsonl", "--out", "s.jsonl", "--report", "r.jsonl")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "a.jsonl:4: error SRC003 $ no format recognises this record (keys: 'x')\n"
        "4 records in 1 file: 3 samples written, 2 changed; 1 rejected\n"
        "changes: copied-tool 1, terminal-escape 1\n"
        "findings left: MSG001 1, SRC003 1\n"
    )
    clean = {"messages": [{"role": "critic", "content": "Be brief.\u2028"}, USER, ANSWER]}
    assert lines(tmp_path / "s.jsonl") == [WHOLE, {"id": "s1", **WHOLE}, clean]
    place = {"file": "a.jsonl", "item": None, "sample": 0}
    assert lines(tmp_path / "r.jsonl") == [
        {
            **place,
            "line": 2,
            "sample_id": "s1",
            "fix": "copied-tool",
            "codes": ["TOL021"],
            "path": "$.tools[1:2]",
            "before": [WEATHER],
            "after": [],
        },
        {
            **place,
            "line": 3,
            "sample_id": None,
            "fix": "terminal-escape",
            "codes": ["MSG016"],
            "path": "$.messages[0].content",
            "before": "Be \x1b[1mbrief.\u2028",
            "after": "Be brief.\u2028",
        },
    ]
    assert [row["line"] for row in lines(tmp_path / "s.jsonl.rejects.jsonl")] == [4]


def test_key_that_was_not_there_or_is_gone_is_absent_from_the_report(run: Any, tmp_path: Path):
    write(
        tmp_path / "a.jsonl",
        {"messages": [{**USER, "train": True}, {"role": "assistant", "content": "<think>a</think>b"}]},
    )
    run("fix", "a.jsonl", "--out", "s.jsonl", "--report", "r.jsonl")
    assert [
        (row["fix"], row["path"], row.get("before", "absent"), row.get("after", "absent"))
        for row in lines(tmp_path / "r.jsonl")
    ] == [
        ("think-block", "$.messages[1].content", "<think>a</think>b", "b"),
        ("think-block", "$.messages[1].reasoning_content", "absent", "a"),
        ("trained-prompt", "$.messages[0].train", True, "absent"),
    ]


DIFF = """\
--- a.jsonl:2
+++ a.jsonl:2 (terminal-escape, unknown-role)
@@ -1,8 +1,8 @@
 {
   "messages": [
     {
-      "role": "critic",
-      "content": "Be \\u001b[1mbrief.\\u2028"
+      "role": "user",
+      "content": "Be brief.\\u2028"
     },
     {
       "role": "user",
"""


def test_diff_shows_changed_samples_and_hostile_text_as_its_escapes(run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", WHOLE, ROLE)
    done = run("fix", "a.jsonl", "--out", "s.jsonl", "--diff", "--unsafe")
    assert (done.code, done.out) == (0, DIFF)
    again = run("fix", "s.jsonl", "--out", "t.jsonl", "--diff", "--unsafe")
    assert (again.code, again.out) == (0, "")
    assert (tmp_path / "t.jsonl").read_bytes() == (tmp_path / "s.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("records", "flags", "code"),
    [
        *(([WHOLE], [], 0), ([DOUBLED], ["--fail-on", "info"], 0), ([ROLE], [], 1), ([ROLE], ["--unsafe"], 0)),
        *(([ROLE], ["--fail-on", "never"], 0), (["{"], [], 1), ([], [], 3), (["{"], ["--fail-on", "never"], 3)),
        ([DOUBLED], ["--select", "MSG", "--fail-on", "info"], 0),
        ([DOUBLED], ["--select", "nope"], 2),
    ],
)
def test_exit_code_says_what_is_left(records: list[Any], flags: list[str], code: int, run: Any, tmp_path: Path):
    done = run("fix", write(tmp_path / "a.jsonl", *records), "--out", "s.jsonl", *flags)
    assert done.code == code, done.err


@pytest.mark.parametrize(
    ("override", "flags", "code"),
    [
        ("", [], 1),
        ("ignore = ['MSG001', 'MSG016']", [], 0),
        ("select = ['THK']", [], 0),
        ("select = ['MSG']", ["--ignore", "MSG"], 0),  # `ignore` adds up
        ("select = ['MSG']", ["--select", "THK"], 1),
        ("fail-on = 'never'", [], 0),
        ("fail-on = 'info'", ["--fail-on", "never"], 1),
    ],
)
def test_what_is_left_is_judged_by_the_overrides_of_its_file(
    override: str, flags: list[str], code: int, run: Any, tmp_path: Path
):
    write(tmp_path / "a.jsonl", ROLE)
    Path("qwen-sft.toml").write_text(f"[[overrides]]\npaths = ['a.jsonl']\n{override}\n" if override else "")
    assert run("fix", "a.jsonl", "--out", "s.jsonl", *flags).code == code
    write(tmp_path / "b.jsonl", ROLE)
    other = run("fix", "b.jsonl", "--out", "s.jsonl")
    assert (other.code, "findings left: MSG001 1" in other.err) == (1, True)


def test_an_override_that_selects_less_still_rejects_what_cannot_be_read(run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", "{", WHOLE)
    Path("qwen-sft.toml").write_text("[[overrides]]\npaths = ['a.jsonl']\nselect = ['THK']\n")
    done = run("fix", "a.jsonl", "--out", "s.jsonl")
    assert (done.code, done.err.split("\n")[1:4]) == (
        1,
        ["2 records in 1 file: 1 sample written, 0 changed; 1 rejected", "findings left: SRC001 1", ""],
    )


def test_a_record_silences_what_is_left_of_it_and_that_is_counted(run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", {**ROLE, "qwen_sft": {"ignore": ["unknown-role"]}})
    done = run("fix", "a.jsonl", "--out", "s.jsonl")
    assert (done.code, "silenced by records: MSG001 1\n" in done.err, "findings left" in done.err) == (0, True, False)
    strict = run("fix", "a.jsonl", "--out", "s.jsonl", "--no-inline-ignore")
    assert (strict.code, "findings left: MSG001 1\n" in strict.err, "silenced" in strict.err) == (1, True, False)


def test_only_what_is_selected_is_fixed(run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", DOUBLED)
    assert run("fix", "a.jsonl", "--out", "s.jsonl", "--ignore", "TOL021").code == 0
    assert len(lines(tmp_path / "s.jsonl")[0]["tools"]) == 2


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--out", "a.jsonl"], "'a.jsonl' is an input and would be overwritten; name another --out"),
        (["--out", "s.jsonl", "--report", "a.jsonl"], "'a.jsonl' is an input and would be overwritten"),
        (["--out", "s.jsonl", "--report", "s.jsonl"], "--out and --report are both 's.jsonl'; name two files"),
        (["--out", "", "--diff"], "--out is empty; name a file"),
        (["--out", "s.jsonl", "--report", ""], "--report is empty; name a file"),
        (["--out", "-", "--diff"], "samples, changes and a diff do not go to one stdout; name a file for --out and"),
        (["--out", "none/s.jsonl"], "cannot write 'none/s.jsonl'"),
    ],
)
def test_what_stops_us_is_said_and_nothing_is_left_behind(flags: list[str], says: str, run: Any, tmp_path: Path):
    write(tmp_path / "a.jsonl", WHOLE)
    done = run("fix", "a.jsonl", *flags)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"qwen-sft: {says}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_samples_go_to_stdout_alone(run: Any, tmp_path: Path):
    done = run("fix", write(tmp_path / "a.jsonl", DOUBLED), "--out", "-")
    assert (done.code, json.loads(done.out)) == (0, {"id": "s1", **WHOLE})


def test_list_names_every_fix_with_its_rules(run: Any):
    done = run("fix", "--list")
    assert done.code == 0
    told = [line.split()[:2] for line in done.out.splitlines()]
    assert sorted(told) == sorted([name, "safe" if name in SAFE else "unsafe"] for name in FIXES)
    assert all(f"({', '.join(fix.codes)})" in done.out for fix in FIXES.values())


def test_broken_examples_lose_what_safe_fixes_take_away(run: Any, tmp_path: Path):
    broken = str(ROOT / "examples" / "broken.jsonl")
    assert run("fix", broken, "--out", "s.jsonl", "--report", "r.jsonl").code == 1
    fixed = {(row["codes"][0]) for row in lines(tmp_path / "r.jsonl")}
    assert fixed >= {"MSG012", "TOL004", "TOL007", "TOL013", "TOL018", "TOL019"}
    found = json.loads(run("validate", "s.jsonl", "--output-format", "json").out)["totals"]["by_code"]
    assert not fixed & set(found)
