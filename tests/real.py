"""Real traces and model folders, which lie beside the checkout where we work and in CI, and nowhere else."""

import json
from functools import cache
from pathlib import Path

import pytest

from qwen_sft.format import Conversation, formats, recognising
from qwen_sft.ingesting.ingest import expand, records

SHARED = Path(__file__).parents[2] / "shared" / "data"
MODELS = SHARED / "models"
TRACES = SHARED / "traces"

needs_real_data = pytest.mark.skipif(not SHARED.is_dir(), reason="no real data beside the checkout (shared/data)")

SOURCES = {
    "tau-bench": "tau-bench/gpt-4o-airline*.json",
    "llama-factory": "llama-factory/glaive*.json",
    "nemo-gym": "nemo-gym/**/example_rollouts*.jsonl",
    "tinker-cookbook": "tinker-cookbook/**/*.jsonl",
    "mini-swe-agent": "mini-swe-agent/**/*.traj.json",
}
"""Where the five formats find records that are theirs."""


@cache
def conversations(source: str) -> tuple[Conversation, ...]:
    """The samples of one source, as the formats read them."""
    made: list[Conversation] = []
    for file in expand([str(TRACES / SOURCES[source])]):
        for record in records(file):
            for one in recognising(formats().values(), record.data) if record.fault is None else ():
                made += one.read(record.data).conversations
    return tuple(made)


@cache
def official_template(family: str) -> str:
    """The chat template of a family, as its model's repository has it."""
    config = json.loads((MODELS / family / "tokenizer_config.json").read_text(encoding="utf-8"))
    return config["chat_template"]
