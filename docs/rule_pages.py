"""Writes docs/rules: a page for each rule, and an index, all from the rules' own files. Usage: make docs"""

import json
import re
from pathlib import Path

from qwen_sft.fix import Fix, fixes
from qwen_sft.rule import Example, Rule, rules

FOLDER = Path(__file__).parent / "rules"
INDEX = "README.md"

LETTERS = {
    "SRC": "What could not be read",
    "SCH": "What has no shape that can be trained on",
    "MSG": "Turns and their text",
    "TOL": "Tools, calls and results",
    "THK": "Reasoning",
    "TOK": "Template, tokens, mask and length",
    "SET": "The whole set",
    "SEC": "Secrets and personal data",
}
STAGES = {"tokens": "`--model`", "set": "the whole set"}
"""What a rule needs to see beside the record itself."""


def pages() -> dict[str, str]:
    """The text of each file of the folder, by its name."""
    shelf, mending = rules().values(), fixes().values()
    return {INDEX: _index(list(shelf)), **{f"{rule.code}.md": _page(rule, list(mending)) for rule in shelf}}


def _page(rule: Rule, mending: list[Fix]) -> str:
    page = rule.page
    tier = f"{rule.severity.value}, heuristic" if rule.heuristic else rule.severity.value
    needs = f", needs {STAGES[rule.stage]}" if rule.stage in STAGES else ""
    lines = [f"# {rule.code} {rule.name}", "", f"{tier}{needs}, since {rule.since}", "", prose(page.summary), ""]
    if rule.heuristic:
        lines += ["It guesses, so a finding may be no fault.", ""]
    lines += ["## What it catches", "", prose(page.catches), "", "## Why it matters", "", prose(page.matters), ""]
    lines += ["## Fix", "", prose(page.fix), ""]
    for fix in (one for one in mending if rule.code in one.codes):
        flag = "" if fix.safe else " --unsafe"
        lines += [f"`qwen-sft fix{flag}`, where there is one exact way: `{fix.name}` {escaped(fix.title)}.", ""]
    for title, examples in (("Bad", page.bad), ("Good", page.good)):
        lines += [f"## {title}", ""]
        for example in examples:
            lines += _example(example)
    source = f"../../qwen_sft/rules/{rule.code.lower()}_{rule.name.replace('-', '_')}.py"
    lines += ["## Source", "", prose(page.source), ""]
    lines += [f"This page is made from [the rule's file]({source}); its examples are tests. [All rules]({INDEX})."]
    return "\n".join(lines) + "\n"


def _example(example: Example) -> list[str]:
    flags = "".join(f" --{name.replace('_', '-')} {value}" for name, value in example.flags.items() if name != "unit")
    told = [f"With `{flags.strip()}`:", ""] if flags else []
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", example.text)), default=0))
    return [*told, ticks + ("json" if _is_json(example.text) else "text"), example.text, ticks, ""]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _index(shelf: list[Rule]) -> str:
    lines = [
        "# Rules",
        "",
        "Each rule has a code, which is never used again, and a name. `--select` and `--ignore` take both, and the",
        "letters of codes. `qwen-sft rule CODE` prints the same pages. An error keeps a record out of a training set;",
        "a warning and an info do not. A heuristic rule guesses, and is never an error.",
    ]
    for letters, title in LETTERS.items():
        found = [rule for rule in shelf if rule.code.startswith(letters)]
        if found:
            lines += [
                "",
                f"## {letters}: {title}",
                "",
                "| code | name | severity | what it says |",
                "|---|---|---|---|",
            ]
        for rule in found:
            tier = f"{rule.severity.value}, heuristic" if rule.heuristic else rule.severity.value
            summary = prose(rule.page.summary).replace("|", "\\|")
            lines.append(f"| [{rule.code}]({rule.code}.md) | {rule.name} | {tier} | {summary} |")
    lines += ["", "These pages are made from the rules' files by `make docs`."]
    return "\n".join(lines) + "\n"


def prose(text: str) -> str:
    """Sentences as Markdown; the first letter becomes a capital, but of a name such as qwen-sft or vLLM."""
    starts = re.match(r"[a-z]+[ ,.;:]", text) is not None
    return escaped(text[0].upper() + text[1:] if starts else text)


def escaped(text: str) -> str:
    """Words as Markdown that reads as they are: code stays code, and nothing else is markup."""
    parts = re.split(r"(`[^`]+`)", text)
    parts[::2] = [re.sub(r"([\\<>*_\[\]|#])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def main() -> None:
    """Writes the pages, and takes away those of rules that are no more."""
    made = pages()
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.iterdir():
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
