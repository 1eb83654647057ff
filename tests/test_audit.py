"""`qwen-sft audit`: our own rows are clean in every mode, each planted fault is told as what it is, other tools' files
are read in their layouts."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import served_samples

from qwen_sft import __version__
from qwen_sft.auditing.audit import Audit, audit
from qwen_sft.auditing.batch import Batch
from qwen_sft.auditing.grammar import grammar
from qwen_sft.auditing.judge import judge
from qwen_sft.auditing.keys import Hasher
from qwen_sft.auditing.parts import FAULTS, GENERATED, NUMBER, Part
from qwen_sft.auditing.report import json_report, text_report
from qwen_sft.auditing.tally import Tally
from qwen_sft.encoding.encoder import Encoder
from qwen_sft.encoding.model import load_model
from qwen_sft.errors import ModelError
from qwen_sft.family import families
from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import expand
from qwen_sft.settings import Settings
from qwen_sft.tokens import Tokens
from tests.real import MODELS, TRACES, conversations, needs_real_data
from tests.test_lock import tokenizer as small_tokenizer

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas" / "audit.schema.json").read_text(encoding="utf-8"))
SHELF = families()
Row = dict[str, Any]


@cache
def model(name: str, thinking: Any = "auto") -> Any:
    return load_model(name, SHELF, thinking=thinking)


def found(result: Audit) -> dict[str, tuple[int, int]]:
    """The faults by name: in how many rows, and how many tokens."""
    return {count.fault.name: (count.n_rows, count.n_tokens) for count in result.found}


def audited(rows: list[Row], folder: Path, name: str = "qwen3", thinking: Any = "auto", **options: Any) -> Audit:
    """The audit of rows that are written as JSON Lines."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return audit(expand([str(file)]), model(name, thinking), {}, thinking, **options)


# -- a row by hand ----------------------------------------------------------------------------------------------------


class Piece(NamedTuple):
    """A piece of a row's text, encoded on its own."""

    name: str
    text: str
    trained: bool = False


def turn(role: str, text: str) -> list[Piece]:
    return [
        Piece(f"{role}-header", f"<|im_start|>{role}\n"),
        Piece(role, text),
        Piece(f"{role}-end", "<|im_end|>\n"),
    ]


def answer(**parts: str) -> list[Piece]:
    """An assistant's turn; what it says is trained, what its prompt writes (`prefill`) is not."""
    said = [Piece(name, text, name != "prefill") for name, text in parts.items()]
    header = [Piece("header", "<|im_start|>assistant"), Piece("header-newline", "\n")]
    return [*header, *said, Piece("stop", "<|im_end|>", True), Piece("after", "\n")]


CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>'
RESULT = turn("user", "<tool_response>\n4 degrees\n</tool_response>")
ASKED = [*turn("system", "Be brief."), *turn("user", "Weather in Oslo?")]
FIRST = answer(reasoning="<think>\nLook it up.\n</think>\n\n", content="Let me look.\n", call=CALL)
LAST = answer(content="It is 4 degrees.")
PIECES = [*ASKED, *FIRST, *(piece._replace(name=f"result-{piece.name}") for piece in RESULT), *LAST]


def row(pieces: list[Piece], name: str = "qwen3", **columns: Any) -> Row:
    """A row of pieces, with labels."""
    ids = [model(name).tokenizer.encode(piece.text).tolist() for piece in pieces]
    labels = [each if piece.trained else [-100] * len(each) for each, piece in zip(ids, pieces, strict=True)]
    return {"input_ids": list(chain(*ids)), "labels": list(chain(*labels)), **columns}


def size(text: str, name: str = "qwen3") -> int:
    return len(model(name).tokenizer.encode(text))


def flipped(*names: str, pieces: list[Piece] = PIECES) -> list[Piece]:
    """The pieces, some of them trained if they were not, or the other way round; the first of each name."""
    left = set(names)
    made: list[Piece] = []
    for piece in pieces:
        flip = piece.name in left
        left.discard(piece.name)
        made.append(piece._replace(trained=piece.trained != flip))
    assert not left
    return made


def test_row_by_hand_is_clean(tmp_path: Path):
    result = audited([row(PIECES)], tmp_path)
    assert (found(result), result.exit_code) == ({}, 0)
    tally = result.tally
    sums = {part.label: tally.confusion[part].tolist() for part in Part if tally.confusion[part].any()}
    assert sums == {
        "system": [0, 0, size("Be brief."), 0, 0],
        "user": [0, 0, size("Weather in Oslo?"), 0, 0],
        "result": [0, 0, size("<tool_response>\n4 degrees\n</tool_response>"), 0, 0],
        "scaffold": [0, 0, 3 * 5, 0, 0],
        "header": [0, 0, 2 * 2, 0, 0],
        "header-newline": [0, 0, 2, 0, 0],
        "reasoning": [size("<think>\nLook it up.\n</think>\n\n"), 0, 0, 0, 0],
        "content": [size("Let me look.\n") + size("It is 4 degrees."), 0, 0, 0, 0],
        "call": [size(CALL), 0, 0, 0, 0],
        "stop": [2, 0, 0, 0, 0],
        "trailing-newline": [0, 0, 2, 0, 0],
    }
    assert (tally.n_rows, tally.n_trained_answers, tally.asked.tolist()) == (1, 2, [2, 0])


# -- planted faults ---------------------------------------------------------------------------------------------------

FLIPPED = {
    "system": "system-trained",
    "user": "user-trained",
    "result-user": "result-trained",
    "user-header": "scaffold-trained",
    "system-end": "scaffold-trained",
    "header": "header-trained",
    "header-newline": "header-newline-trained",
    "after": "trailing-newline-trained",
    "reasoning": "reasoning-untrained",
    "content": "content-untrained",
    "call": "call-untrained",
    "stop": "stop-untrained",
}
"""What it is called if a piece is trained the other way round."""


