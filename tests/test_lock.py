"""The lock: what it holds, what changes it and what does not, and how differences are told."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from qwen_sft import __version__
from qwen_sft.encoding.model import load_model
from qwen_sft.errors import ModelError, OutputError, UsageError
from qwen_sft.family import families
from qwen_sft.proving.fingerprint import (
    LockedTemplate,
    LockedToken,
    locked_loaded,
    locked_template,
    locked_tokenizer,
)
from qwen_sft.proving.lock import LOCK_FILE, Lock, differences, lock_json, lock_of, make_lock, read_lock, write_lock
from qwen_sft.proving.official import OFFICIAL
from qwen_sft.settings import Settings
from qwen_sft.tokenizing.tokenizer import load_tokenizer
from qwen_sft.tokenizing.vocabulary import BYTE_CHARACTERS, EMBEDDED, tokenizer_json
from tests.real import MODELS, needs_real_data, official_template

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas" / "lock.schema.json").read_text())
SPECIAL = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
ADDED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>")


def tokenizer(**changes: Any) -> dict[str, Any]:
    """A small byte-level tokenizer.json: a token for each byte, two merges, five added tokens."""
    vocabulary = {character: i for i, character in enumerate([*BYTE_CHARACTERS, "th", "the"])}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {"type": "Split", "pattern": {"Regex": r"\p{L}+|\P{L}"}, "behavior": "Isolated", "invert": False}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": 258 + i, "content": content, **flags, "special": "|" in content} for i, content in enumerate(ADDED)
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "vocab": vocabulary,
            "merges": ["t h", "th e"],
            "ignore_merges": False,
        },
        **changes,
    }


def lock(folder: Path, data: dict[str, Any], template: str = "{{ messages }}", **settings: Any) -> Lock:
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(data))
    return make_lock(
        name=str(folder),
        template=locked_template(template, None),
        tokenizer_file=file,
        special_tokens=SPECIAL,
        settings=Settings(**settings),
    )


@pytest.fixture
def locked(tmp_path: Path) -> Lock:
    return lock(tmp_path, tokenizer())


# -- what it holds ----------------------------------------------------------------------------------------------------


def test_lock_holds_fingerprints_tokens_options_and_versions(tmp_path: Path):
    found = lock_json(lock(tmp_path, tokenizer(), chat_template_kwargs={"enable_thinking": False}, thinking="as-is"))
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(found)))
    assert found["template"] == {"sha256": hashlib.sha256(b"{{ messages }}").hexdigest(), "family": None}
    assert found["tokenizer"]["sha256"] == hashlib.sha256((tmp_path / "tokenizer.json").read_bytes()).hexdigest()
    assert found["added_tokens"] == tuple(
        {"id": 258 + i, "content": content, "special": "|" in content} for i, content in enumerate(ADDED)
    )
    assert found["special_tokens"] == {"bos_token": None, **SPECIAL}
    assert found["options"] == {"chat_template_kwargs": {"enable_thinking": False}, "thinking": "as-is"}
    assert (found["schema_version"], found["qwen_sft"], found["model"]) == (1, __version__, str(tmp_path))
    assert list(found["versions"]) == ["jinja2", "tokenizers", "fastokens"]


@pytest.mark.parametrize("name", sorted(EMBEDDED))
def test_official_tokenizer_is_locked_from_memory_as_it_is_from_its_file(name: str, monkeypatch: pytest.MonkeyPatch):
    tokenizer = load_tokenizer(tokenizer_json(name))
    structure, tokens = from_file = locked_tokenizer(tokenizer.path)
    assert list(structure.structure) == list(OFFICIAL[structure.sha256])
    assert len(tokens) == len(tokenizer.added_tokens)
    monkeypatch.setattr(Path, "read_bytes", None)  # reads nothing
    assert locked_loaded(tokenizer) == from_file


def test_other_tokenizer_is_locked_from_its_file(tmp_path: Path):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(tokenizer_json("qwen3").read_bytes() + b"\n")
    tokenizer = load_tokenizer(file, "tokenizers")
    assert tokenizer.fingerprint not in OFFICIAL
    assert locked_loaded(tokenizer) == locked_tokenizer(file)


def test_lock_of_a_family_is_that_of_its_official_template_and_vocabulary():
    model = load_model("qwen3", families())
    found = lock_of(model, Settings(model="qwen3"))
    assert found.template == LockedTemplate(families()["qwen3"].template_sha256[0], "qwen3")
    assert found.tokenizer is not None
    assert found.tokenizer.sha256 == hashlib.sha256(tokenizer_json("qwen3").read_bytes()).hexdigest()
    assert LockedToken(151645, "<|im_end|>", True) in found.added_tokens
    assert found.special_tokens is None
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(lock_json(found))))


def test_template_is_told_by_its_text_without_one_final_newline():
    assert locked_template("{{ a }}\n", None) == locked_template("{{ a }}", None)
    assert locked_template("{{ a }}\n\n", None) != locked_template("{{ a }}", None)


@needs_real_data
@pytest.mark.parametrize("name", sorted(families()))
def test_official_template_with_or_without_its_newline_is_its_familys(name: str):
    family = families()[name]
    if not (MODELS / name).is_dir():
        pytest.skip("its template is not in shared/data")
    source = official_template(name).removesuffix("\n")
    by_name = locked_template(None, family)
    assert locked_template(source, None) == locked_template(source + "\n", None) == by_name


# -- files ------------------------------------------------------------------------------------------------------------


def test_written_lock_reads_back_equal(locked: Lock, tmp_path: Path):
    assert write_lock(locked, tmp_path) == tmp_path / LOCK_FILE
    assert read_lock(tmp_path) == read_lock(tmp_path / LOCK_FILE) == locked
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads((tmp_path / LOCK_FILE).read_text()))


def test_lock_that_is_not_there_or_cannot_be_written_stops_us(locked: Lock, tmp_path: Path):
    with pytest.raises(
        UsageError, match=r"no lock '.*qwen-sft.lock.json' \(No such file or directory\); write one with: qwen-sft "
    ):
        read_lock(tmp_path)
    with pytest.raises(OutputError, match=r"cannot write .*lock.json: No such file or directory"):
        write_lock(locked, tmp_path / "nowhere" / "lock.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not JSON"),
        (
            "[]",
            "has schema_version None, and this qwen-sft reads 1; build the dataset again, or write its lock again "
            "with: qwen-sft template lock MODEL --out qwen-sft.lock.json",
        ),
        ('{"schema_version": 2}', "has schema_version 2, and"),
        ('{"schema_version": 1}', "is no lock: Object missing required field"),
    ],
)
def test_file_that_is_no_lock_stops_us(tmp_path: Path, content: str, says: str):
    (tmp_path / LOCK_FILE).write_text(content)
    with pytest.raises(ModelError) as stop:
        read_lock(tmp_path)
    assert says in str(stop.value)


@pytest.mark.parametrize(
    ("content", "says"), [("{", "is not JSON"), ("[]", "is no tokenizer.json: it has no vocabulary; fetch it again")]
)
def test_file_that_is_no_tokenizer_stops_us(tmp_path: Path, content: str, says: str):
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ModelError) as stop:
        locked_tokenizer(tmp_path / "tokenizer.json")
    assert says in str(stop.value)
    with pytest.raises(ModelError, match=r"cannot read .*nowhere.json \(No such file"):
        locked_tokenizer(tmp_path / "nowhere.json")


# -- what makes no difference -----------------------------------------------------------------------------------------


def _saved_again(data: dict[str, Any]) -> None:
    """As transformers 5 saves it: merges as pairs, other ByteLevel flags, keys left out."""
    data["model"]["merges"] = [merge.split(" ") for merge in data["model"]["merges"]]
    del data["model"]["ignore_merges"]
    data["model"]["continuing_subword_prefix"] = ""
    steps = data["pre_tokenizer"]["pretokenizers"]
    data["pre_tokenizer"]["pretokenizers"] = [steps[0], {**steps[1], "trim_offsets": True}]
    data["decoder"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    data["model"]["vocab"] = dict(reversed(data["model"]["vocab"].items()))
    data["model"]["vocab"]["<|im_end|>"] = 260


def test_tokenizer_that_was_saved_again_is_a_note(locked: Lock, tmp_path: Path):
    data = tokenizer()
    _saved_again(data)
    (found,) = differences(locked, lock(tmp_path, data))
    assert (found.field, found.severity) == ("tokenizer.sha256", "note")
    assert found.says == "the file was saved again; what it does is the same"


@needs_real_data
def test_official_tokenizer_keeps_its_structure_when_transformers_saves_it_again(tmp_path: Path):
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(str(MODELS / "qwen3")).save_pretrained(str(tmp_path))
    before, tokens = locked_tokenizer(MODELS / "qwen3" / "tokenizer.json")
    after, tokens_after = locked_tokenizer(tmp_path / "tokenizer.json")
    assert before.sha256 != after.sha256
    assert (before.structure, tokens) == (after.structure, tokens_after)


def test_other_versions_are_notes_and_the_name_is_not_compared(locked: Lock):
    other = replace(locked, model="elsewhere", versions={**locked.versions, "jinja2": "2.0", "fastokens": None})
    found = differences(locked, other)
    assert [(one.field, one.found, one.severity) for one in found] == [
        ("versions.jinja2", "2.0", "note"),
        ("versions.fastokens", None, "note"),
    ]
    assert differences(locked, locked) == []


def test_two_official_templates_of_one_family_are_a_note(locked: Lock):
    a, b = (replace(locked, template=LockedTemplate(sha * 64, "qwen3")) for sha in "ab")
    (found,) = differences(a, b)
    assert str(found) == (
        f"template.sha256: locked {'a' * 64!r}, found {'b' * 64!r}; "
        "both are official templates of qwen3, which print the same"
    )
    assert found.severity == "note"


def test_special_tokens_that_one_side_does_not_tell_are_a_note(locked: Lock):
    (found,) = differences(locked, replace(locked, special_tokens=None))
    assert (found.field, found.severity) == ("special_tokens", "note")
    assert found.says == "found has no tokenizer_config.json, so these could not be compared"


# -- what makes one ---------------------------------------------------------------------------------------------------


def _part(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data[name] = value

    return change


def _merges(data: dict[str, Any]) -> None:
    data["model"]["merges"].reverse()


def _vocabulary(data: dict[str, Any]) -> None:
    data["model"]["vocab"]["a"], data["model"]["vocab"]["b"] = (data["model"]["vocab"][key] for key in "ba")


def _ignores(data: dict[str, Any]) -> None:
    data["model"]["ignore_merges"] = True


def _old_regex(data: dict[str, Any]) -> None:
    data["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\p{L}\p{M}+"


def _added_flag(data: dict[str, Any]) -> None:
    data["added_tokens"][0]["lstrip"] = True


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("merges", _merges),
        ("vocabulary", _vocabulary),
        ("model", _ignores),
        ("normalizer", _part("normalizer", None)),
        ("pre_tokenizer", _old_regex),
        ("post_processor", _part("post_processor", {"type": "TemplateProcessing", "single": []})),
        ("added_tokens", _added_flag),
    ],
)
def test_part_of_a_tokenizer_that_does_something_else_is_named(
    locked: Lock, tmp_path: Path, part: str, change: Callable[[dict[str, Any]], None]
):
    data = tokenizer()
    change(data)
    (found,) = differences(locked, lock(tmp_path, data))
    assert (found.field, found.severity) == (f"tokenizer.structure.{part}", "error")
    assert found.says == "the same text gives other ids"


def test_added_tokens_are_compared_one_by_one(locked: Lock, tmp_path: Path):
    data = tokenizer()
    tokens = data["added_tokens"]
    tokens[3]["special"] = True
    tokens[1]["id"], tokens[2]["id"] = tokens[2]["id"], tokens[1]["id"]
    tokens[4]["content"] = "<|new|>"
    found = differences(locked, lock(tmp_path, data))
    assert [(one.field, one.locked, one.found, one.severity) for one in found] == [
        ("added_tokens['<|im_start|>'].id", 259, 260, "error"),
        ("added_tokens['<|im_end|>'].id", 260, 259, "error"),
        ("added_tokens['<tool_call>'].special", False, True, "error"),
        ("added_tokens['</tool_call>'].id", 262, None, "error"),
        ("added_tokens['<|new|>'].id", None, 262, "error"),
    ]


def test_template_options_and_special_tokens_that_differ_are_errors(locked: Lock, tmp_path: Path):
    other = lock(
        tmp_path, tokenizer(), "{{ tools }}", chat_template_kwargs={"enable_thinking": False}, thinking="as-is"
    )
    other = replace(other, special_tokens={"bos_token": None, "eos_token": "<|endoftext|>", "pad_token": None})
    found = differences(locked, other)
    assert [(one.field, one.locked, one.found, one.severity) for one in found[1:]] == [
        ("special_tokens.eos_token", "<|im_end|>", "<|endoftext|>", "error"),
        ("special_tokens.pad_token", "<|endoftext|>", None, "note"),
        ("options.chat_template_kwargs.enable_thinking", None, False, "error"),
        ("options.thinking", "auto", "as-is", "error"),
    ]
    assert found[0].field == "template.sha256"
    assert found[0].says == (
        "locked is nobody's official one, found is nobody's official one; see: qwen-sft template diff"
    )


def test_tokenizer_that_is_not_there_is_an_error(locked: Lock):
    (found,) = differences(locked, replace(locked, tokenizer=None, added_tokens=()))
    assert (found.field, found.found, found.severity) == ("tokenizer.sha256", None, "error")
    assert found.says == "found has no tokenizer.json, so nothing could be compared"
