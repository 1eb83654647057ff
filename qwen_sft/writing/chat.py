"""Conversations in the words of trainers: messages as templates read them, and as text where a format has no field."""

from collections.abc import Mapping, Sequence
from typing import Any

from qwen_sft.sample import ROLES, Message, Sample, ToolCall
from qwen_sft.writer import Talk
from qwen_sft.writing.spelling import json_text

TEMPLATE_FIELDS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")
"""Fields of a message that chat templates read; the others say what is to be trained, and are for us."""


def template_message(message: Message) -> dict[str, Any]:
    """A message with the fields that templates read, in its order."""
    fields: Mapping[str, Any] = message
    return {name: value for name, value in fields.items() if name in TEMPLATE_FIELDS}


def template_messages(sample: Sample) -> list[dict[str, Any]]:
    """The messages of a sample with the fields that templates read."""
    return [template_message(message) for message in sample.get("messages", [])]


def thoughts(message: Message) -> str:
    """The reasoning of a message as the beginning of its text, as Qwen's templates write it; "" for none."""
    reasoning = message.get("reasoning_content", "")
    return f"<think>\n{reasoning}\n</think>\n\n" if reasoning.strip() else ""


def call_object(call: ToolCall) -> dict[str, Any]:
    """A call as {name, arguments}."""
    function = call["function"]
    return {"name": function["name"], "arguments": function["arguments"]}


def tools_text(sample: Sample) -> str:
    """The declared tools as JSON text; a list without any for none."""
    return json_text(sample.get("tools") or [])


def untellable(sample: Sample) -> str | None:
    """Why the messages of a sample cannot be told as role and text; None if they can."""
    for index, message in enumerate(sample.get("messages", [])):
        content: Any = message.get("content")
        if message.get("role") not in ROLES:
            return f"messages[{index}] has the role {message.get('role')!r}, which it does not know"
        if not isinstance(content, str):
            return f"messages[{index}] has parts that are not text"
    return None


def out_of_turn(sample: Sample) -> str | None:
    """Why the messages of a sample are not by turns what the model reads and what it says; None if they are.

    A system message may come first; results of one turn's calls count as one message.
    """
    messages = sample.get("messages", [])
    speaks = False
    for index, message in enumerate(messages):
        role = message.get("role")
        if role == "system":
            if index:
                return f"messages[{index}] is a system message behind the first message"
            continue
        if role == "tool" and index and messages[index - 1].get("role") == "tool":
            continue
        if (role == "assistant") is not speaks:
            before = messages[index - 1].get("role") if index else "the beginning"
            return f"messages[{index}] is {_named(role)} behind {before}, and it takes the two sides by turns"
        speaks = not speaks
    if not speaks and messages:
        return None
    return "the last message is not the assistant's"


def _named(role: Any) -> str:
    return {"assistant": "the assistant's", "tool": "a tool's", "user": "a user's"}.get(str(role), str(role))


def merged_results(messages: Sequence[Message], start: int) -> tuple[str, int]:
    """The results from one place on as one text, as Qwen's templates put them into one turn, and where they end."""
    end = start
    while end < len(messages) and messages[end].get("role") == "tool":
        end += 1
    texts = [str(message.get("content", "")) for message in messages[start:end]]
    return "\n</tool_response>\n<tool_response>\n".join(texts), end


def trained_flags(talk: Talk) -> list[bool]:
    """For each message that is shown whether any row trains it."""
    trained = set(talk.trained)
    return [index in trained for index in range(len(talk.shown.get("messages", [])))]
