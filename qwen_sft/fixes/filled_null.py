"""Nulls for the arguments of other tools, which a table filled in when calls became rows of one struct.

It changes what calls say. Safe, because the schemas prove it: a call gives null for an argument that its tool does not
declare and another tool of the sample does (TOL022). Such a call was a row, so all of its undeclared nulls go, and
those that its own schema forbids, on properties that it does not require (TOL011). In any other call nulls stay:
`null-argument` is the unsafe fix for these.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.fix import ABSENT, Edit, Fix
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Path, is_object
from qwen_sft.shaping.nullfill import null_arguments, tool_schemas


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    schemas = tool_schemas(transcript.tools)
    for turn, k in sorted({(int(found.path[1]), int(found.path[3])) for found in findings}):
        function: Any = transcript.messages[turn].get("tool_calls", [])[k]["function"]
        nulls = list(null_arguments(function["arguments"], schemas.get(function["name"])))
        if any(kind == "undeclared" and _is_of_another(path, function, schemas) for path, kind in nulls):
            for path, kind in nulls:
                if kind in ("undeclared", "filler"):
                    yield Edit(("messages", turn, "tool_calls", k, "function", "arguments", *path), ABSENT)


def _is_of_another(path: Path, function: dict[str, Any], schemas: dict[str, Any]) -> bool:
    others = [schema for name, schema in schemas.items() if name != function["name"] and is_object(schema)]
    return len(path) == 1 and any(
        is_object(schema.get("properties")) and path[0] in schema["properties"] for schema in others
    )


FIX = Fix(
    name="filled-null",
    title="drops null for other tools' arguments from calls, and with them the nulls that the schema forbids",
    codes=("TOL022",),
    safe=True,
    edits=_edits,
)
