"""The site of the documentation: every page has its place, and every link between pages leads somewhere."""

import posixpath
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scripts import script

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def generator() -> ModuleType:
    return script("site_pages")


@cache
def pages() -> dict[str, str | Path]:
    return generator().pages()


def listed(order: Any) -> list[str]:
    """The pages of an order, in it."""
    if isinstance(order, str):
        return [order]
    return [page for part in (order.values() if isinstance(order, dict) else order) for page in listed(part)]


def test_every_page_of_docs_is_on_the_site_and_in_its_order_once() -> None:
    of_docs = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    of_project = ["project/changelog.md", "project/contributing.md", "project/readme.md"]
    assert sorted(listed(generator().order())) == sorted([*of_docs, *of_project])
    assert set(of_docs + of_project) <= pages().keys()
    rest = [name for name in pages() if name not in (*of_docs, *of_project)]
    assert {name.partition("/")[0] for name in rest} == {"files", "screenshots", "site"}


def test_links_of_every_page_lead_to_pages_of_the_site() -> None:
    code = generator().CODE
    for name, text in pages().items():
        if isinstance(text, Path):
            assert text.is_file()
            continue
        prose = "".join(code.split(text)[::2])
        for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", prose):
            assert posixpath.normpath(posixpath.join(posixpath.dirname(name), link)) in pages(), f"{name}: {link}"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("docs/gate.md", "gate.md"),
        ("docs/rules/README.md", "rules/README.md"),
        ("README.md", "project/readme.md"),
        ("qwen_sft/rule.py", "files/qwen_sft/rule.py.md"),
        (".pre-commit-hooks.yaml", "files/pre-commit-hooks.yaml.md"),
        ("schemas", "files/schemas/README.md"),
    ],
)
def test_place_of_a_file(source: str, place: str) -> None:
    assert generator().place(source) == place


def test_links_are_moved_and_code_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docs/a.md", "docs/sub/b.md", "x.py", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    text = "[b](sub/b.md) [x](../x.py) [r](../README.md#why) [w](https://w/) [h](#h) `[x](../x.py)`\n"
    text += "```text\n[x](../x.py)\n```\n| `a\\|b` | c\\|d |\n`a\\|b`\n"
    (tmp_path / "docs" / "a.md").write_text(text)
    monkeypatch.setattr(generator(), "ROOT", tmp_path)
    made, found = generator().page("docs/a.md")
    moved = "[b](sub/b.md) [x](files/x.py.md) [r](project/readme.md#why) [w](https://w/) [h](#h) `[x](../x.py)`\n"
    assert made == moved + "```text\n[x](../x.py)\n```\n| `a|b` | c\\|d |\n`a\\|b`\n"
    assert found == ["docs/sub/b.md", "x.py", "README.md"]
    (tmp_path / "docs" / "a.md").write_text("[n](gone.md)")
    with pytest.raises(SystemExit, match=r"^docs/a\.md: the link 'gone\.md' leads to no file$"):
        generator().page("docs/a.md")
    (tmp_path / "docs" / "a.md").write_text("[n](../../etc/passwd)")
    with pytest.raises(SystemExit, match="leads to no file"):
        generator().page("docs/a.md")


def test_file_and_folder_become_pages_that_no_search_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "a.py").write_text('"""```"""\n')
    monkeypatch.setattr(generator(), "ROOT", tmp_path)
    head = "---\nsearch:\n  exclude: true\n---\n\n"
    assert generator().page("d/a.py") == (f'{head}# d/a.py\n\n````python\n"""```"""\n````\n', [])
    assert generator().page("d") == (f"{head}# d\n\n- [a.py](a.py.md)\n- sub/\n", ["d/a.py"])


def test_order_is_written_as_toml() -> None:
    order = [{"A “b”": "x.md"}, {"C": ["y.md", {"D": "z.md"}]}]
    assert tomllib.loads(f"nav = {generator().inline(order)}") == {"nav": order}


@pytest.mark.browser
def test_broken_heading_stops_the_build(tmp_path: Path) -> None:
    """Zensical's own check of headings runs, and strictly."""
    assert find_spec("zensical"), "zensical is not installed; `make test-browser` installs it"
    copy = tmp_path / "repo"
    for name in ("benchmarks", "docs", "examples", "schemas", "qwen_sft", ".github"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    page = copy / "docs" / "start.md"
    page.write_text(page.read_text(encoding="utf-8") + "\n[no](gate.md#no-such-heading)\n", encoding="utf-8")
    command = [sys.executable, copy / "docs" / "site_pages.py", "--out", tmp_path / "site"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.endswith("zensical found faults, as told above (exit code 1)\n")
    assert not (tmp_path / "site").exists()
