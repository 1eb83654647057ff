"""Conversations for TRL, in the one form in which `datasets` gives each object back as it was."""

from collections.abc import Sequence
from typing import Any

from qwen_sft.sample import Sample
from qwen_sft.writer import Column, Talk, Writer
from qwen_sft.writing.arrow import (
    JSON,
    JSON_LIST,
    PROVENANCE,
    json_lists,
    json_values,
    parquet_shards,
    read_parquet,
    record_batch,
    talk_provenance,
    talk_schema,
)
from qwen_sft.writing.chat import template_messages
from qwen_sft.writing.lines import talk_bytes
from qwen_sft.writing.shards import as_talks
from qwen_sft.writing.spelling import unreadable

_SCHEMA = talk_schema(("messages", JSON_LIST), ("tools", JSON_LIST), ("chat_template_kwargs", JSON))


def _batch(talks: Sequence[Talk]) -> Any:
    columns = [
        json_lists([template_messages(talk.shown) for talk in talks]),
        json_lists([list(talk.shown.get("tools", [])) or None for talk in talks]),
        json_values([dict(talk.options) for talk in talks]),
        *talk_provenance(talks),
    ]
    return record_batch(columns, _SCHEMA)


def _refuses(sample: Sample) -> str | None:
    return unreadable([template_messages(sample), sample.get("tools")])


WRITER = Writer(
    name="trl",
    title="Parquet with messages and tools for TRL's SFTTrainer, which renders and masks them itself",
    writes="conversations",
    open=parquet_shards(_SCHEMA, _batch, items=as_talks, size=talk_bytes),
    read=read_parquet,
    columns=(
        Column("messages", "list of JSON", "the messages, as templates read them"),
        Column("tools", "list of JSON", "the tools, else null"),
        Column("chat_template_kwargs", "JSON", "options of the template, which TRL hands to it"),
        *PROVENANCE,
    ),
    trains="all",
    masks="TRL renders and masks anew. By default it trains every token, the user's and the tools' too; with "
    "`assistant_only_loss=True` all turns of the assistant, by its own edits of some templates, and it stops at the "
    "others. Turns that are not to be trained, weights and kinds of token are lost. Its `max_length` is 1,024 unless "
    "set. A `map` of your own, before the trainer's, rounds numbers to 10 decimals: so `datasets` writes them.",
    load="""from datasets import load_dataset  # 4.7 or later
from trl import SFTConfig

rows = load_dataset("FOLDER", split="train")
settings = SFTConfig(assistant_only_loss=True, max_length=32768)
""",
    refuses=_refuses,
)
