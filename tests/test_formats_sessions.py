"""Session logs of coding agents: Claude Code, Gemini CLI, Qwen Code, OpenHands, AgentDojo."""

import copy
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from reading import FORMATS, fates, read_whole, recognised, records_of, samples
from real import TRACES, needs_real_data

from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.reading.branches import BEHIND_GAP
from qwen_sft.reading.gather import MOST_FOREIGN, gathered
from qwen_sft.rule import rules
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped


def called(name: str, arguments: Any = None, call_id: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments or {}}}
    return {**made, "id": call_id} if call_id else made


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: str = "", **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def tool(content: Any, call_id: str, **fields: Any) -> dict[str, Any]:
    return {"role": "tool", "content": content, "tool_call_id": call_id, **fields}


def messages(kind: str, record: Any) -> list[Any]:
    """The messages of the one sample that a record holds."""
    (sample,) = samples(kind, record)
    return sample["messages"]


def in_order(kind: str, record: Any) -> list[Any]:
    """The same once results stand in the order of their calls."""
    (conversation,) = read_whole(FORMATS[kind], record).conversations
    done, _ = shaped(conversation, Transcript(conversation.sample, Settings()), Settings())
    return done.sample["messages"]


def refusal(kind: str, record: Any) -> str:
    assert recognised(record) == [kind]
    found = read_whole(FORMATS[kind], record).refusal
    assert found is not None
    return found.says


def written(path: Path, *lines: Any) -> Path:
    """A file of JSON lines; a line that is bytes is written as it is."""
    path.write_bytes(b"".join((x if isinstance(x, bytes) else json.dumps(x).encode()) + b"\n" for x in lines))
    return path


# Claude Code.


def cc(
    uuid: str, parent: str | None, kind: str, content: Any, name: str | None = None, **fields: Any
) -> dict[str, Any]:
    said: dict[str, Any] = {"role": kind, "content": content}
    if name:
        said |= {"id": name, "type": "message", "model": "claude-opus-4-6"}
    line = {"parentUuid": parent, "isSidechain": False, "sessionId": "s", "type": kind, "message": said, "uuid": uuid}
    return {**line, **fields}


def use(call_id: str, name: str = "Bash", **arguments: Any) -> list[Any]:
    return [{"type": "tool_use", "id": call_id, "name": name, "input": arguments}]


def test_claude_code_answer_that_was_cut_off_says_so_in_the_middle_of_a_session():
    def reply(uuid: str, parent: str, content: Any, name: str, reason: Any) -> dict[str, Any]:
        line = cc(uuid, parent, "assistant", content, name)
        line["message"]["stop_reason"] = reason
        return line

    thinks, says = [{"type": "thinking", "thinking": "t"}], [{"type": "text", "text": "done o"}]
    record = [
        cc("1", None, "user", "q"),
        reply("2", "1", thinks, "m1", None),  # a piece is written before its message ends
        reply("3", "2", says, "m1", "max_tokens"),
        cc("4", "3", "user", "go on"),
        reply("5", "4", use("c"), "m2", "max_tokens"),
        cc("6", "5", "user", [{"type": "tool_result", "tool_use_id": "c", "content": "broken call"}]),
        reply("7", "6", [{"type": "text", "text": "rest"}], "m3", "end_turn"),
    ]
    (sample,) = samples("claude_code", record)
    assert sample["messages"] == [
        user("q"),
        assistant("done o", reasoning_content="t", finish_reason="max_tokens"),
        user("go on"),
        assistant(tool_calls=[called("Bash", {}, "c")], finish_reason="max_tokens"),
        tool("broken call", "c"),
        assistant("rest"),
    ]
    assert sample["metadata"]["finish_reason"] == "end_turn"
    found = rules()["MSG013"].check(Transcript(sample, Settings()))
    assert [one.path for one in found] == [("messages", 1), ("messages", 3)]


def result(call_id: str, content: Any = "ok", **fields: Any) -> list[Any]:
    return [{"type": "tool_result", "tool_use_id": call_id, "content": content, **fields}]


def words(text: str) -> list[Any]:
    return [{"type": "text", "text": text}]


def test_claude_code_fragments_become_one_turn_though_results_stand_between_them():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", [{"type": "thinking", "thinking": "t", "signature": "x"}], "m"),
        cc("b", "a", "assistant", words("Both."), "m"),
        cc("c", "b", "assistant", use("1", a=1), "m"),
        cc("r1", "c", "user", result("1", [{"type": "text", "text": "one"}, {"type": "text", "text": "more"}])),
        cc("d", "c", "assistant", use("2"), "m"),
        cc("e", "d", "assistant", use("3"), "m"),
        cc("r3", "e", "user", result("3", "three", is_error=True)),
        cc("r2", "d", "user", result("2", "two"), toolUseResult={"stdout": "two"}),
        cc("f", "r2", "assistant", words("Done."), "n"),
    ]
    turn = assistant(
        "Both.",
        reasoning_content="t",
        tool_calls=[called("Bash", {"a": 1}, "1"), called("Bash", {}, "2"), called("Bash", {}, "3")],
    )
    assert messages("claude_code", lines) == [
        user("go"), turn, tool("one\nmore", "1"), tool("three", "3"), tool("two", "2"), assistant("Done.")
    ]  # fmt: skip
    assert in_order("claude_code", lines) == [
        user("go"), turn, tool("one\nmore", "1"), tool("two", "2"), tool("three", "3"), assistant("Done.")
    ]  # fmt: skip
    assert {fate[:3] for fate in fates("claude_code", lines)} == {
        (f"$[{i}].message.content[0]", "merged", "a piece of the message that begins before it") for i in (2, 3, 5, 6)
    }


