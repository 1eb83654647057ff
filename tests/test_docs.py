"""The documentation is what happens: its commands are run, its snippets are files, its pages are those of the rules."""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt
from scripts import script
from shown import NOT_RUN, assert_shows_what_happens, blocks_of, commands, runs_here

from qwen_sft.fix import fixes
from qwen_sft.rule import Rule, rules

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
FOLDERS = {"formats", "reference", "rules", "screenshots", "site"}
SCRIPTS = {"reference_pages.py", "rule_pages.py", "screenshots.py", "site_pages.py"}
SLOW = ("concepts.md", "migrate.md", "myths.md", "start.md", "templates.md", "trl.md")
"""Guides whose commands take more than some seconds of a core."""
every_text = pytest.mark.parametrize("name", TEXTS)
every_rule = pytest.mark.parametrize("rule", rules().values(), ids=list(rules()))


def generator() -> ModuleType:
    return script("rule_pages")


@cache
def pages() -> dict[str, str]:
    return generator().pages()


def read(markdown: str) -> tuple[list[Any], str]:
    """The tokens of a text, and the words that a reader sees outside of code blocks."""
    tokens = MarkdownIt().enable("table").parse(markdown)
    inline = [child for token in tokens if token.type == "inline" for child in token.children or ()]
    return tokens, " ".join("".join(child.content or " " * (child.type == "softbreak") for child in inline).split())


# -- guides ------------------------------------------------------------------------------------------------------------