@pytest.mark.parametrize("name", FLIPPED)
def test_piece_trained_the_other_way_round_is_one_fault_of_its_tokens(name: str, tmp_path: Path):
    (text,) = {piece.text for piece in PIECES if piece.name == name} - {"It is 4 degrees."}
    result = audited([row(PIECES), row(flipped(name))], tmp_path)
    assert found(result) == {FLIPPED[name]: (1, size(text))}
    assert [(one.line, one.n_wrong) for one in result.tally.worst(5)] == [(2, size(text))]
    assert result.exit_code == 1


def moved(step: int) -> Row:
    made = row(PIECES)
    return {**made, "labels": [*made["labels"][-step:], *made["labels"][:-step]]}


def moved_mask(step: int) -> Row:
    made = moved(step)
    return {"input_ids": made["input_ids"], "loss_mask": [int(label != -100) for label in made["labels"]]}


def without_stop() -> list[Piece]:
    at = next(i for i, piece in enumerate(PIECES) if piece.name == "stop")
    return PIECES[:at] + PIECES[at + 2 :]


def relabelled(place: int, label: int) -> Row:
    made = row(PIECES)
    made["labels"][place] = label
    return made


def prefilled(trained: bool, name: str) -> Row:
    pieces = [*ASKED, *answer(prefill="<think>\n", reasoning="Easy.\n</think>\n\n", content="4 degrees.")]
    return row(flipped("prefill", pieces=pieces) if trained else pieces, name)


def whole(text: str, start: int, name: str) -> Row:
    """A row of one text that is encoded at once, trained from a token on but for the newline at its end."""
    ids = model(name).tokenizer.encode(text).tolist()
    return {"input_ids": ids, "labels": [-100] * start + ids[start:-1] + [-100]}