def test_claude_code_results_of_parallel_calls_may_come_in_any_order():
    calls = [cc(f"a{i}", f"a{i - 1}" if i else "u", "assistant", use(f"c{i}"), "m") for i in range(4)]
    results = [cc(f"r{i}", f"a{i}", "user", result(f"c{i}", f"{i}")) for i in range(4)]
    end = cc("z", "r3", "assistant", words("Done."), "n")
    wanted = in_order("claude_code", [cc("u", None, "user", "go"), *calls, *results, end])
    assert [m["content"] for m in wanted] == ["go", "", "0", "1", "2", "3", "Done."]
    for seed in range(20):
        chance = random.Random(seed)
        mixed = list(calls)
        for one in chance.sample(results, 4):
            mixed.insert(chance.randint(mixed.index(calls[int(one["uuid"][1])]) + 1, len(mixed)), one)
        assert in_order("claude_code", [cc("u", None, "user", "go"), *mixed, end]) == wanted


def test_claude_code_sidechains_are_samples_of_their_own():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", use("1", "Task"), "m"),
        cc("x", None, "user", "first", isSidechain=True),
        cc("y", None, "user", "second", isSidechain=True),
        cc("xa", "x", "assistant", words("1st"), "n", isSidechain=True),
        cc("ya", "y", "assistant", words("2nd"), "o", isSidechain=True),
        cc("r", "a", "user", result("1", "1st")),
        cc("k", None, "user", "third", isSidechain=True, agentId="k7"),
        cc("ka", "k", "assistant", words("3rd"), "p", isSidechain=True, agentId="k7"),
    ]
    assert [(s["id"], [m["content"] for m in s["messages"]]) for s in samples("claude_code", lines)] == [
        ("s", ["go", "", "1st"]),
        ("s/sidechain-1", ["first", "1st"]),
        ("s/sidechain-2", ["second", "2nd"]),
        ("s/k7", ["third", "3rd"]),
    ]


def test_claude_code_compaction_begins_a_sample_with_its_summary():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", words("Gone."), "m"),
        {"type": "system", "subtype": "compact_boundary", "parentUuid": None, "uuid": "c", "sessionId": "s"},
        cc("s", "c", "user", "Summary.", isCompactSummary=True, isVisibleInTranscriptOnly=True),
        cc("v", "s", "user", "on"),
        cc("b", "v", "assistant", words("Onwards."), "n"),
    ]
    made = [("s", ["go", "Gone."]), ("s#2", ["Summary.", "on", "Onwards."])]
    for record in (lines, [*lines[:2], *lines[3:]]):
        assert [(s["id"], [m["content"] for m in s["messages"]]) for s in samples("claude_code", record)] == made
    assert all(
        "train" not in m and "branch" not in s["metadata"] for s in samples("claude_code", lines) for m in s["messages"]
    )
    lines[2]["compactMetadata"] = {"preservedSegment": {"headUuid": "a", "tailUuid": "a"}}
    assert ("$[2]", "dropped", "a compaction: what follows is a conversation of its own", True) in fates(
        "claude_code", lines
    )


def test_claude_code_branch_that_was_left_is_a_sample_and_the_shared_turns_are_trained_once():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", words("Where?"), "m"),
        cc("v", "a", "user", "left"),
        cc("b", "v", "assistant", words("Left."), "n"),
        cc("w", "a", "user", "right"),
        cc("x", "a", "user", "right!"),
        cc("c", "x", "assistant", words("Right."), "o"),
    ]
    abandoned, kept = samples("claude_code", lines)
    assert abandoned["messages"] == [user("go"), assistant("Where?", train=False), user("left"), assistant("Left.")]
    assert kept["messages"] == [user("go"), assistant("Where?"), user("right!"), assistant("Right.")]
    assert (abandoned["metadata"]["branch"], "branch" in kept["metadata"]) == ("abandoned", False)
    assert fates("claude_code", lines) == [("$[4]", "dropped", "a prompt that was never answered", False)]


def test_claude_code_prompt_that_waits_for_its_answer_takes_nothing_from_what_was_said():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", words("Where?"), "m"),
        cc("v", "a", "user", "left"),
        cc("b", "v", "assistant", words("Left."), "n"),
        cc("w", "a", "user", "right"),
    ]
    assert [(m["content"], m.get("train")) for m in messages("claude_code", lines)] == [
        ("go", None),
        ("Where?", None),
        ("left", None),
        ("Left.", None),
    ]
    assert fates("claude_code", lines) == [("$[4]", "dropped", "a prompt that was never answered", False)]


def test_claude_code_session_that_was_begun_anew_has_two_samples():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", words("Gone."), "m"),
        cc("v", None, "user", "stay"),
        cc("b", "v", "assistant", words("Stayed."), "n"),
    ]
    assert [[m["content"] for m in s["messages"]] for s in samples("claude_code", lines)] == [
        ["go", "Gone."],
        ["stay", "Stayed."],
    ]
    for line in lines:
        line["parentUuid"] = None  # nothing is linked: then the lines are in order
    assert [m["content"] for m in messages("claude_code", lines)] == ["go", "Gone.", "stay", "Stayed."]


def test_claude_code_texts_of_the_program_are_no_branches():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", use("1", "Skill"), "m"),
        cc("b", "a", "assistant", use("2"), "m"),
        cc("r1", "a", "user", result("1", "Launching skill")),
        cc("k", "r1", "user", words("The skill."), isMeta=True),
        cc("r2", "b", "user", result("2")),
        cc("i", "r2", "user", words("[Request interrupted by user]")),
        cc("v", "r2", "user", "on"),
        cc("c", "v", "assistant", words("On."), "n"),
    ]
    assert [m["content"] for m in messages("claude_code", lines)] == [
        "go", "", "Launching skill", "ok", "The skill.", "[Request interrupted by user]", "on", "On."
    ]  # fmt: skip


