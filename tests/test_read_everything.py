"""What holds for every format: the same commands work, and how a trace is spelled does not change its samples."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from reading import EXAMPLES, FORMATS, example_files, recognised, records_of, schema

from qwen_sft.building.build import build
from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import expand
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.running.convert import convert
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped
from qwen_sft.writer import writers

every_format = pytest.mark.parametrize("kind", FORMATS)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def samples(kind: str, record: Any) -> list[Any]:
    return [found.sample for found in FORMATS[kind].read(record).conversations]


@every_format
def test_convert_validate_and_build_take_the_same_examples(kind: str, tmp_path: Path):
    """And the samples that `convert` writes give the same rows as the traces that it read."""
    raw = [str(path) for path in example_files(kind)]
    converted = str(tmp_path / "samples.jsonl")
    settings = Settings(
        model="qwen3", trailing_calls="keep", verify="all", media="placeholder", control_tokens="as-text"
    )
    n_samples = len(lines(EXAMPLES / kind / "samples.jsonl")) - (kind == "sharegpt")  # whose third is broken
    totals = convert(
        expand(raw), Settings(select=("SRC", "SCH"), trailing_calls="keep", media="placeholder"), converted
    )
    assert totals.n_samples == n_samples
    checked = list(outcomes(expand([converted]), Pipeline(Settings(format="openai_chat"))))
    assert sum(len(outcome.conversations) for outcome in checked) == totals.n_samples
    rows: list[int] = []
    for name, paths in (("traces", raw), ("samples", [converted])):
        manifest, _ = build(paths, settings, tmp_path / name, writers()["parquet"])
        rows.append(manifest["rows"]["n_trained_tokens"])
        assert manifest["verified"]["n_disagreements"] == 0
    assert rows[0] > 0
    if not totals.n_rejected:
        assert rows[1] >= rows[0]


def respelled(value: Any, key: str = "") -> Any:
    """The value with every call's arguments that stand as JSON text spelled otherwise."""
    if isinstance(value, dict):
        return {k: respelled(inner, k) for k, inner in value.items()}
    if isinstance(value, list):
        return [respelled(inner, key) for inner in value]
    if key == "arguments" and isinstance(value, str) and value.strip()[:1] == "{":
        try:
            return json.dumps(json.loads(value), indent=1, ensure_ascii=True)
        except ValueError:
            return value
    return value


@every_format
def test_arguments_spelled_otherwise_give_the_same_samples(kind: str):
    for record in records_of(*example_files(kind)):
        other = respelled(record.data)
        assert recognised(other) == [kind]
        assert samples(kind, other) == samples(kind, record.data)


@every_format
def test_results_in_any_order_give_the_same_sample_to_train_on(kind: str):
    """Results that name their call by an id which is unique in the turn; those without one are matched by position."""
    chance = random.Random(0)
    for record in records_of(*example_files(kind)):
        for found in FORMATS[kind].read(record.data).conversations:
            if schema().is_valid(found.sample):
                assert shape(shuffled(found, chance)) == shape(found)


def shuffled(found: Conversation, chance: random.Random) -> Conversation:
    messages: list[Any] = list(found.sample["messages"])
    for exchange in Transcript(found.sample, Settings()).exchanges if schema().is_valid(found.sample) else ():
        ids = [call.get("id") for call in exchange.calls]
        answered = [messages[i].get("tool_call_id") for i in exchange.results]
        if None not in answered and len(set(ids)) == len(ids) and sorted(answered) == sorted(ids):
            order = chance.sample(exchange.results, len(exchange.results))
            messages[exchange.results[0] : exchange.results[-1] + 1] = [messages[i] for i in order]
    return Conversation({**found.sample, "messages": messages}, found.origins, found.rebuilt)


def shape(found: Conversation) -> Any:
    return shaped(found, Transcript(found.sample, Settings()), Settings())[0].sample


def test_some_examples_have_parallel_results_to_shuffle():
    n_moved = 0
    for kind in FORMATS:
        for record in records_of(*example_files(kind)):
            for found in FORMATS[kind].read(record.data).conversations:
                n_moved += any(shuffled(found, random.Random(seed)).sample != found.sample for seed in range(8))
    assert n_moved >= 5
