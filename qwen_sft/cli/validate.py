"""`qwen-sft validate`: the gate."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from qwen_sft.cli import options
from qwen_sft.cli.progress import Progress

EXAMPLES = """
Examples:

\b
  qwen-sft validate runs.jsonl
  qwen-sft validate traces/ --model qwen3 --fail-on warning
  qwen-sft validate runs.jsonl.zst --output-format concise --ignore TOL020
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
    inputs = expand(paths)
    pipeline = Pipeline(settings)
    totals = Totals(n_files=len(inputs))

    def findings() -> Iterator[Diagnostic]:
        with Progress(inputs) as progress:
            for outcome in outcomes(inputs, pipeline.process):
                tally(totals, outcome)
                progress.advance(outcome)
                yield from outcome.diagnostics

    shelf[output_format].report(findings(), totals, sys.stdout, max_findings)
    raise typer.Exit(exit_code(totals, settings.fail_on))


validate.__doc__ = (validate.__doc__ or "") + "\n" + EXAMPLES
