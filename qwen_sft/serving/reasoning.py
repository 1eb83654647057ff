"""How the reasoning parsers part what was thought from what is left for the tool-call parser.

Each function takes the generated text and whether the request leaves thinking on, and returns (reasoning, rest), None
where there is nothing of it. Without `</think>` and with thinking on, all of a text is reasoning.

Source: vLLM 0.20 and 0.33, SGLang 0.5.23, `--reasoning-parser qwen3`; vLLM 0.33, `deepseek_r1`.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from qwen_sft.parser import Parsed, Read, Tools

SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
"""The tokens that a Qwen tokenizer calls special; `<think>` and `<tool_call>` are not among them. vLLM's state machine
drops them wherever it meets them, in the value of an argument too."""

_END = re.compile(r"</think>|<tool_call>")
_WITHOUT = {tag: re.compile("|".join(map(re.escape, (tag, *SPECIAL)))) for tag in ("<think>", "</think>")}


class Split(Protocol):
    """Text to (reasoning, rest), None where there is nothing of it."""

    def __call__(self, text: str, *, thinking: bool) -> tuple[str | None, str | None]: ...


def behind(split: Split, read: Callable[[str, Tools], Parsed]) -> Read:
    """A parser that reads what a reasoning parser leaves, or the whole text where the server runs none."""

    def both(text: str, tools: Tools, /, *, thinking: bool | None = None) -> Parsed:
        if thinking is None:
            return read(text, tools)
        reasoning, rest = split(text, thinking=thinking)
        parsed = Parsed(None, ()) if rest is None else read(rest, tools)
        return replace(parsed, reasoning=reasoning)

    return both


def split_reasoning(text: str, *, thinking: bool) -> tuple[str | None, str | None]:
    """vLLM's `qwen3` from 0.24 on.

    With thinking on, everything up to `</think>` is reasoning, whether or not a `<think>` opened it; `<tool_call>` ends
    it as well and stays in the rest. The rest loses every further `</think>` and every special token, inside JSON
    strings too.
    """
    if not thinking:
        return None, text
    end = _END.search(text)
    if end is None:
        return _without("<think>", text) or None, None
    rest = text[end.start() :]
    return _without("<think>", text[: end.start()]) or None, _without("</think>", rest) or None


def _without(tag: str, text: str) -> str:
    return _WITHOUT[tag].sub("", text) if "<" in text else text


def split_reasoning_to_0_23(text: str, *, thinking: bool) -> tuple[str | None, str | None]:
    """vLLM's `qwen3` up to 0.23.

    What stands before the first `<think>` is lost. The first `</think>` ends the reasoning wherever it comes, behind
    a `<tool_call>`, in a value, and with thinking off too; only without one does `<tool_call>` end it.
    """
    before, opened, behind = text.partition("<think>")
    text = behind if opened else before
    reasoning, closed, rest = text.partition("</think>")
    if closed:
        return reasoning, rest or None
    if not thinking:
        return None, text
    return _up_to_call(text)


def split_reasoning_sglang(text: str, *, thinking: bool) -> tuple[str | None, str | None]:
    """SGLang's `qwen3`: with thinking off only where there is a `<think>`; else as vLLM's up to 0.23."""
    if not thinking and "<think>" not in text:
        return None, text
    while text.startswith("<think>"):
        text = text.removeprefix("<think>")
    reasoning, closed, rest = text.partition("</think>")
    return (reasoning or None, rest or None) if closed else _up_to_call(text)


def split_reasoning_r1(text: str) -> tuple[str | None, str | None]:
    """`deepseek_r1`, which QwQ is served with: thinking is always on, and only `</think>` ends it."""
    before, opened, behind = text.partition("<think>")
    reasoning, closed, rest = (behind if opened else before).partition("</think>")
    return reasoning, (rest or None) if closed else None


def _up_to_call(text: str) -> tuple[str | None, str | None]:
    at = text.find("<tool_call>")
    return (text or None, None) if at < 0 else (text[:at] or None, text[at:])
