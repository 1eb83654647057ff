"""Conversations for axolotl's `chat_template` strategy, with its own flag for the turns that are trained."""

from collections.abc import Sequence
from typing import Any

from qwen_sft.sample import Message
from qwen_sft.writer import Column, Part, Talk, Writer
from qwen_sft.writing.chat import template_message, tools_text, trained_flags
from qwen_sft.writing.lines import PROVENANCE, provenance, read_lines, talk_lines
from qwen_sft.writing.spelling import json_text
from qwen_sft.writing.stanza import axolotl_stanza

_LINES = (
    "type: chat_template",
    "chat_template: tokenizer_default",
    "field_messages: messages",
    "field_tools: tools",
    "message_field_training: training",
    "roles_to_train: []  # each turn says itself whether it is trained",
    "train_on_eos: turn",
)


def _line(talk: Talk) -> dict[str, Any]:
    """A line: axolotl reads messages and tools that are JSON text, and nothing is inferred of those.

    axolotl 0.19 takes a row of nothing but texts for a batch of rows, which the number keeps it from.
    """
    pairs = zip(talk.shown.get("messages", []), trained_flags(talk), strict=True)
    return {
        "messages": json_text([_message(message, trained) for message, trained in pairs]),
        "tools": tools_text(talk.shown),
        "n_messages": len(talk.shown.get("messages", [])),
        **provenance(talk.rows[0]),
    }


def _message(message: Message, trained: bool) -> dict[str, Any]:
    return {**template_message(message), "training": trained}


def _extras(parts: Sequence[Part]) -> dict[str, bytes]:
    return {"axolotl.yaml": axolotl_stanza(parts, _LINES).encode()}


WRITER = Writer(
    name="axolotl",
    title="JSON Lines for axolotl's chat_template, and data/axolotl.yaml for its config",
    writes="conversations",
    open=talk_lines(_line, _extras),
    read=read_lines,
    columns=(
        Column("messages", "string", "the messages as JSON text, each with `training`: whether its turn is trained"),
        Column("tools", "string", "the tools as JSON text"),
        Column("n_messages", "int64", "how many messages"),
        PROVENANCE,
    ),
    trains="turns",
    masks="axolotl tokenizes by the tokenizer's own chat template and masks anew: the flag `training` keeps which "
    "turns are trained. Weights and kinds of token are lost, and so is reasoning that the template does not print.",
    load="""# data/axolotl.yaml, for your config:
datasets:
  - path: FOLDER
    split: train
    type: chat_template
    field_tools: tools
    message_field_training: training
""",
    language="yaml",
    data_files="data/{split}-*.jsonl",
)
