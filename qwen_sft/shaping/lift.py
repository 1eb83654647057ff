"""Calls and results that stand as text become real ones, where a dialect reads them exactly and tools are declared."""

from collections.abc import Sequence
from typing import Any

from qwen_sft.dialect import Dialect, dialects
from qwen_sft.format import Conversation
from qwen_sft.sample import Message, Path, Tool, ToolCall
from qwen_sft.shaping.infer import tool_names


def lifted(conversation: Conversation) -> Conversation:
    """The conversation with the calls of its text taken out, and the results behind them as tool messages.

    Only a sample that declares tools and makes no real call is touched: one with real calls comes from a server that
    took them out of the text, and what it left there it could not read. A turn is read by the one dialect that reads it
    exactly, naming declared tools alone; all others stay text, for the rules to report.
    """
    sample = conversation.sample
    given = sample.get("messages", [])
    if not sample.get("tools") or any("tool_calls" in message for message in given):
        return conversation
    declared = tool_names(sample)
    if not declared:
        return conversation
    messages: list[Message] = []
    origins: list[Path] = []
    asked: Dialect | None = None
    n_open = 0  # calls that no result has answered yet
    for place, message in zip(conversation.origins, given, strict=True):
        made: list[Message] = [message]
        found = _calls(message, sample.get("tools", []), declared)
        if found is not None:
            asked, text, calls = found
            made = [{**message, "content": text, "tool_calls": calls}]
            n_open = len(calls)
        elif asked is not None:
            made = _results(message, asked, n_open)
            n_open -= len(made)
            if made[0].get("role") != "tool":
                asked = None
        messages += made
        origins += [place] * len(made)
    if not any("tool_calls" in message for message in messages):
        return conversation
    return Conversation({**sample, "messages": messages}, origins, rebuilt=True)


def _calls(message: Message, tools: Sequence[Tool], declared: set[str]) -> tuple[Dialect, str, list[ToolCall]] | None:
    """The calls in an assistant's turn, if exactly one dialect reads it."""
    text: Any = message.get("content")
    if message.get("role") != "assistant" or not isinstance(text, str):
        return None
    found: list[tuple[Dialect, str, list[ToolCall]]] = []
    for dialect in dialects().values():
        if any(mark in text for mark in dialect.marks):
            made = dialect.calls(text, tools)
            if made is not None and all(call["function"]["name"] in declared for call in made[1]):
                found.append((dialect, *made))
    return found[0] if len(found) == 1 else None


def _results(message: Message, dialect: Dialect, n_open: int) -> list[Message]:
    """The results that a turn behind calls holds, one tool message each; the turn itself where it is not exactly that.

    Args:
        n_open: calls that are not answered yet: a turn with more results is left as it is.
    """
    text: Any = message.get("content")
    if not isinstance(text, str) or message.get("role") not in ("user", "tool"):
        return [message]
    found = dialect.results(text)
    if not found or len(found) > n_open:
        return [message]
    if message.get("role") == "tool" and len(found) == 1:
        return [{**message, "content": found[0]}]
    return [{"role": "tool", "content": result} for result in found]
