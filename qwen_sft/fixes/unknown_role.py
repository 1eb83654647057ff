"""A role that has no known meaning: the message becomes the user's, and one with calls or reasoning the assistant's.

Unsafe: what becomes the assistant's is trained, and who else put words to the model is a guess.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        message = transcript.messages[int(finding.path[1])]
        spoken = "tool_calls" in message or "reasoning_content" in message
        yield Edit(finding.path, "assistant" if spoken else "user")


FIX = Fix(
    name="unknown-role",
    title="gives a message of an unknown role to the user; to the assistant if it has calls or reasoning",
    codes=("MSG001",),
    safe=False,
    edits=_edits,
)