MELTED = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n\nHello<|im_end|>\n"
N_ALL = len(row(PIECES)["input_ids"])
N_TRAINED = sum(label != -100 for label in row(PIECES)["labels"])
N_LAST = size("It is 4 degrees.") + 1
PLANTED: dict[str, tuple[Callable[[], Row], str, int]] = {
    "untrained-answer": (lambda: row([*ASKED, *FIRST, *RESULT, *flipped("content", "stop", pieces=LAST)]), "", N_LAST),
    "nothing-trained": (lambda: row([piece._replace(trained=False) for piece in PIECES]), "", N_TRAINED),
    "everything-trained": (lambda: row([piece._replace(trained=True) for piece in PIECES]), "", N_ALL - N_TRAINED),
    "foreign-label": (lambda: relabelled(-2, 7), "", 1),
    "shifted": (lambda: moved(-1), "", -1),
    "misaligned": (lambda: {**row(PIECES), "labels": [1]}, "", 1),
    "unreadable": (lambda: {**row(PIECES), "labels": "1 2 3"}, "", 1),
    "unknown-id": (lambda: row(PIECES) | {"input_ids": [10**6, *row(PIECES)["input_ids"][1:]]}, "", 1),
    "no-turns": (lambda: row([Piece("text", "Once upon a time.", True)]), "", size("Once upon a time.")),
    "outside-trained": (lambda: row([*PIECES, Piece("padding", "<|endoftext|>" * 3, True)]), "", 3),
    "missing-stop": (lambda: row(without_stop()), "", 1),
    "boundary-token-trained": (lambda: whole(MELTED, 8, "qwen2_5"), "qwen2_5", 1),
    "prefill-trained": (lambda: prefilled(True, "qwen3_5"), "qwen3_5", 2),
    "unserved-answer": (lambda: row([*ASKED, *LAST], "qwen3_5"), "qwen3_5", N_LAST),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_told_as_what_it_is_and_nothing_else(fault: str, tmp_path: Path):
    make, name, n_tokens = PLANTED[fault]
    result = audited([make()], tmp_path, name or "qwen3")
    if n_tokens < 0:
        ((kind, (n_rows, _)),) = found(result).items()
        assert (kind, n_rows) == (fault, 1)
    else:
        assert found(result) == {fault: (1, n_tokens)}
    assert result.exit_code == 1


def test_every_kind_of_fault_is_planted_once():
    assert sorted({*PLANTED, *FLIPPED.values()}) == sorted(NUMBER)
    assert len(NUMBER) == len(FAULTS)


@pytest.mark.parametrize("made", [moved(1), moved(-1), moved_mask(1), moved_mask(-1)])
def test_labels_and_masks_of_a_neighbour_are_shifted(made: Row, tmp_path: Path):
    assert list(found(audited([row(PIECES), made], tmp_path))) == ["shifted"]


def test_unknown_id_in_a_row_whose_mask_seems_moved_is_an_unknown_id(tmp_path: Path):
    made = row(flipped("header-newline", "stop"))
    made["input_ids"][0] = 10**6
    assert found(audited([made, row(PIECES)], tmp_path)) == {"unknown-id": (1, 1)}


def test_label_of_minus_one_is_no_label(tmp_path: Path):
    assert found(audited([relabelled(0, -1)], tmp_path)) == {"foreign-label": (1, 1)}


def test_faults_of_several_kinds_are_told_beside_each_other(tmp_path: Path):
    rows = [row(flipped("after", "header-newline")), row(flipped("after", "user")), row(PIECES)]
    n_user = size("Weather in Oslo?")
    result = audited(rows, tmp_path, allowed=frozenset({"user-trained"}))
    assert found(result) == {
        "user-trained": (1, n_user),
        "header-newline-trained": (1, 1),
        "trailing-newline-trained": (2, 2),
    }
    assert [count.fault.name for count in result.failing] == ["header-newline-trained", "trailing-newline-trained"]
    assert [one.line for one in result.tally.worst(24)] == [1, 2]
    assert [one.line for one in result.tally.worst(1)] == [1]


def test_token_over_the_edge_of_prompt_and_answer_need_not_be_trained(tmp_path: Path):
    assert found(audited([whole(MELTED, 9, "qwen2_5")], tmp_path, "qwen2_5")) == {}


# -- prompts ----------------------------------------------------------------------------------------------------------

EMPTY = "<think>\n\n</think>\n\n"


@pytest.mark.parametrize(
    ("name", "thinking", "asked", "faults"),
    [
        # The model writes the empty block itself, or the prompt has: both are ways to ask Qwen3.
        ("qwen3", "auto", [1, 1], {}),
        ("qwen3", "off", [2], {"prefill-trained": (1, 4)}),
        ("qwen3", "on", [2], {"reasoning-untrained": (1, 4)}),
        ("qwen3_5", "auto", [2, 0], {"prefill-trained": (1, 4)}),
        ("qwen3_5_nothink", "as-is", [2], {"prefill-trained": (1, 4)}),
    ],
)
def test_empty_think_block_is_judged_by_what_the_model_may_be_asked_with(
    name: str, thinking: str, asked: list[int], faults: dict[str, tuple[int, int]], tmp_path: Path
):
    rows = [
        row([*ASKED, *answer(prefill=EMPTY, content="4 degrees.")], name),
        row([*ASKED, *answer(reasoning=EMPTY, content="4 degrees.")], name),
    ]
    result = audited(rows, tmp_path, name, thinking)
    assert (found(result), result.tally.asked.tolist()) == (faults, asked)


def test_prompt_that_opens_a_block_is_no_part_of_the_answer(tmp_path: Path):
    result = audited([prefilled(False, "qwen3_5")], tmp_path, "qwen3_5")
    assert (found(result), result.tally.asked.tolist()) == ({}, [0, 1])
    assert [prompt.request for prompt in result.grammar.prompts] == ['{"enable_thinking": false}', "{}"]


# -- answers that are not trained -------------------------------------------------------------------------------------


def untrained(pieces: list[Piece]) -> list[Piece]:
    return [piece._replace(trained=False) for piece in pieces]


THANKS = turn("user", "Thanks. And Rome?")


def test_answer_that_another_row_trains_is_history(tmp_path: Path):
    said = answer(content="4 degrees.")
    rows = [row([*ASKED, *said], "qwen2_5"), row([*ASKED, *untrained(said), *THANKS, *LAST], "qwen2_5")]
    result = audited(rows, tmp_path, "qwen2_5")
    assert (found(result), result.tally.n_trained_elsewhere) == ({}, 1)
    alone = audited(rows[1:], tmp_path, "qwen2_5")
    assert found(alone) == {"untrained-answer": (1, size("4 degrees.") + 1)}
    assert alone.tally.n_untrained_answers == 1
    # The same words to another question are another answer.
    other = row([*turn("system", "Be brief."), *turn("user", "How warm?"), *said], "qwen2_5")
    assert list(found(audited([rows[1], other], tmp_path, "qwen2_5"))) == ["untrained-answer"]


def test_answer_that_lost_its_reasoning_as_history_is_the_one_that_another_row_trains(tmp_path: Path):
    reasoned = answer(prefill="<think>\n", reasoning="Hm.\n</think>\n\n", content="4 degrees.")
    bare = untrained(answer(content="4 degrees."))
    asked_again = answer(prefill=EMPTY, content="21 degrees.")
    rows = [row([*ASKED, *reasoned], "qwen3_5"), row([*ASKED, *bare, *THANKS, *asked_again], "qwen3_5")]
    result = audited(rows, tmp_path, "qwen3_5")
    assert (found(result), result.tally.n_history, result.tally.n_rewritten) == ({}, 1, 0)
    # Where the block is left in, the answer could be trained there, and the next one stands behind another history.
    kept = row([*ASKED, *untrained(reasoned), *THANKS, *asked_again], "qwen3_5")
    result = audited([rows[0], kept], tmp_path, "qwen3_5")
    assert (found(result), result.tally.n_trained_elsewhere, result.tally.n_rewritten) == ({}, 1, 1)


def test_greeting_that_nobody_asked_for_need_not_be_trained(tmp_path: Path):
    greeting = [*turn("system", "Be brief."), *untrained(answer(content="Hello.")), *turn("user", "Hi"), *LAST]
    result = audited([row(greeting, "qwen2_5")], tmp_path, "qwen2_5")
    assert (found(result), result.tally.n_history) == ({}, 1)


# -- rows that are cut, padded and packed -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_left_out", range(1, N_LAST + 2))
def test_row_that_is_cut_in_its_last_answer_is_clean(n_left_out: int, tmp_path: Path):
    made = {name: numbers[: -n_left_out - 1] for name, numbers in row(PIECES).items()}
    result = audited([made], tmp_path)
    cut_inside = 0 < n_left_out < N_LAST
    assert (found(result), result.tally.n_cut) == ({}, int(cut_inside))


def test_tokens_before_the_first_turn_are_not_judged(tmp_path: Path):
    rest = [Piece("rest", "and so on.", True), Piece("stop", "<|im_end|>", True), Piece("after", "\n")]
    result = audited([row([*rest, *PIECES])], tmp_path)
    assert (found(result), result.tally.n_unjudged) == ({}, size("and so on.") + 1)


PACKED = [*PIECES, *turn("user", "Hi"), *answer(content="Hello."), *ASKED, *FIRST]
N_EACH = [N_ALL, size("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n")]
LENGTHS = [*N_EACH, len(row(PACKED)["input_ids"]) - sum(N_EACH)]
PACKINGS = {
    "nothing": {},
    "seq_lengths": {"seq_lengths": LENGTHS},
    "position_ids": {"position_ids": [i for n in LENGTHS for i in range(n)]},
    "attention_mask": {"attention_mask": [number for number, n in enumerate(LENGTHS, 1) for _ in range(n)]},
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_packed_conversations_are_judged_one_by_one(packing: str, tmp_path: Path):
    """Where nothing tells, only a system turn does: the second one seems to follow the first one's think block."""
    result = audited([row(PACKED, **PACKINGS[packing])], tmp_path)
    n_rewritten = 1 if packing == "nothing" else 0
    assert (found(result), result.tally.n_trained_answers, result.tally.n_rewritten) == ({}, 4, n_rewritten)


def test_conversation_that_a_packed_row_cuts_ends_where_the_row_says(tmp_path: Path):
    """The second conversation begins within the first one's last answer; without the lengths nothing would tell."""
    cut = [*PIECES[:-2], *turn("user", "Hi"), *answer(content="Hello.")]
    n_first = N_ALL - 2
    lengths = [n_first, len(row(cut)["input_ids"]) - n_first]
    assert found(audited([row(cut)], tmp_path)) == {"missing-stop": (1, 1)}
    result = audited([row(cut, seq_lengths=lengths)], tmp_path)
    assert (found(result), result.tally.n_cut) == ({}, 1)


@pytest.mark.parametrize("told", [{"seq_lengths": [3]}, {"position_ids": [0, 1]}])
def test_packing_that_does_not_fit_the_row_is_misaligned(told: Row, tmp_path: Path):
    result = audited([row(PIECES, **told)], tmp_path)
    assert found(result) == {"misaligned": (1, 1)}
    ((_, broken),) = result.tally.told
    assert broken.says == f"{next(iter(told))} does not fit {N_ALL} input_ids"


# -- files ------------------------------------------------------------------------------------------------------------


def masked(made: Row, column: str) -> Row:
    return {"input_ids": made["input_ids"], column: [int(label != -100) for label in made["labels"]]}


ROWS = [row(PIECES), row(flipped("after")), row([*ASKED, *LAST])]
EXPECTED = {"trailing-newline-trained": (1, 1)}


def of_parquet(folder: Path, rows: list[Row]) -> str:
    pq.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet", row_group_size=2)
    return "rows.parquet"


def of_narrow_parquet(folder: Path, rows: list[Row]) -> str:
    schema = pa.schema(
        [("id", pa.string()), ("input_ids", pa.list_(pa.int32())), ("labels", pa.large_list(pa.int32()))]
    )
    pq.write_table(pa.Table.from_pylist([{"id": "a", **one} for one in rows], schema), folder / "rows.parquet")
    return "rows.parquet"


def of_masks(folder: Path, rows: list[Row]) -> str:
    """As TRL's own tokenization leaves it; the mask is of booleans."""
    made = [{**one, "assistant_masks": [label != -100 for label in one.pop("labels")]} for one in map(dict, rows)]
    schema = pa.schema([("input_ids", pa.list_(pa.int64())), ("assistant_masks", pa.list_(pa.bool_()))])
    pq.write_table(pa.Table.from_pylist(made, schema), folder / "rows.parquet")
    return "rows.parquet"


def of_axolotl(folder: Path, rows: list[Row]) -> str:
    """As `axolotl preprocess` leaves it: one dataset, saved to disk."""
    from datasets import Dataset

    made = [
        {
            **one,
            "attention_mask": [1] * len(one["input_ids"]),
            "length": len(one["input_ids"]),
            "position_ids": list(range(len(one["input_ids"]))),
        }
        for one in rows
    ]
    Dataset.from_list(made).save_to_disk(str(folder / "prepared" / "0a1b"))
    return "prepared"


def of_llama_factory(folder: Path, rows: list[Row]) -> str:
    """As LLaMA-Factory's `tokenized_path` has it: splits, saved to disk, with columns for media that are empty."""
    from datasets import Dataset, DatasetDict

    made = [
        {"input_ids": one["input_ids"], "attention_mask": [1] * len(one["input_ids"]), "labels": one["labels"]}
        | {"images": None, "videos": None, "audios": None}
        for one in rows
    ]
    splits = {"train": Dataset.from_list(made[:2]), "validation": Dataset.from_list(made[2:])}
    DatasetDict(splits).save_to_disk(str(folder / "tokenized"))
    return "tokenized"


def of_shards(folder: Path, rows: list[Row]) -> str:
    from datasets import Dataset

    Dataset.from_list(rows).save_to_disk(str(folder / "saved"), num_shards=3)
    return "saved"


def of_json_lines(folder: Path, rows: list[Row]) -> str:
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(one) + "\n" for one in rows).encode()))
    return "rows.jsonl.gz"


