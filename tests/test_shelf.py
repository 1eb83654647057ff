"""Shelves: the folder is the registry, and a file that breaks its law is named."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen_sft import shelf as shelf_module
from qwen_sft.family import families
from qwen_sft.format import formats
from qwen_sft.reporter import reporters
from qwen_sft.rule import rules
from qwen_sft.shelf import shelf
from qwen_sft.writer import writers

PACKAGE = Path(shelf_module.__file__).parent


@pytest.mark.parametrize(
    ("folder", "read", "some"),
    [
        ("families", families, {"qwen2_5", "qwen3", "qwen3_coder_next"}),
        ("formats", formats, {"hermes", "openai_chat", "responses", "sharegpt", "tau_bench"}),
        ("reporters", reporters, {"concise", "full", "json"}),
        ("writers", writers, {"parquet"}),
    ],
)
def test_things_are_named_as_their_files(
    folder: str, read: shelf_module.Callable[[], dict[str, object]], some: set[str]
):
    files = sorted(path.stem for path in (PACKAGE / folder).glob("*.py") if path.stem != "__init__")
    assert list(read()) == files
    assert set(files) >= some


def test_rules_stand_in_the_order_of_their_codes():
    assert list(rules()) == sorted(rules())


def test_shelf_is_read_once():
    assert formats() is formats()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty shelf `specimen` of the package qwen_sft, to put files on."""
    folder = tmp_path / "specimen"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A shelf."""\n')
    monkeypatch.setattr("qwen_sft.__path__", [*sys.modules["qwen_sft"].__path__, str(tmp_path)])
    yield folder
    shelf_module._read.pop("specimen", None)
    for name in [name for name in sys.modules if name.startswith("qwen_sft.specimen")]:
        del sys.modules[name]


def test_each_file_holds_one_thing_and_may_import_the_names_it_needs(package: Path):
    (package / "b.py").write_text("import re\nTHING = 2\n")
    (package / "a.py").write_text("THING = ALIAS = 1\nOTHER = 'no number'\n")
    assert shelf("specimen", int, str) == {"1": 1, "2": 2}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"specimen/b\.py defines 0 of int, not one"),
        ("A = 1\nB = 2\n", r"specimen/b\.py defines 2 of int, not one"),
        ("A = 7\n", r"specimen/b\.py defines '7' again"),
    ],
)
def test_file_that_breaks_the_law_is_named(package: Path, text: str, says: str):
    (package / "a.py").write_text("THING = 7\n")
    (package / "b.py").write_text(text)
    with pytest.raises(TypeError, match=says):
        shelf("specimen", int, str)
