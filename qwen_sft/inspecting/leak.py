"""Calls and results that an assistant's text holds, where the serving parser should have taken them out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.markup import Block, blocks, json_call
from qwen_sft.text.quote import quoted

Kind = Literal["result", "observation", "broken", "text-after", "call"]

LEAK_MARKS = ("tool_call>", "<function=", "</tool_response>", "Action Input:")
"""A text with a leak holds one of these."""


@dataclass(frozen=True, slots=True)
class Leak:
    """What one text holds: a text has one leak at most, the gravest in the order of Kind.

    Attributes:
        path: the text's place in the sample.
        kind: a tool's result; one in ReAct's words; tags of calls that make no call; text behind a whole call; whole
            calls and no more.
        says: a sentence on it.
    """

    path: Path
    kind: Kind
    says: str


def texts(message: Message, index: int) -> Iterator[tuple[Path, str]]:
    """The texts of a message's content with their places: the content, or each part that has text."""
    content = message.get("content")
    if isinstance(content, str):
        yield ("messages", index, "content"), content
    for k, part in enumerate(content if is_list(content) else ()):
        if isinstance(part, str):
            yield ("messages", index, "content", k), part
        elif is_object(part) and isinstance(part.get("text"), str):
            yield ("messages", index, "content", k, "text"), part["text"]


def results_in(text: str) -> list[Block]:
    """The whole `<tool_response>` blocks of a text."""
    if "</tool_response>" not in text:
        return []
    return [block for block in blocks(text, "tool_response") if block.opened and block.closed]


def leaks_of(text: str, path: Path, *, reasoned: bool = False) -> list[Leak]:
    """The leak of an assistant's text, if it has one; what stands before a `</think>` is passed over.

    Args:
        reasoned: the turn has its reasoning apart: then a `</think>` in its text ends none, and nothing is passed over.
    """
    marked = "<" in text and ("tool_call>" in text or "<function=" in text or "</tool_response>" in text)
    observed = "\nObservation:" in text and "Action Input:" in text
    if not marked and not observed:
        return []
    said = text if reasoned else text.rpartition("</think>")[2]
    observation = _observation(said) if observed else ""
    if observation:
        says = f"a result stands behind its call in the assistant's own text: {quoted(observation)}"
        return [Leak(path, "observation", says)]
    results = results_in(said)
    if results:
        count = "a tool result stands" if len(results) == 1 else f"{len(results)} tool results stand"
        return [Leak(path, "result", f"{count} in the assistant's own text: {quoted(results[0].inner.strip())}")]
    calls = blocks(said, "tool_call")
    broken = _broken(said, calls)
    if broken:
        return [Leak(path, "broken", broken)]
    if not calls:
        return []
    ends = [*(block.start for block in calls[1:]), len(said)]
    behind = [said[block.end : end].strip() for block, end in zip(calls, ends, strict=True)]
    after = next(filter(None, behind), None)
    if after is not None:
        return [Leak(path, "text-after", f"text stands behind a call: {quoted(after)}")]
    count = "a call stands" if len(calls) == 1 else f"{len(calls)} calls stand"
    return [Leak(path, "call", f"{count} in the text: {quoted(calls[0].inner.strip())}")]


def _observation(text: str) -> str:
    """A result behind its call, as ReAct writes them: its first line; "" for none, or where the model was stopped."""
    called = False
    lines = [line.strip() for line in text.split("\n")]
    for n, line in enumerate(lines):
        if line.startswith(("Action:", "Action Input:")):
            called = line.startswith("Action Input:")
        elif called and line.startswith("Observation:"):
            return line.removeprefix("Observation:").strip() or next(filter(None, lines[n + 1 :]), "")
    return ""


def _broken(text: str, calls: list[Block]) -> str | None:
    """A sentence on the first tag that makes no call; None if every one does."""
    outside = text
    for block in reversed(calls):
        outside = outside[: block.start] + outside[block.end :]
    for number, block in enumerate(calls, start=1):
        if not block.opened:
            return "'</tool_call>' closes a call that '<tool_call>' does not open"
        if not block.closed and number < len(calls) and calls[number].opened:
            return "'<tool_call>' is not closed before the next one begins"
        if not block.closed:
            return f"'<tool_call>' is never closed: {quoted(text[block.start : block.start + 60])}"
        if not _is_call(block.inner):
            return f"a '<tool_call>' block does not hold one call: {quoted(block.inner.strip())}"
    return "'<function=' stands outside of '<tool_call>'" if "<function=" in outside else None


def _is_call(inner: str) -> bool:
    """True for one call in JSON or as `<function=`."""
    call = inner.strip()
    if not call.startswith("<function="):
        return json_call(inner) is not None
    whole = call.endswith("</function>") and call.count("<function=") == 1 and not call.startswith("<function=>")
    return whole and call.count("<parameter=") == call.count("</parameter>")