def test_claude_code_drops_what_is_no_turn_and_says_why():
    local = "a local command, which the model is told to leave aside"
    lines = [
        {"type": "summary", "summary": "x", "leafUuid": "q"},
        cc("u", None, "user", "go"),
        cc("m", "u", "user", "<local-command-caveat>Caveat: …</local-command-caveat>", isMeta=True),
        cc("n", "m", "user", "<command-name>/model</command-name>"),
        cc("o", "n", "user", "<local-command-stdout>Set model</local-command-stdout>"),
        cc("a", "u", "assistant", [{"type": "redacted_thinking", "data": "x"}, *words("\n"), *words("Yes.")], "m"),
        cc("b", "a", "assistant", [{"type": "server_tool_use", "id": "1"}], "m"),
        cc("e", "b", "assistant", words("API Error: 500"), "z", isApiErrorMessage=True),
        {"type": "attachment", "attachment": {"type": "file", "content": "x"}, "uuid": "f", "sessionId": "s"},
        {"type": "attachment", "attachment": {"type": "todo_reminder"}, "uuid": "g", "sessionId": "s"},
        {
            "type": "attachment",
            "attachment": {"type": "queued_command", "prompt": "And?"},
            "uuid": "h",
            "sessionId": "s",
        },
        cc("t", "b", "user", "shown", isVisibleInTranscriptOnly=True),
        cc("v", "b", "user", ""),
        {"type": "user", "sessionId": "s", "message": "error"},
        {"type": "queue-operation", "operation": "enqueue", "sessionId": "s", "content": "x"},
        copy.deepcopy(cc("u", None, "user", "go")),
        "massive error",
        cc("c", "b", "assistant", "So.", "n"),
    ]
    assert messages("claude_code", lines) == [user("go"), assistant("Yes."), user("And?"), assistant("So.")]
    assert {(path, reason, loses) for path, _, reason, loses in fates("claude_code", lines)} == {
        ("$[0]", "a line of type 'summary' is no turn", False),
        *((f"$[{i}]", local, False) for i in (2, 3, 4)),
        ("$[5].message.content[0]", "reasoning that is encrypted", True),
        ("$[5].message.content[1]", "text of the assistant that is empty", False),
        ("$[6].message.content[0]", "a block of type 'server_tool_use' has no place in a chat", True),
        ("$[7].message.content[0]", "words of the program in the model's place, such as an error of the API", False),
        ("$[8]", "an attachment of type 'file' that the program added", True),
        ("$[9]", "an attachment of type 'todo_reminder' that the program added", False),
        ("$[11]", "text that only the screen shows", False),
        ("$[12]", "text of a user that is empty", False),
        ("$[13]", "a message without content", True),
        ("$[14]", "a line of type 'queue-operation' is no turn", False),
        ("$[15]", "repeats a line", False),
        ("$[16]", "a line that is no object", False),
    }


def test_claude_code_command_that_the_model_answers_stays():
    lines = [
        cc("u", None, "user", "<command-message>fix</command-message>\n<command-args>#7</command-args>"),
        cc("m", "u", "user", words("Fix the issue."), isMeta=True),
        cc("a", "m", "assistant", words("Fixed."), "m"),
    ]
    assert [m["role"] for m in messages("claude_code", lines)] == ["user", "user", "assistant"]


def test_claude_code_user_turn_keeps_its_image_and_its_results_come_first():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
    lines = [
        cc("u", None, "user", [*words("See"), image]),
        cc("a", "u", "assistant", [*words("I see."), *use("1")], "m"),
        cc("v", "a", "user", [*words("Also this."), *result("1", [image])]),
        cc("b", "v", "assistant", words("Yes."), "n"),
    ]
    assert messages("claude_code", lines) == [
        user([{"type": "text", "text": "See"}, image]),
        assistant("I see.", tool_calls=[called("Bash", {}, "1")]),
        tool([image], "1"),
        user("Also this."),
        assistant("Yes."),
    ]


def test_claude_code_result_without_a_call_stays_where_it_was():
    lines = [
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", use("1"), "m"),
        cc("b", "a", "assistant", use("1"), "m"),
        cc("r", "a", "user", result("1")),
        cc("q", "a", "user", result("1")),
        cc("p", "a", "user", result("9")),
    ]
    assert messages("claude_code", lines)[2:] == [tool("ok", "1"), tool("ok", "9")]
    assert [fate[2] for fate in fates("claude_code", lines)] == ["repeats a call", "repeats a result"]


@pytest.mark.parametrize("shape", ["lines", "array", "loglines", "broken"])
def test_claude_code_session_is_one_record_in_every_file(tmp_path: Path, shape: str):
    lines = [
        {"type": "summary", "summary": "x", "leafUuid": "q"},
        cc("u", None, "user", "go"),
        cc("a", "u", "assistant", words("Gone."), "m"),
        cc("v", "a", "user", "on"),
        cc("b", "v", "assistant", words("On."), "n"),
    ]
    path = tmp_path / ("x.json" if shape in ("array", "loglines") else "x.jsonl")
    if shape == "lines":
        written(path, *lines)
    elif shape == "broken":
        written(path, *lines[:2], b'{"type": "us', *lines[2:4], b'"massive error"', lines[4])
    else:
        path.write_text(json.dumps(lines if shape == "array" else {"loglines": lines}, indent=1))
    whole = [record for record in records_of(path) if isinstance(record.data, dict | list)]
    assert len(whole) == 1
    assert [m["content"] for m in messages("claude_code", whole[0].data)] == ["go", "Gone.", "on", "On."]
    assert sum(record.fault is not None for record in records_of(path)) == (shape == "broken")


def test_claude_code_sessions_in_one_file_are_records_of_their_own(tmp_path: Path):
    one = [cc("u", None, "user", "go"), cc("a", "u", "assistant", words("Gone."), "m")]
    other = [{**line, "uuid": "o" + line["uuid"], "parentUuid": None, "sessionId": "t"} for line in one]
    resumed = [{**cc("v", "a", "user", "on"), "sessionId": "u"}]
    path = written(tmp_path / "x.jsonl", *one, *resumed, *other)
    joining = [FORMATS["claude_code"]]
    (source,) = expand([str(path)])
    assert [len(record.parts) for record in gathered(records(source), joining)] == [3, 2]


