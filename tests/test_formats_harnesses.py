"""What harnesses and benchmarks write: from SWE-agent, ToolBench, BFCL and tau-bench to ATIF and smolagents."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import FORMATS, fates, read_whole, recognised, records_of, samples, schema
from real import TRACES, needs_real_data

from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.command import calling, fenced, tagged
from qwen_sft.sample import json_path
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped


def refusal(name: str, record: Any) -> tuple[str, str]:
    """Where and why one format refuses a record."""
    found = read_whole(FORMATS[name], record).refusal
    assert found is not None
    return json_path(found.path), found.says


def bash(command: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "bash", "arguments": {"command": command}}}


def called(name: str, arguments: Any, call_id: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return made if call_id is None else {**made, "id": call_id}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def says(content: str, *calls: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **({"tool_calls": list(calls)} if calls else {})}


def tool(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, **more}


def encodings(value: Any) -> list[str]:
    """One JSON value as harnesses write it: plain, indented, and escaped."""
    return [
        json.dumps(value),
        json.dumps(value, indent=2),
        json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    ]


# Commands in text.


@pytest.mark.parametrize(
    ("text", "lifted"),
    [
        ("I look.\n\n```\nls\n```", ("I look.", "ls")),
        ("```bash\nls -a\n```\n", ("", "ls -a")),
        ("```\ncat <<E\nx\n\nE\n```", ("", "cat <<E\nx\n\nE")),
        ("say ```ls``` once\n```\nls\n```", ("say ```ls``` once", "ls")),
        ("```\nls\n```\nThat lists.", None),
        ("```\nls\n```\n```\npwd\n```", None),
        ("```\nls", None),
        ("```\n \n```", None),
        ("no block", None),
        ("```\na\n```x", None),
    ],
)
def test_the_one_fenced_block_at_the_end_of_a_text_is_lifted(text: str, lifted: Any):
    assert fenced(text) == lifted


@pytest.mark.parametrize(
    ("text", "lifted"),
    [
        ("```python\nx\n```\n```bash\nls\n```", ("```python\nx\n```", "ls")),
        ("```bash\nls\n```\n```python\nx\n```", None),
        ("```bash\nls\n```\n```bash\npwd\n```", None),
        ("write ```bash here\n```bash\nls\n```", None),
        ("```\nls\n```", None),
    ],
)
def test_blocks_with_another_tag_are_words(text: str, lifted: Any):
    assert fenced(text, ("bash",)) == lifted


@pytest.mark.parametrize(
    ("text", "lifted"),
    [
        ("I look.\n<command>\nls\n</command>\n", ("I look.", "ls")),
        ("<command>ls</command> lists", None),
        ("<command>ls</command><command>pwd</command>", None),
        ("</command>ls<command>", None),
    ],
)
def test_the_one_tagged_command_at_the_end_of_a_text_is_lifted(text: str, lifted: Any):
    assert tagged(text) == lifted


def test_command_that_the_harness_did_not_run_stays_text():
    turn: Any = says("```\nls\n```")
    assert calling(turn, (fenced, tagged), "ls\n") == says("", bash("ls"))
    assert calling(turn, (fenced, tagged), "pwd") is None
    assert calling({"role": "user", "content": turn["content"]}, (fenced,)) is None
    assert calling(says("ls"), (fenced, tagged)) is None


@given(st.text(alphabet="`ab \n<>/command", max_size=60))
def test_lifted_text_and_command_are_in_the_text_in_order(text: str):
    for lift in (fenced, tagged):
        found = lift(text)
        if found:
            assert text.startswith(found[0])
            assert found[1] in text[len(found[0]) :]
            assert found[1].strip()


# SWE-agent.


def seen(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, "agent": "main", **more}


TEXT = [
    seen("system", "Use fences."),
    seen("user", "--- DEMONSTRATION ---\n```\nls\n```", is_demo=True),
    seen("user", "Fix it."),
    seen("assistant", "I look.\n\n```\nls\n```", thought="I look.\n\n", action="ls\n"),
    seen("user", "a.py\nbash-$"),
    seen("assistant", "Done.\n```\nsubmit\n```", action="submit\n"),
]


def test_swe_agent_command_becomes_a_call_and_its_observation_the_result():
    record = {"environment": "e", "trajectory": [{"action": "ls\n"}], "history": TEXT, "info": {}}
    (made,) = samples("swe_agent", record)
    assert made["messages"] == [
        {"role": "system", "content": "Use fences."},
        user("--- DEMONSTRATION ---\n```\nls\n```"),
        user("Fix it."),
        says("I look.", bash("ls")),
        tool("a.py\nbash-$"),
        says("Done.", bash("submit")),
    ]
    assert [one["function"]["name"] for one in made["tools"]] == ["bash"]
    assert made["metadata"] == {"lifted_commands": 2, "demonstrations": 1}
    assert FORMATS["swe_agent"].events(record) == [("history", i) for i in range(6)]


def test_swe_agent_turn_with_two_blocks_stays_text_and_so_does_its_observation():
    turns = [*TEXT[:3], seen("assistant", "```\na\n```\n```\nls\n```", action="ls"), *TEXT[4:]]
    (made,) = samples("swe_agent", {"history": turns})
    assert made["messages"][3:5] == [says("```\na\n```\n```\nls\n```"), user("a.py\nbash-$")]
    assert made["metadata"] == {"lifted_commands": 1, "turns_without_command": 1, "demonstrations": 1}


def test_swe_agent_result_names_its_call_in_a_list():
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"x": 1}'}}
    turns = [
        seen("user", [{"type": "text", "text": "Go."}]),
        seen("assistant", "I do.", action="find 1", tool_calls=[call], thinking_blocks=[{"thinking": "Hm."}]),
        seen("tool", [{"type": "text", "text": "found"}], tool_call_ids=["c1"]),
        seen("tool", "both", tool_call_ids=["c1", "c2"]),
    ]
    config = {"agent": {"model": {"name": "gpt-4o"}}, "problem_statement": {"id": "p-1"}}
    info = {"exit_status": "submitted", "submission": "d" * 300, "model_stats": {"instance_cost": 0.5, "api_calls": 3}}
    record = {"history": turns, "info": info, "replay_config": json.dumps(config)}
    (made,) = samples("swe_agent", record)
    assert made == {
        "id": "p-1",
        "messages": [
            user("Go."),
            {**says("I do.", called("find", {"x": 1}, "c1")), "reasoning_content": "Hm."},
            tool("found", tool_call_id="c1"),
            tool("both"),
        ],
        "metadata": {
            "cost": 0.5,
            "api_calls": 3,
            "exit_status": "submitted",
            "model": "gpt-4o",
            "task_id": "p-1",
            "submission": "d" * 300,
        },
    }
    assert samples("swe_agent", {**record, "replay_config": config}) == [made]


def test_swe_agent_attempt_that_the_record_repeats_is_merged_and_others_are_samples():
    other = [seen("user", "Fix it."), seen("assistant", "No.")]
    record = {"history": TEXT, "attempts": [{"history": TEXT}, {"history": other, "info": {"exit_status": "exit"}}]}
    first, second = samples("swe_agent", record)
    assert len(first["messages"]) == 6
    assert second["messages"] == [user("Fix it."), says("No.")]
    assert second["metadata"] == {"exit_status": "exit", "turns_without_command": 1}
    assert [fate[0] for fate in fates("swe_agent", record)] == [f"$.attempts[0].history[{i}]" for i in range(6)]


def test_swe_agent_history_of_two_agents_is_two_samples():
    turns = [
        seen("user", "A"),
        {**seen("user", "B"), "agent": "sub"},
        seen("assistant", "a"),
        {**says("b"), "agent": "sub"},
    ]
    made = samples("swe_agent", {"history": turns})
    assert [one["messages"] for one in made] == [[user("A"), says("a")], [user("B"), says("b")]]


def test_swe_smith_row_of_messages_in_one_text_reads_like_a_history():
    text = json.dumps([{**turn, "message_type": "action"} for turn in TEXT])
    row = {"messages": text, "instance_id": "i", "resolved": True, "model": "m", "traj_id": "t-1", "patch": "p"}
    (made,) = samples("swe_agent", row)
    assert made["messages"] == samples("swe_agent", {"history": TEXT})[0]["messages"]
    assert (made["id"], made["metadata"]["success"], made["metadata"]["task_id"]) == ("t-1", True, "i")


def test_swe_agent_turn_that_is_no_object_is_refused():
    assert refusal("swe_agent", {"history": [*TEXT, 3]}) == ("$.history[6]", "a turn of the history is not an object")


@needs_real_data
def test_real_swe_agent_trajectories_lift_every_command():
    counts: Counter[str] = Counter()
    for record in records_of(TRACES / "swe-agent"):
        (made,) = samples("swe_agent", record.data)
        assert schema().is_valid(made)
        assert fates("swe_agent", record.data) == []
        labels = made.get("metadata", {})
        counts.update(
            {key: labels.get(key, 0) for key in ("lifted_commands", "turns_without_command", "demonstrations")}
        )
        counts.update(message["role"] for message in made["messages"])
        counts["samples"] += 1
    assert counts == {
        "samples": 10,
        "system": 10,
        "user": 11,
        "assistant": 103,
        "tool": 97,
        "lifted_commands": 72,
        "turns_without_command": 0,
        "demonstrations": 1,
    }


# mini-swe-agent.


def asks(command: str) -> dict[str, Any]:
    return says(f"```mswea_bash_command\n{command}\n```")


TOLD = "<returncode>0</returncode>\n<output>\n1\n</output>"
MINI = [user("Do it."), asks("ls"), user(TOLD), says("Hm."), user("EXACTLY ONE, please"), asks("echo DONE"), user("")]


def test_mini_swe_agent_command_and_whatever_answers_it_become_a_call_and_its_result():
    (made,) = samples("mini_swe_agent", MINI)
    assert made["messages"] == [
        user("Do it."),
        says("", bash("ls")),
        tool(TOLD),
        says("Hm."),
        user("EXACTLY ONE, please"),
        says("", bash("echo DONE")),
        tool(""),
    ]
    assert made["metadata"] == {"lifted_commands": 2}


def test_mini_swe_agent_word_of_the_harness_behind_a_limit_is_dropped():
    assert fates("mini_swe_agent", [*MINI[:3], user("")]) == [
        ("$[3]", "dropped", "the harness' own last word, which no model saw", False)
    ]
    record = {
        "messages": [user("x"), says("y"), {"role": "exit", "content": "z"}],
        "trajectory_format": "mini-swe-agent-1.1",
    }
    assert [fate[0] for fate in fates("mini_swe_agent", record)] == ["$.messages[2]"]
    assert samples("mini_swe_agent", record)[0] == {"messages": [user("x"), says("y")]}


def test_mini_swe_agent_tells_itself_from_other_lists_of_messages():
    assert recognised([user("x"), says("```bash\nls\n```"), user("1")]) == ["openai_chat"]
    assert recognised([user("x"), says("y"), user(TOLD)]) == ["openai_chat"]
    assert recognised({"messages": MINI}) == ["mini_swe_agent"]


def test_mini_swe_agent_items_without_a_role_are_refused():
    record = {"messages": [user("x"), {"object": "response", "output": []}], "trajectory_format": "mini-swe-agent-1.1"}
    assert refusal("mini_swe_agent", record) == ("$.messages[1]", "a turn is no chat message with a role")


@needs_real_data
def test_real_mini_swe_agent_runs_have_a_result_for_every_command():
    made = [samples("mini_swe_agent", record.data)[0] for record in records_of(TRACES / "mini-swe-agent")]
    roles = [[message["role"] for message in one["messages"]] for one in made]
    assert roles == [["system", "user", *["assistant", "tool"] * n] for n in (10, 2)]
    assert [one["metadata"] for one in made] == [{"lifted_commands": 10}, {"lifted_commands": 2}]


# ToolBench.


def legacy(name: str, arguments: str) -> dict[str, Any]:
    return {"role": "assistant", "content": "", "function_call": {"name": name, "arguments": arguments}}


def searched(*lists: list[Any]) -> dict[str, Any]:
    return {"win": True, "tree": {}, "answer_generation": {"train_messages": list(lists), "function": [{"name": "f"}]}}


STARTED = [{"role": "system", "content": "S"}, user("Q")]
GIVEN = {"role": "function", "name": "f", "content": "1"}


def test_toolbench_growing_lists_are_one_conversation():
    asked = legacy("f", '{\n"a": 1}')
    record = searched([*STARTED, asked], [*STARTED, asked, GIVEN, legacy("Finish", "{}")])
    (made,) = samples("toolbench", record)
    assert made["messages"] == [
        {"role": "system", "content": "S"},
        user("Q"),
        says("", called("f", {"a": 1})),
        tool("1", name="f"),
        says("", called("Finish", {})),
    ]
    assert made["tools"] == [{"type": "function", "function": {"name": "f"}}]
    assert made["metadata"] == {"success": True}
    assert fates("toolbench", record) == [
        (f"$.answer_generation.train_messages[0][{i}]", "merged", "repeated by train_messages[1]", False)
        for i in range(3)
    ]


def test_toolbench_branch_that_no_later_list_continues_is_a_sample_of_its_own():
    record = searched([*STARTED, legacy("f", '{"a": 0}')], [*STARTED, legacy("f", '{"a": 1}'), GIVEN])
    made = samples("toolbench", record)
    assert [one["messages"][2] for one in made] == [says("", called("f", {"a": 0})), says("", called("f", {"a": 1}))]
    assert fates("toolbench", record) == []


@settings(max_examples=50)
@given(
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=5), max_size=3), st.sampled_from([0, 1, 2])
)
def test_toolbench_arguments_in_another_encoding_come_to_one_sample(value: dict[str, Any], which: int):
    texts = encodings(value)
    first, other = (samples("toolbench", searched([*STARTED, legacy("f", text)])) for text in (texts[0], texts[which]))
    assert first == other
    assert first[0]["messages"][2] == says("", called("f", value))


def row(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"id": "r", "conversations": [{"from": speaker, "value": value} for speaker, value in turns]}


def test_toolbench_row_has_its_action_and_its_tools_lifted():
    apis = "Talk.\nSpecifically, you have access to the following APIs: [{'name': 'f', 'x': None}]"
    record = row(
        ("system", apis), ("user", "Q"), ("assistant", "\nThought: T\nAction: f\nAction Input: {}"), ("function", "1")
    )
    (made,) = samples("toolbench", record)
    assert made == {
        "id": "r",
        "messages": [{"role": "system", "content": "Talk."}, user("Q"), says("T", called("f", {})), tool("1")],
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }


@pytest.mark.parametrize("text", ["Thought: T\nAction: f\nAction Input: {}\nAction Input: {}", "\nAction Input: {}"])
def test_toolbench_action_without_an_exact_reading_stays_text(text: str):
    apis = "following APIs: __import__('os')"
    (made,) = samples("toolbench", row(("system", apis), ("assistant", text)))
    assert made["messages"] == [{"role": "system", "content": apis}, says(text)]
    assert "tools" not in made


def test_toolbench_input_that_is_no_json_stays_for_the_rules():
    (made,) = samples("toolbench", row(("assistant", "\nAction: f\nAction Input: {a")))
    assert made["messages"] == [says("", called("f", "{a"))]


@pytest.mark.parametrize(
    ("record", "place", "why"),
    [
        (searched(), "", "the search found no answer: there are no train_messages"),
        (searched([]), "", "the search found no answer: there are no train_messages"),
        (searched([3]), "[0][0]", "a message is not an object in a list of messages"),
    ],
)
def test_toolbench_answer_that_holds_none_is_refused(record: Any, place: str, why: str):
    assert refusal("toolbench", record) == (f"$.answer_generation.train_messages{place}", why)


@needs_real_data
def test_real_toolbench_answers_are_one_conversation_each():
    counts: Counter[str] = Counter()
    for record in records_of(TRACES / "toolbench"):
        (made,) = samples("toolbench", record.data)
        assert schema().is_valid(made)
        assert made["messages"][-1]["tool_calls"][0]["function"]["name"] == "Finish"
        counts.update(fate[1] for fate in fates("toolbench", record.data))
        counts["kept"] += len(made["messages"])
        counts["samples"] += 1
    assert counts == {"samples": 6, "kept": 53, "merged": 86}


# API-Bank.


def api(name: str, output: Any, exception: Any = None) -> dict[str, Any]:
    result = {"api_name": name, "input": {"a": 1}, "output": output, "exception": exception}
    return {"role": "API", "api_name": name, "param_dict": {"a": 1}, "result": result}


def test_api_bank_event_is_a_call_and_its_result():
    record = [
        {"role": "User", "text": "Q"},
        {"role": "AI", "text": "Wait."},
        api("f", {"x": "é"}),
        api("g", None, "late"),
    ]
    record += [{"role": "AI", "text": "It is"}, {"role": "AI", "text": "late."}]
    (made,) = samples("api_bank", record)
    assert made["messages"] == [
        user("Q"),
        says("Wait.", called("f", {"a": 1})),
        tool('{"x": "é"}', name="f"),
        says("", called("g", {"a": 1})),
        tool("late", name="g"),
        says("It is\nlate."),
    ]
    assert fates("api_bank", record) == [("$[5]", "merged", "part of the assistant turn that begins before it", False)]


@pytest.mark.parametrize(
    ("result", "told"),
    [
        ({"output": "done", "exception": None}, "done"),
        ({"output": [1], "exception": "late"}, '{"output": [1], "exception": "late"}'),
        ({"status": 1}, '{"status": 1}'),
        ("plain", "plain"),
    ],
)
def test_api_bank_result_is_its_exception_or_its_output(result: Any, told: str):
    made = samples("api_bank", [{"role": "User", "text": "Q"}, {**api("f", 1), "result": result}])
    assert made[0]["messages"][2] == tool(told, name="f")


def test_api_bank_call_without_a_result_keeps_its_fate():
    asked = {"role": "API", "api_name": "f", "param_dict": {}}
    record = [{"role": "AI", "text": "Wait."}, asked]
    assert samples("api_bank", record)[0]["messages"] == [says("Wait.", called("f", {}))]
    assert fates("api_bank", record) == [("$[1]", "merged", "the call of the assistant's turn before it", False)]
    assert samples("api_bank", [asked])[0]["messages"] == [says("", called("f", {}))]
    assert refusal("api_bank", [asked, {"role": "Judge"}]) == ("$[1]", "a line is no event of User, AI or API")


@needs_real_data
def test_real_api_bank_files_are_one_dialogue_each():
    counts: Counter[str] = Counter()
    for record in records_of(TRACES / "api-bank"):
        (made,) = samples("api_bank", record.data)
        assert schema().is_valid(made)
        counts.update(message["role"] for message in made["messages"])
        counts.update(fate[1] for fate in fates("api_bank", record.data))
        counts["samples"] += 1
    assert counts == {"samples": 69, "user": 223, "assistant": 355, "tool": 136, "merged": 3}


# BFCL.


def task(truth: Any, *questions: str, function: Any = ()) -> dict[str, Any]:
    return {"id": "t", "question": [[user(q)] for q in questions], "function": list(function), "ground_truth": truth}


def declared(name: str, *arguments: str, required: tuple[str, ...] = ()) -> dict[str, Any]:
    schema = {"type": "dict", "properties": {key: {"type": "any"} for key in arguments}, "required": list(required)}
    return {"name": name, "parameters": schema}


@pytest.mark.parametrize(
    ("answer", "arguments"),
    [
        ({"a": [1, 2]}, {"a": 1}),
        ({"a": ["", 2]}, {}),
        ({"b": [""]}, {"b": ""}),
        ({"a": [[1, 2]]}, {"a": [1, 2]}),
        ({"a": [{"x": [1], "y": ["", 2]}]}, {"a": {"x": 1}}),
        ({"a": [[{"x": [1]}, {"x": ["z"]}]]}, {"a": [{"x": 1}, {"x": "z"}]}),
        ({"a": [{"x": 1}]}, {"a": {"x": 1}}),
    ],
)
def test_bfcl_first_acceptable_value_is_taken(answer: Any, arguments: Any):
    (made,) = samples("bfcl", task([{"m.f": answer}], "Q", function=[declared("m.f", "a", "b", required=("b",))]))
    assert made["messages"] == [user("Q"), says("", called("m.f", arguments))]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("f(a=1, b='x')", called("f", {"a": 1, "b": "x"})),
        ("f(1, b=[-2.5, (True, None)])", called("f", {"a": 1, "b": [-2.5, [True, None]]})),
        ("g.h(d={'k': 'v'})", called("g.h", {"d": {"k": "v"}})),
        ("f()", called("f", {})),
    ],
)
def test_bfcl_python_call_is_read_off_its_syntax(text: str, call: Any):
    (made,) = samples("bfcl", task([[text]], "Q", function=[declared("f", "a", "b")]))
    assert made["messages"][1] == says("", call)


@pytest.mark.parametrize(
    "text",
    [
        "f(1, 2, 3)",
        "g('x')",
        "f(a=open('x'))",
        "f(1, a=2)",
        "f(**{'a': 1})",
        "f(*[1])",
        "f",
        "f(a=1",
        "f(a={1: 2})",
        "f()()",
        "f(a=b'x')",
    ],
)
def test_bfcl_python_call_without_an_exact_reading_is_refused(text: str):
    record = task([[text]], "Q", function=[declared("f", "a", "b")])
    assert refusal("bfcl", record) == ("$.ground_truth[0][0]", f"{text!r} is no call with an exact reading")


def test_bfcl_calls_of_a_turn_are_one_turn():
    record = task([["f(a=1)", "f(a=2)"], [], ["f(a=3)"]], "Q", "R", "S")
    (made,) = samples("bfcl", record)
    f = [called("f", {"a": i}) for i in range(4)]
    assert made["messages"] == [user("Q"), says("", f[1], f[2]), user("R"), user("S"), says("", f[3])]
    assert fates("bfcl", record) == [
        ("$.ground_truth[0][1]", "merged", "a call of the turn that begins before it", False)
    ]


@pytest.mark.parametrize(
    ("record", "place", "why"),
    [
        ({"id": "t", "question": [[user("Q")]], "function": []}, "$", "a question without its answer (ground_truth)"),
        ({"id": "t", "ground_truth": [{"f": {}}]}, "$.ground_truth", "an answer without its question"),
        (task([["f()"]], "Q", "R"), "$.ground_truth", "1 answers for 2 turns of the question"),
        (task([3], "Q"), "$.ground_truth[0]", "an answer is no {function: {argument: [values]}}"),
    ],
)
def test_bfcl_record_of_one_half_is_refused(record: Any, place: str, why: str):
    assert recognised(record) == ["bfcl"]
    assert refusal("bfcl", record) == (place, why)


@needs_real_data
@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("BFCL_v4_parallel_multiple.json", {"read": 200}),
        ("BFCL_v4_live_parallel_multiple.json", {"read": 24}),
        ("BFCL_v4_multi_turn_base.json", {"read": 176, "refused": 24}),  # positional, and the functions not declared
    ],
)
def test_real_bfcl_answers_join_their_prompts(file: str, counts: dict[str, int]):
    root = TRACES / "bfcl-v4"
    halves = [{r.data["id"]: r.data for r in records_of(folder / file)} for folder in (root, root / "possible_answer")]
    seen: Counter[str] = Counter()
    for name, prompt in halves[0].items():
        reading = read_whole(FORMATS["bfcl"], {**prompt, **halves[1][name]})
        seen["refused" if reading.refusal else "read"] += 1
        assert all(schema().is_valid(one.sample) for one in reading.conversations)
    assert seen == counts


# tau-bench and tau2.


@needs_real_data
def test_real_tau_bench_episodes_carry_their_reward():
    found = [read_whole(FORMATS["tau_bench"], record.data) for record in records_of(TRACES / "tau-bench")]
    made = [one.conversations[0].sample for one in found if not one.refusal]
    assert Counter(one["metadata"]["success"] for one in made) == {True: 12, False: 17}
    assert {one["metadata"]["reward"] for one in made} == {0.0, 1.0}
    assert Counter(one.refusal.says for one in found if one.refusal) == {
        "a rendered text, in which calls cannot be told from words": 19
    }


def simulated(*turns: dict[str, Any]) -> list[Any]:
    return [{**turn, "turn_idx": i} for i, turn in enumerate(turns)]


def requested(by: str, call_id: str) -> dict[str, Any]:
    return {"id": call_id, "name": "f", "arguments": {}, "requestor": by}


SIDES = simulated(
    user("Slow."),
    {"role": "assistant", "content": None, "tool_calls": [requested("assistant", "a")]},
    {"role": "tool", "id": "a", "content": "1", "requestor": "assistant", "error": False},
    {"role": "user", "content": None, "tool_calls": [requested("user", "u")]},
    {"role": "tool", "id": "u", "content": "2", "requestor": "user"},
    {"role": "user", "content": "It is 2.", "tool_calls": [requested("user", "v")]},
    says("Good."),
)


def test_tau2_users_own_calls_never_reach_the_agent():
    record = {"id": "r", "task_id": "t", "messages": SIDES, "reward_info": {"reward": 0.0}}
    (made,) = samples("tau2", record)
    assert made == {
        "id": "r",
        "messages": [
            user("Slow."),
            says("", called("f", {}, "a")),
            tool("1", tool_call_id="a"),
            user("It is 2."),
            says("Good."),
        ],
        "metadata": {"reward": 0.0, "success": False, "task_id": "t"},
    }
    reason = "the user's own call or its result, which the agent never saw"
    assert fates("tau2", record) == [(f"$.messages[{i}]", "dropped", reason, False) for i in (3, 4)]


def test_tau2_results_file_gives_each_run_the_policy_and_the_tools():
    defined = {"f": {"name": "f", "doc": "Does.", "params": {"type": "object"}, "returns": {}}, "g": {}}
    info = {"environment_info": {"policy": "Be brief.", "tool_defs": defined}}
    runs: list[Any] = [
        {"id": "a", "messages": SIDES[:1]},
        {"id": "b", "messages": None},
        {"id": "c", "messages": SIDES[:2]},
    ]
    first, second = samples("tau2", {"info": info, "tasks": [], "simulations": runs})
    assert first["messages"] == [{"role": "system", "content": "Be brief."}, user("Slow.")]
    assert (first["id"], second["id"]) == ("a", "c")
    assert second["tools"] == [
        {"type": "function", "function": {"name": "f", "description": "Does.", "parameters": {"type": "object"}}},
        {"type": "function", "function": {"name": "g", "parameters": {"type": "object", "properties": {}}}},
    ]
    assert second["metadata"] == {"tools_original": defined}


def test_tau2_greeting_of_the_harness_is_shown_and_not_trained():
    greeting = says("Hi! How can I help you today?")
    turns = simulated(greeting, user("x"), greeting)
    assert samples("tau2", {"messages": turns})[0]["messages"] == [{**greeting, "train": False}, user("x"), greeting]
    generated = [{**turns[0], "raw_data": {"id": "1"}}, *turns[1:]]
    assert samples("tau2", {"messages": generated})[0]["messages"][0] == greeting


def test_tau2_run_that_the_agent_never_joined_is_refused():
    record = {"messages": [SIDES[3], SIDES[4]]}
    assert refusal("tau2", record) == ("$", "no run has a message that the agent saw")
    assert refusal("tau2", {"messages": [SIDES[0], 3]}) == ("$.messages[1]", "a message is not an object")


@needs_real_data
def test_real_tau2_runs_read_apart_from_the_rollouts_around_them():
    counts: Counter[str] = Counter()
    for record in records_of(TRACES / "nemo-gym/responses_api_agents/tau2"):
        assert recognised(record.data) == ["responses"]
        (made,) = samples("tau2", {"result": record.data["result"]})
        assert schema().is_valid(made)
        assert made["metadata"]["success"] is True
        counts.update(message["role"] for message in made["messages"])
    assert counts == {"system": 5, "assistant": 30, "user": 10, "tool": 20}


# ATIF.


def atif(*steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"schema_version": "ATIF-v1.6", "agent": {"name": "n", "model_name": "m"}, "steps": list(steps), **more}


def step(source: str, text: Any, **more: Any) -> dict[str, Any]:
    return {"source": source, "message": text, **more}


def test_atif_step_is_a_turn_with_its_calls_and_their_results():
    calls = [{"tool_call_id": "a", "function_name": "f", "arguments": {"x": 1}}, {"odd": 1}]
    results = [
        {"source_call_id": "a", "content": "1"},
        {"source_call_id": None, "content": [{"type": "text", "text": "2"}]},
    ]
    record = atif(
        step("user", "Q"),
        step("agent", "A", reasoning_content="R", tool_calls=calls, observation={"results": results}),
        step("agent", "B"),
        step("agent", "", tool_calls=calls[:1]),
    )
    (made,) = samples("atif", record)
    assert made["messages"] == [
        user("Q"),
        {**says("A", called("f", {"x": 1}, "a"), {"odd": 1}), "reasoning_content": "R"},
        tool("1", tool_call_id="a"),
        tool("2"),
        says("B", called("f", {"x": 1}, "a")),
    ]
    assert made["metadata"] == {"model": "m", "agent": "n", "schema_version": "ATIF-v1.6"}
    assert fates("atif", record) == [
        ("$.steps[3]", "merged", "part of the assistant turn that begins before it", False)
    ]


def test_atif_observation_without_a_call_is_a_users_turn():
    record = atif(
        step("system", None, observation={"results": [{"content": "$"}]}),
        step(
            "agent",
            "ls",
            observation={"results": [{"content": "a"}, {"content": None, "subagent_trajectory_ref": []}, 3]},
        ),
    )
    assert samples("atif", record)[0]["messages"] == [user("$"), says("ls"), user("a")]
    assert [(fate[0], fate[3]) for fate in fates("atif", record)] == [
        ("$.steps[0]", False),
        ("$.steps[1].observation.results[1]", False),
        ("$.steps[1].observation.results[2]", True),
    ]


def test_atif_copied_step_is_shown_and_not_trained():
    record = atif(step("user", "Q"), step("agent", "A", is_copied_context=True), step("agent", "B"))
    assert samples("atif", record)[0]["messages"] == [user("Q"), {**says("A"), "train": False}, says("B")]


def test_atif_sub_agent_is_a_sample_of_its_own():
    record = atif(step("user", "Q"), subagent_trajectories=[atif(step("agent", "A"), session_id="s")])
    assert [one["messages"] for one in samples("atif", record)] == [[user("Q")], [says("A")]]
    assert samples("atif", record)[1]["id"] == "s"


def test_atif_step_of_nobody_is_refused():
    assert refusal("atif", atif(step("judge", "x"))) == ("$.steps[0]", "a step has no source of system, user or agent")
    assert refusal("atif", atif()) == ("$", "it has no steps")


@settings(max_examples=30)
@given(st.permutations(["a", "b", "c"]))
def test_atif_results_in_any_order_come_to_one_sample_after_shaping(order: list[str]):
    calls = [{"tool_call_id": i, "function_name": "f", "arguments": {"x": i}} for i in "abc"]
    results = [{"source_call_id": i, "content": i} for i in order]
    (found,) = read_whole(
        FORMATS["atif"], atif(step("agent", "", tool_calls=calls, observation={"results": results}))
    ).conversations
    whole, _ = shaped(found, Transcript(found.sample, Settings()), Settings())
    assert [message["content"] for message in whole.sample["messages"]] == ["", "a", "b", "c"]


# ADP.


def adp(*items: dict[str, Any]) -> dict[str, Any]:
    return {"id": "p", "content": list(items), "details": {}}


def observed(text: str, source: str = "environment", **more: Any) -> dict[str, Any]:
    return {"class_": "text_observation", "content": text, "source": source, **more}


def test_adp_actions_without_an_observation_between_are_one_turn():
    record = adp(
        observed("Q", "user"),
        {"class_": "message_action", "content": "I do.", "reasoning_content": "R"},
        {"class_": "api_action", "function": "f", "kwargs": {"x": 1}},
        {"class_": "api_action", "function": "g", "kwargs": {}},
        observed("1"),
        observed("2"),
        observed("3"),
        observed("So?", "user"),
    )
    (made,) = samples("adp", record)
    assert made == {
        "id": "p",
        "messages": [
            user("Q"),
            {**says("I do.", called("f", {"x": 1}), called("g", {})), "reasoning_content": "R"},
            tool("1"),
            tool("2"),
            user("3"),
            user("So?"),
        ],
    }
    assert [fate[0] for fate in fates("adp", record)] == ["$.content[2]", "$.content[3]"]


def test_adp_code_is_a_call_of_a_tool_named_after_its_language():
    record = adp(
        {"class_": "code_action", "language": "sh", "content": "ls", "description": "I look."},
        observed("a", tool_call_id="c1"),
        {"class_": "code_action", "language": "python", "content": "1"},
    )
    (made,) = samples("adp", record)
    assert made["messages"] == [
        says("I look.", bash("ls")),
        tool("a", tool_call_id="c1"),
        says("", called("python", {"code": "1"})),
    ]
    assert [one["function"]["name"] for one in made["tools"]] == ["bash", "python"]


def test_adp_page_is_its_fields_and_its_picture():
    page = {"class_": "web_observation", "html": None, "url": "u", "image_observation": {"content": "p.png"}}
    picture = {"class_": "image_observation", "content": "q.png", "source": "user"}
    (made,) = samples("adp", adp(page, picture, observed("I see.", "agent")))
    assert made["messages"] == [
        user([{"type": "text", "text": '{"url": "u"}'}, {"type": "image", "image": {"content": "p.png"}}]),
        user([{"type": "image", "image": "q.png"}]),
        says("I see."),
    ]
    assert refusal("adp", adp(observed("x"), {"class_": "?"})) == (
        "$.content[1]",
        "an item is no action or observation of ADP 1",
    )


# smolagents.


def act(**more: Any) -> dict[str, Any]:
    return {"step_number": 1, "tool_calls": [], "model_output": None, "observations": None, "error": None, **more}


def ran(code: str, text: str, **more: Any) -> dict[str, Any]:
    return act(model_output=text, tool_calls=[called("python_interpreter", code, "c")], **more)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("T\n<code>\nx\n</code>", "T"),
        ("T\n```py\nx\n```<end_code>", "T"),
        ("T\nCode:\n```python\nx\n```", "T"),
        ("<code>x", ""),
    ],
)
def test_smolagents_code_at_the_end_of_a_text_is_lifted(text: str, words: str):
    (made,) = samples("smolagents", [{"task": "Q"}, ran("x", text, observations="1")])
    assert made["messages"] == [
        user("Q"),
        says(words, called("python_interpreter", {"code": "x"}, "c")),
        tool("1", tool_call_id="c"),
    ]
    assert made["metadata"] == {"answered": False, "lifted_commands": 1}


@pytest.mark.parametrize("text", ["```py\nx\n``` and more", "x", "```py\ny\n```"])
def test_smolagents_code_elsewhere_stays_text(text: str):
    (made,) = samples("smolagents", [{"task": "Q"}, ran("x", text, observations="1", error={"message": "E"})])
    assert made["messages"] == [user("Q"), says(text), user("1\nError:\nE")]
    assert "tools" not in made


def test_smolagents_calls_are_calls_and_what_they_gave_is_one_text():
    calls = [called("f", {"a": 1}, "x"), called("g", {}, "y")]
    system = {"role": "system", "content": [{"type": "text", "text": "S"}]}
    shown = act(tool_calls=calls, observations="1\n2", model_input_messages=[system, user("Q")], is_final_answer=True)
    steps: list[Any] = [{"task": "Q", "task_images": ["p"]}, shown, act(), {"output": 1}, {"odd": 1}]
    record = {"id": "r", "steps": steps, "state": "success"}
    (made,) = samples("smolagents", record)
    assert made["messages"] == [
        {"role": "system", "content": "S"},
        user([{"type": "text", "text": "Q"}, {"type": "image", "image": ["p"]}]),
        says("", *calls),
        tool("1\n2"),
    ]
    assert made["metadata"] == {"state": "success", "answered": True}
    assert [(fate[0], fate[3]) for fate in fates("smolagents", record)] == [
        ("$.steps[2]", False),
        ("$.steps[3]", False),
        ("$.steps[4]", True),
    ]
