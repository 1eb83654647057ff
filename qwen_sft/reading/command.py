"""A shell command that an agent's harness reads out of the assistant's text: a fenced block, or `<command>` tags.

Such harnesses give what the command printed back as a user's turn. Lifted, it is a call of `bash` and its result.
"""

import re
from collections.abc import Callable, Collection

from qwen_sft.sample import Message
from qwen_sft.text.normalize import call

BASH = {
    "type": "function",
    "function": {
        "name": "bash",
        "description": "Execute a bash command",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string", "description": "The bash command to execute"}},
            "required": ["command"],
        },
    },
}
"""The tool that lifted commands call: mini-swe-agent's own declaration in its tool-calling mode."""

_FENCE = re.compile(r"^```(.*)$", re.MULTILINE)

Lift = Callable[[str], tuple[str, str] | None]
"""The words before a command, and the command; None where a text has no exact reading."""


def fenced(text: str, tags: Collection[str] | None = None) -> tuple[str, str] | None:
    """Lifts the one fenced block of a text, which has to stand at its end.

    Args:
        tags: what may stand behind the opening fence, such as "bash": blocks with another tag are words. None for
            harnesses that take a block with any tag: then it has to be the only one.
    """
    fences = list(_FENCE.finditer(text))
    pairs = list(zip(fences[::2], fences[1::2], strict=False))
    if len(fences) % 2 or any(closing[1].strip() for _, closing in pairs):
        return None
    ours = [pair for pair in pairs if tags is None or pair[0][1].strip() in tags]
    if len(ours) != 1 or ours[0] is not pairs[-1]:
        return None
    if tags is not None and sum(text.count(f"```{tag}") for tag in tags) != 1:
        return None
    opening, closing = ours[0]
    return _lifted(text, (opening.start(), opening.end()), (closing.start(), closing.end()))


def tagged(text: str) -> tuple[str, str] | None:
    """Lifts what stands between the one `<command>` and the one `</command>` at a text's end."""
    if text.count("<command>") != 1 or text.count("</command>") != 1:
        return None
    start, end = text.index("<command>"), text.index("</command>")
    return _lifted(text, (start, start + len("<command>")), (end, end + len("</command>")))


def _lifted(text: str, opening: tuple[int, int], closing: tuple[int, int]) -> tuple[str, str] | None:
    command = text[opening[1] : closing[0]].removeprefix("\n").removesuffix("\n")
    if opening[1] > closing[0] or not command.strip() or text[closing[1] :].strip():
        return None
    return text[: opening[0]].rstrip("\n"), command


def calling(turn: Message, lifts: Collection[Lift], ran: str | None = None) -> Message | None:
    """The assistant's turn with its command as a call; None where no lift, or more than one, reads its text exactly.

    Args:
        ran: the command that the harness says it ran, where it says so: a lift that reads another one is wrong.
    """
    text = turn.get("content")
    if turn.get("role") != "assistant" or not isinstance(text, str) or "tool_calls" in turn:
        return None
    found = [lifted for lift in lifts if (lifted := lift(text)) is not None]
    if len(found) != 1 or (ran is not None and found[0][1].strip() != ran.strip()):
        return None
    words, command = found[0]
    return {**turn, "content": words, "tool_calls": [call("bash", {"command": command})]}
