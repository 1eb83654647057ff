"""What --model can name: a family, a folder, a hub id; and what stops us."""

import hashlib
import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from qwen_sft.encoding.model import _context, load_model  # pyright: ignore[reportPrivateUsage]
from qwen_sft.errors import ModelError
from qwen_sft.family import families
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.pipeline import Pipeline
from qwen_sft.settings import Settings
from qwen_sft.tokenizing.tokenizer import Tokenizer, load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

FAMILIES = families()
MODELS = Path(__file__).parents[2] / "shared" / "data" / "models"
ROOT = Path(__file__).parents[1]
official = pytest.mark.skipif(not MODELS.is_dir(), reason="the official templates are not on this machine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder: the official tokenizer.json and template of Qwen3."""
    target = tmp_path / "my-model"
    target.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(MODELS / "qwen3" / name, target / name)
    return target


@cache
def qwen3_tokenizer() -> Tokenizer:
    return load_tokenizer(MODELS / "qwen3" / "tokenizer.json")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for a second of loading, where a test is about something else."""
    monkeypatch.setattr("qwen_sft.encoding.model.load_tokenizer", lambda *_: qwen3_tokenizer())


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text())


def configure(folder: Path, **changes: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({**config(folder), **changes}))


@pytest.mark.parametrize("name", ["qwen3-coder-next", "qwen3_coder_next", "Qwen3-Coder-Next"])
def test_family_is_found_by_its_name_with_dashes_or_underscores(name: str):
    model = load_model(name, FAMILIES)
    assert (model.name, model.family.name, model.template) == (name, "qwen3_coder_next", None)
    assert model.template_sha256 == FAMILIES["qwen3_coder_next"].template_sha256[0]
    assert model.oracle == "serializer, turn by turn"


@pytest.mark.parametrize("name", ["qwen9", "./nowhere", "/nowhere/at/all"])
def test_name_of_nothing_stops_us_and_names_the_families(name: str):
    with pytest.raises(ModelError, match=r"qwen2_5, .*qwen3"):
        load_model(name, FAMILIES)


@official
def test_folder_gives_the_rows_that_its_family_gives(folder: Path):
    def rows(model: str) -> list[Any]:
        pipeline = Pipeline(Settings(model=model, verify="all"))
        inputs = expand([str(ROOT / "examples" / "formats" / "*" / "raw.jsonl")])
        made = pipeline.process([record for source in inputs for record in records(source)])
        assert not [d for o in made for d in o.diagnostics if d.code == "TOK005"]
        return [(row.where, row.tokens.turns, row.tokens.input_ids, row.tokens.labels) for o in made for row in o.rows]

    ours, theirs = rows("qwen3"), rows(str(folder))
    assert len(ours) > 10
    for mine, other in zip(ours, theirs, strict=True):
        assert mine[:2] == other[:2]
        assert np.array_equal(mine[2], other[2])
        assert np.array_equal(mine[3], other[3])


@official
@pytest.mark.usefixtures("loaded")
def test_model_of_a_folder_is_known_by_its_template(folder: Path):
    model = load_model(str(folder), FAMILIES)
    source = config(folder)["chat_template"]
    assert (model.family.name, model.oracle) == ("qwen3", "the model's chat template, turn by turn")
    assert model.template_sha256 == hashlib.sha256(source.encode()).hexdigest()
    assert model.tokenizer.fingerprint == hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
    for same in (source + "\n", source.removesuffix("\n")):
        configure(folder, chat_template=same)
        assert load_model(str(folder), FAMILIES).family.name == "qwen3"


@official
@pytest.mark.usefixtures("loaded")
def test_chat_template_file_wins_over_the_config(folder: Path):
    source = config(folder)["chat_template"]
    (folder / "chat_template.jinja").write_text(source)
    configure(folder, chat_template="{{ other }}")
    assert load_model(str(folder), FAMILIES).family.name == "qwen3"
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    configure(folder, chat_template=source)
    says = r"^what this chat template trains cannot be proven: the chat template prints no text of its own for messages"
    with pytest.raises(ModelError, match=says):
        load_model(str(folder), FAMILIES)
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelError, match=r"cannot read .*chat_template\.jinja: 'utf-8' codec"):
        load_model(str(folder), FAMILIES)


@official
@pytest.mark.usefixtures("loaded")
def test_of_several_templates_the_one_for_tools_is_taken(folder: Path):
    source = config(folder)["chat_template"]
    named = [{"name": "default", "template": "{{ other }}"}, {"name": "tool_use", "template": source}]
    configure(folder, chat_template=named)
    assert load_model(str(folder), FAMILIES).family.name == "qwen3"
    configure(folder, chat_template=[{"name": "default", "template": source}])
    assert load_model(str(folder), FAMILIES).family.name == "qwen3"


@official
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tokenizer.json", None, "has no tokenizer.json; save the tokenizer there"),
        ("tokenizer_config.json", None, "has neither chat_template.jinja nor tokenizer_config.json"),
        ("tokenizer_config.json", "{", "tokenizer_config.json is not JSON"),
        ("tokenizer_config.json", "[]", "tokenizer_config.json has no chat_template"),
        (
            "tokenizer_config.json",
            '{"chat_template": [1, {"name": "rag"}]}',
            "tokenizer_config.json has no chat_template",
        ),
        ("chat_template.jinja", "{% if %}", "the chat template is no Jinja: line 1: "),
        ("tokenizer.json", "{}", "is not a byte-level BPE tokenizer.json"),
    ],
)
def test_file_that_is_missing_or_broken_stops_us(folder: Path, name: str, content: str | None, says: str):
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_text(content)
    with pytest.raises(ModelError, match=says):
        load_model(str(folder), FAMILIES)


@official
def test_tokenizer_without_turn_tokens_does_not_fit(folder: Path):
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [t for t in tokenizer["added_tokens"] if t["content"] != "<|im_end|>"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match=r"has no <\|im_end\|>; it does not fit a Qwen template"):
        load_model(str(folder), FAMILIES)


@official
@pytest.mark.usefixtures("loaded")
def test_hub_id_is_fetched_without_weights(folder: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []

    def fetched(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetched)
    model = load_model("Qwen/Qwen3-8B", FAMILIES)
    files = ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json", "chat_template.jinja"]
    assert (model.name, model.family.name) == ("Qwen/Qwen3-8B", "qwen3")
    assert asked == [("Qwen/Qwen3-8B", {"allow_patterns": files})]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (LocalEntryNotFoundError("no such thing\nand more"), "no such thing"),
        (ConnectionError(), "ConnectionError"),
        (huggingface_hub.errors.HFValidationError("bad id"), "bad id"),
    ],
)
def test_hub_that_does_not_answer_stops_us_in_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, says: str):
    def refused(name: str, **options: Any) -> str:  # noqa: ARG001
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refused)
    with pytest.raises(ModelError) as stop:
        load_model("Qwen/Qwen3-8B", FAMILIES)
    assert str(stop.value) == f"cannot fetch 'Qwen/Qwen3-8B' from the model hub: {says}; name a folder instead"


def test_embedded_tokenizer_is_the_official_file():
    for family in FAMILIES.values():
        if (MODELS / family.vocabulary / "tokenizer.json").is_file():
            assert (
                tokenizer_json(family.vocabulary).read_bytes()
                == (MODELS / family.vocabulary / "tokenizer.json").read_bytes()
            )


# -- context -----------------------------------------------------------------------------------------------------------


def test_context_of_a_family_is_what_its_smallest_models_were_made_for():
    held = {name: family.context for name, family in FAMILIES.items()}
    small = {"qwen2_5", "qwen3", "qwen3_first_revision", "qwq"}
    assert held == {name: 32_768 if name in small else 262_144 for name in FAMILIES}
    assert load_model("qwen3", FAMILIES).context == 32_768


@pytest.mark.parametrize(
    ("files", "family", "context"),
    [
        ({}, "qwen3", 32_768),
        ({"tokenizer_config": {"model_max_length": 131_072}}, "qwen3", 32_768),
        ({"config": {"max_position_embeddings": 40_960}}, "qwen3", 40_960),
        ({"config": {"text_config": {"max_position_embeddings": 262_144}}}, "qwen3_5", 262_144),
        (
            {
                "config": {
                    "max_position_embeddings": 32_768,
                    "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32_768},
                }
            },
            "qwen3",
            131_072,
        ),
        (
            {"config": {"max_position_embeddings": 40_960, "rope_parameters": {"rope_type": "yarn", "factor": 2.0}}},
            "qwen3",
            81_920,
        ),
        (
            {"config": {"max_position_embeddings": 40_960, "rope_parameters": {"rope_type": "default"}}},
            "qwen3",
            40_960,
        ),
        ({"config": {"max_position_embeddings": True}}, "qwen3", 32_768),
        ({"config": {"max_position_embeddings": 4096, "rope_scaling": {"factor": 1e300}}}, "qwen3", 4096),
        ({"config": {"text_config": ["odd"]}}, "qwen3", 32_768),
        ({}, None, None),
        ({"tokenizer_config": {"model_max_length": 8192}}, None, 8192),
        ({"tokenizer_config": {"model_max_length": 1000000000000000019884624838656}}, None, None),
    ],
)
def test_context_of_a_folder_is_told_by_its_config_then_its_family_then_its_tokenizer(
    files: dict[str, Any], family: str | None, context: int | None, tmp_path: Path
):
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    known = FAMILIES[family] if family else replace(FAMILIES["qwen3"], context=None)
    assert _context(tmp_path, known) == context


@official
@pytest.mark.usefixtures("loaded")
def test_folder_with_a_config_has_its_context(folder: Path):
    assert load_model(str(folder), FAMILIES).context == 32_768
    (folder / "config.json").write_text('{"max_position_embeddings": 4096}')
    assert load_model(str(folder), FAMILIES).context == 4096
