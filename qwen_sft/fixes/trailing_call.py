"""A last turn that calls and has no result, or not all: it is taken out with the results that are there.

The turn goes whole; no word of another turn changes. Safe, because TOL002 proves that nothing comes of the turn, and
`--trailing-calls keep` says that it is meant: then it stays. It stays too where no other turn would be left to train.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    turn = int(findings[0].path[1])
    before = Transcript({**transcript.sample, "messages": transcript.messages[:turn]}, transcript.settings)
    while before.trailing is not None:  # a call that another one followed ends the sample now
        turn = before.trailing.turn
        before = Transcript({**transcript.sample, "messages": transcript.messages[:turn]}, transcript.settings)
    if transcript.settings.trailing_calls != "keep" and transcript.turns[0] < turn:
        yield Edit(("messages", turn), [], until=len(transcript.messages))


FIX = Fix(
    name="trailing-call",
    title="takes a last turn out whose calls have no results (--trailing-calls keep leaves it)",
    codes=("TOL002",),
    safe=True,
    edits=_edits,
)
