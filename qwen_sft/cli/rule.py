"""`qwen-sft rule`: what the rules check, from their own files."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qwen_sft.rule import Rule

SEES = {
    "record": "the record",
    "sample": "the sample",
    "tokens": "its tokens (--model)",
    "set": "the whole set",
}
"""What a rule of each stage looks at."""

EXAMPLES = """
The list has for each rule its severity, whether it proves what it finds or guesses (heuristic), and what it looks at: a
record as it stands, a sample, a sample's tokens (with --model), or the whole set.

Examples:

\b
  qwen-sft rule
  qwen-sft rule TOL003
"""


def rule(
    code: Annotated[str | None, typer.Argument(help="A rule's code or name; without it, all rules.")] = None,
) -> None:
    """List the rules, or show the page of one."""
    from qwen_sft.errors import UsageError
    from qwen_sft.rule import Page, rules
    from qwen_sft.text.terminal import in_colour, styled

    shelf = rules()
    colour = in_colour(sys.stdout)
    if code is None:
        for one in shelf.values():
            severity = styled(f"{one.severity.value:<8}", one.severity.value, colour)
            tier = f"{_tier(one):<10} {one.stage:<7}"
            sys.stdout.write(f"{one.code}  {severity} {tier} {one.name:<30} {one.page.summary}\n")
        return
    found = next((r for r in shelf.values() if code.upper() == r.code or code == r.name), None)
    if found is None:
        raise UsageError(f"no rule {code!r}; see: qwen-sft rule")
    page: Page = found.page
    head = styled(f"{found.code} {found.name}", "code", colour)
    tier = f"{found.severity.value}, {_tier(found)}, sees {SEES[found.stage]}"
    out = [f"{head} ({tier}, since {found.since})", "", page.summary, ""]
    for title, text in (("What it catches", page.catches), ("Why it matters", page.matters), ("Fix", page.fix)):
        out += [styled(title, "code", colour), f"  {text}", ""]
    for title, examples in (("Bad", page.bad), ("Good", page.good)):
        for example in examples:
            flags = "".join(f" --{k.replace('_', '-')} {v}" for k, v in example.flags.items() if k != "unit")
            out += [styled(title, "error" if title == "Bad" else "ok", colour) + (f" (with{flags})" if flags else "")]
            out += [f"  {line}" for line in example.text.splitlines()] + [""]
    out += [styled("Source", "code", colour), f"  {page.source}"]
    sys.stdout.write("\n".join(out) + "\n")


def _tier(one: "Rule") -> str:
    return "heuristic" if one.heuristic else "provable"


rule.__doc__ = (rule.__doc__ or "") + "\n" + EXAMPLES