ASKED = [cc("u", None, "user", "go"), cc("a", "u", "assistant", words("Gone."), "m")]
MORE = [cc("v", "a", "user", "on"), cc("b", "v", "assistant", words("On."), "n")]
GAP = "what was said before is not in this record: no line has the uuid 'gone' that it names as parent"


@pytest.mark.parametrize(
    ("lines", "left_out"),
    [
        (
            [{**MORE[0], "parentUuid": "gone"}, MORE[1]],
            [("$[2]", "dropped", GAP, True), ("$[3].message.content[0]", "dropped", BEHIND_GAP, False)],
        ),
        (
            [{"type": "progress", "sessionId": "s", "uuid": "p", "parentUuid": "gone"}, {**MORE[1], "parentUuid": "p"}],
            [
                ("$[2]", "dropped", "a line of type 'progress' is no turn", False),
                ("$[3].message.content[0]", "dropped", GAP, True),
            ],
        ),
        ([{**MORE[1], "parentUuid": "gone"}], [("$[2].message.content[0]", "dropped", GAP, True)]),
    ],
)
def test_claude_code_turn_that_rests_on_a_missing_line_is_left_out(lines: list[Any], left_out: list[Any]):
    assert messages("claude_code", [*ASKED, *lines]) == [user("go"), assistant("Gone.")]
    assert sorted(fates("claude_code", [*ASKED, *lines])) == left_out
    assert refusal("claude_code", lines) == GAP


def test_claude_code_answer_with_a_missing_piece_is_left_out():
    last = cc("c", "gone", "assistant", use("1"), "n")
    pieces = [MORE[0], MORE[1], last, cc("r", "c", "user", result("1"))]
    assert messages("claude_code", [*ASKED, *pieces]) == [user("go"), assistant("Gone."), user("on")]
    assert [fate for fate in fates("claude_code", [*ASKED, *pieces]) if fate[3]] == [
        ("$[3].message.content[0]", "dropped", GAP, True)
    ]


def test_claude_code_parent_may_stand_below_its_child():
    lines = [ASKED[0], {**ASKED[1], "parentUuid": "late"}, cc("late", "u", "assistant", words("Well."), "m")]
    assert messages("claude_code", lines) == [user("go"), assistant("Gone.\nWell.")]


def found_in(path: Path) -> list[tuple[str, int, str]]:
    """The code, the line and the words of all that a run finds in a file."""
    done = outcomes(expand([str(path)]), Pipeline(Settings()))
    return [(d.code, d.where.line, d.says) for outcome in done for d in outcome.diagnostics]


def test_session_that_another_interrupts_is_no_sample_without_its_beginning(tmp_path: Path):
    other = [
        {**ASKED[0], "uuid": "t", "sessionId": "t"},
        {**ASKED[1], "uuid": "ta", "parentUuid": "t", "sessionId": "t"},
    ]
    path = written(tmp_path / "x.jsonl", *ASKED, *other, *MORE)
    assert found_in(path) == [("SRC005", 5, GAP.replace("gone", "a"))]


@pytest.mark.parametrize(
    ("foreign", "code"), [({"foo": "bar"}, "SRC003"), ([1, 2], "SRC003"), ({}, "SRC002"), (42, "SRC002")]
)
def test_line_of_another_kind_does_not_end_a_session(tmp_path: Path, foreign: Any, code: str):
    path = written(tmp_path / "x.jsonl", *ASKED, foreign, *MORE)
    (alone, whole) = records_of(path)
    assert (alone.data, alone.where.line, alone.holes) == (foreign, 3, ())
    assert ([part.line for part in whole.parts], whole.holes) == ([1, 2, 4, 5], ())
    assert [found[:2] for found in found_in(path)] == [(code, 3)]


@pytest.mark.parametrize(("n_foreign", "lines"), [(MOST_FOREIGN, [3, 1]), (MOST_FOREIGN + 1, [1, 3, MOST_FOREIGN + 4])])
def test_many_lines_of_another_kind_end_a_session(tmp_path: Path, n_foreign: int, lines: list[int]):
    path = written(tmp_path / "x.jsonl", *ASKED, *[{"foo": i} for i in range(n_foreign)], *MORE)
    found = [record.where.line for record in records_of(path)]
    assert [line for line in found if line in (1, 3, n_foreign + 3)] == lines
    assert len(found) == n_foreign + len(lines) - 1


def test_line_of_another_kind_behind_a_session_comes_out_behind_it(tmp_path: Path):
    path = written(tmp_path / "x.jsonl", *ASKED, {"foo": 1}, {"foo": 2})
    assert [record.where.line for record in records_of(path)] == [1, 3, 4]


def test_session_around_a_torn_line_is_rejected(tmp_path: Path):
    path = written(tmp_path / "x.jsonl", *ASKED, b'{"type": "us', *MORE)
    assert found_in(path) == [
        ("SRC001", 3, "not JSON: Unterminated string starting at column 10"),
        ("SRC001", 1, f"a line inside this conversation could not be read: {path}:3"),
    ]
    assert [outcome.rejected for outcome in outcomes(expand([str(path)]), Pipeline(Settings()))] == [True, True]


def test_torn_line_before_or_behind_a_session_is_no_hole_in_it(tmp_path: Path):
    other = [{**line, "sessionId": "t"} for line in ASKED]
    path = written(tmp_path / "x.jsonl", b"{", *ASKED, b"{", *other, b"{")
    whole = [record for record in records_of(path) if record.fault is None]
    assert [([part.line for part in record.parts], record.holes) for record in whole] == [([2, 3], ()), ([5, 6], ())]


