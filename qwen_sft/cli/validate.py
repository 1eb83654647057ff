"""`qwen-sft validate`: the gate."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
  cat runs.jsonl | qwen-sft validate - --output-format json > report.json
"""


@options.takes_settings()
def validate(
    paths: options.Paths,
    flags: dict[str, Any],
    output_format: Annotated[
        str, typer.Option("--output-format", metavar="full|concise|json", help="How to print findings on stdout.")
    ] = "full",
    max_findings: Annotated[
        int | None, typer.Option("--max-findings", min=0, help="Print at most so many findings; all are counted.")
    ] = None,
    locked: Annotated[
        Path | None,
        typer.Option(
            "--locked", metavar="FILE|DIR", help="Stop with 1 if the model is not the one of this qwen-sft.lock.json."
        ),
    ] = None,
) -> None:
    """Check traces: structure always; with --model also template, tokens and mask."""
    from qwen_sft.errors import UsageError
    from qwen_sft.finding import Diagnostic
    from qwen_sft.ingest import expand
    from qwen_sft.pipeline import Pipeline, outcomes, tally
    from qwen_sft.reporter import Totals, exit_code, reporters

    shelf = reporters()
    if output_format not in shelf:
        raise UsageError(f"no output format {output_format!r}; it can be {', '.join(shelf)}")
    settings = options.settings(flags)
    skipped = Counter[str]()
    inputs = expand(paths, skipped=skipped)
    pipeline = Pipeline(settings)
    if locked is not None:
        _check_lock(locked, pipeline)
    totals = Totals(n_files=len(inputs))

    def findings() -> Iterator[Diagnostic]:
        with Progress(inputs) as progress:
            for outcome in outcomes(inputs, pipeline):
                tally(totals, outcome)
                progress.advance(outcome)
                yield from outcome.diagnostics

    shelf[output_format].report(findings(), totals, sys.stdout, max_findings)
    for source in inputs:
        skipped.update(source.skipped)
    options.tell_skipped(skipped)
    raise typer.Exit(exit_code(totals, settings.fail_on))


def _check_lock(file: Path, pipeline: "Pipeline") -> None:
    """Stops where the model of the settings is not the one that was locked: what it finds would be of another model.

    Raises:
        UsageError: no model is named, or there is no lock.
        ModelError: the file is no lock.
        Exit: with 1, where they differ.
    """
    from qwen_sft.errors import UsageError
    from qwen_sft.proving.lock import differences, lock_of, read_lock
    from qwen_sft.terminal import printable

    lock = read_lock(file)
    if pipeline.settings.model is None:
        raise UsageError("--locked compares a model; name one with --model")
    found = differences(lock, lock_of(pipeline.encoder.model, pipeline.settings))
    for difference in found:
        sys.stderr.write(f"{difference.severity}: {printable(str(difference))}\n")
    if any(difference.severity == "error" for difference in found):
        raise typer.Exit(1)


validate.__doc__ = (validate.__doc__ or "") + "\n" + EXAMPLES
