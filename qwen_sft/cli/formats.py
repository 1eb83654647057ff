"""`qwen-sft formats`: what the shelf of formats can read, and why a file is read as it is."""

import sys
from typing import Annotated

import typer


def formats(
    explain: Annotated[
        list[str] | None,
        typer.Option("--explain", metavar="PATH", help="Say as what the records of a file are read, and why."),
    ] = None,
) -> None:
    """List the trace formats that can be read; with --explain, say why a file is read as it is."""
    from qwen_sft.format import formats as shelf

    if explain:
        raise typer.Exit(_explain(explain))
    width = max(map(len, shelf()))
    for one in shelf().values():
        sys.stdout.write(f"{one.name:<{width}} {one.title}\n")


def _explain(paths: list[str]) -> int:
    """0 if each record is read as one format, 1 if one is not, 3 if there is none."""
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.reading.explain import explained
    from qwen_sft.text.terminal import one_line

    worst = 3
    for source, groups in explained(expand(paths)):
        sys.stdout.write(
            f"{one_line(source.name)}: {source.n_records:,} {'line' if source.n_records == 1 else 'lines'}\n"
        )
        for seen in groups:
            unclear = len(seen.names) != 1 or seen.names == ("unreadable",)
            worst = max(worst % 3, int(unclear))
            name = " or ".join(seen.names) or "no format"
            lines = f" of {seen.n_lines:,} lines" if seen.n_lines != seen.n_records else ""
            samples = "" if unclear else f", {seen.n_samples:,} samples"
            sys.stdout.write(
                f"  {name}: {seen.n_records:,} records{lines}{samples}, the first in line {seen.first.line}\n"
            )
            sys.stdout.write(f"    seen: {one_line(seen.why)}\n")
            if seen.n_refused:
                sys.stdout.write(f"    {seen.n_refused:,} refused: {one_line(seen.refusal)}\n")
    return worst


formats.__doc__ = (
    (formats.__doc__ or "")
    + """

Examples:

\b
  qwen-sft formats
  qwen-sft formats --explain runs.jsonl
"""
)