def test_claude_code_run_has_its_cost_and_its_cut_off_answer():
    lines = [
        {"type": "system", "subtype": "init", "session_id": "s", "cwd": "/w", "model": "m", "tools": ["Bash"]},
        {
            "type": "assistant",
            "session_id": "s",
            "message": {"id": "m", "content": words("So"), "stop_reason": "max_tokens"},
        },
        {
            "type": "result",
            "subtype": "success",
            "session_id": "s",
            "total_cost_usd": 0.5,
            "num_turns": 1,
            "result": "So",
        },
    ]
    (sample,) = samples("claude_code", lines)
    assert sample["metadata"] == {
        "sessionId": "s", "cwd": "/w", "model": "m", "cost": 0.5, "num_turns": 1, "finish_reason": "max_tokens"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"hook_event_name": "PostToolUse", "tool_name": "Bash"}, "it is the event of a hook, not a transcript"),
        ([{"type": "summary", "summary": "x", "leafUuid": "q"}], "no line of the session is a model's answer"),
        (cc("u", None, "user", "go"), "no line of the session is a model's answer"),
    ],
)
def test_claude_code_record_without_a_conversation_is_refused(record: Any, says: str):
    assert refusal("claude_code", record) == says


# Gemini CLI.


def gemini(messages: list[Any], **fields: Any) -> dict[str, Any]:
    return {"sessionId": "s", "projectHash": "p", "messages": messages, **fields}


def said(kind: str, content: Any, name: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "content": content, **({"id": name} if name else {}), **fields}


def response(call_id: str | None, name: str, given: Any) -> dict[str, Any]:
    told = {"name": name, "response": given}
    return {"functionResponse": {"id": call_id, **told} if call_id else told}


def test_gemini_cli_message_holds_thoughts_calls_and_results():
    calls = [
        {
            "id": "1",
            "name": "f",
            "args": {"a": 1},
            "result": [response("1", "f", {"output": "one"})],
            "status": "success",
        },
        {
            "id": "2",
            "name": "g",
            "args": {},
            "result": [response("2", "g", {"rows": [1]}), {"inlineData": {"data": ""}}],
        },
        {"id": "3", "name": "h", "args": {}, "status": "cancelled"},
        {"id": "4", "name": "k", "args": {}, "result": "plain"},
    ]
    thoughts = [{"subject": "A", "description": "b"}, {"subject": "", "description": "c"}, {}]
    record = gemini([said("user", "go"), said("gemini", "Yes.", thoughts=thoughts, toolCalls=calls, model="m")])
    (sample,) = samples("gemini_cli", record)
    assert sample["metadata"] == {"model": "m", "sessionId": "s", "projectHash": "p"}
    assert sample["messages"] == [
        user("go"),
        assistant(
            "Yes.",
            reasoning_content="**A**\nb\nc",
            tool_calls=[called("f", {"a": 1}, "1"), called("g", {}, "2"), called("h", {}, "3"), called("k", {}, "4")],
        ),
        tool("one", "1", name="f"),
        tool([{"type": "text", "text": '{"rows": [1]}'}, {"inlineData": {"data": ""}}], "2", name="g"),
        tool("plain", "4", name="k"),
    ]


def test_gemini_cli_history_that_holds_calls_twice_is_read_once():
    both = [response("1", "f", {"output": "one"}), response("2", "f", {"output": "two"})]
    calls = [{"id": i, "name": "f", "args": {}, "result": both} for i in ("1", "2")]
    content = [{"text": "So."}, {"functionCall": {"id": "1", "name": "f", "args": {}}}]
    record = gemini([said("user", [{"text": "go"}]), said("gemini", content, toolCalls=calls), said("user", both)])
    assert messages("gemini_cli", record) == [
        user("go"),
        assistant("So.", tool_calls=[called("f", {}, "1"), called("f", {}, "2")]),
        tool("one", "1", name="f"),
        tool("two", "2", name="f"),
    ]


def test_gemini_cli_commands_and_notes_are_dropped_unless_the_model_answered():
    record = gemini(
        [said("user", "/help"), said("info", "Help."), said("user", "/etc/hosts is empty?"), said("gemini", "It is.")]
    )
    assert [m["content"] for m in messages("gemini_cli", record)] == ["/etc/hosts is empty?", "It is."]
    assert [fate[2] for fate in fates("gemini_cli", record)] == [
        "a command of the program, which no model answered",
        "a message of type 'info', which only the screen shows",
    ]


HEAD = {"sessionId": "s", "projectHash": "p", "kind": "main"}


def test_gemini_cli_lines_hold_states_of_a_message_and_the_last_one_counts(tmp_path: Path):
    done = said("gemini", "I look.", "b", toolCalls=[{"id": "1", "name": "f", "args": {}, "result": "x"}])
    lines = [HEAD, said("user", "go", "a"), said("gemini", "I look.", "b"), {"$set": {"lastUpdated": "x"}}, done]
    (record,) = records_of(written(tmp_path / "x.jsonl", *lines, said("gemini", "Done.", "c")))
    whole = gemini([lines[1], done, said("gemini", "Done.", "c")])
    assert messages("gemini_cli", record.data) == messages("gemini_cli", whole)


def test_gemini_cli_that_goes_back_has_a_sample_for_each_way():
    lines = [
        HEAD,
        said("user", "go", "a"),
        said("gemini", "Where?", "b"),
        said("user", "left", "c"),
        said("gemini", "L", "d"),
        {"$rewindTo": "c"},
        said("user", "right", "e"),
        said("gemini", "R", "f"),
    ]
    left, right = samples("gemini_cli", lines)
    assert left["messages"] == [user("go"), assistant("Where?", train=False), user("left"), assistant("L")]
    assert right["messages"] == [user("go"), assistant("Where?"), user("right"), assistant("R")]
    assert (left["metadata"].get("branch"), right["metadata"].get("branch")) == ("abandoned", None)


