"""Calls, results and tools that stand as text in a turn, in `<tool_call>`, `<tool_response>` and `<tools>` blocks."""

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from qwen_sft.sample import ToolCall, is_list, is_object
from qwen_sft.text.normalize import arguments, call, decode_json, tools
from qwen_sft.text.pyliteral import literal

Tag = Literal["tool_call", "tool_response", "tools"]


@dataclass(frozen=True, slots=True)
class Block:
    """One tagged block of a text: text[start:end] with its tags, `inner` without them.

    `opened` is False for a closing tag without an opening one (the block is then that tag alone), `closed` is False for
    an opening tag that is never closed (the block then reaches to the next opening tag or the end).
    """

    start: int
    end: int
    inner: str
    opened: bool = True
    closed: bool = True


_TAGS: dict[str, re.Pattern[str]] = {tag: re.compile(rf"<(/?){tag}>") for tag in get_args(Tag)}


def blocks(text: str, tag: Tag) -> list[Block]:
    """The blocks of one tag in a text, in order, the broken ones too."""
    found: list[Block] = []
    opening: re.Match[str] | None = None
    for match in _TAGS[tag].finditer(text):
        if not match[1]:
            if opening:
                found.append(Block(opening.start(), match.start(), text[opening.end() : match.start()], closed=False))
            opening = match
        elif opening:
            found.append(Block(opening.start(), match.end(), text[opening.end() : match.start()]))
            opening = None
        else:
            found.append(Block(match.start(), match.end(), "", opened=False))
    if opening:
        found.append(Block(opening.start(), len(text), text[opening.end() :], closed=False))
    return found


def json_call(inner: str) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a call written `{"name": ..., "arguments": {...}}`; None where it is not exactly that."""
    try:
        value = decode_json(inner.strip())
    except ValueError:
        return None
    return _named(value)


def _python_call(inner: str) -> tuple[str, dict[str, Any]] | None:
    """As json_call, of a call as Python prints it, which Hermes 2 learnt to write."""
    try:
        value = literal(inner.strip())
    except ValueError:
        return None
    return _named(value)


def _named(value: Any) -> tuple[str, dict[str, Any]] | None:
    if not is_object(value) or set(value) != {"name", "arguments"} or not isinstance(value["name"], str):
        return None
    given = arguments(value["arguments"])
    return (value["name"], given) if is_object(given) else None


def declares_tools(messages: list[Any], role: str, content: str) -> bool:
    """True if the first message is the system's and holds a `<tools>` block: tools that are declared as text.

    Args:
        role: the key under which a message names its speaker.
        content: the key under which it holds its text.
    """
    first = messages[0] if messages else None
    if not is_object(first) or first.get(role) != "system" or not isinstance(first.get(content), str):
        return False
    return "<tools>" in first[content] and "</tools>" in first[content]


def lift_calls(text: str) -> tuple[str, list[ToolCall]] | None:
    """The text before the calls, without the newlines between, and the calls; None where there is no exact reading.

    Exact means: every block is whole and holds one call, as JSON or as Python prints it, and nothing but whitespace
    stands between or after them.
    """
    found = blocks(text, "tool_call")
    if not found or not _only_whitespace(text, found):
        return None
    made: list[ToolCall] = []
    for block in found:
        parsed = (json_call(block.inner) or _python_call(block.inner)) if block.opened and block.closed else None
        if parsed is None:
            return None
        made.append(call(*parsed))
    return text[: found[0].start].rstrip("\n"), made


def lift_results(text: str) -> list[str] | None:
    """The inside of each `<tool_response>` block, less the newline at either end; None if other text stands there."""
    found = blocks(text, "tool_response")
    if not found or text[: found[0].start].strip() or not _only_whitespace(text, found):
        return None
    if not all(block.opened and block.closed for block in found):
        return None
    return [block.inner.removeprefix("\n").removesuffix("\n") for block in found]


def _only_whitespace(text: str, found: list[Block]) -> bool:
    """True if nothing else stands between the blocks or after the last."""
    ends = [*(block.start for block in found[1:]), len(text)]
    return not any(text[block.end : end].strip() for block, end in zip(found, ends, strict=True))


_OBJECT = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*+\})*+\})*+\}"
_HOW_TO_CALL = re.compile(
    "(?:"
    + "|".join(
        (
            r"# Tools\s+(?=You may call)",
            r"You may call one or more functions to assist with the user query\.",
            r"You are provided with function signatures within <tools>\s*</tools>(?: XML)? tags[.:]",
            r"Here are the available tools:",
            rf"Use the following pydantic model json schema for each tool call you will make:\s*{_OBJECT}",
            r"For each function call,? return a json object with function name and arguments within "
            r"<tool_call>\s*</tool_call>(?: XML)? tags[^:\n<]*:\s*<tool_call>(?:[^<]|<(?!/?tool_call>))*+</tool_call>",
        )
    )
    + r")\s*",
    re.DOTALL,
)
"""What Hermes and Qwen prompts say on how to call, around their `<tools>` block; a template says it in its own."""


def lift_tools(text: str) -> tuple[list[Any], str] | None:
    """The tools of a system text's one `<tools>` block, and the rest of the text; None where that is no exact reading.

    The block holds a JSON list, JSON objects one per line, or a list as Python prints it, each of them named. Out of
    the rest go the sentences that tell how to call (_HOW_TO_CALL), because a template that prints the tools says that
    again. All else stays verbatim, "You are a function calling AI model." included, less the whitespace at both ends.
    """
    full = [block for block in blocks(text, "tools") if block.inner.strip()]
    if len(full) != 1 or not full[0].opened or not full[0].closed:
        return None
    declared = _listed(full[0].inner.strip())
    if declared is None:
        return None
    around = (text[: full[0].start], text[full[0].end :])
    return declared, "".join(_HOW_TO_CALL.sub("", part) for part in around).strip()


def _python_list(inner: str) -> list[Any] | None:
    try:
        value = literal(inner)
    except ValueError:
        return None
    return value if is_list(value) else None


def _listed(inner: str) -> list[Any] | None:
    declared: Any = tools(inner)
    if not is_list(declared):
        declared = tools(_python_list(inner) or [line for line in inner.split("\n") if line.strip()])
    named = (
        is_object(d) and is_object(d.get("function")) and isinstance(d["function"].get("name"), str) for d in declared
    )
    return declared if all(named) else None