def of_json_masks(folder: Path, rows: list[Row]) -> str:
    lines = [json.dumps(masked(one, column)) for one, column in zip(rows, ["completion_mask"] * 3, strict=True)]
    (folder / "rows.json").write_text(f"[{', '.join(lines)}]")
    return "rows.json"


LAYOUTS = {
    "parquet": (of_parquet, {"labels": 3}),
    "narrow-parquet": (of_narrow_parquet, {"labels": 3}),
    "masks": (of_masks, {"assistant_masks": 3}),
    "axolotl": (of_axolotl, {"labels": 3}),
    "llama-factory": (of_llama_factory, {"labels": 3}),
    "shards": (of_shards, {"labels": 3}),
    "json-lines": (of_json_lines, {"labels": 3}),
    "json-masks": (of_json_masks, {"completion_mask": 3}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_read_in_every_layout(layout: str, tmp_path: Path):
    write, columns = LAYOUTS[layout]
    result = audit(expand([str(tmp_path / write(tmp_path, ROWS))]), model("qwen3"), {}, "auto")
    assert (found(result), result.tally.n_rows, result.tally.columns) == (EXPECTED, 3, columns)
    assert result.tally.n_tokens == sum(len(one["input_ids"]) for one in ROWS)


def test_rows_that_differ_in_their_columns_are_judged_by_what_they_have(tmp_path: Path):
    rows = [ROWS[0], masked(ROWS[1], "loss_mask"), row(PACKED, seq_lengths=LENGTHS), masked(ROWS[2], "assistant_mask")]
    result = audited(rows, tmp_path)
    assert (found(result), result.tally.n_rows) == (EXPECTED, 4)
    assert result.tally.columns == Counter(labels=2, loss_mask=1, assistant_mask=1)


def test_mask_can_be_chosen(tmp_path: Path):
    both = {**row(PIECES), "mine": [0.5 if label != -100 else 0.0 for label in row(flipped("user"))["labels"]]}
    assert found(audited([both], tmp_path)) == {}
    assert found(audited([both], tmp_path, mask="mine")) == {"user-trained": (1, size("Weather in Oslo?"))}


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (pa.array(["1 2"]), "labels is a column of string, and should be one of lists of integers"),
        (pa.array([[1, None]]), "labels holds nulls"),
        (pa.array([["a"]]), "labels is a column of list<item: string>, and should be one of lists of integers"),
    ],
)
def test_column_that_is_no_list_of_numbers_is_unreadable(made: pa.Array, says: str, tmp_path: Path):
    pq.write_table(pa.table({"input_ids": pa.array([[1, 2]]), "labels": made}), tmp_path / "rows.parquet")
    result = audit(expand([str(tmp_path)]), model("qwen3"), {}, "auto")
    assert (found(result), result.tally.told[0][1].says) == ({"unreadable": (1, 1)}, says.replace("item", "element"))


