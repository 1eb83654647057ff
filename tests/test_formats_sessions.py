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

from qwen_sft.gather import gathered
from qwen_sft.ingest import expand, records
from qwen_sft.settings import Settings
from qwen_sft.shape import shaped
from qwen_sft.transcript import Transcript


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
        {"type": "attachment", "attachment": {"type": "queued_command", "prompt": "And?"}, "uuid": "h", "sessionId": "s"},
        cc("t", "b", "user", "shown", isVisibleInTranscriptOnly=True),
        cc("v", "b", "user", ""),
        {"type": "user", "sessionId": "s", "message": "error"},
        {"type": "queue-operation", "operation": "enqueue", "sessionId": "s", "content": "x"},
        copy.deepcopy(cc("u", None, "user", "go")),
        "massive error",
        cc("c", "b", "assistant", "So.", "n"),
    ]  # fmt: skip
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


def test_claude_code_run_has_its_cost_and_its_cut_off_answer():
    lines = [
        {"type": "system", "subtype": "init", "session_id": "s", "cwd": "/w", "model": "m", "tools": ["Bash"]},
        {"type": "assistant", "session_id": "s", "message": {"id": "m", "content": words("So"), "stop_reason": "max_tokens"}},
        {"type": "result", "subtype": "success", "session_id": "s", "total_cost_usd": 0.5, "num_turns": 1, "result": "So"},
    ]  # fmt: skip
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
            {"claude_code": 6, "refused": 1, "samples": 5, "messages": 33, "calls": 8, "unanswered": 2},
        ),
    ],
)
def test_real_claude_code_sessions_pair_every_call(source: str, counts: dict[str, int]):
    assert pairs(source)[0] == counts
