"""docs/formats and docs/reference are made from the code: nothing on the shelves, no command, no option is missing."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from markdown_it import MarkdownIt
from scripts import script
from typer.core import TyperGroup

from qwen_sft.cli import app
from qwen_sft.family import families
from qwen_sft.format import formats
from qwen_sft.settings import Settings, load_settings
from qwen_sft.writer import writers

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def generator() -> ModuleType:
    return script("reference_pages")


@cache
def pages() -> dict[str, str]:
    return generator().pages()


def headings(page: str, level: int = 2) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", page, flags=re.MULTILINE)


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def commands() -> dict[str, Any]:
    """Every command by how it is called."""
    found: dict[str, Any] = {}

    def walk(path: str, command: Any) -> None:
        found[path] = command
        if isinstance(command, TyperGroup):
            for name, inner in command.commands.items():
                walk(f"{path} {name}", inner)

    walk("qwen-sft", typer.main.get_command(app))
    return found


def test_pages_are_up_to_date() -> None:
    """After the code has changed: make docs."""
    on_disk = {
        f"{folder}/{path.name}": path.read_text(encoding="utf-8")
        for folder in ("formats", "reference")
        for path in (DOCS / folder).iterdir()
    }
    stale = sorted(name for name in on_disk.keys() | pages().keys() if on_disk.get(name) != pages().get(name))
    assert stale == [], "run: make docs"


@pytest.mark.slow
def test_script_writes_each_page_and_takes_away_those_of_no_format(tmp_path: Path) -> None:
    (tmp_path / "docs" / "formats").mkdir(parents=True)
    for name in ("rule_pages.py", "reference_pages.py"):
        shutil.copy(DOCS / name, tmp_path / "docs")
    for folder in ("examples", "qwen_sft"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "docs" / "formats" / "old.md").write_text("")
    command = [sys.executable, tmp_path / "docs" / "reference_pages.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = {
        f"{folder}/{path.name}": path.read_text(encoding="utf-8")
        for folder in ("formats", "reference")
        for path in (tmp_path / "docs" / folder).iterdir()
    }
    assert written == pages()


def test_every_format_family_writer_and_setting_has_its_place() -> None:
    named = {name.removeprefix("formats/").removesuffix(".md") for name in pages() if name.startswith("formats/")}
    assert named == {*formats(), "README"}
    assert re.findall(r"^\| \[(\w+)\]", pages()["formats/README.md"], flags=re.MULTILINE) == list(formats())
    assert headings(pages()["reference/families.md"]) == list(families())
    assert headings(pages()["reference/writers.md"]) == list(writers())
    keys = sorted(one.name.replace("_", "-") for one in fields(Settings))
    assert headings(pages()["reference/settings.md"]) == keys


@pytest.mark.parametrize("name", formats())
def test_page_of_a_format_says_what_it_is_and_the_fate_of_each_event(name: str) -> None:
    page = pages()[f"formats/{name}.md"]
    assert [one for one in headings(page) if one != "Events and samples"] == ["What it recognises", "Example"]
    assert section(page, "What it recognises").strip()
    rows = re.findall(r"^\| (`/.+`|the record) \| (kept|merged|dropped) \| (.+) \|$", page, flags=re.MULTILINE)
    assert rows
    assert any(fate == "kept" for _, fate, _ in rows)
    blocks = [token.content for token in MarkdownIt().parse(section(page, "Example")) if token.type == "fence"]
    assert len(blocks) == 2
    for block in blocks:
        text, cut, _ = block.partition("\n… ")
        if not cut:
            json.loads(text)
    assert '"messages": [' in blocks[1]


def test_every_command_and_every_option_is_told() -> None:
    page = pages()["reference/cli.md"]
    assert headings(page) == list(commands())
    for path, command in commands().items():
        told = section(page, path)
        for option in command.params:
            if option.name in ("help", "config"):
                continue
            names = option.opts if option.param_type_name == "option" else [option.metavar or option.name.upper()]
            assert re.search(rf"`{re.escape(names[0])}[`, ]", told), f"{path} {names[0]}"
        for line in (command.help or "").partition("\b")[2].splitlines():
            assert line.strip() in told


def test_default_of_each_setting_is_that_of_the_code() -> None:
    page, defaults = pages()["reference/settings.md"], load_settings({}, folder=DOCS)
    for one in fields(Settings):
        (told,) = re.findall(r"^- Default: (.+)$", section(page, one.name.replace("_", "-")), flags=re.MULTILINE)
        value = getattr(defaults, one.name)
        value = list(value) if isinstance(value, tuple) else value
        assert told == ("none" if value is None else f"`{json.dumps(value)}`")


@pytest.mark.parametrize("name", families())
def test_family_shows_its_own_text(name: str) -> None:
    told = section(pages()["reference/families.md"], name)
    (block,) = [token.content for token in MarkdownIt().parse(told) if token.type == "fence"]
    assert block.startswith("<|im_start|>system\n")
    assert block.endswith("No.<|im_end|>\n")
    assert '<tool_response>\n{"mm": 0}\n</tool_response>' in block
    written = {"hermes": '{"name": "rain", "arguments": ', "qwen3_coder": "<function=rain>\n<parameter=city>\nLyon\n"}
    parser = families()[name].parser
    assert parser is None or written[parser] in block


def test_links_lead_to_files() -> None:
    for name, text in pages().items():
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", re.sub(r"```.*?```|`[^`]+`", "", text, flags=re.DOTALL)):
            assert (DOCS / name).parent.joinpath(link).resolve().exists(), f"{name}: {link}"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two\nthree.\n\nNext.", ["One two three.", "", "Next."]),
        ("so:\n\n    $ run <it>\n\nThe end", ["So:", "", "```text", "$ run <it>", "```", "", "The end"]),
        ("- a_b\n- c", ["- a\\_b", "- c"]),
        ("see reading.claude_log.", ["See [`reading.claude_log`](../../qwen_sft/reading/claude_log.py)."]),
        ("see reading.nothing.", ["See reading.nothing."]),
    ],
)
def test_docstring_becomes_markdown(text: str, lines: list[str]) -> None:
    assert generator().markdown(text) == lines


def test_long_values_are_laid_out_and_cut() -> None:
    value = {"a": ["x" * 60, "y" * 60], "b": {"c": 1}}
    lines = ["{", '  "a": [', f'    "{"x" * 60}",', f'    "{"y" * 60}"', "  ],", '  "b": {"c": 1}', "}"]
    assert generator().laid_out(value) == lines
    assert generator().shortened({"a": ["x" * 201], "b": "y" * 200}) == {
        "a": ["x" * 180 + "…"],
        "b": "y" * 200,
    }
    assert generator().cut(["x"] * 50) == [*["x"] * 48, "… 2 more lines"]
    assert generator().cut(["x"] * 48) == ["x"] * 48
