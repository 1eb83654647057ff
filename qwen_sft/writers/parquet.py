"""Training rows as Parquet: what TRL, axolotl and `datasets` read without another step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from qwen_sft.writer import Packing, Writer
from qwen_sft.writing.arrow import (
    PACKED_COLUMNS,
    PACKED_SCHEMA,
    SCHEMA,
    TOKEN_COLUMNS,
    Batch,
    ParquetSink,
    packed_batch,
    read_parquet,
    token_batch,
    token_bytes,
)
from qwen_sft.writing.shards import Shards, as_rows, shard_name


def _opener(schema: Any, batch: Batch) -> Callable[[Path, int], Shards]:
    def opened(folder: Path, shard_size: int) -> Shards:
        return Shards(
            folder,
            shard_size,
            items=as_rows,
            size=token_bytes,
            open_sink=lambda path: ParquetSink(path, schema, batch),
            name=shard_name("parquet"),
        )

    return opened


WRITER = Writer(
    name="parquet",
    title="Parquet with input_ids, labels, kinds and provenance",
    writes="tokens",
    open=_opener(SCHEMA, token_batch),
    read=read_parquet,
    columns=TOKEN_COLUMNS,
    trains="tokens",
    masks="`labels` say of each token whether it is trained, and every trainer that takes tokenized rows keeps them.",
    load="""from datasets import load_dataset

rows = load_dataset("FOLDER", split="train")
""",
    packing=Packing(_opener(PACKED_SCHEMA, packed_batch), PACKED_COLUMNS),
)
