"""Every rule's page: it is whole, and its examples do what it says, run as a file with the flags that it names."""

import json
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import qwen_sft.rules
from qwen_sft.cli import main
from qwen_sft.cli.rule import SEES
from qwen_sft.ingesting.ingest import expand
from qwen_sft.pipeline import Outcome, Pipeline, Survey, outcomes
from qwen_sft.reporter import Totals
from qwen_sft.rule import Example, Rule, rules
from qwen_sft.settings import Settings

RULES = rules()
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
pipeline_of = cache(Pipeline)


def told(flags: dict[str, str]) -> Settings:
    """The settings of a page's flags, each turned into the type of its setting."""
    kinds = {field.name: str(field.type) for field in fields(Settings)}
    given: dict[str, Any] = {}
    for name, value in flags.items():
        if name == "unit":
            continue
        kind = kinds[name]
        if "Mapping" in kind:
            given[name] = json.loads(value)
            continue
        given[name] = (value,) if "tuple" in kind else int(value) if "int" in kind else value
        if kind == "bool":
            given[name] = value == "true"
    return Settings(**given)


def run(example: Example, folder: Path) -> list[Outcome]:
    """The outcomes of an example, written to a file as one line where it is one JSON value."""
    try:
        text = json.dumps(json.loads(example.text), ensure_ascii=False)
        path = folder / "example.jsonl"
    except ValueError:  # it is no JSON, or it is several records
        text = example.text
        path = folder / ("example.json" if text.count("\n{") else "example.jsonl")
    path.write_text(text + "\n", encoding="utf-8")
    pipeline = pipeline_of(told(example.flags))
    survey = Survey(pipeline)
    made = list(outcomes(expand([str(path)]), pipeline))
    for outcome in made:
        survey.see(outcome)
    made[-1].diagnostics += survey.conclude(Totals())
    return made


def test_flags_of_a_page_become_settings():
    flags = {"model": "qwen3", "max_length": "16", "trailing_calls": "keep", "ignore": "MSG001", "unit": "yes"}
    assert told(flags) == Settings(model="qwen3", max_length=16, trailing_calls="keep", ignore=("MSG001",))
    with pytest.raises(KeyError):
        told({"max-length": "16"})


def test_shelf_holds_every_file_of_its_folder_under_code_and_name():
    files = {path.stem for path in Path(qwen_sft.rules.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == {f"{rule.code.lower()}_{rule.name.replace('-', '_')}" for rule in RULES.values()}
    assert len(files) >= 26
    assert {code[:3] for code in RULES} >= {"SRC", "SCH", "MSG", "TOL", "TOK"}


def test_names_are_unique_and_kebab_case():
    names = [rule.name for rule in RULES.values()]
    assert len(set(names)) == len(names)
    for name in names:
        assert all(part.isalnum() and part == part.lower() and part.isascii() for part in name.split("-")), name


@every_rule
def test_page_has_every_section_in_few_words(rule: Rule):
    page = rule.page
    assert page.summary.endswith(".")
    assert "\n\n" not in page.summary
    assert all((page.catches, page.matters, page.fix, page.source, page.bad, page.good))
    assert rule.code[:3] in ("SRC", "SCH", "MSG", "TOL", "THK", "TOK", "SET", "SEC")
    assert (len(rule.code), rule.code[3:].isdigit()) == (6, True)


@every_rule
def test_bad_example_yields_the_code(rule: Rule, tmp_path: Path):
    for example in rule.page.bad:
        if example.flags.get("unit") != "yes":
            made = run(example, tmp_path)
            assert rule.code in {d.code for o in made for d in o.diagnostics}, example.text


@every_rule
def test_good_example_is_clean_under_every_rule(rule: Rule, tmp_path: Path):
    for example in rule.page.good:
        made = run(example, tmp_path)
        assert [(d.code, d.json_path, d.says) for o in made for d in o.diagnostics] == [], example.text
        assert len(made) >= 1
        assert not any(outcome.rejected for outcome in made)


@every_rule
def test_rule_command_prints_the_whole_page(rule: Rule, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    for asked in (rule.code.lower(), rule.name):
        monkeypatch.setattr("sys.argv", ["qwen-sft", "rule", asked])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 0
    page, out = rule.page, capsys.readouterr().out
    for prose in (
        rule.code,
        rule.name,
        rule.severity.value,
        page.summary,
        page.catches,
        page.matters,
        page.fix,
        page.source,
    ):
        assert out.count(prose) >= 2
    tier = f"{rule.severity.value}, {'heuristic' if rule.heuristic else 'provable'}, sees {SEES[rule.stage]}"
    assert out.count(f"{rule.code} {rule.name} ({tier}, since {rule.since})\n") == 2
    for heading in ("What it catches", "Why it matters", "Fix", "Bad", "Good", "Source"):
        assert f"\n{heading}" in out
    for example in (*page.bad, *page.good):
        assert "\n".join(f"  {line}" for line in example.text.splitlines()) in out
