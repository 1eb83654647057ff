"""Results that stand before their call, or behind it with other turns between.

Safe: a result is moved only if its id is that of the call, and no assistant turn stands between the two: what the
assistant said, it said with the same messages before it.
"""

from collections.abc import Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix, rearranged
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> list[Edit]:
    messages = transcript.messages
    named = {int(finding.path[1]) for finding in findings}
    behind: dict[int, list[int]] = {}
    for result, (turn, k) in transcript.misplaced.items():
        between = messages[result + 1 : turn] if result < turn else messages[turn + 1 : result]
        wanted = messages[result].get("tool_call_id")
        is_named = wanted is not None and messages[turn].get("tool_calls", [])[k].get("id") == wanted
        if result in named and is_named and not any(one.get("role") == "assistant" for one in between):
            behind.setdefault(turn, []).append(result)
    if not behind:
        return []
    moved = {result for results in behind.values() for result in results}
    ends = {e.turn + len(e.results): e.turn for e in transcript.exchanges}
    order: list[int] = []
    for index in range(len(messages)):
        order += [] if index in moved else [index]
        order += behind.get(ends.get(index, -1), [])
    return rearranged(messages, order)


FIX = Fix(
    name="misplaced-result",
    title="moves a result behind the call of its id, where no assistant turn stands between",
    codes=("TOL004", "TOL018"),
    safe=True,
    edits=_edits,
)