def test_gemini_cli_history_that_is_set_anew_begins_a_sample_unless_it_says_the_same():
    first = [said("user", "go", "a"), said("gemini", "Gone.", "b")]
    same = {"$set": {"messages": [{**first[0], "content": [{"text": "go"}]}, first[1]]}}
    other = {"$set": {"messages": [said("user", "Summary.", "z")]}}
    rest = [said("user", "on", "c"), said("gemini", "On.", "d")]
    assert [m["content"] for m in messages("gemini_cli", [HEAD, *first, same, *rest])] == ["go", "Gone.", "on", "On."]
    made = samples("gemini_cli", [HEAD, *first, other, *rest])
    assert [[m["content"] for m in one["messages"]] for one in made] == [["go", "Gone."], ["Summary.", "on", "On."]]
    assert all("branch" not in one["metadata"] for one in made)


def test_gemini_cli_ids_mean_nothing_where_no_state_is_written_again():
    record = gemini([said("user", "go", "a"), said("gemini", "Gone.", "b"), said("gemini", "Gone.", "b")])
    assert [m["content"] for m in messages("gemini_cli", record)] == ["go", "Gone.", "Gone."]


@pytest.mark.parametrize("record", [HEAD, [HEAD], gemini([said("user", "go")]), gemini([said("error", "no")])])
def test_gemini_cli_session_without_an_answer_is_refused(record: Any):
    assert refusal("gemini_cli", record) == "no message of the session is a model's answer"


# Qwen Code.


def qwen(uuid: str, parent: str | None, kind: str, *parts: Any, **fields: Any) -> dict[str, Any]:
    line = {"uuid": uuid, "parentUuid": parent, "sessionId": "s", "type": kind, **fields}
    role = "model" if kind == "assistant" else "user"
    return {**line, "message": {"role": role, "parts": list(parts)}} if parts else line


def asks(call_id: str | None, name: str, **arguments: Any) -> dict[str, Any]:
    return {"functionCall": {"name": name, "args": arguments, **({"id": call_id} if call_id else {})}}


def test_qwen_code_results_go_behind_the_answer_that_calls():
    answer = qwen(
        "b", "a", "assistant", {"text": "t", "thought": True}, {"text": "Both."}, asks("1", "f"), asks("2", "g")
    )
    lines = [
        qwen("a", None, "user", {"text": "go"}),
        answer,
        qwen("c", "b", "system", subtype="ui_telemetry", systemPayload={}),
        qwen("d", "c", "tool_result", response("2", "g", {"output": "two"})),
        qwen("e", "d", "tool_result", response("1", "f", {"output": "one"}), {"text": "also"}),
        qwen("f", "e", "assistant", {"text": "Done."}, model="qwen3-coder"),
    ]
    turn = assistant("Both.", reasoning_content="t", tool_calls=[called("f", {}, "1"), called("g", {}, "2")])
    end = [user("also"), assistant("Done.")]
    assert in_order("qwen_code", lines) == [
        user("go"),
        turn,
        tool("one", "1", name="f"),
        tool("two", "2", name="g"),
        *end,
    ]
    (sample,) = samples("qwen_code", lines)
    assert (sample["id"], sample["metadata"]) == ("s", {"sessionId": "s", "model": "qwen3-coder"})


def test_qwen_code_turn_that_rests_on_a_missing_line_is_left_out():
    lines = [
        qwen("a", None, "user", {"text": "go"}),
        qwen("b", "a", "assistant", {"text": "Gone."}),
        qwen("c", "gone", "user", {"text": "on"}),
        qwen("d", "c", "assistant", {"text": "On."}),
    ]
    assert messages("qwen_code", lines) == [user("go"), assistant("Gone.")]
    assert fates("qwen_code", lines) == [
        ("$[2].message.parts[0]", "dropped", GAP, True),
        ("$[3].message.parts[0]", "dropped", BEHIND_GAP, False),
    ]
    assert refusal("qwen_code", lines[2:]) == GAP


def test_qwen_code_result_without_an_id_or_a_response_is_still_one():
    lines = [
        qwen("a", None, "user", {"text": "go"}),
        qwen("b", "a", "assistant", asks(None, "f")),
        qwen("c", "b", "tool_result", {"text": "hi"}, toolCallResult={"status": "success"}),
        qwen("d", "c", "assistant", asks("2", "g")),
        qwen("e", "d", "tool_result", toolCallResult={"responseParts": [response("2", "g", {"output": "two"})]}),
        qwen("f", "e", "tool_result", toolCallResult={"status": "error"}),
    ]
    assert messages("qwen_code", lines)[2:] == [
        {"role": "tool", "content": "hi"},
        assistant(tool_calls=[called("g", {}, "2")]),
        tool("two", "2", name="g"),
    ]
    assert fates("qwen_code", lines) == [("$[5]", "dropped", "a line without a content", True)]


def test_qwen_code_that_goes_back_has_a_sample_for_each_way():
    lines = [
        qwen("a", None, "user", {"text": "go"}),
        qwen("b", "a", "assistant", {"text": "Where?"}),
        qwen("c", "b", "user", {"text": "left"}),
        qwen("d", "c", "assistant", {"text": "L"}),
        qwen("e", "b", "system", subtype="rewind", systemPayload={"truncatedCount": 2}),
        qwen("f", "e", "user", {"text": "right"}),
        qwen("g", "f", "assistant", {"text": "R"}),
    ]
    assert [[(m["content"], m.get("train")) for m in one["messages"]] for one in samples("qwen_code", lines)] == [
        [("go", None), ("Where?", False), ("left", None), ("L", None)],
        [("go", None), ("Where?", None), ("right", None), ("R", None)],
    ]


def test_qwen_code_compression_begins_a_sample_whose_history_is_not_trained():
    history = [{"role": "user", "parts": [{"text": "Summary."}]}, {"role": "model", "parts": [{"text": "Got it."}]}]
    lines = [
        qwen("a", None, "user", {"text": "go"}),
        qwen("b", "a", "assistant", {"text": "Gone."}),
        qwen("c", "b", "system", subtype="chat_compression", systemPayload={"compressedHistory": history}),
        qwen("d", "c", "user", {"text": "on"}),
        qwen("e", "d", "assistant", {"text": "On."}),
    ]
    before, after = samples("qwen_code", lines)
    assert before["messages"] == [user("go"), assistant("Gone.")]
    assert after["messages"] == [user("Summary."), assistant("Got it.", train=False), user("on"), assistant("On.")]


