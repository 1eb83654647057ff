"""What the README shows is what happens: every command is run, every list is held to the code."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from shown import NOT_RUN, Block, assert_shows_what_happens, blocks_of, commands, matches, run, runs_here

from qwen_sft.format import formats
from qwen_sft.reporter import reporters
from qwen_sft.settings import Settings, load_settings
from qwen_sft.tokens import GENERATED, Kind
from qwen_sft.writer import writers
from qwen_sft.writers.parquet import SCHEMA

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = list(blocks_of(README))


def blocks(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def test_every_command_prints_what_is_shown(checkout: Path) -> None:
    """One test: later blocks use what earlier ones have built."""
    assert assert_shows_what_happens(BLOCKS, "README.md", checkout) >= 10


def test_wildcards_stand_for_text_and_for_lines_and_for_nothing_else() -> None:
    assert matches("a … c\n…\nd\n", "a b c\n1\n2\nd\n")
    assert matches("…\n", "")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a\n", "")


def test_every_command_that_is_not_run_here_is_tested_elsewhere() -> None:
    skipped = [block for block in blocks("console") if not runs_here(block)]
    for block in skipped:
        named = NOT_RUN.fullmatch(block.before)
        if named:
            assert f"def {named[2]}(" in (ROOT / named[1]).read_text(encoding="utf-8")
        else:
            assert all(command.startswith("make ") for command, _ in commands(block))
    assert len(skipped) == README.count("<!-- not run here") + 1


def test_make_targets_exist_and_are_run_by_ci() -> None:
    named = set(re.findall(r"\bmake ([a-z-]+)", "".join(b.text for b in blocks("console"))))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    ci = set(re.findall(r"^make ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert named == {"demo", "test"}
    assert named <= ci <= targets


def test_only_known_kinds_of_blocks_are_there() -> None:
    assert {block.language for block in BLOCKS} == {"console", "python", "yaml", "toml"}


def rows(header: str) -> list[list[str]]:
    """The cells of the table under a header line."""
    body = README.partition(header + "\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body]


def test_columns_are_those_of_the_writer() -> None:
    written = [(field.name, re.sub(r"^list<\w+: (\w+)>$", r"list of \1", str(field.type))) for field in SCHEMA]
    assert [(name.strip("`"), kind) for name, kind, _ in rows("| column | type | what |")] == written


def test_writers_are_those_on_the_shelf() -> None:
    named = [cell.strip("`") for cell, _, _ in rows("| `--writer` | what | for |")]
    assert sorted(named) == sorted(writers())


def test_kinds_are_all_there_and_trained_as_the_code_has_it() -> None:
    said = {
        name: trained == "yes"
        for names, trained, _ in rows("| kind | trained | who writes it |")
        for name in re.findall(r"\w+", names)
    }
    assert said == {kind.name.lower(): kind in GENERATED for kind in Kind}


def test_settings_block_has_every_key_with_its_default(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    (tmp_path / "qwen-sft.toml").write_text(block.text, encoding="utf-8")
    given = replace(
        Settings(), model="qwen3", format="openai_chat", max_length=32768, where="reward > 0", tools="tools.json"
    )
    given = replace(given, address="auto", baseline="baseline.json", mix="mix.toml", sample=0.1, pack=32768)
    assert load_settings({}, folder=tmp_path) == given
    keys = [line.partition(" ")[0].replace("-", "_") for line in block.text.splitlines()]
    assert sorted(keys) == sorted(Settings.__dataclass_fields__)


def test_what_it_does_not_do_yet_is_still_not_done(tmp_path: Path) -> None:
    """Built sets elsewhere are not reported on, and images are rejected."""
    done = run("qwen-sft verify memory://set --trainer trl", tmp_path)
    says = "qwen-sft: 'memory://set' is on another machine; copy it to this one, and name that folder\n"
    assert (done.returncode, done.stdout) == (2, says)
    image = {"type": "image_url", "image_url": {"url": "https://a.example/cat.png"}}
    turns = [{"role": "user", "content": [image]}, {"role": "assistant", "content": "A cat."}]
    (tmp_path / "image.jsonl").write_text(json.dumps({"messages": turns}))
    assert run("qwen-sft validate image.jsonl", tmp_path).returncode == 1


def test_table_of_formats_names_each_one_once() -> None:
    section = README.partition("## What can be read")[2].partition("\n\n")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"`(\w+)`", section)) == sorted(formats())


def test_pre_commit_snippet_is_the_file() -> None:
    (block,) = blocks("yaml")
    file = (ROOT / "examples" / "ci" / "pre-commit-config.yaml").read_text(encoding="utf-8")
    assert "".join(line for line in file.splitlines(keepends=True) if not line.startswith("#")) == block.text


def test_links_lead_to_files() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert len(links) >= 6
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_exit_code_of_nothing_checked(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    assert run("qwen-sft validate empty.jsonl", tmp_path).returncode == 3
    assert run("qwen-sft validate absent.jsonl", tmp_path).returncode == 2


def test_output_formats_are_those_on_the_shelf_and_in_the_help() -> None:
    named = [cell.split("`")[1] for cell, _ in rows("| `--output-format` | for |")]
    assert sorted(named) == sorted(reporters())
    helped = run("qwen-sft validate --help", ROOT).stdout
    assert ", ".join(named) + "." in " ".join(helped.split())
