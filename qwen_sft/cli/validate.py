"""`qwen-sft validate`: the gate."""

import sys
from collections.abc import Iterator
from typing import Annotated

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


def validate(
    paths: options.Paths,
    format: options.Format = None,
    model: options.Model = None,
    output_format: Annotated[
        str, typer.Option("--output-format", metavar="full|concise|json", help="How to print findings on stdout.")
    ] = "full",
    fail_on: options.FailOn = None,
    select: options.Select = None,
    ignore: options.Ignore = None,
    max_findings: Annotated[
        int | None, typer.Option("--max-findings", min=0, help="Print at most so many findings; all are counted.")
    ] = None,
    trailing_calls: options.TrailingCalls = None,
    max_length: options.MaxLength = None,
    on_too_long: options.OnTooLong = None,
    verify: options.Verify = None,
    seed: options.Seed = None,
    tokenizer_backend: options.Backend = None,
    config: options.Config = None,
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
    settings = options.settings(
        config,
        format=format,
        model=model,
        fail_on=fail_on,
        select=select,
        ignore=ignore,
        trailing_calls=trailing_calls,
        max_length=max_length,
        on_too_long=on_too_long,
        verify=verify,
        seed=seed,
        tokenizer_backend=tokenizer_backend,
    )
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