def test_qwen_code_drops_local_commands_and_keeps_agents_apart():
    side = {"isSidechain": True, "agentId": "x1"}
    note = {"phase": "result", "rawCommand": "/about", "outputHistoryItems": [{"type": "assistant"}]}
    lines = [
        qwen("a", None, "user", {"text": "/about"}),
        qwen("b", "a", "system", subtype="slash_command", systemPayload=note),
        qwen("c", "b", "user", {"text": "go"}),
        qwen("x", None, "user", {"text": "find"}, **side),
        qwen("y", "x", "assistant", {"text": "Found."}, **side),
        qwen("d", "c", "assistant", {"text": "Gone."}),
    ]
    assert [(one["id"], [m["content"] for m in one["messages"]]) for one in samples("qwen_code", lines)] == [
        ("s", ["go", "Gone."]),
        ("s/x1", ["find", "Found."]),
    ]
    assert [fate[2] for fate in fates("qwen_code", lines)] == [
        "a local command, which no model sees",
        "a line of type 'system: slash_command' is no turn",
    ]


def test_qwen_code_and_claude_code_take_only_their_own_lines(tmp_path: Path):
    ours = [qwen("a", None, "user", {"text": "go"}), qwen("b", "a", "assistant", {"text": "Gone."})]
    theirs = [cc("u", None, "user", "go"), cc("a", "u", "assistant", words("Gone."), "m")]
    found = list(records_of(written(tmp_path / "x.jsonl", *ours, *theirs)))
    assert [recognised(record.data) for record in found] == [["qwen_code"], ["claude_code"]]


# OpenHands.


def event(number: Any, source: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "source": source, "timestamp": "x", "message": "", **fields}


def of_answer(name: str, call_id: str, *calls: Any, text: str = "") -> dict[str, Any]:
    answer = {"role": "assistant", "content": text, "tool_calls": list(calls)}
    return {
        "function_name": "run",
        "tool_call_id": call_id,
        "model_response": {"id": name, "choices": [{"message": answer}]},
    }


