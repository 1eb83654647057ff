"""A prompt and its completion for each trained turn, for TRL: no other turn gets into the loss."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_sft.sample import Sample
from qwen_sft.writer import Column, Row, Talk, Writer, talks
from qwen_sft.writing.arrow import (
    INT,
    JSON,
    JSON_LIST,
    PROVENANCE,
    column,
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
from qwen_sft.writing.spelling import unreadable

_SCHEMA = talk_schema(
    ("prompt", JSON_LIST),
    ("completion", JSON_LIST),
    ("tools", JSON_LIST),
    ("chat_template_kwargs", JSON),
    ("turn", INT),
)


@dataclass(frozen=True, slots=True)
class _Turn:
    """One trained turn of a conversation, and the bytes of that."""

    talk: Talk
    turn: int
    n_bytes: int


def _items(rows: Sequence[Row]) -> Iterable[tuple[str, _Turn]]:
    for talk in talks(rows):
        n_bytes = talk_bytes(talk)
        for turn in talk.trained:
            yield talk.rows[0].split, _Turn(talk, turn, n_bytes)


def _size(item: _Turn) -> int:
    return item.n_bytes


def _options(item: _Turn) -> dict[str, object]:
    row = next(row for row in item.talk.rows if item.turn in row.tokens.turns)
    return dict(row.options)


def _batch(items: Sequence[_Turn]) -> Any:
    messages = [template_messages(item.talk.shown) for item in items]
    pairs = list(zip(items, messages, strict=True))
    columns = [
        json_lists([told[: item.turn] for item, told in pairs]),
        json_lists([told[item.turn : item.turn + 1] for item, told in pairs]),
        json_lists([list(item.talk.shown.get("tools", [])) or None for item in items]),
        json_values([_options(item) for item in items]),
        column([item.turn for item in items], INT),
        *talk_provenance([item.talk for item in items]),
    ]
    return record_batch(columns, _SCHEMA)


def _refuses(sample: Sample) -> str | None:
    messages = sample.get("messages", [])
    if messages and messages[0].get("role") == "assistant":
        return "messages[0] is the assistant's, and TRL needs a prompt before it"
    return unreadable([template_messages(sample), sample.get("tools")])


WRITER = Writer(
    name="trl_prompt_completion",
    title="Parquet with prompt, completion and tools for TRL, a row for each trained turn",
    writes="conversations",
    open=parquet_shards(_SCHEMA, _batch, items=_items, size=_size),
    read=read_parquet,
    columns=(
        Column("prompt", "list of JSON", "the messages before the turn"),
        Column("completion", "list of JSON", "the turn"),
        Column("tools", "list of JSON", "the tools, else null"),
        Column("chat_template_kwargs", "JSON", "options of the template, which TRL hands to it"),
        Column("turn", "int32", "index of the turn among the sample's messages"),
        *PROVENANCE,
    ),
    trains="turns",
    masks="TRL renders anew and trains what the completion adds to the prompt, the newline behind the stop token too: "
    "only turns that are to be trained. A conversation is written once for each of its trained turns. Weights and "
    "kinds of token are lost. TRL's `max_length` is 1,024 unless set.",
    load="""from datasets import load_dataset  # 4.7 or later

rows = load_dataset("FOLDER", split="train")
""",
    refuses=_refuses,
)
