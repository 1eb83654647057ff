"""`qwen-sft fix`: traces of any format to samples, mended where there is one exact way."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen_sft.cli import options
from qwen_sft.cli.progress import Progress

if TYPE_CHECKING:
    from qwen_sft.pipeline import Outcome
    from qwen_sft.running.repair import Mended

EXAMPLES = """
Reading alone gives a sample dictionaries for arguments that are JSON in a string, the roles that a format has for its
own, ids as strings, text for parts that are all text, and takes out nulls that Arrow filled in. It makes real calls of
those in text (--lift-calls), and needs no fix. What is written is always a sample, in the shape that `convert` writes.

A safe fix changes no word that a model is trained to say, but where its rule proves what was meant. --unsafe makes the
others too: they take out or rewrite what the assistant said. --list names them all.

Exit codes: 0 no finding at or above --fail-on is left, 1 some are, 2 could not run, 3 nothing was checked.

Examples:

\b
  qwen-sft fix runs/ --out samples.jsonl --report changes.jsonl
  qwen-sft fix runs.jsonl --out samples.jsonl --diff | less
  qwen-sft fix runs.jsonl --out samples.jsonl --select TOL --unsafe
"""


def _list(wanted: bool) -> None:
    if not wanted:
        return
    from qwen_sft.fix import fixes

    for fix in sorted(fixes().values(), key=lambda one: not one.safe):
        codes = ", ".join(fix.codes)
        typer.echo(f"{fix.name:<21}{'safe' if fix.safe else 'unsafe':<8}{fix.title} ({codes})")
    raise typer.Exit


@options.takes_settings(
    *options.OF_A_MODEL, "limit", "baseline", "near_duplicates", *options.OF_WORKERS, *options.OF_A_SET
)
def fix(
    paths: options.Paths,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="File to write, one sample a line; - for stdout.")],
    flags: dict[str, Any],
    unsafe: Annotated[
        bool, typer.Option("--unsafe", help="Make the fixes too that change what the assistant says.")
    ] = False,
    report: Annotated[
        str | None,
        typer.Option("--report", metavar="FILE", help="Write every change there, one JSON object a line."),
    ] = None,
    diff: Annotated[
        bool, typer.Option("--diff", help="Print a unified diff of each changed sample on stdout.")
    ] = False,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="Where rejected records go [default: FILE.rejects.jsonl]."),
    ] = None,
    _: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="List the fixes with their rules and exit.")
    ] = False,
) -> None:
    """Mend traces where there is one exact way, and say what was changed."""
    from qwen_sft.errors import UsageError
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.running.repair import repair, summary
    from qwen_sft.text.terminal import fitted

    for flag, value in (("--out", out), ("--report", report)):
        if value == "":
            raise UsageError(f"{flag} is empty; name a file")
    if report == "-" or (diff and out == "-"):
        raise UsageError("samples, changes and a diff do not go to one stdout; name a file for --out and --report")
    if report is not None and report == out:
        raise UsageError(f"--out and --report are both {out!r}; name two files")
    settings = options.settings(flags, model=None)
    skipped = Counter[str]()
    inputs = expand(paths, skipped=skipped)

    def each(outcome: "Outcome") -> None:
        progress.advance(outcome)
        if outcome.rejected:
            for found in outcome.diagnostics:
                sys.stderr.write(fitted(options.said(found) + "\n", sys.stderr))

    def mended(outcome: "Outcome", one: "Mended") -> None:
        for line in differences(outcome, one) if diff else ():
            sys.stdout.write(line + "\n")

    with Progress(inputs) as progress:
        made = repair(inputs, settings, out, rejects, unsafe=unsafe, report=report, each=each, mended=mended)
    sys.stderr.write(fitted(summary(made), sys.stderr))
    for source in inputs:
        skipped.update(source.skipped)
    options.tell_skipped(skipped)
    raise typer.Exit(1 if made.n_failing else 0 if made.totals.n_samples else 3)


def differences(outcome: "Outcome", one: "Mended") -> Iterator[str]:
    """The lines of a unified diff of a changed sample, printed as JSON; hostile text in them is made harmless."""
    from difflib import unified_diff

    from qwen_sft.text.terminal import one_line

    if not one.changes:
        return
    where = outcome.record.where
    place = f"{where.file}:{where.line}" + (f" item {where.item}" if where.item is not None else "")
    fixes = ", ".join(dict.fromkeys(change.fix for change in one.changes))
    before, after = (json.dumps(s, ensure_ascii=False, indent=2).split("\n") for s in (one.given, one.sample))
    for line in unified_diff(before, after, place, f"{place} ({fixes})", lineterm=""):
        yield one_line(line)


fix.__doc__ = (fix.__doc__ or "") + "\n" + EXAMPLES
