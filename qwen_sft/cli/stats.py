"""`qwen-sft stats`: what traces or a built set are like, on one screen."""

import sys
from typing import Annotated, Any

import typer

from qwen_sft.cli import options
from qwen_sft.cli.report import Epochs, Parameters, Peak, Utilisation, surveyed

EXAMPLES = """
Examples:

\b
  qwen-sft stats runs.jsonl
  qwen-sft stats traces/ --model qwen3
  qwen-sft stats dataset --output-format json
"""


@options.takes_settings(*options.OF_WORKERS, *options.OF_A_SET)
def stats(
    paths: options.Paths,
    flags: dict[str, Any],
    output_format: Annotated[str, typer.Option("--output-format", metavar="full|json", help="How to print.")] = "full",
    parameters: Parameters = None,
    epochs: Epochs = 3.0,
    peak_tflops: Peak = 989.0,
    mfu: Utilisation = 0.4,
) -> None:
    """Show on one screen what traces or a built set are like: lengths, trained tokens, findings, tools."""
    import json

    from qwen_sft.errors import UsageError

    if output_format not in ("full", "json"):
        raise UsageError(f"no output format {output_format!r}; it can be full, json")
    numbers, _ = surveyed(paths, flags, (parameters, epochs, peak_tflops, mfu), excerpts=False)
    if output_format == "json":
        sys.stdout.write(json.dumps(numbers.as_json(), indent=2) + "\n")
    else:
        from qwen_sft.surveying.screen import write_screen  # rich

        write_screen(numbers, sys.stdout)
    raise typer.Exit(numbers.code)


stats.__doc__ = (stats.__doc__ or "") + "\n" + EXAMPLES
