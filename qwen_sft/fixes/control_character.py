"""Escape sequences and other control characters in what the assistant says: content, reasoning, arguments.

Unsafe: the turn that is trained is another one, and a call may need the character that it gives.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.characters import without_controls
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, _: Sequence[Finding]) -> Iterator[Edit]:
    for path, text in transcript.odd_texts:
        if transcript.is_trained(path):
            clean = without_controls(text)
            if clean != text:
                yield Edit(path, clean)


FIX = Fix(
    name="control-character",
    title="strips escape sequences and control characters from the assistant's turns",
    codes=("MSG016",),
    safe=False,
    edits=_edits,
)
