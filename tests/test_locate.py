"""Findings point at what they are about, in formats whose events are no messages of ours, too."""

import json
from pathlib import Path
from typing import Any

import pytest

from qwen_sft.ingesting.ingest import expand
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.sample import value_at
from qwen_sft.settings import Settings

Told = list[tuple[str, int, str]]


def told(folder: Path, *records: Any, codes: tuple[str, ...]) -> Told:
    """Code, line and place of the findings of some rules."""
    file = folder / "a.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    pipeline = Pipeline(Settings(select=codes))
    found = [d for outcome in outcomes(expand([str(file)]), pipeline) for d in outcome.diagnostics]
    return [(d.code, d.where.line, d.json_path) for d in found]


def anthropic(*blocks: Any, tools: Any = None) -> Any:
    asked = {"role": "user", "content": "Weather?"}
    messages = [asked, {"role": "assistant", "content": list(blocks)}]
    declared = [{"name": "weather", "input_schema": {"type": "object"}}] if tools is None else tools
    return {"model": "claude", "max_tokens": 9, "messages": messages, "tools": declared}


WORDS = {"type": "text", "text": "Let me see, twice and more."}
CALL = {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}}


@pytest.mark.parametrize(
    ("record", "code", "place"),
    [
        (anthropic(WORDS, CALL), "TOL002", "$.messages[1].content[1]"),
        (anthropic(WORDS, CALL, {**CALL, "id": "t2"}), "TOL002", "$.messages[1].content[1]"),
        (
            anthropic(WORDS, {**CALL, "id": "t2"}, {**CALL, "name": "wether"}),
            "TOL010",
            "$.messages[1].content[2].name",
        ),
        (
            anthropic(
                WORDS,
                CALL,
                tools=[
                    {
                        "name": "weather",
                        "input_schema": {"type": "object", "properties": {"city": {"type": "integer"}}},
                    }
                ],
            ),
            "TOL011",
            "$.messages[1].content[1].input.city",
        ),
        (
            anthropic(
                WORDS, tools=[{"name": "w", "input_schema": {"type": "object", "properties": {"a": {"type": "?"}}}}]
            ),
            "TOL012",
            "$.tools[0].input_schema.properties.a.type",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "value": "Weather?"}]},
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "reasoning", "value": "I call weather."},
                            {
                                "type": "tool_call",
                                "value": '{"name": "weather", "arguments": {"n": 9007199254740993}}',
                            },
                        ],
                    },
                ],
                "tools": "[]",
            },
            "TOL027",
            "$.messages[1].content[1].value",
        ),
        (
            {
                **anthropic(CALL),
                "messages": [
                    {"role": "user", "content": [WORDS, {"type": "image", "source": {"type": "base64", "data": "iV"}}]}
                ],
            },
            "MSG009",
            "$.messages[0].content[1]",
        ),
        (anthropic(CALL, {"type": "text", "text": "caf\ufffd"}), "MSG018", "$.messages[1].content[1].text"),
        (
            {
                "contents": [
                    {"role": "user", "parts": [{"text": "Weather?"}]},
                    {
                        "role": "model",
                        "parts": [
                            {"text": "Let me see."},
                            {"functionCall": {"name": "weather", "args": {"city": "Oslo"}}},
                            {"functionCall": {"name": "weather", "args": {"town": "Rome"}}},
                        ],
                    },
                ],
                "tools": [
                    {
                        "functionDeclarations": [
                            {
                                "name": "weather",
                                "parameters": {
                                    "type": "object",
                                    "properties": {"city": {"type": "string"}},
                                    "additionalProperties": False,
                                },
                            }
                        ]
                    }
                ],
            },
            "TOL011",
            "$.contents[1].parts[2].functionCall.args",
        ),
    ],
)
def test_a_finding_points_at_the_block_that_it_is_about(record: Any, code: str, place: str, tmp_path: Path):
    assert told(tmp_path, record, codes=(code,)) == [(code, 1, place)]


def line(uuid: str, parent: str | None, role: str, content: Any) -> Any:
    message = {"role": role, "content": content, **({"id": "m1"} if role == "assistant" else {})}
    return {
        "type": role,
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": "s",
        "isSidechain": False,
        "message": message,
    }


def test_a_call_behind_the_result_of_another_one_is_found_on_its_own_line(tmp_path: Path):
    session = [
        line("a", None, "user", "Weather?"),
        line("b", "a", "assistant", [WORDS]),
        line("c", "b", "assistant", [CALL]),
        line("d", "c", "user", [{"type": "tool_result", "tool_use_id": "t1", "content": "4"}]),
        line("e", "d", "assistant", [{**CALL, "id": "t2", "input": {"n": 2**53}}]),
    ]
    assert told(tmp_path, *session, codes=("TOL027",)) == [("TOL027", 5, "$.message.content[0].input.n")]


def test_a_part_of_a_sample_that_its_record_does_not_have_is_the_record(tmp_path: Path):
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}
    assert told(tmp_path, answer, codes=("MSG002",)) == [("MSG002", 1, "$")]
    request = {"messages": [{"role": "assistant", "content": "Hi."}]}
    assert told(tmp_path, request, codes=("MSG002",)) == [("MSG002", 1, "$.messages")]


def test_every_place_in_the_examples_of_formats_is_there():
    files = sorted(str(file) for file in (Path(__file__).parents[1] / "examples" / "formats").glob("*/raw.*"))
    assert len(files) > 30
    n = 0
    for outcome in outcomes(expand(files), Pipeline(Settings())):
        data = outcome.record.data
        for found in outcome.diagnostics:
            if found.path and not outcome.record.parts:
                n += 1
                holder: Any = value_at(data, found.path[:-1])
                assert holder is not None, (found.where, found.json_path)
    assert n > 20
