"""What of qwen-sft is measured, called in this process, with the collector set as the command line sets it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from qwen_sft.build import build as run
from qwen_sft.cli import COLLECTOR
from qwen_sft.ingest import expand
from qwen_sft.pipeline import Pipeline, outcomes, tally
from qwen_sft.reporter import Totals
from qwen_sft.settings import Settings
from qwen_sft.tokenizer import LOADED
from qwen_sft.writer import writers

FAMILY = "qwen3"


@contextmanager
def _collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTOR)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def build(
    rows: Path, out: Path, verify: Literal["all", "sample", "none"] = "sample", *, loaded: bool = False
) -> dict[str, Any]:
    """A whole build, from the file to Parquet on disk; returns the manifest.

    Args:
        loaded: the tokenizer of an earlier build may be used, as TRL is handed one that is loaded.
    """
    if not loaded:
        LOADED.clear()
    settings = Settings(model=FAMILY, verify=verify)
    with _collector():
        manifest, _ = run([str(rows)], settings, out, writers()["parquet"], force=True)
    return manifest


def load() -> Pipeline:
    """What a build does before its first record: it reads tokenizer.json and sets the encoder up."""
    LOADED.clear()
    with _collector():
        return Pipeline(Settings(model=FAMILY))


def validate(rows: Path) -> Totals:
    """`qwen-sft validate` without a model: every rule on the structure, nothing rendered, nothing printed."""
    inputs = expand([str(rows)])
    pipeline = Pipeline(Settings())
    totals = Totals(n_files=len(inputs))
    with _collector():
        for outcome in outcomes(inputs, pipeline.process):
            tally(totals, outcome)
    return totals