def function(call_id: str, name: str, **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def test_openhands_calls_of_one_answer_become_one_turn_again():
    calls = [function("1", "bash", c="a"), function("2", "bash", c="b")]
    told = [of_answer("m", i, *calls, text="Both.") for i in ("1", "2")]
    history = [
        event(0, "user", action="message", args={"content": "go"}),
        event(1, "agent", action="run", args={"command": "a"}, tool_call_metadata=told[0]),
        event(2, "agent", observation="run", content="A", extras={}, cause=1, tool_call_metadata=told[0]),
        event(3, "agent", action="run", args={"command": "b"}, tool_call_metadata=told[1]),
        event(4, "agent", observation="run", content="B", extras={}, cause=3, tool_call_metadata=told[1]),
        event(5, "environment", observation="agent_state_changed", content="", extras={}),
        event(6, "agent", action="message", args={"content": "Done."}),
    ]
    turn = assistant("Both.", tool_calls=[called("bash", {"c": "a"}, "1"), called("bash", {"c": "b"}, "2")])
    wanted = [user("go"), turn, tool("A", "1", name="bash"), tool("B", "2", name="bash"), assistant("Done.")]
    for record in (history, {"instance_id": "i", "history": history}, {"history": [history[:2], history[2:]]}):
        assert messages("openhands", record) == wanted
    assert [fate[1:3] for fate in fates("openhands", history)] == [
        ("dropped", "an observation 'agent_state_changed' that answers no call"),
        ("merged", "part of the assistant turn that begins before it"),
    ]


def test_openhands_action_without_the_answer_that_called_is_a_call_of_its_own():
    history = [
        event(0, "user", action="message", args={"content": "go", "image_urls": ["u"]}),
        event(1, "agent", action="run", args={"command": "ls", "thought": "I look.", "blocking": False}),
        event(2, "agent", observation="run", content="a.txt", extras={}, cause=1),
        event(3, "agent", observation="error", content="Be brief.", extras={}),
        event(4, "user", action="run", args={"command": "rm"}),
        event(5, "agent", observation="run", content="late", extras={}, tool_call_metadata={"tool_call_id": "9"}),
    ]
    picture = {"type": "image_url", "image_url": {"url": "u"}}
    assert messages("openhands", history) == [
        user([{"type": "text", "text": "go"}, picture]),
        assistant("I look.", tool_calls=[called("run", {"command": "ls"})]),
        {"role": "tool", "content": "a.txt", "name": "run"},
        user("Be brief."),
        tool("late", "9"),
    ]
    assert fates("openhands", history) == [("$[4]", "dropped", "an action 'run' that is no turn", True)]


def test_openhands_condensation_begins_a_sample_without_what_is_forgotten():
    history = [
        event(
            0,
            "agent",
            action="system",
            args={"content": "S", "tools": [{"type": "function", "function": {"name": "f"}}]},
        ),
        event(1, "user", action="message", args={"content": "go"}),
        event(2, "agent", action="message", args={"content": "One."}),
        event(3, "agent", action="message", args={"content": "Two."}),
        event(
            4,
            "agent",
            action="condensation",
            args={"forgotten_events_start_id": 2, "forgotten_events_end_id": 2, "summary": "1", "summary_offset": 2},
        ),
        event(5, "agent", action="message", args={"content": "Three."}),
    ]
    before, after = samples("openhands", history)
    assert [m["content"] for m in before["messages"]] == ["S", "go", "One.", "Two."]
    assert after["messages"] == [
        {"role": "system", "content": "S"}, user("go"), user("1"), assistant("Two.", train=False), assistant("Three.")
    ]  # fmt: skip
    assert before["tools"] == after["tools"] == history[0]["args"]["tools"]


def test_openhands_events_of_version_1_say_the_same_in_other_words():
    def action(name: str, call_id: str, **thought: Any) -> dict[str, Any]:
        made = {"id": call_id, "name": "bash", "arguments": '{"c": 1}'}
        return event(
            name, "agent", kind="ActionEvent", tool_call=made, tool_call_id=call_id, llm_response_id="m", **thought
        )

    content = [{"type": "text", "text": "one"}]
    history = [
        event(
            "a",
            "user",
            kind="MessageEvent",
            llm_message={"role": "user", "content": words("go")},
            extended_content=words("more"),
        ),
        action("b", "1", thought=words("Both."), reasoning_content="t"),
        action("c", "2", thought=[]),
        action("d", "3", thought=[]),
        event("e", "environment", kind="AgentErrorEvent", error="bad", tool_call_id="2"),
        event("f", "environment", kind="ObservationEvent", observation={"content": content}, tool_call_id="1"),
        event("g", "environment", kind="UserRejectObservation", rejection_reason="no", tool_call_id="3"),
        event("h", "user", kind="PauseEvent"),
    ]
    turn = assistant("Both.", reasoning_content="t", tool_calls=[called("bash", {"c": 1}, i) for i in ("1", "2", "3")])
    results = [
        tool("one", "1", name="bash"),
        tool("bad", "2", name="bash"),
        tool("Action rejected: no", "3", name="bash"),
    ]
    assert in_order("openhands", history) == [user("go\nmore"), turn, *results]


def test_openhands_completion_is_read_with_its_calls():
    text_answer = {"choices": [{"message": {"role": "assistant", "content": "<function=f></function>"}}]}
    answer = {
        "model": "m",
        "choices": [{"message": {"content": "", "tool_calls": [function("1", "f")]}, "finish_reason": "length"}],
    }
    asked = [user("go")]
    tools = [{"type": "function", "function": {"name": "f"}}]
    plain = {"messages": asked, "response": answer, "kwargs": {"tools": tools}, "cost": 0.1}
    both = {**plain, "response": text_answer, "fncall_messages": asked, "fncall_response": answer}
    for record in (plain, both):
        (sample,) = samples("openhands", record)
        assert sample["messages"] == [user("go"), assistant(tool_calls=[called("f", {}, "1")])]
        assert sample["tools"] == tools
        assert sample["metadata"] == {"cost": 0.1, "model": "m", "finish_reason": "length"}
    assert {fate[2] for fate in fates("openhands", both)} == {"the same turn with its calls as text"}


def test_openhands_trajectories_in_one_file_are_records_of_their_own(tmp_path: Path):
    one = [
        event(0, "user", action="message", args={"content": "go"}),
        event(1, "agent", action="message", args={"content": "."}),
    ]
    for path in (written(tmp_path / "x.jsonl", *one, *one), tmp_path / "y.json"):
        if path.name == "y.json":
            path.write_text(json.dumps([*one, *one], indent=1))
        assert [recognised(record.data) for record in records_of(path)] == [["openhands"], ["openhands"]]


# AgentDojo.


def dojo(text: str) -> list[Any]:
    return [{"type": "text", "content": text}]


def test_agentdojo_call_and_its_error_are_what_the_model_read():
    call = {"function": "f", "args": {"a": 1}, "id": "1", "placeholder_args": None}
    told = [
        {"role": "user", "content": dojo("go")},
        {
            "role": "assistant",
            "content": [{"type": "thinking", "content": "t", "id": None}, *dojo("So.")],
            "tool_calls": [call],
        },
        {"role": "tool", "content": dojo("x"), "tool_call": call, "tool_call_id": None, "error": "ValueError: no"},
        {"role": "assistant", "content": None, "tool_calls": []},
    ]
    wanted = [
        user("go"),
        assistant("So.", reasoning_content="t", tool_calls=[called("f", {"a": 1}, "1")]),
        tool("ValueError: no", "1", name="f"),
        assistant(),
    ]
    run = {"suite_name": "s", "pipeline_name": "m", "user_task_id": "u", "utility": True, "security": False}
    assert messages("agentdojo", told) == wanted
    (sample,) = samples("agentdojo", {**run, "messages": told})
    assert sample["messages"] == wanted
    assert (sample["id"], sample["metadata"]["success"], sample["metadata"]["model"]) == ("s/u", True, "m")
    assert refusal("agentdojo", [*told, 3]) == "a turn is int, not an object"


# Real traces.


def pairs(source: str) -> tuple[Counter[str], Counter[str]]:
    """What some real traces hold, and the reasons for which events are no message."""
    seen: Counter[str] = Counter()
    why: Counter[str] = Counter()
    for record in records_of(TRACES / source):
        for name in recognised(record.data):
            reading = read_whole(FORMATS[name], record.data)
            seen[name] += 1
            seen["refused"] += reading.refusal is not None
            why.update(event.reason for event in reading.aside)
            for conversation in reading.conversations:
                transcript = Transcript(conversation.sample, Settings())
                seen["samples"] += 1
                seen["messages"] += len(transcript.messages)
                seen["calls"] += sum(len(one.calls) for one in transcript.exchanges)
                seen["unanswered"] += sum(answer is None for one in transcript.exchanges for answer in one.answers)
                seen["orphans"] += len(transcript.stray_results) + sum(len(e.unmatched) for e in transcript.exchanges)
    return +seen, why


@needs_real_data
@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("claude-code-spotter", {"claude_code": 5, "samples": 6, "messages": 530, "calls": 278}),
        ("claude-code-transcripts", {"claude_code": 2, "samples": 3, "messages": 40, "calls": 14}),
        ("claude-code-hooks", {"claude_code": 9, "refused": 9}),
        (
            "claude-code-log",
            {"claude_code": 6, "refused": 2, "samples": 4, "messages": 32, "calls": 7, "unanswered": 1},
        ),
    ],
)
def test_real_claude_code_sessions_pair_every_call(source: str, counts: dict[str, int]):
    assert pairs(source)[0] == counts
