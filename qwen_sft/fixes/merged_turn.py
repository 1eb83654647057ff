"""Call, result and answer in one assistant turn, with the tags of calls and results at their boundaries.

Safe, because TOL014 proves that a tool wrote part of the turn: no model says a `<tool_response>`. The words, the calls
and the results stay as they are, each in a message of its own. The text must be, from its beginning: words, calls that
one dialect reads exactly and that name declared tools, as many results, and so on; words may end it.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.dialect import dialects
from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix, replaced
from qwen_sft.inspecting.leak import results_in
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Message, ToolCall
from qwen_sft.text.markup import lift_results


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for index in dict.fromkeys(int(finding.path[1]) for finding in findings):
        message = transcript.messages[index]
        text = message.get("content")
        if set(message) <= {"role", "content", "reasoning_content"} and isinstance(text, str) and "think>" not in text:
            turns = _turns(transcript, text)
            if turns and "reasoning_content" in message:
                turns[0]["reasoning_content"] = message["reasoning_content"]
            if turns:
                yield replaced(index, turns)


def _turns(transcript: Transcript, text: str) -> list[Message]:
    """The turns that a text holds; empty where it holds anything else."""
    made: list[Message] = []
    end = 0
    found = results_in(text)
    for number, block in enumerate(found):
        if number and not text[end : block.start].strip():
            end = block.end
            continue  # one more result of the same calls
        last = number
        while last + 1 < len(found) and not text[found[last].end : found[last + 1].start].strip():
            last += 1
        called = _calls(transcript, text[end : block.start])
        results = lift_results(text[block.start : found[last].end])
        if called is None or results is None or len(results) != len(called[1]):
            return []
        words, calls = called
        made.append({"role": "assistant", "content": words, "tool_calls": calls})
        made.extend({"role": "tool", "content": result} for result in results)
        end = block.end
    rest = text[end:].strip("\n")
    if "tool_call>" in rest or "tool_response>" in rest or "<function=" in rest:
        return []
    if rest.strip():
        made.append({"role": "assistant", "content": rest})
    return made


def _calls(transcript: Transcript, text: str) -> tuple[str, list[ToolCall]] | None:
    """The words before some calls, and the calls, if exactly one dialect reads the text."""
    readings: list[tuple[str, list[ToolCall]]] = []
    for dialect in dialects().values():
        if any(mark in text for mark in dialect.marks):
            read = dialect.calls(text.strip("\n"), transcript.tools)
            if read is not None:
                readings.append(read)
    if len(readings) != 1 or not all(c["function"]["name"] in transcript.declared for c in readings[0][1]):
        return None
    return readings[0]


FIX = Fix(
    name="merged-turn",
    title="splits an assistant's turn at the tags of the calls and results in it",
    codes=("TOL014",),
    safe=True,
    edits=_edits,
)