def test_batches_hold_a_bounded_number_of_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from qwen_sft.auditing import rows as reading

    monkeypatch.setattr(reading, "_MOST_TOKENS", 2 * N_ALL)
    name = of_parquet(tmp_path, [row(PIECES)] * 7)
    (source,) = expand([str(tmp_path / name)])
    made = list(reading.batches(source, None))
    assert [one.lines.tolist() for one in made] == [[1, 2], [3, 4], [5, 6], [7]]
    assert found(audit([source], model("qwen3"), {}, "auto")) == {}


# -- any tokens at all ------------------------------------------------------------------------------------------------

ODD = ("<|im_start|>", "<|im_end|>", "assistant", "user", "system", "\n", "\n\n", " \n", "Hi", "<think>", "</think>")
ODD = (*ODD, "<tool_call>", "</tool_call>", "<tool_response>", "<|endoftext|>", "assist")


@st.composite
def odd_rows(draw: st.DrawFn) -> list[Row]:
    """Rows of tokens in any order, with any mask; some are packed."""
    made: list[Row] = []
    for _ in range(draw(st.integers(1, 4))):
        texts = draw(st.lists(st.sampled_from(ODD), min_size=1, max_size=24))
        one = row([Piece("odd", text, draw(st.booleans())) for text in texts])
        n = len(one["input_ids"])
        cut = draw(st.integers(0, n - 1))
        packing = {"seq_lengths": [cut, n - cut]} if cut else {"position_ids": list(range(n))}
        made.append({**one, **(packing if draw(st.booleans()) else {})})
    return made


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_nothink", "qwen2_5"])
def test_every_token_of_any_row_is_judged_once(name: str, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("odd")

    @settings(max_examples=80, deadline=None)
    @given(odd_rows())
    def holds(rows: list[Row]) -> None:
        result = audited(rows, folder, name)
        tally = result.tally
        whole = {"shifted", "no-turns", "unknown-id"} & set(found(result))
        n_tokens = sum(len(one["input_ids"]) for one in rows)
        assert tally.n_tokens == n_tokens
        judged = int(tally.confusion.sum())
        assert judged == n_tokens if not whole else judged < n_tokens
        wrong = int(tally.confusion[:, [1, 3]].sum()) - int(tally.confusion[Part.BEFORE, 1])
        if not whole and "missing-stop" not in found(result):
            # What no row trains counts besides, and so does a row of which nothing is.
            told = {name: n for name, (_, n) in found(result).items()}
            others = {"untrained-answer", "nothing-trained", "everything-trained"}
            assert sum(n for name, n in told.items() if name not in others) <= wrong
            assert bool(wrong) <= bool(told)
        for one in tally.worst(24):
            assert one.n_wrong > 0
        jsonschema.validate(json.loads(json.dumps(json_report(result, 24))), SCHEMA)
        assert list(text_report(result, 24, colour=True, width=100))

    holds()


# -- our own rows -----------------------------------------------------------------------------------------------------

MODES = [
    *({"model": name} for name in SHELF),
    *({"model": name, "thinking": "as-is"} for name in ("qwen3_5", "qwen3_5_nothink", "qwen3_6", "qwen3_8")),
    *({"model": name, "thinking": "on"} for name in ("qwen3", "qwen3_5_nothink", "qwen3_8", "qwq")),
    *({"model": name, "thinking": "off"} for name in ("qwen2_5", "qwen3", "qwen3_5", "qwen3_6", "qwen3_8")),
    *({"model": name, "boundary": "text"} for name in ("qwen2_5", "qwen3", "qwen3_5")),
    {"model": "qwen3_6", "chat_template_kwargs": {"preserve_thinking": True}},
]


@cache
def encoder(mode: str) -> Encoder:
    return Encoder(Settings(**json.loads(mode)), SHELF)


def encoded(sample: Any, mode: str) -> list[Tokens]:
    origins = [("messages", i) for i in range(len(sample["messages"]))]
    (made,) = encoder(mode).encode([(Conversation(sample, origins), False)])
    return list(made.rows)


def judged(rows: list[Tokens], mode: str) -> tuple[Tally, np.ndarray]:
    """The tally of rows, and the mask that their tokens ask for."""
    given = json.loads(mode)
    spoken = grammar(encoder(mode).model, given.get("chat_template_kwargs", {}), given.get("thinking", "auto"))
    sizes = [len(one.input_ids) for one in rows]
    batch = Batch(
        "rows",
        "labels",
        np.arange(1, len(rows) + 1),
        np.concatenate([one.input_ids for one in rows]).astype(np.int64),
        np.append(0, np.cumsum(sizes)),
        np.concatenate([one.loss_mask for one in rows]),
        np.concatenate([one.labels for one in rows]),
    )
    verdict = judge(batch, spoken, Hasher(spoken.n_ids))
    tally = Tally(len(spoken.prompts))
    tally.add(verdict)
    return tally, verdict.turns.expected


ORDINARY = ("<|", "think>", "tool_call>", "tool_response>")


@pytest.mark.parametrize("mode", [json.dumps(mode) for mode in MODES])
def test_our_own_rows_are_clean_whatever_is_said(mode: str):
    """Content that poses as control is left out: `validate` rejects it, and no token tells it from the real thing."""

    @settings(max_examples=12, deadline=None)
    @given(served_samples().filter(lambda sample: not any(mark in json.dumps(sample) for mark in ORDINARY)))
    def holds(sample: Any) -> None:
        rows = encoded(sample, mode)
        if rows:
            tally, _ = judged(rows, mode)
            assert ([count.fault.name for count in tally.counts()], tally.n_rewritten) == ([], 0)

    holds()


@pytest.mark.parametrize(("name", "needs_query"), [("qwen2_5", False), ("qwen3_6", True), ("qwen3_8", True)])
def test_answer_to_a_tool_before_any_user_is_no_fault_where_no_server_can_be_asked_for_it(name: str, needs_query: bool):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {}}}
    turns = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "content": "It is 4."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "That is all."},
    ]
    mode = json.dumps({"model": name, "thinking": "off"} if needs_query else {"model": name})
    rows = encoded({"messages": turns}, mode)
    assert [row.turns for row in rows] == ([(4,)] if needs_query else [(2, 4)])
    only_last = [replace(row, loss_mask=row.loss_mask & (row.messages == 4)) for row in rows]
    tally, _ = judged(only_last, mode)
    assert [count.fault.name for count in tally.counts()] == ([] if needs_query else ["untrained-answer"])


