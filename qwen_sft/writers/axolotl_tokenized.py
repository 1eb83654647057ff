"""Training rows for axolotl, together and others that take exactly input_ids, attention_mask and labels."""

from collections.abc import Sequence

from qwen_sft.writer import Column, Part, Writer
from qwen_sft.writing.arrow import BARE, PROVENANCE, bare_batch, parquet_shards, read_parquet, token_bytes
from qwen_sft.writing.shards import as_rows
from qwen_sft.writing.stanza import axolotl_stanza

_LINES = ("type:  # empty: the rows are tokenized",)


def _extras(parts: Sequence[Part]) -> dict[str, bytes]:
    return {"axolotl.yaml": axolotl_stanza(parts, _LINES).encode()}


WRITER = Writer(
    name="axolotl_tokenized",
    title="Parquet with input_ids, attention_mask and labels, and data/axolotl.yaml for axolotl's config",
    writes="tokens",
    open=parquet_shards(BARE, bare_batch, items=as_rows, size=token_bytes, extras=_extras),
    read=read_parquet,
    columns=(
        Column("input_ids", "list of int32", "the tokens"),
        Column("attention_mask", "list of int8", "1 for each of them"),
        Column("labels", "list of int64", "the same, -100 where a token is not trained"),
        Column("n_tokens", "int32", "how many tokens"),
        *PROVENANCE,
    ),
    trains="tokens",
    masks="axolotl takes rows with these three columns as they are, so `labels` are its labels. It drops rows that are "
    "longer than its `sequence_len`.",
    load="""# data/axolotl.yaml, for your config:
datasets:
  - path: FOLDER
    split: train
    type:
""",
    language="yaml",
)
