"""Nulls in a call for what its tool does not declare, or for an optional argument of which the schema allows no null.

Unsafe: the model may have written them, and learns to leave them out.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.fix import ABSENT, Edit, Fix
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Path
from qwen_sft.shaping.nullfill import may_be_filled, null_arguments, tool_schemas


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    schemas = tool_schemas(transcript.tools)
    for turn, k in sorted({(int(found.path[1]), int(found.path[3])) for found in findings}):
        function: Any = transcript.messages[turn].get("tool_calls", [])[k]["function"]
        given = function["arguments"]
        place: Path = ("messages", turn, "tool_calls", k, "function", "arguments")
        for path, kind in null_arguments(given, schemas.get(function["name"])):
            if kind == "filler" or (kind == "undeclared" and may_be_filled(given, path, transcript.structs)):
                yield Edit((*place, *path), ABSENT)


FIX = Fix(
    name="null-argument",
    title="drops null from calls where the tool does not declare it, or allows none",
    codes=("TOL011", "TOL022"),
    safe=False,
    edits=_edits,
)
