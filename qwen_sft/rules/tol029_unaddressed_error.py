"""TOL029 unaddressed-error."""

import re
from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_ERROR = re.compile(
    r"\s*(?:[\[(*]{0,2}error(?:[]:!.)*\s]|$)|\w*(?:Error|Exception): |<tool_use_error>|fatal: "
    r"|Traceback \(most recent call last\)"
    r"|\{\s*['\"](?:error|exception)['\"]\s*:\s*(?:['\"](?!['\"])|[{\[](?!\s*[}\]])))",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"n['’]t\b|\b(?:no|not|none|cannot|unable|without|sorry|apolog\w*|unfortunately|error\w*|fail\w*|problem\w*|issue\w*"
    r"|invalid|wrong|incorrect\w*|missing|unknown|unavailable|unsuccessful\w*|try|again|instead|however|but|denied|down"
    r"|need|please|refus\w*|exception|timeout|timed|stuck|trouble|difficult\w*|correct\w*|mistake)\b"
    r"|失败|错误|无法|抱歉|未能|没有|不能|不存在|问题|对不起|请",
    re.IGNORECASE,
)


@rule(
    code="TOL029",
    name="unaddressed-error",
    severity="info",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    traits=("calls",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """The last calls failed, and the answer does not say so.

    What it catches: heuristic: a sample whose last turn answers results that are all errors by their first words
        ("Error: ...", a traceback, an object with `error`), with no word of failure, of doubt or of what is missing, in
        English or Chinese.

    Why it matters: the model learns to claim success, or to make the answer up, where its tools gave it nothing.

    Fix: read the answer; take the sample out if it says what no result does.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "Error: the service is down"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "Error: the service is down"},
          {"role": "assistant", "content": "I could not find out: the weather service is down."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: runs of tool agents that end in a made-up answer.
    """
    if not transcript.exchanges or not transcript.turns:
        return
    last, end = transcript.exchanges[-1], len(transcript.messages) - 1
    answer = transcript.messages[end].get("content")
    if last.turn + len(last.results) + 1 != end or not last.results or transcript.turns[-1] != end:
        return
    results: list[Any] = [transcript.messages[i].get("content") for i in last.results]
    if not isinstance(answer, str) or not all(isinstance(r, str) and _ERROR.match(r) for r in results):
        return
    if answer.strip() and not _ADDRESSED.search(answer):
        yield Finding(
            ("messages", end, "content"),
            f"the last result is an error, {quoted(results[-1])}, and the answer does not speak of it",
            "take the sample out if the answer says what no result does",
        )
