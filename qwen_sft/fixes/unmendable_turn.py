"""A turn that cannot be mended: the sample ends on the last turn of the assistant before it.

So ends one that calls a tool that is not declared, or with arguments that are no object, whose call has no result or
broken tags, or that says nothing. What stands before it stays as it is: to take out only the call would leave answers
that rest on a result which nobody sees.

Unsafe: the sample shows no more how the task ends. It stays whole where nothing would be left to train.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    end = min(int(finding.path[1]) for finding in findings)
    while end and transcript.messages[end - 1].get("role") not in ("assistant", "tool"):
        end -= 1
    if end and transcript.turns[0] < end:
        yield Edit(("messages", end), [], until=len(transcript.messages))


FIX = Fix(
    name="unmendable-turn",
    title="ends the sample before a turn with an undeclared tool, broken arguments or tags, no result, or no words",
    codes=("MSG003", "TOL001", "TOL008", "TOL009", "TOL010", "TOL016"),
    safe=False,
    edits=_edits,
)