@pytest.mark.parametrize("name", SHELF)
def test_examples_are_clean_and_the_mask_recovered_is_ours(name: str):
    mode = json.dumps({"model": name})
    files = [ROOT / "examples" / file for file in ("clean.jsonl", "thinking.jsonl")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    rows = [row for line in lines for row in encoded(_sample(json.loads(line)), mode)]
    tally, expected = judged(rows, mode)
    assert tally.counts() == []
    trained = np.concatenate([one.loss_mask for one in rows])
    assert bool((expected | ~trained).all())  # all that is trained should be
    kinds = sum(tally.confusion[part] for part in GENERATED)
    assert int(kinds[0]) == int(trained.sum()) > 300


def _sample(record: Any) -> Any:
    """A record of the examples as a sample: its arguments as objects, and content as text."""
    for message in record["messages"]:
        message["content"] = message.get("content") or ""
        for call in message.get("tool_calls", []):
            arguments = call["function"]["arguments"]
            call["function"]["arguments"] = json.loads(arguments) if isinstance(arguments, str) else arguments
    return record


# -- the command ------------------------------------------------------------------------------------------------------


def write(rows: list[Row], name: str = "rows.jsonl") -> str:
    Path(name).write_text("".join(json.dumps(one) + "\n" for one in rows))
    return name


SMALL = [*turn("user", "Hi"), *answer(content="Hello.")]


def test_build_of_ours_is_clean(run: Any):
    for name in ("clean.jsonl", "thinking.jsonl"):
        Path(name).write_bytes((ROOT / "examples" / name).read_bytes())
    assert run("build", "clean.jsonl", "thinking.jsonl", "--model", "qwen3", "--out", "dataset").code == 0
    ran = run("audit", "dataset/data", "--model", "qwen3")
    assert ran.code == 0
    assert ran.out.startswith(
        "7 rows in 1 file, judged by labels: 3,474 tokens, 865 trained, 865 of them rightly\n"
        "trained answers behind the prompt '<|im_start|>assistant\\n', as {} asks for it: 19\n"
    )
    # The folder as a whole has records beside the rows, which are told.
    ran = run("audit", "dataset", "--model", "qwen3", "--max-rows", "0")
    assert ran.code == 0
    assert "\nnot judged: 1 record of dataset/manifest.json: no input_ids\n" in ran.out


@pytest.mark.parametrize(
    ("flags", "n_rows"), [(["--pack", "2000"], 2), (["--writer", "hf"], 7), (["--writer", "axolotl_tokenized"], 7)]
)
def test_other_forms_of_our_rows_are_clean(run: Any, flags: list[str], n_rows: int):
    for name in ("clean.jsonl", "thinking.jsonl"):
        Path(name).write_bytes((ROOT / "examples" / name).read_bytes())
    assert run("build", "clean.jsonl", "thinking.jsonl", "--model", "qwen3", "--out", "dataset", *flags).code == 0
    ran = run("audit", "dataset/data", "--model", "qwen3", "--output-format", "json")
    report = json.loads(ran.out)
    assert (ran.code, report["n_rows"], report["n_trained_tokens"]) == (0, n_rows, 865)
    assert report["answers"]["trained"] == 19 and report["answers"]["behind_rewritten_history"] == 0


def test_report_tells_faults_parts_and_worst_rows(run: Any):
    file = write([row(flipped("user", "after", pieces=SMALL)), row(SMALL)])
    ran = run("audit", file, "--model", "qwen3")
    assert (ran.code, ran.err) == (1, "")
    assert (
        ran.out
        == """\
2 rows in 1 file, judged by labels: 26 tokens, 8 trained, 6 of them rightly
trained answers behind the prompt '<|im_start|>assistant\\n', as {} asks for it: 2

fault                          rows      tokens  what
user-trained                      1           1  a user's words are trained
trailing-newline-trained          1           1  the newline behind a stop token is trained; no model gets to write it

part                trained  wrongly  not trained  wrongly  in answers left out
user                      -        1            1        -                    -
scaffold                  -        -           10        -                    -
header                    -        -            4        -                    -
header-newline            -        -            2        -                    -
content                   4        -            -        -                    -
stop                      2        -            -        -                    -
trailing-newline          -        1            1        -                    -

1 of the worst rows; T is trained, ! is wrong, ⏎ a newline:

rows.jsonl:1 13 tokens, 5 trained: user-trained 1, trailing-newline-trained 1
   scaffold          <|im_start|>│user│⏎│
T! user              Hi│
   scaffold          <|im_end|>│⏎│
   header            <|im_start|>│assistant│
   header-newline    ⏎│
T  content           Hello│.│
T  stop              <|im_end|>│
T! trailing-newline  ⏎│

fix user-trained: leave it out of the mask: labels of -100 there

fix trailing-newline-trained: leave it out of the mask: labels of -100 there
"""
    )


def test_json_report_is_whole(run: Any):
    file = write([row(flipped("after", pieces=SMALL)), row(SMALL), {"input_ids": [1], "labels": []}, {"text": "a"}])
    ran = run("audit", file, "--model", "qwen3", "--output-format", "json", "--allow", "misaligned", "--max-rows", "1")
    assert (ran.code, ran.err) == (1, "")
    report = json.loads(ran.out)
    parts = {"trained_rightly": 0, "trained_wrongly": 0, "untrained_rightly": 0, "untrained_wrongly": 0}
    parts["in_untrained_answers"] = 0
    faults = {fault.name: fault for fault in FAULTS}
    newline, misaligned = faults["trailing-newline-trained"], faults["misaligned"]
    stretch = {"trained": True, "fault": ""}
    jsonschema.validate(report, SCHEMA)
    assert report == {
        "qwen_sft": __version__,
        "model": "qwen3",
        "exit_code": 1,
        "n_files": 1,
        "n_rows": 3,
        "n_tokens": 26,
        "n_trained_tokens": 7,
        "columns": {"labels": 2},
        "not_judged": [{"file": file, "says": "no input_ids", "n_records": 1}],
        "faults": [
            {"name": "misaligned", "says": misaligned.says, "fix": misaligned.fix, "allowed": True}
            | {"n_rows": 1, "n_tokens": 1},
            {"name": "trailing-newline-trained", "says": newline.says, "fix": newline.fix, "allowed": False}
            | {"n_rows": 1, "n_tokens": 1},
        ],
        "confusion": {
            "user": {**parts, "untrained_rightly": 2},
            "scaffold": {**parts, "untrained_rightly": 10},
            "header": {**parts, "untrained_rightly": 4},
            "header-newline": {**parts, "untrained_rightly": 2},
            "content": {**parts, "trained_rightly": 4},
            "stop": {**parts, "trained_rightly": 2},
            "trailing-newline": {**parts, "trained_wrongly": 1, "untrained_rightly": 1},
        },
        "prompts": [
            {"request": "{}", "prompt": "<|im_start|>assistant\n", "n_trained_answers": 2},
            {"request": '{"enable_thinking": false}', "prompt": f"<|im_start|>assistant\n{EMPTY}"}
            | {"n_trained_answers": 0},
        ],
        "answers": {
            "trained": 2,
            "only_history": 0,
            "trained_in_another_row": 0,
            "untrained": 0,
            "cut_off": 0,
            "behind_rewritten_history": 0,
        },
        "n_unjudged_tokens": 0,
        "unreadable": [
            {"file": file, "line": 3, "fault": "misaligned", "says": "1 input_ids and 0 in labels"},
        ],
        "worst": [
            {
                "file": file,
                "line": 1,
                "n_tokens": 13,
                "n_trained_tokens": 4,
                "faults": {"trailing-newline-trained": 1},
                "stretches": [
                    {**stretch, "start": 9, "end": 11, "part": "content", "text": "Hello."},
                    {**stretch, "start": 11, "end": 12, "part": "stop", "text": "<|im_end|>"},
                    {**stretch, "start": 12, "end": 13, "part": "trailing-newline", "text": "⏎"}
                    | {"fault": "trailing-newline-trained"},
                ],
            }
        ],
    }


def test_allowed_faults_are_told_and_pass(run: Any):
    file = write([row(flipped("after", pieces=SMALL)), row([*SMALL, *turn("user", "?"), *untrained(LAST)], "qwen3")])
    ran = run("audit", file, "--model", "qwen3", "--allow", "trailing-newline-trained,untrained-answer")
    assert (ran.code, ran.err) == (0, "")
    assert "the newline behind a stop token is trained; no model gets to write it (allowed)\n" in ran.out
    assert "a whole answer is trained in no row (allowed)\n" in ran.out
    assert "\nfix " not in ran.out
    assert run("audit", file, "--model", "qwen3", "--allow", "untrained-answer").code == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["rows.jsonl"], "no model is named; name one with --model, see: qwen-sft models"),
        (["none.jsonl", "--model", "qwen3"], "no file 'none.jsonl'; name a file, a directory, a glob or - for stdin"),
        (["rows.jsonl", "--model", "qwen3", "--output-format", "csv"], "no output format 'csv'; it can be full, json"),
        (["rows.jsonl", "--model", "qwen3", "--allow", "noise"], f"no fault 'noise' to allow; {', '.join(NUMBER)}"),
    ],
)
def test_what_cannot_run_exits_with_2(run: Any, arguments: list[str], says: str):
    write([row(SMALL)])
    ran = run("audit", *arguments)
    assert (ran.code, ran.out, ran.err) == (2, "", f"qwen-sft: {says.replace('allow; ', 'allow; there are ')}\n")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"messages": []}], "no input_ids"),
        (
            [{"input_ids": [1, 2]}],
            "input_ids without any of labels, assistant_masks, assistant_mask, completion_mask, loss_mask",
        ),
        ([], ""),
    ],
)
def test_nothing_judged_exits_with_3(run: Any, rows: list[Row], says: str):
    ran = run("audit", write(rows), "--model", "qwen3")
    assert ran.code == 3
    assert ran.err == "qwen-sft: no row could be judged; rows need input_ids and labels, or a mask named by --mask\n"
    assert (f"not judged: 1 record of rows.jsonl: {says}\n" in ran.out) is bool(says)


