"""Results in a user's turn behind calls: `<tool_response>` blocks, and perhaps the user's words behind them.

Safe: no assistant turn is touched. The blocks must begin the turn, stand right behind calls without any result, and be
as many as these calls. They get no ids: which answers which of several calls is not said.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix, replaced
from qwen_sft.inspecting.leak import results_in
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Message
from qwen_sft.text.markup import lift_results


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    open_calls = {e.turn + 1: len(e.calls) for e in transcript.exchanges if not e.results}
    for index in dict.fromkeys(int(finding.path[1]) for finding in findings):
        message = transcript.messages[index]
        text = message.get("content")
        if set(message) != {"role", "content"} or not isinstance(text, str):
            continue
        found = results_in(text)
        results = lift_results(text[: found[-1].end])
        if results is not None and len(results) == open_calls.get(index):
            made: list[Message] = [{"role": "tool", "content": result} for result in results]
            said = text[found[-1].end :].strip("\n")
            yield replaced(index, [*made, {"role": "user", "content": said}] if said.strip() else made)


FIX = Fix(
    name="result-in-user-turn",
    title="gives each <tool_response> block of a user's turn behind calls a tool message of its own",
    codes=("TOL013",),
    safe=True,
    edits=_edits,
)
