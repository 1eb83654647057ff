"""`verify`: each claim about a trainer at both its sides, and TRL's own preparation beside our labels."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shown import blocks_of, commands, matches, runs_here
from typer.testing import CliRunner

from qwen_sft.building.build import build
from qwen_sft.cli import app
from qwen_sft.errors import InputError, ModelError, UsageError
from qwen_sft.family import families
from qwen_sft.settings import Settings
from qwen_sft.tokenizing.tokenizer import load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json
from qwen_sft.trainer import Request, Trainer, trainer_named, trainers
from qwen_sft.verifying.report import json_report, text_report
from qwen_sft.verifying.verify import Verification, parsed, setup_of, verify
from qwen_sft.writer import writers

ROOT = Path(__file__).parents[1]
USER = {"role": "user", "content": "Hi"}
SAYS = {"role": "assistant", "content": "Hello."}
OK = {"input_ids": [5, 6, 7], "labels": [-100, 6, 7]}
TOOL = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
}
Found = tuple[str, str, int, str]


def calls(*arguments: Any, **more: Any) -> dict[str, Any]:
    made = [
        {"id": f"c{i}", "type": "function", "function": {"name": "f", "arguments": one}}
        for i, one in enumerate(arguments)
    ]
    return {"role": "assistant", "content": "", "tool_calls": made, **more}


def result(n: int = 0) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": f"c{n}", "content": "1"}


def parquet(folder: Path, rows: list[dict[str, Any]], name: str = "r.parquet") -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name)
    return folder


def lines(folder: Path, rows: list[dict[str, Any]], name: str = "r.jsonl") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def built(folder: Path, writer: str, rows: list[dict[str, Any]], model: str = "qwen3", **settings: Any) -> Path:
    """What `build` makes of some records."""
    source = folder / "raw.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / writer
    build([str(source)], Settings(model=model, verify="none", **settings), out, writers()[writer])
    return out


def found(folder: Path, trainer: str, told: dict[str, Any] | None = None, **more: Any) -> list[Found]:
    """All claims but infos about columns, as (severity, name, rows, first place)."""
    made = verify(folder, trainer_named(trainer), told=told or {}, **more)
    return [
        (str(one.severity), one.name, one.rows.n_rows, one.rows.first)
        for one in made.claims
        if one.name != "columns-ignored"
    ]


# -- tokenized rows ----------------------------------------------------------------------------------------------------

KEPT = ("info", "labels-kept", 1, "r.parquet:1")
SKIP = {"dataset_kwargs": {"skip_prepare_dataset": True}}
LONG = {"input_ids": [1] * 1025, "labels": [-100] * 1024 + [1]}
FITS = {"input_ids": [1] * 1024, "labels": [-100] * 1023 + [1]}
MASKED = {"input_ids": [5, 6], "labels": [-100, -100]}
PACKED = {"input_ids": [5, 6, 7], "labels": [-100, 6, -100], "seq_lengths": [2, 1]}
FREE = {"padding_free": True, "max_length": None}


def at(severity: str, name: str, row: int = 1, n: int = 1) -> Found:
    return (severity, name, n, f"r.parquet:{row}")


TRL: dict[str, tuple[dict[str, Any], dict[str, Any], list[Found]]] = {
    "labels": (OK, {}, [KEPT]),
    "no labels": ({"input_ids": [5]}, {}, [at("error", "all-tokens-trained")]),
    "a mask of another name": ({"input_ids": [5], "loss_mask": [1]}, {}, [at("error", "all-tokens-trained")]),
    "assistant_masks": ({"input_ids": [5], "assistant_masks": [1]}, {}, [at("info", "labels-rebuilt")]),
    "completion_mask": ({"input_ids": [5], "completion_mask": [1]}, {}, [at("error", "all-tokens-trained")]),
    "completion_mask that is asked for": (
        {"input_ids": [5], "completion_mask": [1]},
        {"completion_only_loss": True},
        [at("info", "labels-rebuilt")],
    ),
    "a mask without preparation": ({"input_ids": [5], "assistant_masks": [1]}, SKIP, [at("error", "stops")]),
    "1,024 tokens": (FITS, {}, [KEPT]),
    "1,025 tokens": (LONG, {}, [at("error", "rows-cut"), at("warning", "rows-dropped"), KEPT]),
    "1,025 tokens, and room": (LONG, {"max_length": 1025}, [KEPT]),
    "1,025 tokens, no limit": (LONG, {"max_length": None}, [KEPT]),
    "1,025 tokens without preparation": (LONG, SKIP, [KEPT]),
    "1,025 tokens, packed": (LONG, {"packing": True}, [at("error", "rows-cut"), KEPT]),
    "1,025 tokens, packed and split": (
        LONG,
        {"packing": True, "packing_strategy": "bfd_split"},
        [at("error", "rows-split"), KEPT],
    ),
    "packing without a limit": (OK, {"packing": True, "max_length": None}, [at("error", "stops"), KEPT]),
    "packing where rows end": (
        OK,
        {"packing": True, "packing_strategy": "wrapped"},
        [at("error", "packing-without-boundaries"), KEPT],
    ),
    "a masked row": (MASKED, {}, [at("warning", "rows-dropped"), KEPT]),
    "a masked row, no limit": (MASKED, {"max_length": None}, [at("warning", "masked-rows-stay"), KEPT]),
    "packed rows": (PACKED, {}, [at("error", "packed-without-boundaries"), KEPT]),
    "packed rows, padding-free": (PACKED, {**SKIP, **FREE}, [KEPT]),
    "packed rows, packed again": (PACKED, {"packing": True}, [at("error", "packed-without-boundaries"), KEPT]),
    "packed rows by positions": (
        {**OK, "position_ids": [0, 1, 0]},
        {**SKIP, **FREE},
        [at("error", "packed-without-boundaries"), KEPT],
    ),
    "positions of one conversation": ({**OK, "position_ids": [0, 1, 2]}, {}, [KEPT]),
    "padding-free with a limit": (OK, {"padding_free": True}, [at("error", "stops"), KEPT]),
    "weights": ({**OK, "weights": [0.0, 0.5, 1.0]}, {}, [at("warning", "weights-ignored"), KEPT]),
    "weights that say nothing": ({**OK, "weights": [0.0, 1.0, 1.0]}, {}, [KEPT]),
    "labels too short": ({"input_ids": [5, 6], "labels": [5]}, {}, [at("error", "labels-misaligned"), KEPT]),
    "labels shifted": ({"input_ids": [5, 6], "labels": [6, -100]}, {}, [at("error", "labels-shifted"), KEPT]),
    "assistant_only_loss": (OK, {"assistant_only_loss": True}, [at("error", "stops"), KEPT]),
    "messages beside ids": ({**OK, "messages": [USER]}, {}, [at("warning", "messages-beside-ids"), KEPT]),
    "messages beside ids and assistant_only_loss": (
        {**OK, "messages": [USER]},
        {"assistant_only_loss": True},
        [at("warning", "mask-not-applied"), KEPT],
    ),
    "pictures": ({**OK, "images": ["a.png"]}, {}, [at("error", "stops"), KEPT]),
    "plain text": ({"text": "Hi"}, {}, [at("error", "all-tokens-trained")]),
    "nothing that it reads": ({"x": 1}, {}, [at("error", "not-readable")]),
}


@pytest.mark.parametrize("case", TRL)
def test_trl_on_tokenized_rows(case: str, tmp_path: Path) -> None:
    row, told, expected = TRL[case]
    assert found(parquet(tmp_path / "rows", [row]), "trl", told) == expected


def test_claims_count_the_rows_and_name_the_first(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "rows", [OK, LONG, OK], "a.parquet")
    parquet(folder, [OK, MASKED, LONG], "b.parquet")
    made = verify(folder, trainer_named("trl"))
    assert [(one.name, one.rows.n_rows, one.rows.first) for one in made.claims] == [
        ("rows-cut", 2, "a.parquet:2"),
        ("rows-dropped", 3, "a.parquet:2"),
        ("labels-kept", 6, "a.parquet:1"),
    ]
    cut = made.claims[0]
    assert cut.says == "cut to their first 1,024 tokens (max_length=1,024, its default); 2 of them lose trained tokens"
    assert cut.fix.startswith("set max_length=1025 (the longest row has 1,025 tokens)")
    assert made.exit_code == 1


def test_rows_of_json_lines_and_of_arrow_are_read_alike(tmp_path: Path) -> None:
    rows = [OK, LONG, MASKED]
    expected = [("rows-cut", 1, 2), ("rows-dropped", 2, 2), ("labels-kept", 3, 1)]
    arrow = tmp_path / "arrow"
    arrow.mkdir()
    table = pa.Table.from_pylist(rows)
    with pa.OSFile(str(arrow / "r.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    for folder in (lines(tmp_path / "lines", rows), arrow, parquet(tmp_path / "parquet", rows)):
        claims = verify(folder, trainer_named("trl")).claims
        told = [(one.name, one.rows.n_rows, int(one.rows.first.rpartition(":")[2])) for one in claims]
        assert told == expected, folder


AXOLOTL_OK = {**OK, "attention_mask": [1, 1, 1]}
AXOLOTL: dict[str, tuple[dict[str, Any], dict[str, Any], list[Found]]] = {
    "three columns": (AXOLOTL_OK, {}, [KEPT]),
    "no attention_mask": (OK, {}, [at("error", "not-seen-as-tokenized")]),
    "512 tokens": (
        {c: v[:512] for c, v in {**FITS, "labels": [1] * 512, "attention_mask": [1] * 512}.items()},
        {},
        [KEPT],
    ),
    "513 tokens": (
        {"input_ids": [1] * 513, "labels": [1] * 513, "attention_mask": [1] * 513},
        {},
        [at("error", "rows-dropped"), KEPT],
    ),
    "513 tokens, cut": (
        {"input_ids": [1] * 513, "labels": [1] * 513, "attention_mask": [1] * 513},
        {"excess_length_strategy": "truncate"},
        [at("error", "rows-cut"), KEPT],
    ),
    "513 tokens, raised": (
        {"input_ids": [1] * 513, "labels": [1] * 513, "attention_mask": [1] * 513},
        {"excess_length_strategy": "raise"},
        [at("error", "stops"), KEPT],
    ),
    "a masked row": ({**MASKED, "attention_mask": [1, 1]}, {}, [at("warning", "masked-rows-stay"), KEPT]),
    "a masked row, packing": (
        {**MASKED, "attention_mask": [1, 1]},
        {"sample_packing": True},
        [at("warning", "rows-dropped"), KEPT],
    ),
    "packed rows": ({**PACKED, "attention_mask": [1, 1, 1]}, {}, [at("error", "packed-without-boundaries"), KEPT]),
    "nothing": ({"x": 1}, {}, [at("error", "not-readable")]),
}


@pytest.mark.parametrize("case", AXOLOTL)
def test_axolotl_on_tokenized_rows(case: str, tmp_path: Path) -> None:
    row, told, expected = AXOLOTL[case]
    assert found(parquet(tmp_path / "rows", [row]), "axolotl", told) == expected


def test_token_ids_are_nothing_for_trainers_that_render(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "rows", [OK])
    assert found(folder, "ms-swift") == [at("error", "rows-deleted")]
    assert found(folder, "verl") == [at("error", "stops")]
    assert found(folder, "llamafactory") == [at("error", "not-readable")]


def test_llamafactory_reads_tokens_of_a_saved_folder_without_other_lists(tmp_path: Path) -> None:
    told = {"tokenized_path": "x"}
    assert found(parquet(tmp_path / "rows", [OK]), "llamafactory", told) == [at("error", "stops")]
    datasets = pytest.importorskip("datasets")
    saved = tmp_path / "saved"
    datasets.Dataset.from_list([OK]).save_to_disk(saved)
    assert found(saved, "llamafactory", told) == []
    datasets.Dataset.from_list([{**OK, "kinds": [1, 2, 3]}]).save_to_disk(tmp_path / "kinds")
    name = "data-00000-of-00001.arrow:1"
    assert found(tmp_path / "kinds", "llamafactory", told) == [("error", "stops", 1, name)]
    assert found(saved, "llamafactory", {**told, "cutoff_len": 2}) == [("warning", "cutoff-not-kept", 1, name)]


# -- conversations -----------------------------------------------------------------------------------------------------

ONLY = {"assistant_only_loss": True}
REBUILT = ("warning", "labels-rebuilt", 1, "r.jsonl:1")
UNKNOWN = ("warning", "template-unknown", 1, "r.jsonl:1")
LENGTH = ("info", "length-unknown", 1, "r.jsonl:1")


def line(severity: str, name: str) -> Found:
    return (severity, name, 1, "r.jsonl:1")


TALKS: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[Found]]] = {
    "trl by default": ("trl", {"messages": [USER, SAYS]}, {}, [line("error", "all-tokens-trained"), LENGTH]),
    "trl, the assistant only": ("trl", {"messages": [USER, SAYS]}, ONLY, [UNKNOWN, LENGTH]),
    "trl without preparation": ("trl", {"messages": [USER, SAYS]}, SKIP, [line("error", "stops")]),
    "trl, nobody answers": ("trl", {"messages": [USER]}, ONLY, [line("error", "stops"), UNKNOWN, LENGTH]),
    "trl, arguments as text": (
        "trl",
        {"messages": [USER, calls('{"a": 1}'), result(), SAYS]},
        ONLY,
        [line("error", "arguments-as-text"), UNKNOWN, LENGTH],
    ),
    "trl, messages as text": (
        "trl",
        {"messages": json.dumps([USER, SAYS])},
        ONLY,
        [line("error", "messages-as-text")],
    ),
    "trl, a role of another format": (
        "trl",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "assistant", "value": "Hello."}]},
        {},
        [line("error", "role-not-printed"), line("error", "all-tokens-trained"), LENGTH],
    ),
    "trl, {from, value} and the assistant only": (
        "trl",
        {"conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello."}]},
        ONLY,
        [line("error", "stops")],
    ),
    "trl, a turn that is not to be trained": (
        "trl",
        {"messages": [USER, {**SAYS, "train": False}]},
        ONLY,
        [line("error", "untrained-turns-trained"), UNKNOWN, LENGTH],
    ),
    "trl, prompt and completion": ("trl", {"prompt": [USER], "completion": [SAYS]}, {}, [REBUILT, LENGTH]),
    "trl, prompt too": (
        "trl",
        {"prompt": [USER], "completion": [SAYS]},
        {"completion_only_loss": False},
        [line("error", "all-tokens-trained"), LENGTH],
    ),
    "axolotl": ("axolotl", {"messages": [USER, SAYS]}, {}, [REBUILT, LENGTH]),
    "axolotl, its own flag": (
        "axolotl",
        {"messages": [USER, {**SAYS, "training": False}]},
        {"message_field_training": "training"},
        [REBUILT, LENGTH],
    ),
    "axolotl, its own flag and nobody looks": (
        "axolotl",
        {"messages": [USER, {**SAYS, "training": False}]},
        {},
        [line("error", "untrained-turns-trained"), REBUILT, LENGTH],
    ),
    "axolotl, another column": (
        "axolotl",
        {"messages": [USER, SAYS]},
        {"field_messages": "chat"},
        [line("error", "not-readable")],
    ),
    "axolotl, another strategy": (
        "axolotl",
        {"messages": [USER, SAYS]},
        {"type": "alpaca"},
        [line("warning", "strategy-not-read"), REBUILT, LENGTH],
    ),
    "axolotl, {from, value}": (
        "axolotl",
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]},
        {"field_messages": "conversations"},
        [line("error", "role-not-read"), REBUILT, LENGTH],
    ),
    "axolotl, reasoning of an earlier turn": (
        "axolotl",
        {"messages": [USER, {**SAYS, "reasoning_content": "Hm."}, USER, SAYS]},
        {},
        [line("error", "history-rewritten"), REBUILT, LENGTH],
    ),
    "ms-swift": ("ms-swift", {"messages": [USER, SAYS]}, {}, [REBUILT]),
    "ms-swift, its own flag": ("ms-swift", {"messages": [USER, {**SAYS, "loss": False}]}, {}, [REBUILT]),
    "ms-swift, our flag": (
        "ms-swift",
        {"messages": [USER, {**SAYS, "train": False}]},
        {},
        [line("error", "untrained-turns-trained"), REBUILT],
    ),
    "ms-swift, reasoning in a field": (
        "ms-swift",
        {"messages": [USER, {**SAYS, "reasoning_content": "Hm."}]},
        {},
        [line("error", "reasoning-lost"), REBUILT],
    ),
    "ms-swift, reasoning in an earlier turn's words": (
        "ms-swift",
        {"messages": [USER, {**SAYS, "content": "<think>\nHm.\n</think>\n\nHello."}, USER, SAYS]},
        {},
        [REBUILT, line("warning", "history-kept")],
    ),
    "ms-swift, an unknown role": (
        "ms-swift",
        {"messages": [USER, {"role": "critic", "content": "Hm."}, SAYS]},
        {},
        [line("error", "rows-deleted"), REBUILT],
    ),
    "ms-swift, null content": (
        "ms-swift",
        {"messages": [{"role": "user", "content": None}, SAYS]},
        {},
        [line("error", "rows-deleted"), REBUILT],
    ),
    "ms-swift, all": (
        "ms-swift",
        {"messages": [USER, SAYS]},
        {"loss_scale": "all"},
        [line("error", "all-tokens-trained"), REBUILT],
    ),
    "ms-swift, the last": (
        "ms-swift",
        {"messages": [USER, SAYS]},
        {"loss_scale": "last_round"},
        [line("error", "turns-not-trained"), REBUILT],
    ),
    "llamafactory, no entry": (
        "llamafactory",
        {"messages": [USER, SAYS]},
        {},
        [line("error", "no-entry"), REBUILT, LENGTH],
    ),
    "llamafactory": ("llamafactory", {"messages": [USER, SAYS]}, {"formatting": "openai"}, [REBUILT, LENGTH]),
    "llamafactory, two of one side": (
        "llamafactory",
        {"messages": [USER, USER, SAYS]},
        {"formatting": "openai"},
        [line("error", "rows-dropped"), REBUILT, LENGTH],
    ),
    "llamafactory, results behind each other": (
        "llamafactory",
        {"messages": [USER, calls({"a": 1}, {"a": 2}), result(), result(1), SAYS]},
        {"formatting": "openai"},
        [REBUILT, LENGTH],
    ),
    "llamafactory, the user last": (
        "llamafactory",
        {"messages": [USER, SAYS, USER]},
        {"formatting": "openai"},
        [line("error", "rows-dropped"), REBUILT, LENGTH],
    ),
    "llamafactory, words beside calls and reasoning": (
        "llamafactory",
        {"messages": [USER, calls({"a": 1}, content="Look:", reasoning_content="Hm."), result(), SAYS]},
        {"formatting": "openai"},
        [line("error", "reasoning-lost"), line("error", "words-lost"), REBUILT, LENGTH],
    ),
    "llamafactory, arguments as text": (
        "llamafactory",
        {"messages": [USER, calls('{"a": 1}'), result(), SAYS]},
        {"formatting": "openai"},
        [line("error", "arguments-as-text"), REBUILT, LENGTH],
    ),
    "llamafactory, tools as a list": (
        "llamafactory",
        {"messages": [USER, SAYS], "tools": [TOOL]},
        {"formatting": "openai"},
        [line("error", "stops"), REBUILT, LENGTH],
    ),
    "llamafactory, tools as text": (
        "llamafactory",
        {"messages": [USER, SAYS], "tools": json.dumps([TOOL])},
        {"formatting": "openai"},
        [REBUILT, LENGTH],
    ),
    "llamafactory, prompts too": (
        "llamafactory",
        {"messages": [USER, SAYS]},
        {"formatting": "openai", "train_on_prompt": True},
        [line("error", "all-tokens-trained"), REBUILT, LENGTH],
    ),
    "llamafactory, the last turn": (
        "llamafactory",
        {"messages": [USER, SAYS]},
        {"formatting": "openai", "mask_history": True},
        [line("error", "turns-not-trained"), REBUILT, LENGTH],
    ),
    "llamafactory, packing": (
        "llamafactory",
        {"messages": [USER, SAYS]},
        {"formatting": "openai", "packing": True},
        [line("error", "packing-without-boundaries"), REBUILT, LENGTH],
    ),
    "llamafactory, neat packing": (
        "llamafactory",
        {"messages": [USER, SAYS]},
        {"formatting": "openai", "packing": True, "neat_packing": True},
        [REBUILT, LENGTH],
    ),
    "verl reads Parquet": ("verl", {"messages": [USER, SAYS]}, {}, [line("error", "stops"), REBUILT, LENGTH]),
}


@pytest.mark.parametrize("case", TALKS)
def test_conversations_of_strangers(case: str, tmp_path: Path) -> None:
    trainer, row, told, expected = TALKS[case]
    assert found(lines(tmp_path / "rows", [row]), trainer, told) == expected


def test_verl_on_parquet(tmp_path: Path) -> None:
    both = [at("warning", "labels-rebuilt"), at("info", "length-unknown")]
    talk = {"messages": [USER, SAYS]}
    assert found(parquet(tmp_path / "a", [talk]), "verl") == both
    text = {"messages": json.dumps([USER, SAYS]), "tools": json.dumps([TOOL])}
    stops = at("error", "stops")
    assert found(parquet(tmp_path / "b", [text]), "verl") == [stops, at("error", "tools-as-text"), *both]
    several = {"messages": [USER, calls({"a": 1}, {"a": 2}), result(), result(1), SAYS]}
    told = found(parquet(tmp_path / "c", [several]), "verl")
    assert told == [at("error", "pieces-do-not-add-up"), *both]
    mode = [{**talk, "enable_thinking": True}, {**talk, "enable_thinking": None}]
    told = found(parquet(tmp_path / "d", mode), "verl")
    assert told == [
        at("error", "stops", 2),
        *(("warning", "labels-rebuilt", 2, "r.parquet:1"), (*both[1][:2], 2, both[1][3])),
    ]
    assert found(tmp_path / "b", "verl", {"messages_key": "chat"}) == [at("error", "stops")]


def test_verl_renders_the_pieces_of_a_known_model(tmp_path: Path) -> None:
    rows = [
        {"messages": [USER, SAYS, USER, SAYS]},
        {"messages": [USER, calls({"a": 1}, {"a": 2}), result(), result(1), SAYS], "tools": [TOOL]},
    ]
    coder = built(tmp_path, "verl", rows, "qwen3_coder")
    file = "data/train-00000-of-00001.parquet"
    assert ("error", "pieces-do-not-add-up", 1, f"{file}:2") in found(coder, "verl")
    (tmp_path / "other").mkdir()
    hybrid = built(tmp_path / "other", "verl", rows)  # an empty think block stands in the last turn, wherever that is
    assert ("error", "pieces-do-not-add-up", 2, f"{file}:1") in found(hybrid, "verl")
    assert [one[1] for one in found(hybrid, "verl", {"custom_cls": None}) if one[0] == "error"].count("stops") == 2


def test_nulls_that_arrow_has_filled_in(tmp_path: Path) -> None:
    rows = [
        {"messages": [USER, calls({"a": 1}), result(), SAYS]},
        {"messages": [USER, calls({"b": 1}), result(), SAYS]},
    ]
    even = [rows[0], rows[0]]
    nulls = ("error", "nulls-taught", 2, "r.parquet:1")
    assert nulls in found(parquet(tmp_path / "a", rows), "trl", ONLY)
    assert nulls in found(parquet(tmp_path / "a", rows), "verl")
    assert ("warning", "nulls-filled", 2, "r.parquet:1") in found(parquet(tmp_path / "a", rows), "axolotl")
    uneven = ("warning", "nulls-before-datasets-4.7", 2, "r.jsonl:1")
    assert uneven in found(lines(tmp_path / "b", rows), "trl", ONLY)
    for folder in (parquet(tmp_path / "c", even), lines(tmp_path / "d", even)):
        assert not any("null" in one[1] for one in found(folder, "trl", ONLY))


def test_options_that_are_null_stop_trl(tmp_path: Path) -> None:
    rows = [{"messages": [USER, SAYS], "chat_template_kwargs": {"enable_thinking": True}}, {"messages": [USER, SAYS]}]
    assert ("error", "options-null", 1, "r.parquet:2") in found(parquet(tmp_path / "a", rows), "trl", ONLY)
    assert not any(one[1] == "options-null" for one in found(parquet(tmp_path / "b", rows[:1]), "trl", ONLY))


@pytest.mark.parametrize(
    ("model", "severity", "says"),
    [
        (
            "qwen2_5",
            "error",
            "qwen2_5_training.jinja: the newline behind the header is trained; the newline behind each <|im_end|> is "
            "trained",
        ),
        (
            "qwen3",
            "error",
            "qwen3_training.jinja: the text is not the one of inference: reasoning of earlier turns stays, and every "
            "turn gets a think block, an empty one where it has none; the newline behind each <|im_end|> is trained",
        ),
        (
            "qwen3_instruct_2507",
            "warning",
            "qwen3_instruct_2507_training.jinja: the newline behind each <|im_end|> is trained",
        ),
        (
            "qwen3_6",
            "error",
            "qwen3_6_training.jinja: the text is not the one of inference: reasoning of earlier turns stays, and every "
            "turn gets a think block, an empty one where it has none; what the prompt already holds of a think block "
            "is trained; the newline behind each <|im_end|> is trained",
        ),
    ],
)
def test_trl_swaps_the_chat_template(model: str, severity: str, says: str, tmp_path: Path) -> None:
    folder = lines(tmp_path / "rows", [{"messages": [USER, SAYS]}])
    made = verify(folder, trainer_named("trl"), told=ONLY, model=model)
    (claim,) = made.claims
    assert (claim.name, claim.severity, claim.says) == (
        "labels-rebuilt",
        severity,
        f"the chat template is swapped for {says}",
    )


def test_trl_refuses_templates_that_it_does_not_know(tmp_path: Path) -> None:
    folder = lines(tmp_path / "rows", [{"messages": [USER, SAYS]}])
    assert found(folder, "trl", ONLY, model="qwen3_coder") == [line("error", "no-training-template")]
    text = {"messages": [USER, calls('{"a": 1}'), result(), SAYS]}
    for model, does in (
        ("qwen2_5", "encodes it a second time"),
        ("qwen3", "prints it as it is"),
        ("qwen3_coder", "stops"),
    ):
        made = verify(lines(tmp_path / "text", [text]), trainer_named("trl"), told=ONLY, model=model)
        assert does in next(one.says for one in made.claims if one.name == "arguments-as-text")


def test_conversations_are_measured_with_a_model(tmp_path: Path) -> None:
    rows = [{"messages": [USER, SAYS]}, {"messages": [USER, {**SAYS, "content": "Hello. " * 600}]}]
    folder = lines(tmp_path / "rows", rows)
    cut = ("error", "rows-cut", 1, "r.jsonl:2")
    assert cut in found(folder, "trl", ONLY, model="qwen3")
    assert cut not in found(folder, "trl", {**ONLY, "max_length": 2000}, model="qwen3")
    assert ("error", "rows-cut", 1, "r.jsonl:2") in found(
        folder, "llamafactory", {"formatting": "openai", "cutoff_len": 1000}, model="qwen3"
    )
    assert ("error", "rows-deleted", 1, "r.jsonl:2") in found(folder, "ms-swift", {"max_length": 1000}, model="qwen3")
    told = {"max_length": 1000, "truncation_strategy": "right"}
    assert ("error", "rows-cut", 1, "r.jsonl:2") in found(folder, "ms-swift", told, model="qwen3")
    assert ("error", "rows-dropped", 1, "r.jsonl:2") in found(folder, "axolotl", {}, model="qwen3")
    long = parquet(tmp_path / "long", rows)
    assert ("error", "stops", 1, "r.parquet:2") in found(long, "verl", {}, model="qwen3_coder")
    assert ("error", "rows-cut", 1, "r.parquet:2") in found(long, "verl", {"truncation": "right"}, model="qwen3_coder")


# -- what our writers wrote --------------------------------------------------------------------------------------------

CHAT = [
    {"messages": [USER, SAYS, USER, SAYS]},
    {"messages": [USER, calls({"a": 1}), result(), SAYS], "tools": [TOOL]},
]
ANOTHER_TEXT = [("error", "think-blocks-added"), ("error", "system-prompt-differs")]
OURS: dict[str, tuple[str, dict[str, Any], list[tuple[str, str]]]] = {
    "parquet": ("trl", {}, [("info", "labels-kept")]),
    "hf": ("trl", {}, [("info", "labels-kept")]),
    "trl_prompt_completion": ("trl", {}, [("warning", "labels-rebuilt")]),
    "trl": ("trl", ONLY, [("error", "labels-rebuilt")]),
    "conversations": ("trl", ONLY, [("error", "messages-as-text")]),
    "axolotl_tokenized": ("axolotl", {}, [("info", "labels-kept")]),
    "axolotl": ("axolotl", {}, [("warning", "labels-rebuilt")]),
    "ms_swift": ("ms-swift", {}, [*ANOTHER_TEXT, ("warning", "labels-rebuilt")]),
    "llama_factory": ("llamafactory", {}, [*ANOTHER_TEXT, ("warning", "labels-rebuilt")]),
    "verl": ("verl", {}, [("error", "pieces-do-not-add-up"), ("warning", "labels-rebuilt"), ("info", "own-class")]),
}


@pytest.mark.parametrize("writer", OURS)
def test_what_our_writers_wrote(writer: str, tmp_path: Path) -> None:
    trainer, told, expected = OURS[writer]
    claims = found(built(tmp_path, writer, CHAT), trainer, told)
    assert [one[:2] for one in claims] == expected


def test_templates_of_trainers_print_another_text(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be kind."}
    rows = [
        {"messages": [USER, SAYS]},
        {"messages": [USER, SAYS, USER, SAYS]},
        {"messages": [system, USER, calls({"a": 1}, content="Look:"), result(), SAYS], "tools": [TOOL]},
        {"messages": [USER, SAYS], "tools": [TOOL]},
    ]
    file = "data/train-00000-of-00001.jsonl"
    blocks = ("error", "think-blocks-added", 2, f"{file}:2")
    prompt = ("error", "system-prompt-differs", 1, f"{file}:4")
    words = ("error", "words-joined-to-calls", 1, f"{file}:3")
    every = ("warning", "labels-rebuilt", 4, f"{file}:1")
    swift = built(tmp_path, "ms_swift", rows)
    assert found(swift, "ms-swift") == [blocks, prompt, words, every]
    assert found(swift, "ms-swift", {"add_non_thinking_prefix": False}) == [prompt, words, every]
    factory = built(tmp_path, "llama_factory", rows)
    assert found(factory, "llamafactory") == [blocks, prompt, every]
    assert found(factory, "llamafactory", {"template": "qwen3_nothink"}) == [prompt, every]
    (tmp_path / "other").mkdir()
    assert found(built(tmp_path / "other", "ms_swift", rows, "qwen2_5"), "ms-swift") == [every]


def test_turns_that_a_writer_could_not_mark(tmp_path: Path) -> None:
    rows = [{"messages": [USER, {**SAYS, "train": False}, USER, SAYS]}]
    file = "manifest.json"
    for writer, trainer, told in (
        ("trl", "trl", ONLY),
        ("llama_factory", "llamafactory", {}),
        ("verl", "verl", {}),
    ):
        (tmp_path / writer).mkdir()
        folder = built(tmp_path / writer, writer, rows)
        assert ("error", "untrained-turns-trained", 0, file) in found(folder, trainer, told), writer
    for writer, trainer in (("ms_swift", "ms-swift"), ("axolotl", "axolotl"), ("trl_prompt_completion", "trl")):
        (tmp_path / writer).mkdir()
        folder = built(tmp_path / writer, writer, rows)
        assert not any(one[1] == "untrained-turns-trained" for one in found(folder, trainer)), writer
    (tmp_path / "c").mkdir()
    kept = built(tmp_path / "c", "conversations", rows)
    name = "data/train-00000-of-00001.parquet:1"
    assert ("error", "untrained-turns-trained", 1, name) in found(kept, "ms-swift")


# -- settings ----------------------------------------------------------------------------------------------------------


def test_options_come_from_the_folder_then_the_config_then_flags(tmp_path: Path) -> None:
    axolotl = trainer_named("axolotl")
    config = tmp_path / "axolotl.yaml"
    config.write_text(
        "sequence_len: 4096\nsample_packing: true\nbase_model: x\ndatasets:\n  - path: y\n    type: chat_template\n"
        "    message_field_training: keep\n"
    )
    folder = tmp_path / "rows"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "axolotl.yaml").write_text(
        "datasets:\n  - path: .\n    field_tools: t\n    message_field_training: training\n"
    )
    setup = setup_of(axolotl, folder, config, {"sequence_len": 100})
    assert dict(setup.values) == {
        "sequence_len": 100,
        "excess_length_strategy": "drop",
        "sample_packing": True,
        "type": "chat_template",
        "field_messages": "messages",
        "field_tools": "t",
        "message_field_training": "keep",
    }
    assert setup.told == {"sequence_len", "sample_packing", "type", "field_tools", "message_field_training"}
    nested = tmp_path / "verl.json"
    nested.write_text('{"data": {"max_length": 7, "custom_cls": {"path": "x.py"}}}')
    told = setup_of(trainer_named("verl"), tmp_path, nested, {})
    assert (told["max_length"], told["custom_cls"]) == (7, {"path": "x.py"})


def test_options_are_parsed_as_json_or_text() -> None:
    told = parsed(["a=1", "b=true", "c=bfd", "d=None", 'e={"f": null}', "g=True"])
    assert told == {"a": 1, "b": True, "c": "bfd", "d": None, "e": {"f": None}, "g": True}
    with pytest.raises(UsageError, match="--set is 'a'; it can be NAME=VALUE, such as assistant_only_loss=true"):
        parsed(["a"])


def test_what_is_unknown_is_said(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "rows", [OK])
    trl = trainer_named("trl")
    with pytest.raises(UsageError, match="no trainer 'x'; trainers are axolotl, llamafactory, ms-swift, trl, verl"):
        trainer_named("x")
    with pytest.raises(UsageError, match=r"trl '0\.9' was not read; versions are 1\.16"):
        verify(folder, trl, asked="0.9")
    assert verify(folder, trl, asked="1.16.2").version == "1.16"
    with pytest.raises(UsageError, match="trl has no option 'sequence_len' that decides about rows; it has max_length"):
        verify(folder, trl, told={"sequence_len": 1})
    with pytest.raises(UsageError, match="max_length is 'long'; it can be a number of tokens"):
        verify(folder, trl, told={"max_length": "long"})
    with pytest.raises(UsageError, match="the preparation of axolotl cannot be run here; leave --run out"):
        verify(folder, trainer_named("axolotl"), run=True)
    with pytest.raises(UsageError, match="no model is known for these rows, and --run needs its tokenizer"):
        verify(folder, trl, run=True)
    with pytest.raises(InputError, match="is no folder; name what build wrote, or a folder of rows"):
        verify(folder / "r.parquet", trl)
    with pytest.raises(ModelError, match="no model 'nobody'"):
        verify(folder, trl, model="nobody")
    for text, why in (("[1]", "holds '?.1.'?, and no options by name"), ("a: [", "is neither JSON nor YAML")):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(UsageError, match=why):
            verify(folder, trl, config=tmp_path / "c.yaml")
    with pytest.raises(UsageError, match="cannot read the config"):
        verify(folder, trl, config=tmp_path / "missing.yaml")


def test_a_run_without_trl_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trl", None)
    folder = built(tmp_path, "parquet", CHAT)
    with pytest.raises(UsageError, match=r'^trl is not installed; --run needs: pip install "trl>=1.16" torch$'):
        verify(folder, trainer_named("trl"), run=True)


def test_a_build_that_lost_a_file_is_not_verified(tmp_path: Path) -> None:
    folder = built(tmp_path, "parquet", CHAT)
    (folder / "data" / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(
        InputError, match=r"manifest.json lists 'data/train-00000-of-00001.parquet', and .* build again"
    ):
        verify(folder, trainer_named("trl"))


def test_a_build_for_a_model_that_is_gone_is_verified_without_lengths(tmp_path: Path) -> None:
    folder = built(tmp_path, "trl", CHAT)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"]["name"] = "./gone"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    made = verify(folder, trainer_named("trl"), told=ONLY)
    assert [one.name for one in made.claims if one.name != "columns-ignored"] == ["labels-rebuilt", "length-unknown"]
    assert made.note.startswith("the model of the build cannot be loaded: no model './gone'")


@pytest.mark.parametrize("trainer", trainers().values(), ids=lambda one: one.name)
def test_each_trainer_says_where_it_was_read(trainer: Trainer, tmp_path: Path) -> None:
    assert trainer.versions and trainer.length in trainer.options
    assert trainer.packing is None or trainer.packing in trainer.options
    for folder in (parquet(tmp_path / "tokens", [OK, LONG]), lines(tmp_path / "talks", [{"messages": [USER, SAYS]}])):
        for claim in verify(folder, trainer).claims:
            assert ".py" in claim.source and claim.says and claim.rows.first


# -- the command -------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["verify", *arguments])


def test_the_command_prints_claims_and_exits_by_their_severity(tmp_path: Path) -> None:
    folder = parquet(tmp_path / "rows", [OK, LONG])
    made = run(str(folder), "--trainer", "trl", "--no-packing")
    assert made.exit_code == 1
    said = made.stdout.splitlines()
    assert said[0] == f"{folder}: 2 tokenized rows in 1 file"
    assert said[1].startswith("trl 1.16 (read in its code") and said[1].endswith("with max_length=1024, packing=False")
    assert said[3] == "error rows-cut: 1 of 2 rows, first r.parquet:2"
    assert said[-1] == "1 error, 1 warning, 1 info"
    assert run(str(folder), "--trainer", "trl", "--max-length", "2000").exit_code == 0
    told = json.loads(run(str(folder), "--trainer", "trl", "--output-format", "json").stdout)
    assert told["exit_code"] == 1 and told["run"] is None and told["n_rows"] == 2
    assert [(one["name"], one["severity"], one["n_rows"], one["first"]) for one in told["claims"]] == [
        ("rows-cut", "error", 1, "r.parquet:2"),
        ("rows-dropped", "warning", 1, "r.parquet:2"),
        ("labels-kept", "info", 2, "r.parquet:1"),
    ]


def test_the_command_exits_3_where_there_is_no_row(tmp_path: Path) -> None:
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("labels", pa.list_(pa.int64()))])
    pq.write_table(pa.Table.from_pylist([], schema=schema), tmp_path / "r.parquet")
    assert run(str(tmp_path), "--trainer", "trl").exit_code == 3
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "r.jsonl").write_text('{"messages": [\n')
    made = run(str(tmp_path / "torn"), "--trainer", "trl")
    assert made.exit_code == 3 and "not read: 1 rows, first r.jsonl:1" in made.stdout


def test_hostile_names_are_escaped(tmp_path: Path) -> None:
    folder = lines(tmp_path / "rows", [{"messages": [{"role": "\x1b[31m", "content": "x"}, SAYS], "\x1b[2J": 1}])
    made = verify(folder, trainer_named("trl"), told=ONLY)
    assert "\x1b" not in "\n".join(text_report(made, colour=False))
    assert json_report(made)["n_rows"] == 1


def test_the_guide_lists_every_option_with_its_default() -> None:
    guide = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    for trainer in trainers().values():
        told = ", ".join(f"`{name}` ({json.dumps(value)})" for name, value in trainer.options.items())
        assert f"| `{trainer.name}` | {trainer.package} {', '.join(trainer.versions)} | {told} |" in guide


def test_what_is_printed_as_json_is_what_the_schema_says(tmp_path: Path) -> None:
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / "verify.schema.json").read_text()))
    for folder in (parquet(tmp_path / "a", [OK, LONG]), lines(tmp_path / "b", [{"messages": [USER, SAYS]}])):
        for trainer in trainers().values():
            schema.validate(json_report(verify(folder, trainer)))


# -- TRL itself --------------------------------------------------------------------------------------------------------


def ran(folder: Path, **told: Any) -> Verification:
    pytest.importorskip("trl", exc_type=ImportError)
    return verify(folder, trainer_named("trl"), told=told, run=True)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["qwen3", "qwen3_5"])
def test_preparation_of_our_rows_gives_exactly_our_labels(model: str, tmp_path: Path) -> None:
    paths = [str(ROOT / "examples" / name) for name in ("clean.jsonl", "thinking.jsonl")]
    for writer in ("parquet", "hf"):
        build(paths, Settings(model=model, verify="none"), tmp_path / writer, writers()[writer])
        made = ran(tmp_path / writer).comparison
        n_rows = verify(tmp_path / writer, trainer_named("trl")).facts.n_rows
        assert made is not None and n_rows > 5
        assert (made.n_rows, made.n_same, made.same, made.first) == (n_rows, n_rows, True, None)


@pytest.mark.slow
def test_preparation_of_conversations_gives_other_labels(tmp_path: Path) -> None:
    rows = [{"messages": [USER, SAYS]}, {"messages": [USER, SAYS, USER, SAYS]}]
    result = ran(built(tmp_path, "trl", rows), **ONLY)
    schema = jsonschema.Draft202012Validator(json.loads((ROOT / "schemas" / "verify.schema.json").read_text()))
    schema.validate(json_report(result))
    said = "\n".join(text_report(result, colour=False))
    assert (
        "0 come out with exactly our labels, 1 with other labels (1 tokens more are trained, 0 fewer), 1 with" in said
    )
    assert "    trl    " in said and "[<|im_end|>] [⏎]" in said
    made = result.comparison
    assert made is not None and made.first is not None and result.exit_code == 1
    assert (made.n_same, made.n_labels, made.n_text, made.n_dropped) == (0, 1, 1, 0)
    # The first row is the text of inference: only the newline behind <|im_end|> is trained besides.
    assert (made.n_more, made.n_fewer) == (1, 0)
    assert made.first.ours[-2:] == (("<|im_end|>", True), ("\n", False))
    assert made.first.theirs[-2:] == (("<|im_end|>", True), ("\n", True))


@pytest.mark.slow
def test_preparation_shows_rows_that_are_cut_and_dropped(tmp_path: Path) -> None:
    rows = [{"messages": [USER, SAYS]}, {"messages": [{**USER, "content": "Hi. " * 60}, SAYS]}]
    folder = built(tmp_path, "parquet", rows)
    made = ran(folder, max_length=100).comparison
    assert made is not None and (made.n_same, made.n_text, made.n_dropped, made.same) == (1, 0, 1, False)
    skipping = ran(folder, max_length=100, **SKIP).comparison
    assert skipping is not None and (skipping.n_same, skipping.same) == (2, True)


@pytest.mark.slow
def test_preparation_of_completions_trains_the_newline_too(tmp_path: Path) -> None:
    folder = built(tmp_path, "trl_prompt_completion", [{"messages": [USER, SAYS]}])
    made = ran(folder).comparison
    assert made is not None and (made.n_labels, made.n_more, made.n_fewer) == (1, 1, 0)


@pytest.mark.slow
def test_preparation_that_stops_is_said(tmp_path: Path) -> None:
    pytest.importorskip("trl", exc_type=ImportError)
    folder = built(tmp_path, "parquet", CHAT)
    with pytest.raises(UsageError, match="SFTTrainer stops: ValueError: You set `assistant_only_loss=True`"):
        ran(folder, **ONLY)
    with pytest.raises(UsageError, match="packed rows cannot be told apart; leave packing out"):
        ran(folder, packing=True)


ALONE = [case for case, (_, told, _) in TRL.items() if not told.get("packing")]


@pytest.mark.slow
@pytest.mark.parametrize("case", ALONE)
def test_trl_does_to_tokenized_rows_what_is_claimed(case: str, tmp_path: Path) -> None:
    row, told, expected = TRL[case]
    names = {name for _, name, _, _ in expected}
    made = prepared(parquet(tmp_path / "rows", [row]) / "r.parquet", told, tmp_path)
    if names & {"stops", "not-readable"}:
        assert made is None
    elif "rows-dropped" in names:
        assert made == []
    else:
        assert made is not None
        ((ids, labels),) = made
        if "all-tokens-trained" in names:
            assert labels == ids
        elif "labels-rebuilt" in names:
            assert (ids, labels) == ([5], [5])
        else:
            assert (ids, labels) == (row["input_ids"], row["labels"])


TALKS_OF_TRL = [case for case in TALKS if case.startswith("trl")]


@pytest.mark.slow
@pytest.mark.parametrize("case", TALKS_OF_TRL)
def test_trl_does_to_conversations_what_is_claimed(case: str, tmp_path: Path) -> None:
    _, row, told, expected = TALKS[case]
    names = {name for _, name, _, _ in expected}
    made = prepared(lines(tmp_path / "rows", [row]) / "r.jsonl", told, tmp_path)
    if names & {"stops", "messages-as-text"}:
        assert made is None
        return
    assert made is not None
    ((ids, labels),) = made
    tokenizer = load_tokenizer(tokenizer_json("qwen3"))
    text = tokenizer.decode(ids)
    trained = tokenizer.decode([label for label in labels if label != -100])
    if "role-not-printed" in names:
        assert text == "<|im_start|>assistant\nHello.<|im_end|>\n"  # the user's turn is not there
    elif "all-tokens-trained" in names:
        assert labels == ids
    elif "arguments-as-text" in names:
        assert '"arguments": {"a": 1}}' in text  # as it is: JSON text happens to be what the template wants
    else:  # the newline too, and turns that are marked as not to be trained
        assert trained.endswith("Hello.<|im_end|>\n")


@pytest.mark.slow
def test_options_that_are_null_do_stop_trl(tmp_path: Path) -> None:
    rows = [{"messages": [USER, SAYS], "chat_template_kwargs": {"enable_thinking": True}}, {"messages": [USER, SAYS]}]
    assert prepared(parquet(tmp_path / "rows", rows) / "r.parquet", ONLY, tmp_path) is None


def prepared(file: Path, told: dict[str, Any], scratch: Path) -> list[tuple[list[int], list[int]]] | None:
    """Ids and labels of each row that an SFTTrainer makes of a file; None where it stops."""
    pytest.importorskip("trl", exc_type=ImportError)
    trainer = trainer_named("trl")
    assert trainer.prepare is not None
    setup = setup_of(trainer, file.parent, None, told)
    vocabulary = tokenizer_json("qwen3")
    request = Request([file], 2, vocabulary, None, families()["qwen3"].template_sha256[0], scratch, setup)
    try:
        return [(list(one.input_ids), list(one.labels)) for one in trainer.prepare(request)]
    except UsageError as error:
        assert str(error).startswith("SFTTrainer stops: ")
        return None


@pytest.mark.slow
def test_guide_shows_what_trl_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", exc_type=ImportError)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    shown = list(blocks_of((ROOT / "docs" / "verify.md").read_text(encoding="utf-8")))
    (skipped,) = (block for block in shown if not runs_here(block))
    for command, _ in (pair for block in shown if runs_here(block) for pair in commands(block)):
        if " build " in command:
            ran_to(command, tmp_path)
    for command, printed in commands(skipped, "verify.md"):
        assert matches(printed, ran_to(command, tmp_path))


def ran_to(command: str, folder: Path) -> str:
    """What a command of the guide prints on stdout, by this interpreter, which has trl."""
    mine = f"{shlex.quote(sys.executable)} -c 'from qwen_sft.cli import main; main()'"
    environment = {**os.environ, "COLUMNS": "100", "PYTHONPATH": str(ROOT)}
    line = command.replace("qwen-sft", mine, 1)
    made = subprocess.run(line, shell=True, cwd=folder, env=environment, text=True, capture_output=True)
    assert made.stdout, made.stderr
    return made.stdout