def test_damaged_file_is_told(run: Any):
    Path("rows.parquet").write_bytes(b"PAR1 and no more")
    ran = run("audit", "rows.parquet", "--model", "qwen3")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("qwen-sft: 'rows.parquet' is no Parquet file: ")


def test_hostile_text_is_escaped(run: Any):
    hostile = [*turn("user", "\x1b[2Jred\u202e"), *answer(content="Hello.")]
    ran = run("audit", write([row(flipped("user", pieces=hostile))]), "--model", "qwen3")
    assert ran.code == 1
    assert "\x1b" not in ran.out and "\u202e" not in ran.out
    assert "\\x1b" in ran.out


def test_template_without_such_turns_is_refused(run: Any):
    folder = Path("other")
    folder.mkdir()
    template = "{% for m in messages %}[{{ m.role }}]{{ m.content }}<|im_end|>{% endfor %}"
    (folder / "chat_template.jinja").write_text(template + "{% if add_generation_prompt %}[assistant]{% endif %}")
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|im_end|>"}')
    (folder / "tokenizer.json").write_text(json.dumps(small_tokenizer()))
    ran = run("audit", write([row(SMALL)]), "--model", "other")
    assert (ran.code, ran.out) == (2, "")
    assert "'[assistant]'; an audit reads turns that begin with '<|im_start|>assistant\\n'" in ran.err


