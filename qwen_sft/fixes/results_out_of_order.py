"""Results of parallel calls that say which call they answer, in another order than the calls.

Safe: no assistant turn is touched, and ids or names prove the pairs (TOL019). Qwen templates pair by position alone.
"""

from collections.abc import Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix, rearranged
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> list[Edit]:
    turns = {finding.path[1] for finding in findings}
    order = list(range(len(transcript.messages)))
    for exchange in transcript.exchanges:
        if exchange.turn in turns:
            answers = [answer for answer in exchange.answers if answer is not None]
            for place, answer in zip(sorted(answers), answers, strict=True):
                order[place] = answer
    return rearranged(transcript.messages, order)


FIX = Fix(
    name="results-out-of-order",
    title="puts results that name their calls into the order of the calls",
    codes=("TOL019",),
    safe=True,
    edits=_edits,
)
