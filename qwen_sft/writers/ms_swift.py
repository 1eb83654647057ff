"""Conversations for ms-swift: calls and results as messages of their own, and its flag for turns that are trained."""

from collections.abc import Iterator
from typing import Any

from qwen_sft.sample import Message
from qwen_sft.writer import Column, Talk, Writer
from qwen_sft.writing.chat import call_object, thoughts, tools_text, trained_flags, untellable
from qwen_sft.writing.lines import PROVENANCE, provenance, read_lines, talk_lines
from qwen_sft.writing.spelling import json_text


def _line(talk: Talk) -> dict[str, Any]:
    pairs = zip(talk.shown.get("messages", []), trained_flags(talk), strict=True)
    told = [made for message, trained in pairs for made in _messages(message, trained)]
    return {"messages": told, "tools": tools_text(talk.shown), **provenance(talk.rows[0])}


def _messages(message: Message, trained: bool) -> Iterator[dict[str, Any]]:
    """A message as ms-swift has it; text and calls of one turn are messages of their own, which it joins again."""
    if message.get("role") != "assistant":
        yield {"role": message.get("role"), "content": message.get("content")}
        return
    text = thoughts(message) + str(message.get("content", ""))
    calls = message.get("tool_calls", [])
    if text or not calls:
        yield {"role": "assistant", "content": text, "loss": trained}
    for call in calls:
        yield {"role": "tool_call", "content": json_text(call_object(call)), "loss": trained}


WRITER = Writer(
    name="ms_swift",
    title="JSON Lines for ms-swift: roles tool_call and tool, and a loss flag on each turn",
    writes="conversations",
    open=talk_lines(_line),
    read=read_lines,
    columns=(
        Column(
            "messages",
            "list",
            "role, content and, on the assistant's, `loss`: whether it is trained; calls as JSON text",
        ),
        Column("tools", "string", "the tools as JSON text"),
        PROVENANCE,
    ),
    trains="turns",
    masks="ms-swift renders by its own templates and masks anew: the flag `loss` keeps which turns are trained. "
    "Weights and kinds of token are lost, and so are the ids of calls, which no Qwen template prints.",
    load="""# swift sft --model MODEL --dataset FOLDER/data/train-00000-of-00001.jsonl
from datasets import load_dataset

rows = load_dataset("FOLDER", split="train")
""",
    data_files="data/{split}-*.jsonl",
    refuses=untellable,
)