def test_tokenizer_without_control_tokens_is_refused():
    from dataclasses import replace

    one = model("qwen2_5")
    bare = replace(one, tokenizer=replace(one.tokenizer, added_tokens={}))
    with pytest.raises(ModelError, match=r"has no <\|im_start\|>; an audit reads turns between such tokens"):
        audit([], bare, {}, "auto")


# -- real traces ------------------------------------------------------------------------------------------------------


@needs_real_data
@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_coder"])
def test_our_rows_of_real_traces_are_clean(name: str):
    mode = json.dumps({"model": name})
    rows = [one for conversation in conversations("tau-bench") for one in encoded(conversation.sample, mode)]
    tally, _ = judged(rows, mode)
    assert (tally.counts(), tally.n_rewritten, tally.n_trained_answers) == ([], 0, 360)


TRL = """
import json, sys
from pathlib import Path
import datasets, transformers, trl
rows, folder, out = (Path(name) for name in sys.argv[1:])
tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
config = transformers.Qwen3Config(
    vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
    num_attention_heads=1, num_key_value_heads=1, head_dim=8,
)
arguments = trl.SFTConfig(
    output_dir=str(out / "trainer"), assistant_only_loss=True, max_length=None, report_to="none",
    use_cpu=True, bf16=False,
)
features = datasets.Features({"messages": datasets.List(datasets.Json()), "tools": datasets.List(datasets.Json())})
given = datasets.Dataset.from_list([json.loads(line) for line in rows.open()], features=features)
trainer = trl.SFTTrainer(
    model=transformers.Qwen3ForCausalLM(config), args=arguments, train_dataset=given, processing_class=tokenizer
)
trainer.train_dataset.save_to_disk(str(out / "prepared"))
"""
TRL_FAULTS = {
    "qwen2_5": {"header-newline-trained": (29, 360), "trailing-newline-trained": (29, 360)},
    "qwen3": {"trailing-newline-trained": (29, 360)},
    "qwen3_5": {"prefill-trained": (29, 4 * 360), "trailing-newline-trained": (29, 360)},
}
"""What TRL 1.16 trains wrongly in 29 conversations of tau-bench with 360 answers, none of which reasons."""


@pytest.mark.slow
@needs_real_data
@pytest.mark.parametrize("name", [*TRL_FAULTS, "qwen3_coder"])
def test_what_trl_makes_of_real_traces_has_these_faults_and_no_others(name: str, tmp_path: Path):
    pytest.importorskip("trl", reason="trl is in the extra `bench`")
    from qwen_sft.tokenizing.vocabulary import tokenizer_json

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").symlink_to(tokenizer_json(SHELF[name].vocabulary))
    template = json.loads((MODELS / name / "tokenizer_config.json").read_text(encoding="utf-8"))["chat_template"]
    config = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    rows = tmp_path / "rows.jsonl"
    samples = [conversation.sample for conversation in conversations("tau-bench")]
    assert len(samples) == 29 and TRACES.is_dir()
    lines = [json.dumps({"messages": one["messages"], "tools": one.get("tools", [])}) for one in samples]
    rows.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-c", TRL, str(rows), str(folder), str(tmp_path)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if name not in TRL_FAULTS:  # it has no template of its own for these, and says so
        assert done.returncode == 1 and "is not training-compatible" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    result = audit(expand([str(tmp_path / "prepared")]), model(name), {}, "auto")
    assert (found(result), result.tally.n_trained_answers) == (TRL_FAULTS[name], 360)
    if name == "qwen3":  # its blocks are the model's own where thinking is on, and the prompt's where it is off
        off = audit(expand([str(tmp_path / "prepared")]), model(name, "off"), {}, "off")
        assert found(off) == {"prefill-trained": (29, 4 * 360), "trailing-newline-trained": (29, 360)}
