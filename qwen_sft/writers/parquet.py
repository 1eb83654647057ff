"""Training rows as Parquet: what TRL, axolotl and `datasets` read without another step."""

from qwen_sft.writer import Packing, Writer
from qwen_sft.writing.arrow import (
    PACKED_COLUMNS,
    PACKED_SCHEMA,
    SCHEMA,
    TOKEN_COLUMNS,
    packed_batch,
    parquet_shards,
    read_parquet,
    token_batch,
    token_bytes,
)
from qwen_sft.writing.shards import as_rows

WRITER = Writer(
    name="parquet",
    title="Parquet with input_ids, labels, kinds and provenance",
    writes="tokens",
    open=parquet_shards(SCHEMA, token_batch, items=as_rows, size=token_bytes),
    read=read_parquet,
    columns=TOKEN_COLUMNS,
    trains="tokens",
    masks="`labels` say of each token whether it is trained, and every trainer that takes tokenized rows keeps them.",
    load="""from datasets import load_dataset

rows = load_dataset("FOLDER", split="train")
""",
    packing=Packing(
        parquet_shards(PACKED_SCHEMA, packed_batch, items=as_rows, size=token_bytes),
        PACKED_COLUMNS,
    ),
)