def test_index_leads_to_every_guide_and_nothing_else_lies_there() -> None:
    assert {path.name for path in DOCS.iterdir()} - {"__pycache__"} == {*TEXTS, *FOLDERS, *SCRIPTS}
    assert sorted(re.findall(r"\]\(([\w.]+\.md)\)", TEXTS["README.md"])) == sorted(TEXTS.keys() - {"README.md"})
    assert set(re.findall(r"\]\((\w+)/", TEXTS["README.md"])) == FOLDERS - {"site"}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in TEXTS]
)
def test_every_command_of_a_guide_prints_what_is_shown(name: str, tmp_path: Path) -> None:
    """Python blocks run as scripts, in the order of the page, in the folder of the commands."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    blocks = list(blocks_of(TEXTS[name]))
    n_commands = sum(len(commands(block)) for block in blocks if block.language == "console" and runs_here(block))
    n_scripts = sum(block.language == "python" for block in blocks)
    assert assert_shows_what_happens(blocks, f"docs/{name}", tmp_path) == n_commands + n_scripts


@every_text
def test_commands_of_a_guide_that_are_not_run_here_are_tested_elsewhere(name: str) -> None:
    skipped = [block for block in blocks_of(TEXTS[name]) if block.language == "console" and not runs_here(block)]
    assert len(skipped) == TEXTS[name].count("<!-- not run here")
    for block in skipped:
        named = NOT_RUN.fullmatch(block.before)
        assert named is not None, commands(block)
        assert f"def {named[2]}(" in (ROOT / named[1]).read_text(encoding="utf-8")


@every_text
def test_snippets_of_a_guide_are_those_of_the_files_that_are_tested(name: str) -> None:
    files = [path.read_text(encoding="utf-8") for path in (ROOT / "examples" / "ci").iterdir() if path.is_file()]
    for block in blocks_of(TEXTS[name]):
        if block.language == "yaml":
            assert any(block.text in file for file in files), f"docs/{name}:{block.line}"


def test_pytest_snippet_is_the_file() -> None:
    (snippet,) = [b.text for b in blocks_of(TEXTS["ci.md"]) if b.text.startswith("def test_")]
    assert (ROOT / "examples" / "ci" / "test_traces.py").read_text(encoding="utf-8").endswith("\n\n\n" + snippet)


def test_guide_names_every_file_for_ci_and_every_input_of_the_action() -> None:
    text = TEXTS["ci.md"]
    files = {path.name for path in (ROOT / "examples" / "ci").iterdir() if path.is_file()}
    assert set(re.findall(r"\(\.\./examples/ci/([\w.-]+)\)", text)) == files
    action = yaml.safe_load((ROOT / ".github" / "actions" / "qwen-sft" / "action.yml").read_text(encoding="utf-8"))
    table = text.partition("| input | what |\n|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, flags=re.MULTILINE) == list(action["inputs"])


def heading_links(markdown: str) -> set[str]:
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in markdown.splitlines()
        if line.startswith("#")
    }


@every_text
def test_links_of_a_guide_lead_to_files_and_headings(name: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", TEXTS[name], flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", prose)
    assert links
    for link in links:
        path, _, heading = link.partition("#")
        target = (DOCS / path).resolve()
        assert target.exists(), link
        assert target.is_relative_to(ROOT)
        assert not heading or heading in heading_links(target.read_text(encoding="utf-8")), link


def test_every_screenshot_is_shown_and_small() -> None:
    """Made by docs/screenshots.py, which tests/test_site_browser.py runs."""
    shown = {name for text in TEXTS.values() for name in re.findall(r"!\[[^\]]+\]\(screenshots/(\w+\.png)\)", text)}
    files = {path.name: path.read_bytes() for path in (DOCS / "screenshots").iterdir()}
    assert files.keys() == shown
    for name, content in files.items():
        assert content.startswith(b"\x89PNG\r\n"), name
        assert 20_000 < len(content) < 200_000, name  # a page that has nothing on it takes less


# -- pages of the rules ------------------------------------------------------------------------------------------------


def test_pages_of_the_rules_are_up_to_date() -> None:
    """After a rule has changed: make docs."""
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "rules").iterdir()}
    stale = sorted(name for name in on_disk.keys() | pages().keys() if on_disk.get(name) != pages().get(name))
    assert stale == [], "run: make docs"
    assert on_disk.keys() == {"README.md", *(f"{code}.md" for code in rules())}


def test_make_writes_the_pages() -> None:
    recipe = re.search(r"^docs: .+\n((?:\t.+\n)+)", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert recipe is not None
    scripts = ("rule_pages.py", "reference_pages.py")
    assert recipe[1] == "".join(f"\t$(BIN)/python docs/{script}\n" for script in scripts)


def test_script_writes_each_page_and_takes_away_those_of_no_rule(tmp_path: Path) -> None:
    shutil.copy(DOCS / "rule_pages.py", tmp_path)
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "OLD001.md").write_text("")
    done = subprocess.run([sys.executable, tmp_path / "rule_pages.py"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "rules").iterdir()} == pages()


@every_rule
def test_page_reads_as_the_rule_says_it(rule: Rule) -> None:
    """No word is lost to markup, and no markup is in the words."""
    tokens, words = read(pages()[f"{rule.code}.md"])
    page = rule.page
    for prose in (page.summary, page.catches, page.matters, page.fix, page.source):
        assert prose.replace("`", "")[1:] in words
    kinds = {child.type for token in tokens if token.type == "inline" for child in token.children or ()}
    assert kinds <= {"text", "code_inline", "softbreak", "link_open", "link_close"}
    assert not [token for token in tokens if token.type == "html_block"]
    fences = [token.content for token in tokens if token.type == "fence"]
    assert fences == [f"{example.text}\n" for example in (*page.bad, *page.good)]
    for token in tokens:
        if token.type == "fence" and token.info == "json":
            json.loads(token.content)
    headings = [after.content for token, after in pairwise(tokens) if token.type == "heading_open"]
    sections = ["What it catches", "Why it matters", "Fix", "Bad", "Good", "Source"]
    assert headings == [f"{rule.code} {rule.name}", *sections]
    assert ("heuristic" in words.partition("since")[0]) == rule.heuristic
    for fix in fixes().values():
        assert (f" {fix.name} " in words) == (rule.code in fix.codes)


@every_rule
def test_page_leads_to_the_file_of_the_rule(rule: Rule) -> None:
    (source,) = re.findall(r"\]\((\.\./\.\./qwen_sft/rules/\w+\.py)\)", pages()[f"{rule.code}.md"])
    assert f'code="{rule.code}"' in (DOCS / "rules" / source).resolve().read_text(encoding="utf-8")


def test_index_has_each_rule_once_with_its_severity_and_summary() -> None:
    tokens, _ = read(pages()["README.md"])
    cells = [
        "".join(c.content for c in token.children) for token in tokens if token.type == "inline" and token.level > 3
    ]
    told = [tuple(cells[i : i + 4]) for i in range(0, len(cells), 4) if cells[i] != "code"]
    order = list(generator().LETTERS)
    tier = {True: ", heuristic", False: ""}
    assert told == [
        (rule.code, rule.name, rule.severity.value + tier[rule.heuristic], rule.page.summary.replace("`", ""))
        for rule in sorted(rules().values(), key=lambda rule: (order.index(rule.code[:3]), rule.code))
    ]


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("a `<b>` is no <b>, 3 * 4 | 5", "a `<b>` is no \\<b\\>, 3 \\* 4 \\| 5"),
        ("snake_case [x](y) \\n", "snake\\_case \\[x\\](y) \\\\n"),
        ("`a|b` c", "`a|b` c"),
    ],
)
def test_words_are_escaped_outside_of_code(text: str, markdown: str) -> None:
    assert generator().escaped(text) == markdown
    assert read(markdown)[1] == text.replace("`", "")


def test_sentences_begin_with_a_capital_but_for_names() -> None:
    given = ["the rule", "qwen-sft lost it", "vLLM reads", "`x` is", "--redact puts"]
    assert [generator().prose(one) for one in given] == ["The rule", *given[1:]]
