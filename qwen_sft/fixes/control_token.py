"""Control tokens in a text, broken up as MSG007's page says: `<| im_end |>`. Names of tools and keys stay.

Unsafe: the assistant's words change too. `--control-tokens as-text` keeps every character and needs no fix.
"""

import re
from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import value_at

_TOKEN = re.compile(r"<(\|?)(\w+)(\|?)>")


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        text = value_at(transcript.sample, finding.path)
        if isinstance(text, str) and not _is_name(finding.path):
            broken = _TOKEN.sub(_broken, text)
            if broken != text:
                yield Edit(finding.path, broken)


def _is_name(path: Sequence[str | int]) -> bool:
    """True for the name of a tool or of a called one: the two must stay the same."""
    return path[-2:] == ("function", "name")


def _broken(found: re.Match[str]) -> str:
    is_token = (found[1] and found[3]) or found[2].startswith("tts_")
    return f"<{found[1]} {found[2]} {found[3]}>" if is_token else found[0]


FIX = Fix(
    name="control-token",
    title="breaks control tokens up, as in `<| im_end |>`, in every text but names",
    codes=("MSG007",),
    safe=False,
    edits=_edits,
)
