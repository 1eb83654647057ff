"""A tool that is declared twice, word for word: the copy is taken out.

Safe: the model is offered the same tools, and calls keep to the same schemas. Of two tools that differ and share a
name, nothing says which one a call means.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding, Severity
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript


def _edits(_: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        index = int(finding.path[1])
        if finding.severity is Severity.WARNING:  # TOL021: an error where the two differ
            yield Edit(("tools", index), [], until=index + 1)


FIX = Fix(
    name="copied-tool",
    title="takes out a tool that is declared twice, word for word",
    codes=("TOL021",),
    safe=True,
    edits=_edits,
)
