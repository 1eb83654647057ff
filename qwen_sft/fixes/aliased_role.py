"""Roles under another name or in capitals.

Safe: the message keeps its words. Only the names are read that other tools use for exactly one of the four roles.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.reading.chat import ALIASES, CALLERS, SPEAKERS
from qwen_sft.sample import ROLES

_MEANING = {
    **{role: role for role in ROLES},
    **ALIASES,
    **{name: role for name, role in SPEAKERS.items() if name not in CALLERS},  # a caller's words are calls, not text
    "model": "assistant",  # Gemini
    "ai": "assistant",  # LangChain
    "ipython": "tool",  # Llama
}


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        role = transcript.messages[int(finding.path[1])].get("role", "")
        meant = _MEANING.get(role.strip().lower())
        if meant is not None:
            yield Edit(finding.path, meant)


FIX = Fix(
    name="aliased-role",
    title="writes a role that has another name, or capitals, as system, user, assistant or tool",
    codes=("MSG001",),
    safe=True,
    edits=_edits,
)
