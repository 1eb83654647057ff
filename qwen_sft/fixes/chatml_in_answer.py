"""An assistant's text that holds whole ChatML turns, one behind the other: each becomes a message.

The boundary must be exact: `<|im_end|>`, a newline, `<|im_start|>`, a known role, a newline; perhaps `<|im_end|>` at
the end; no other control token, and no turn without words. Results in a user's turn are left to `result-in-user-turn`.

Unsafe: an answer may quote ChatML, and a model that did not stop may have made up the turns behind its own.
"""

import re
from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix, replaced
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Message

_BOUNDARY = re.compile(r"<\|im_end\|>\n<\|im_start\|>(user|assistant|tool)\n")
_END = re.compile(r"<\|im_end\|>\s*\Z")
_FORMS = ({"role", "content"}, {"role", "content", "reasoning_content"})


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    for finding in findings:
        match finding.path:
            case ("messages", int() as index, "content"):
                message = transcript.messages[index]
                text = message.get("content")
            case _:
                continue
        if message.get("role") == "assistant" and set(message) in _FORMS and isinstance(text, str):
            turns = _turns(text)
            if turns:
                yield replaced(index, [{**message, **turns[0]}, *turns[1:]])


def _turns(text: str) -> list[Message]:
    """The turns that a text holds, its own first; empty where its boundaries are not exact."""
    words = _BOUNDARY.split(_END.sub("", text))
    roles, texts = ["assistant", *words[1::2]], words[::2]
    if texts == [text] or any("<|" in one or not one.strip() for one in texts):
        return []
    return [{"role": role, "content": one} for role, one in zip(roles, texts, strict=True)]


FIX = Fix(
    name="chatml-in-answer",
    title="splits an assistant's turn at `<|im_end|>`, newline, `<|im_start|>role`; drops a last `<|im_end|>`",
    codes=("MSG007",),
    safe=False,
    edits=_edits,
)
