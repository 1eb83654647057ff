"""`qwen_sft.Encoder` makes the rows that `qwen-sft build` writes, of records, batches, data sets and streams."""

import doctest
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets.fingerprint import Hasher

import qwen_sft
from qwen_sft.cli import main
from qwen_sft.errors import ModelError, UsageError
from qwen_sft.library import mapping

ROOT = Path(__file__).parents[1]
CLEAN = ROOT / "examples" / "clean.jsonl"
USER = {"role": "user", "content": "Weather in Oslo?"}
FINE = [USER, {"role": "assistant", "content": "I cannot look it up."}]
ORPHAN = [USER, {"role": "tool", "tool_call_id": "c9", "content": "4 degrees"}, {"role": "assistant", "content": "4."}]
WHY = "TOL003 $.messages[1].tool_call_id 'c9' answers no open call"

Row = dict[str, list[int]]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no settings file is, and with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def encoder() -> qwen_sft.Encoder:
    return qwen_sft.Encoder("qwen3")


@pytest.fixture
def loaded() -> datasets.Dataset:
    return datasets.load_dataset("json", data_files=str(CLEAN), split="train")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> datasets.Dataset:
    """What the command writes."""
    out = tmp_path_factory.mktemp("written") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["qwen-sft", "build", str(CLEAN), "--model", "qwen3", "--out", str(out)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code in (0, None)
    return datasets.Dataset.from_parquet(str(out / "data" / "*.parquet"), cache_dir=str(out.parent / "cache"))


@pytest.fixture(scope="module")
def meant(written: datasets.Dataset) -> list[Row]:
    """Of that the two columns that a trainer needs."""
    return list(written.select_columns(["input_ids", "labels"]))


def as_lists(batch: dict[str, list[Any]]) -> list[Row]:
    return [
        {"input_ids": list(ids), "labels": list(labels)}
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True)
    ]


def test_records_a_batch_a_data_set_and_a_stream_give_the_rows_that_build_writes(
    encoder: qwen_sft.Encoder, loaded: datasets.Dataset, meant: list[Row]
) -> None:
    records = [json.loads(line) for line in CLEAN.read_text().splitlines()]
    made = [row for one in encoder.encode(records) for row in one.rows]
    assert [{"input_ids": list(row.input_ids), "labels": list(row.labels)} for row in made] == meant

    names = sorted({name for record in records for name in record})
    assert as_lists(encoder({name: [record.get(name) for record in records] for name in names})) == meant

    stream = datasets.load_dataset("json", data_files=str(CLEAN), split="train", streaming=True)
    mapped = [
        encoder.map(loaded),
        encoder.map(loaded, num_proc=2),
        encoder.map(loaded, batch_size=2),
        loaded.map(encoder, batched=True, remove_columns=loaded.column_names),
        encoder.map(datasets.DatasetDict(train=loaded))["train"],
        encoder.map(loaded.to_iterable_dataset()),
        encoder.map(stream),
    ]
    for rows in mapped:
        assert list(rows) == meant
    assert mapped[0].features == mapped[5].features == encoder.features
    assert mapped[0].column_names == ["input_ids", "labels"]


