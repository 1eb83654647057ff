"""Escape sequences and other control characters in tool results, and in whatever else the model reads.

Safe: no assistant turn is touched. What a terminal would have shown stays.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.characters import without_controls
from qwen_sft.inspecting.transcript import Transcript


def _edits(transcript: Transcript, _: Sequence[Finding]) -> Iterator[Edit]:
    for path, text in transcript.odd_texts:
        if not transcript.is_trained(path):
            clean = without_controls(text)
            if clean != text:
                yield Edit(path, clean)


FIX = Fix(
    name="terminal-escape",
    title="strips escape sequences and control characters from tool results and prompts",
    codes=("MSG016",),
    safe=True,
    edits=_edits,
)
