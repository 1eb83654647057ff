"""`qwen-sft validate`: the gate."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from qwen_sft.cli import options
from qwen_sft.cli.progress import Progress

if TYPE_CHECKING:
    from qwen_sft.pipeline import Pipeline

EXAMPLES = """
Examples:

\b
  qwen-sft validate runs.jsonl
  qwen-sft validate traces/ --model qwen3 --fail-on warning
  qwen-sft validate runs.jsonl.zst --output-format concise --ignore TOL020
  qwen-sft validate runs.jsonl --model ./my-model --locked dataset
  qwen-sft validate traces/ --output-format sarif --output traces.sarif
  qwen-sft validate traces/ --statistics
  qwen-sft validate traces/ --select TOL --explain
  qwen-sft validate traces/ --limit TOL=0/10000 --limit 'MSG018<0.5%'
  qwen-sft validate traces/ --write-baseline baseline.json
  qwen-sft validate traces/ --baseline baseline.json
  cat runs.jsonl | qwen-sft validate - --output-format json > report.json
"""


@options.takes_settings(*options.OF_A_SET)
def validate(
    paths: options.Paths,
    flags: dict[str, Any],
    output_format: Annotated[
        str,
        typer.Option(
            "--output-format",
            metavar="NAME",
            help="How to print findings on stdout: full, concise, json, jsonl, sarif, junit, github, gitlab, markdown.",
        ),
    ] = "full",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FILE", help="Write the report to this file instead, and a summary to stderr."
        ),
    ] = None,
    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="Print how often each rule found something, instead of the findings."),
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Say behind the findings why each of their rules matters, and how to mend it."),
    ] = False,
    max_findings: Annotated[
        int | None, typer.Option("--max-findings", min=0, help="Print at most so many findings; all are counted.")
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(
            "--write-baseline", metavar="FILE", help="Write what is found to this file; with --baseline it then passes."
        ),
    ] = None,
    locked: Annotated[
        Path | None,
        typer.Option(
            "--locked", metavar="FILE|DIR", help="Stop with 1 if the model is not the one of this qwen-sft.lock.json."
        ),
    ] = None,
) -> None:
    """Check traces: structure always; with --model also template, tokens and mask."""
    from qwen_sft.cli.report_file import opened
    from qwen_sft.errors import UsageError
    from qwen_sft.finding import Diagnostic
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.pipeline import Pipeline
    from qwen_sft.reporter import Totals, counted, reporters, summary
    from qwen_sft.running.baseline import apart
    from qwen_sft.running.gate import Gate, judged
    from qwen_sft.running.workers import jobs_of
    from qwen_sft.text.terminal import fitted, in_colour, one_line

    shelf = reporters()
    if output_format not in shelf:
        raise UsageError(f"no output format {output_format!r}; it can be {', '.join(shelf)}")
    reporter = shelf[output_format]
    if statistics and reporter.statistics is None:
        names = ", ".join(name for name, one in shelf.items() if one.statistics)
        raise UsageError(f"{output_format} has no place for --statistics; these have: {names}")
    if explain and (statistics or output_format != "full"):
        raise UsageError("--explain is for the findings of --output-format full; `qwen-sft rule CODE` shows a page")
    settings = options.settings(flags)
    skipped = Counter[str]()
    inputs = apart(expand(paths, skipped=skipped), paths, settings.baseline, write_baseline)
    pipeline = Pipeline(settings, excerpts=reporter.excerpts and not statistics)
    if locked is not None:
        _check_lock(locked, pipeline)
    gate = Gate(pipeline, inputs, baseline=write_baseline)
    totals = Totals(n_files=len(inputs))
    code = 3
    progress = Progress(inputs)

    def findings() -> Iterator[Diagnostic]:
        nonlocal code
        with progress:
            jobs = jobs_of(settings, inputs)
            yield from judged(inputs, pipeline, gate, totals, each=progress.advance, jobs=jobs, many=progress.count)
        code = gate.close(totals)

    with opened(output, inputs) if output is not None else nullcontext(progress.stdout) as stream:
        if statistics and reporter.statistics is not None:
            reporter.statistics(counted(findings()), totals, stream)
        else:
            reporter.report(findings(), totals, stream, max_findings)
        if explain:
            found = {code for code, n in totals.by_code.items() if n > totals.known_by_code.get(code, 0)}
            stream.writelines(_explained(sorted(found), stream))
        stream.flush()
    if output is not None:
        sys.stderr.write(fitted(summary(totals, colour=in_colour(sys.stderr)), sys.stderr))
    elif output_format != "full":  # which ends with the summary
        sys.stderr.writelines(f"qwen-sft: {one_line(why)}\n" for why in totals.failures)
    for source in inputs:
        skipped.update(source.skipped)
    options.tell_skipped(skipped)
    raise typer.Exit(code)


def _explained(codes: list[str], stream: TextIO) -> Iterator[str]:
    """What the pages of some rules say, in short."""
    from textwrap import fill

    from qwen_sft.rule import rules
    from qwen_sft.text.terminal import columns, in_colour, styled

    colour, width = in_colour(stream), min(columns(stream), 120)
    for code in codes:
        rule = rules()[code]
        page = rule.page
        guesses = " (heuristic: it may be no fault)" if rule.heuristic else ""
        yield f"\n{styled(f'{code} {rule.name}', 'code', colour)}: {page.summary}{guesses}\n"
        for title, text in (("why", page.matters), ("fix", page.fix)):
            yield fill(f"{title}: {text}", width, initial_indent="    ", subsequent_indent="    ") + "\n"


def _check_lock(file: Path, pipeline: "Pipeline") -> None:
    """Stops where the model of the settings is not the one that was locked: what it finds would be of another model.

    Raises:
        UsageError: no model is named, or there is no lock.
        ModelError: the file is no lock.
        Exit: with 1, where they differ.
    """
    from qwen_sft.errors import UsageError
    from qwen_sft.proving.lock import differences, lock_of, read_lock
    from qwen_sft.text.terminal import printable

    lock = read_lock(file)
    if pipeline.settings.model is None:
        raise UsageError("--locked compares a model; name one with --model")
    found = differences(lock, lock_of(pipeline.encoder.model, pipeline.settings))
    for difference in found:
        sys.stderr.write(f"{difference.severity}: {printable(str(difference))}\n")
    if any(difference.severity == "error" for difference in found):
        raise typer.Exit(1)


validate.__doc__ = (validate.__doc__ or "") + "\n" + EXAMPLES
