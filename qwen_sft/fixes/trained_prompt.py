"""`train` and `weight` on messages that no model writes. Safe: nothing follows them there."""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import ABSENT, Edit, Fix
from qwen_sft.inspecting.transcript import Transcript


def _edits(_: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        yield Edit(finding.path, ABSENT)


FIX = Fix(
    name="trained-prompt",
    title="takes `train` and `weight` off messages that no model writes",
    codes=("MSG012",),
    safe=True,
    edits=_edits,
)