def test_nulls_that_arrow_fills_in_are_not_taught(encoder: qwen_sft.Encoder) -> None:
    properties = {"city": {"type": "string"}, "unit": {"type": "string"}}
    parameters = {"type": "object", "properties": properties, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "weather", "parameters": parameters}}

    def sample(**arguments: str) -> dict[str, Any]:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}
        said = {"role": "assistant", "content": "", "tool_calls": [call]}
        result = {"role": "tool", "tool_call_id": "c1", "content": "4"}
        return {"messages": [USER, said, result, {"role": "assistant", "content": "4."}], "tools": [tool]}

    records = [sample(city="Oslo"), sample(city="Bergen", unit="C")]
    filled = datasets.Dataset.from_list(records)
    arguments = filled[0]["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert arguments == {"city": "Oslo", "unit": None}
    ours = [{"input_ids": list(row.input_ids)} for one in encoder.encode(records) for row in one.rows]
    for rows in (encoder.map(filled), encoder.map(filled.to_iterable_dataset())):
        assert [{"input_ids": row["input_ids"]} for row in rows] == ours
    lazily = filled.map(encoder, batched=True, remove_columns=filled.column_names)
    assert [{"input_ids": row["input_ids"]} for row in lazily] == ours


def test_a_record_without_rows_stops_the_work(encoder: qwen_sft.Encoder) -> None:
    with pytest.raises(qwen_sft.RejectedError) as stop:
        encoder({"messages": [FINE, ORPHAN]}, [40, 41])
    assert str(stop.value) == (
        f"record 41 gives no row: {WHY}; mend it, take it out, or choose on_rejected='drop' or 'mark'"
    )
    one, other = encoder.encode([{"messages": FINE}, {"messages": ORPHAN}])
    assert (bool(one), one.why, len(one.rows)) == (True, "", 1)
    assert (bool(other), other.why, other.rows) == (False, WHY, ())


def test_a_record_without_rows_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    dropping = qwen_sft.Encoder("qwen3", on_rejected="drop", columns=["n_tokens", "n_trained_tokens"])
    with caplog.at_level(logging.WARNING, "qwen_sft"):
        batch = dropping({"messages": [ORPHAN, FINE]})
    assert batch == {"n_tokens": [24], "n_trained_tokens": [11]}
    assert caplog.messages == [f"1 of 2 records give no row; the first is record 0: {WHY}"]


def test_a_record_without_rows_is_marked() -> None:
    marking = qwen_sft.Encoder("qwen3", on_rejected="mark", columns=["input_ids", "sample"])
    rows = marking.map(datasets.Dataset.from_dict({"messages": [ORPHAN, FINE]}))
    assert rows["rejected"] == [WHY, ""]
    assert [len(ids) for ids in rows["input_ids"]] == [0, 24]
    assert rows.features == marking.features


def test_every_column_has_the_type_and_the_values_that_build_writes(
    written: datasets.Dataset, loaded: datasets.Dataset
) -> None:
    every = qwen_sft.Encoder("qwen3", columns=mapping.COLUMNS)
    meant = written.select_columns(list(mapping.COLUMNS))
    rows = every.map(loaded)
    assert rows.column_names == meant.column_names
    assert rows.features == every.features == meant.features
    assert list(rows) == list(meant)


def test_an_encoder_is_its_settings(encoder: qwen_sft.Encoder) -> None:
    again = pickle.loads(pickle.dumps(encoder))
    assert as_lists(again({"messages": [FINE]})) == as_lists(encoder({"messages": [FINE]}))
    same, other = qwen_sft.Encoder("qwen3"), qwen_sft.Encoder("qwen3", train="calls")
    encoder({"messages": [FINE]})
    assert Hasher.hash(same) == Hasher.hash(encoder) != Hasher.hash(other)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"on_rejected": "skip"}, "on_rejected is 'skip'; it can be raise, drop, mark"),
        ({"columns": ["ids"]}, "columns are ['ids']; they can be a list of input_ids, labels, kinds, "),
        ({"columns": "labels"}, "columns are 'labels'; they can be a list of "),
        ({"max_lenght": 10}, "Encoder() sets 'max-lenght', which is no setting (nearest: 'max-length'); "),
    ],
)
def test_what_an_encoder_cannot_be_told(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as stop:
        qwen_sft.Encoder("qwen3", **arguments)
    assert str(stop.value).startswith(says)


def test_what_an_encoder_cannot_read(encoder: qwen_sft.Encoder) -> None:
    with pytest.raises(ModelError):
        qwen_sft.Encoder("./nowhere")
    with pytest.raises(UsageError, match=r"'traces.jsonl' is no record; qwen_sft.build reads files"):
        list(encoder.encode("traces.jsonl"))
    with pytest.raises(UsageError, match=r"a batch is a mapping of columns, not a 'list'; call encode for records"):
        encoder([{"messages": FINE}])
    (nan,) = encoder.encode([{"messages": FINE, "reward": float("nan")}])
    assert nan.why.startswith("SRC001 $ not JSON: the record has no JSON form: ")


def test_the_documented_examples_run() -> None:
    assert doctest.testmod(mapping).failed == 0
    assert doctest.testmod(mapping).attempted > 3


TRAINS = """
import sys, torch, qwen_sft
from datasets import load_dataset
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import SFTConfig, SFTTrainer
from qwen_sft.tokenizing.vocabulary import tokenizer_json
traces, out, streaming = sys.argv[1], sys.argv[2], sys.argv[3] == "stream"
rows = qwen_sft.Encoder("qwen3").map(load_dataset("json", data_files=traces, split="train", streaming=streaming))
sizes = dict(vocab_size=151936, hidden_size=16, intermediate_size=16, num_hidden_layers=1)
model = Qwen3ForCausalLM(Qwen3Config(**sizes, num_attention_heads=2, num_key_value_heads=1, head_dim=8))
tokenizer = PreTrainedTokenizerFast(
    tokenizer_file=str(tokenizer_json("qwen3")), eos_token="<|im_end|>", pad_token="<|endoftext|>"
)
config = SFTConfig(
    output_dir=out, max_length=4096, dataset_kwargs={"skip_prepare_dataset": True}, per_device_train_batch_size=1,
    max_steps=2, use_cpu=True, report_to="none", data_seed=0,
)
trainer = SFTTrainer(model, args=config, train_dataset=rows, processing_class=tokenizer)
meant = sorted((row["input_ids"], row["labels"]) for row in rows)
fed = sorted((b["input_ids"][0].tolist(), b["labels"][0].tolist()) for b in trainer.get_train_dataloader())
assert fed == meant, "the trainer changes the rows"
print(len(fed), trainer.train().training_loss > 0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["loaded", "stream"])
def test_trl_trains_on_mapped_rows_unchanged(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="trl is in the extra `bench`")
    command = [sys.executable, "-c", TRAINS, str(CLEAN), str(tmp_path), kind]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "5 True"
