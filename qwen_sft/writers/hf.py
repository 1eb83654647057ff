"""Training rows as the folder that `datasets` makes with `save_to_disk`: opened by `load_from_disk` without a copy."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qwen_sft.writer import Packing, Part, Writer
from qwen_sft.writing.arrow import (
    PACKED_COLUMNS,
    PACKED_SCHEMA,
    SCHEMA,
    TOKEN_COLUMNS,
    Batch,
    StreamSink,
    datasets_features,
    packed_batch,
    read_stream,
    token_batch,
    token_bytes,
)
from qwen_sft.writing.shards import Shards, as_rows


def _opener(schema: Any, batch: Batch) -> Callable[[Path, int], Shards]:
    def opened(folder: Path, shard_size: int) -> Shards:
        return Shards(
            folder,
            shard_size,
            items=as_rows,
            size=token_bytes,
            open_sink=lambda path: StreamSink(path, schema, batch),
            name=lambda split, number, count: f"{split}/data-{number:05d}-of-{count:05d}.arrow",
            extras=lambda parts: _extras(parts, datasets_features(schema)),
        )

    return opened


def _extras(parts: Sequence[Part], features: dict[str, Any]) -> dict[str, bytes]:
    """What `load_from_disk` looks for: the splits, and for each its files, its columns and a fingerprint of them."""
    splits = list(dict.fromkeys(part.split for part in parts if part.split is not None))
    made = {"dataset_dict.json": _json({"splits": splits})}
    for split in splits:
        shards = [part for part in parts if part.split == split]
        made[f"{split}/dataset_info.json"] = _json(
            {"citation": "", "description": "", "features": features, "homepage": "", "license": ""}
        )
        made[f"{split}/state.json"] = _json(
            {
                "_data_files": [{"filename": part.name.rpartition("/")[2]} for part in shards],
                "_fingerprint": _fingerprint(shards),
                "_format_columns": None,
                "_format_kwargs": {},
                "_format_type": None,
                "_output_all_columns": False,
                "_split": split,
            }
        )
    return made


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


def _fingerprint(shards: Sequence[Part]) -> str:
    """Of the bytes: `datasets` finds by it what it has computed of these rows before."""
    digest = hashlib.blake2b(digest_size=8)
    for part in shards:
        digest.update(bytes.fromhex(part.sha256))
    return digest.hexdigest()


def _read(folder: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(folder.glob("*/data-*.arrow")) for row in read_stream(path)]


WRITER = Writer(
    name="hf",
    title="the folder that datasets' save_to_disk makes, with the columns of parquet",
    writes="tokens",
    open=_opener(SCHEMA, token_batch),
    read=_read,
    columns=TOKEN_COLUMNS,
    trains="tokens",
    masks="`labels` say of each token whether it is trained, and every trainer that takes tokenized rows keeps them.",
    load="""from datasets import load_from_disk

rows = load_from_disk("FOLDER/data")["train"]
""",
    data_files="data/{split}/data-*.arrow",
    packing=Packing(_opener(PACKED_SCHEMA, packed_batch), PACKED_COLUMNS),
)
