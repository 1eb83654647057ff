"""Tool schemas in the spelling of Python, Java, Gemini or Arrow, written as JSON Schema.

Safe: only what has one reading is written anew (TOL012), as `build` would. Calls are not touched.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.schema import normalised_function
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for index in dict.fromkeys(int(finding.path[1]) for finding in findings):
        given = transcript.tools[index].get("function", {})
        made, changes = normalised_function(given)
        if not changes:
            continue
        if list(made) == list(given) and all(path[0] == "parameters" and len(path) > 1 for path, _ in changes):
            yield Edit(("tools", index, "function", "parameters"), made["parameters"])
        else:
            yield Edit(("tools", index, "function"), made)


FIX = Fix(
    name="tool-schema",
    title="writes tool schemas as JSON Schema, where their spelling has one reading",
    codes=("TOL012",),
    safe=True,
    edits=_edits,
)
