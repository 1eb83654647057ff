"""Conversations as Parquet, each value exactly as it was read: JSON text, of which no reader infers a type."""

from collections.abc import Sequence
from typing import Any

from qwen_sft.writer import Column, Talk, Writer
from qwen_sft.writing.arrow import (
    INT,
    INTS,
    PROVENANCE,
    TEXT,
    column,
    json_texts,
    parquet_shards,
    read_parquet,
    record_batch,
    talk_provenance,
    talk_schema,
)
from qwen_sft.writing.lines import talk_bytes
from qwen_sft.writing.shards import as_talks

_SCHEMA = talk_schema(
    ("messages", TEXT),
    ("tools", TEXT),
    ("metadata", TEXT),
    ("trained_turns", INTS),
    ("n_tokens", INT),
    ("n_trained_tokens", INT),
)


def _batch(talks: Sequence[Talk]) -> Any:
    samples = [talk.sample for talk in talks]
    columns = [
        json_texts([sample.get("messages", []) for sample in samples]),
        json_texts([sample.get("tools") for sample in samples]),
        json_texts([sample.get("metadata") for sample in samples]),
        column([talk.trained for talk in talks], INTS),
        column([sum(len(row.tokens.input_ids) for row in talk.rows) for talk in talks], INT),
        column([sum(row.tokens.n_trained_tokens for row in talk.rows) for talk in talks], INT),
        *talk_provenance(talks),
    ]
    return record_batch(columns, _SCHEMA)


WRITER = Writer(
    name="conversations",
    title="Parquet with messages and tools as JSON text: nothing is lost in any reader",
    writes="conversations",
    open=parquet_shards(_SCHEMA, _batch, items=as_talks, size=talk_bytes),
    read=read_parquet,
    columns=(
        Column("messages", "string", "the messages as JSON text, with all of their fields"),
        Column("tools", "string", "the tools as JSON text, else null"),
        Column("metadata", "string", "what the trace says about the run, as JSON text, else null"),
        Column("trained_turns", "list of int32", "the messages that are to be trained"),
        Column("n_tokens", "int32", "tokens of its training rows"),
        Column("n_trained_tokens", "int32", "how many of them are trained"),
        *PROVENANCE,
    ),
    trains="all",
    masks="No trainer reads this by itself. `trained_turns` names the turns that are trained; who renders the messages "
    "decides what becomes of that.",
    load="""import json

from datasets import load_dataset

rows = load_dataset("FOLDER", split="train")
messages = json.loads(rows[0]["messages"])
""",
)
