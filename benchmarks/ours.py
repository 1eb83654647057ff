"""What of qwen-sft is measured, called in this process, with the collector set as the command line sets it."""

import gc
import importlib.util
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from timing import Spent, spent

from qwen_sft.building.build import build as run
from qwen_sft.cli import COLLECTOR
from qwen_sft.decoding.jsontext import parse
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.reading.gather import gathered
from qwen_sft.record import Where
from qwen_sft.reporter import Totals
from qwen_sft.running.gate import Gate, judged
from qwen_sft.running.outfile import json_line
from qwen_sft.settings import Settings
from qwen_sft.tokenizing.tokenizer import LOADED
from qwen_sft.tokenizing.vocabulary import tokenizer_json
from qwen_sft.writer import Row, writers

FAMILY = "qwen3"
HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples" / "formats"
TRACES = HERE.parents[1] / "shared/data/traces"
OFFICIAL = HERE.parents[1] / "shared/data/models/qwen3/tokenizer_config.json"


@contextmanager
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*COLLECTOR)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def build(
    rows: Path,
    out: Path,
    verify: Literal["all", "sample", "none"] = "sample",
    *,
    loaded: bool = False,
    jobs: int = 1,
    writer: str = "parquet",
) -> dict[str, Any]:
    """A whole build, from the file to shards on disk; returns the manifest.

    Args:
        loaded: the tokenizer of an earlier build may be used, as peers are handed one that is loaded.
    """
    if not loaded:
        LOADED.clear()
    settings = Settings(model=FAMILY, verify=verify, jobs=jobs)
    with collector():
        manifest, _ = run([str(rows)], settings, out, writers()[writer], force=True)
    return manifest


def ready(rows: Path, out: Path) -> Spent:
    """A whole build, timed from when the model is loaded; nothing of earlier rounds is in the tokenizer's cache."""
    load()
    return spent(lambda: build(rows, out, loaded=True))


def texts(rows: Path) -> list[str]:
    """What the rows of a build say, as one text each."""
    pipeline = load()
    return [pipeline.encoder.model.tokenizer.decode(row.tokens.input_ids) for row in render(rows, pipeline)]


def tokenizer_folder(folder: Path) -> str:
    """Puts together what peers load: tokenizer.json and the official chat template, or the one that TRL ships.

    Returns:
        which template it is; "" if there is none.
    """
    folder.mkdir(parents=True)
    shipped = importlib.util.find_spec("trl")
    if OFFICIAL.exists():
        says, template = "the official qwen3 chat template", json.loads(OFFICIAL.read_text())["chat_template"]
    elif shipped is not None and shipped.origin is not None:
        says = "the qwen3 chat template that TRL ships"
        template = (Path(shipped.origin).parent / "chat_templates/qwen3.jinja").read_text()
    else:
        return ""
    (folder / "tokenizer.json").symlink_to(tokenizer_json(FAMILY))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": None,
        "chat_template": template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return says


def examples() -> dict[str, tuple[list[bytes], list[bytes]]]:
    """For each format the records of its example as JSON texts, and its samples as plain chat messages."""
    pipeline = Pipeline(Settings())
    joining = [one for one in pipeline.formats.values() if one.joins]
    found: dict[str, tuple[list[bytes], list[bytes]]] = {}
    for name in pipeline.formats:
        files = expand([str(path) for path in sorted((EXAMPLES / name).glob("raw*"))])
        read = [record for file in files for record in gathered(records(file), joining)]
        samples = [json_line(one.sample) for record in read for one in pipeline.conversations(record)]
        found[name] = ([record.raw for record in read], samples)
    return found


def originals() -> dict[str, list[list[Any]]]:
    """Real records of every format that reads them, by the folder that they come from; each is a value a line.

    Those of the project's shared data where it is beside the checkout, else the formats' own examples.
    """
    pipeline = Pipeline(Settings())
    joining = [one for one in pipeline.formats.values() if one.joins]
    found: dict[str, list[list[Any]]] = {}
    for folder in sorted(path for path in (TRACES if TRACES.exists() else EXAMPLES).iterdir() if path.is_dir()):
        read = [record for file in expand([str(folder)]) for record in gathered(records(file), joining)]
        kept = [record for record in read if pipeline.conversations(record) and len(record.raw) > 500]
        if kept:
            found[folder.name] = [record.data if record.parts else [record.data] for record in kept]
    return found


def read(texts: list[bytes], copies: int) -> None:
    """Parses, recognises and reads some records so many times over."""
    pipeline, where = Pipeline(Settings()), Where("example", 1)
    for _ in range(copies):
        for text in texts:
            pipeline.conversations(parse(text, where))


def load() -> Pipeline:
    """What a build does before its first record: it reads tokenizer.json and sets the encoder up."""
    LOADED.clear()
    with collector():
        pipeline = Pipeline(Settings(model=FAMILY))
        pipeline.encoder.model.tokenizer.encode("a")  # what encodes is loaded when it is first asked
    return pipeline


def edited(folder: Path) -> str:
    """Makes a model folder whose chat template no family knows; returns which template that is.

    It is the official one with a comment in front, which prints the same text; where that is not beside this checkout,
    a small ChatML one.
    """
    folder.mkdir(parents=True)
    if OFFICIAL.exists():
        says, template = "the official qwen3 one with a comment", json.loads(OFFICIAL.read_text())["chat_template"]
    else:
        says, template = "benchmarks/chatml.jinja", (HERE / "chatml.jinja").read_text()
    (folder / "tokenizer.json").symlink_to(tokenizer_json(FAMILY))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    (folder / "chat_template.jinja").write_text("{#- edited -#}" + template)
    return says


def pipeline(model: str | Path, verify: Literal["sample", "none"] = "sample") -> Pipeline:
    """All stages for a family or a model folder, with the tokenizer loaded and the template compiled and probed."""
    return Pipeline(Settings(model=str(model), verify=verify))


def render(rows: Path, ready: Pipeline) -> list[Row]:
    """The training rows of a file, from reading it to ids, labels and all findings; nothing is written."""
    with collector():
        return [row for outcome in outcomes(expand([str(rows)]), ready) for row in outcome.rows]


def validate(rows: Path, jobs: int = 1) -> Totals:
    """`qwen-sft validate` without a model: every rule on structure and set; findings are made, and not printed."""
    inputs = expand([str(rows)])
    pipeline = Pipeline(Settings(), excerpts=False)
    gate = Gate(pipeline, inputs)
    totals = Totals(n_files=len(inputs))
    with collector():
        for _ in judged(inputs, pipeline, gate, totals, jobs=jobs):
            pass
    gate.close(totals)
    return totals
