"""Conversations for LLaMA-Factory: ShareGPT turns, with the entry of dataset_info.json that names them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen_sft.sample import Message, Sample
from qwen_sft.writer import TRAIN, Column, Part, Talk, Writer
from qwen_sft.writing.chat import call_object, merged_results, out_of_turn, thoughts, tools_text, untellable
from qwen_sft.writing.lines import PROVENANCE, provenance, read_lines, talk_lines
from qwen_sft.writing.shards import Shards
from qwen_sft.writing.spelling import json_text

NAME = "qwen_sft"
"""The data set's name in dataset_info.json; the other splits are qwen_sft_eval and the like."""

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


def _line(talk: Talk) -> dict[str, Any]:
    messages = talk.shown.get("messages", [])
    system = ""
    turns: list[dict[str, str]] = []
    at = 0
    while at < len(messages):
        message = messages[at]
        role = message.get("role")
        if role == "tool":
            text, at = merged_results(messages, at)
            turns.append({"from": "observation", "value": text})
            continue
        at += 1
        if role == "system":
            system = str(message.get("content"))
        elif role == "user":
            turns.append({"from": "human", "value": str(message.get("content"))})
        else:
            turns.append(_said(message))
    return {
        "conversations": turns,
        "system": system,
        "tools": tools_text(talk.shown),
        **provenance(talk.rows[0]),
    }


def _said(message: Message) -> dict[str, str]:
    """A turn of the assistant. Calls are JSON; words stand before it, and then it is in the tags that are looked for.

    A `<` in a call is escaped, so that the first closing tag is the last.
    """
    text = thoughts(message) + str(message.get("content", ""))
    calls = message.get("tool_calls", [])
    if not calls:
        return {"from": "gpt", "value": text}
    told = json_text([call_object(call) for call in calls]).replace("<", "\\u003c")
    if not message.get("content"):
        return {"from": "function_call", "value": text + told}
    return {"from": "function_call", "value": f"{text}\n{_OPEN}{told}{_CLOSE}"}


def _open(folder: Path, _shard_size: int) -> Shards:
    # One file a split: LLaMA-Factory reads the files of a folder in no order.
    return talk_lines(_line, _extras)(folder, 0)


def _extras(parts: Sequence[Part]) -> dict[str, bytes]:
    entries = {
        NAME if part.split == TRAIN else f"{NAME}_{part.split}": {
            "file_name": part.name,
            "formatting": "sharegpt",
            "columns": {"messages": "conversations", "system": "system", "tools": "tools"},
        }
        for part in parts
    }
    return {"dataset_info.json": json.dumps(entries, indent=2).encode() + b"\n"}


def _refuses(sample: Sample) -> str | None:
    why = untellable(sample) or out_of_turn(sample)
    if why is not None:
        return why
    for index, message in enumerate(sample.get("messages", [])):
        if message.get("tool_calls") and _OPEN in thoughts(message) + str(message.get("content", "")):
            return f"messages[{index}] says {_OPEN!r} in words beside its calls, where it would look for the calls"
    return None


WRITER = Writer(
    name="llama_factory",
    title="JSON Lines in ShareGPT form for LLaMA-Factory, and data/dataset_info.json",
    writes="conversations",
    open=_open,
    read=read_lines,
    columns=(
        Column(
            "conversations",
            "list",
            "turns {from, value}: human, gpt, function_call and observation; calls as JSON text",
        ),
        Column("system", "string", "the system message"),
        Column("tools", "string", "the tools as JSON text"),
        PROVENANCE,
    ),
    trains="all",
    masks="LLaMA-Factory renders by its own templates and masks anew: it trains every turn of the assistant, or with "
    "`mask_history: true` the last one. Turns that are not to be trained, weights and kinds of token are lost, and so "
    "are the ids of calls, which no Qwen template prints. It leaves out what it cannot pair, with a line in its log: "
    "such samples are not written but rejected (TOK012).",
    load="""# for your config:
dataset_dir: FOLDER/data
dataset: qwen_sft
""",
    language="yaml",
    data_files="data/{split}-*.jsonl",
    refuses=_refuses,
)
