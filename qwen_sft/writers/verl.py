"""Conversations for verl's multi-turn SFT, and the few lines that make it read them without nulls."""

from collections.abc import Sequence
from typing import Any

from qwen_sft.writer import Column, Part, Talk, Writer
from qwen_sft.writing.arrow import (
    BOOL,
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
from qwen_sft.writing.chat import template_messages
from qwen_sft.writing.lines import talk_bytes
from qwen_sft.writing.shards import as_talks

_SCHEMA = talk_schema(("messages", TEXT), ("tools", TEXT), ("enable_thinking", BOOL))

_LOADER = '''"""Reads the rows beside it into verl: data.custom_cls.path=THIS_FILE data.custom_cls.name=JsonSFTDataset

verl's own class wants messages and tools as Arrow structs, and those give each call and each tool the fields of all the
others, with null for a value. Here they are JSON text.
"""

import json

import pandas as pd
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset


class JsonSFTDataset(MultiTurnSFTDataset):
    """verl's data set, of rows whose messages and tools are JSON text."""

    def _read_files_and_process(self):
        super()._read_files_and_process()
        frame = self.dataframe.reset_index(drop=True).astype(object)
        for key in (self.messages_key, self.tools_key):
            frame[key] = pd.Series([None if pd.isna(text) else json.loads(text) for text in frame[key]], dtype=object)
        self.dataframe = frame
        self.messages = frame[self.messages_key].tolist()
        self.tools = frame[self.tools_key].tolist()
        if self.enable_thinking_key in frame.columns:
            self.enable_thinking = [None if pd.isna(one) else bool(one) for one in frame[self.enable_thinking_key]]
'''


def _batch(talks: Sequence[Talk]) -> Any:
    columns = [
        json_texts([template_messages(talk.shown) for talk in talks]),
        json_texts([talk.shown.get("tools") or None for talk in talks]),
        column([talk.options.get("enable_thinking") for talk in talks], BOOL),
        *talk_provenance(talks),
    ]
    return record_batch(columns, _SCHEMA)


def _extras(_: Sequence[Part]) -> dict[str, bytes]:
    return {"verl_dataset.py": _LOADER.encode()}


WRITER = Writer(
    name="verl",
    title="Parquet with messages and tools as JSON text for verl, and data/verl_dataset.py, which reads them into it",
    writes="conversations",
    open=parquet_shards(_SCHEMA, _batch, items=as_talks, size=talk_bytes, extras=_extras),
    read=read_parquet,
    columns=(
        Column("messages", "string", "the messages as JSON text, as templates read them"),
        Column("tools", "string", "the tools as JSON text, else null"),
        Column("enable_thinking", "bool", "how the last turn is prompted; null where the template has no such option"),
        *PROVENANCE,
    ),
    trains="all",
    masks="verl renders each message by itself, and trains every turn of the assistant behind its header. Turns that "
    "are not to be trained, weights and kinds of token are lost. Where its pieces do not add up to what the template "
    "prints of the whole it stops, or goes on with `ignore_input_ids_mismatch`.",
    load="""# for your config:
data:
  train_files: FOLDER/data/train-00000-of-00001.parquet
  custom_cls:
    path: FOLDER/data/verl_dataset.py
    name: JsonSFTDataset
""",
    language="yaml",
)
