"""`qwen-sft build`: traces to a training set."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from qwen_sft.cli import options

EXAMPLES = """
Examples:

\b
  qwen-sft build runs.jsonl --model qwen3 --out dataset
  qwen-sft build traces/ --model ./my-model --out dataset --max-length 32768 --on-too-long drop-turns
  qwen-sft build runs.jsonl --model Qwen/Qwen3-8B --out dataset --verify all --force
"""


def build(
    paths: options.Paths,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write; must be new or empty.")],
    model: options.Model = None,
    format: options.Format = None,
    max_length: options.MaxLength = None,
    on_too_long: options.OnTooLong = None,
    shard_size: Annotated[
        str | None,
        typer.Option("--shard-size", metavar="SIZE", help="Row data in a shard, e.g. 500MB [default: 500MB]."),
    ] = None,
    seed: options.Seed = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier build in that folder.")] = False,
    fail_on: options.FailOn = None,
    select: options.Select = None,
    ignore: options.Ignore = None,
    trailing_calls: options.TrailingCalls = None,
    verify: options.Verify = None,
    tokenizer_backend: options.Backend = None,
    config: options.Config = None,
) -> None:
    """Write a training set: Parquet shards, rejects.jsonl, manifest.json and a dataset card."""
    from qwen_sft.build import build as run
    from qwen_sft.cli.progress import Progress
    from qwen_sft.ingest import expand
    from qwen_sft.reporter import exit_code
    from qwen_sft.terminal import printable
    from qwen_sft.writer import writers

    settings = options.settings(
        config,
        format=format,
        model=model,
        max_length=max_length,
        on_too_long=on_too_long,
        shard_size=None if shard_size is None else options.size(shard_size),
        seed=seed,
        fail_on=fail_on,
        select=select,
        ignore=ignore,
        trailing_calls=trailing_calls,
        verify=verify,
        tokenizer_backend=tokenizer_backend,
    )
    writer = writers()["parquet"]
    with Progress(expand(paths)) as progress:
        manifest, totals = run(paths, settings, out, writer, force=force, each=progress.advance)
    records, rows, verified = manifest["records"], manifest["rows"], manifest["verified"]
    sys.stderr.write(
        f"{records['read']:,} records read, {records['written']:,} written, {records['rejected']:,} rejected"
        f"{_codes(manifest)}\n"
        f"{rows['n_rows']:,} rows, {rows['n_tokens']:,} tokens, {rows['n_trained_tokens']:,} of them trained; "
        f"{verified['n_samples']:,} samples verified against {verified['against']}\n"
    )
    sys.stdout.write(f"{printable(str(out))}\n")
    raise typer.Exit(exit_code(totals, settings.fail_on))


def _codes(manifest: dict[str, Any]) -> str:
    counts = ", ".join(f"{code} {n:,}" for code, n in manifest["rejected_by_code"].items())
    return f" ({counts})" if counts else ""


build.__doc__ = (build.__doc__ or "") + "\n" + EXAMPLES
