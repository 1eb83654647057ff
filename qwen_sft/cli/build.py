"""`qwen-sft build`: traces to a training set."""

import sys
from collections import Counter
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


@options.takes_settings()
def build(
    paths: options.Paths,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write; must be new or empty.")],
    flags: dict[str, Any],
    shard_size: Annotated[
        str | None,
        typer.Option("--shard-size", metavar="SIZE", help="Row data in a shard, e.g. 500MB [default: 500MB]."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier build in that folder.")] = False,
) -> None:
    """Write a training set: Parquet shards, rejects.jsonl, manifest.json and a dataset card."""
    from qwen_sft.baseline import apart
    from qwen_sft.build import build as run
    from qwen_sft.cli.progress import Progress
    from qwen_sft.finding import Diagnostic
    from qwen_sft.gate import Gate
    from qwen_sft.ingest import expand
    from qwen_sft.pipeline import Outcome, Pipeline
    from qwen_sft.reporter import failed, gated
    from qwen_sft.terminal import printable
    from qwen_sft.writer import writers

    size = None if shard_size is None else options.size(shard_size)
    settings = options.settings(flags, shard_size=size)
    writer = writers()["parquet"]
    skipped = Counter[str]()
    inputs = apart(expand(paths), paths, settings.baseline)
    pipeline = Pipeline(settings)
    gate = Gate(pipeline, inputs)

    def each(outcome: Outcome) -> None:
        progress.advance(outcome)
        gate.judge(outcome)

    found: list[Diagnostic] = []

    with Progress(inputs) as progress:
        manifest, totals = run(
            *(paths, settings, out, writer),
            force=force,
            each=each,
            concluded=lambda findings: found.extend(gate.news(findings)),
            skipped=skipped,
            pipeline=pipeline,
        )
    code = gate.close(totals)
    sys.stderr.writelines(f"{options.said(one)}\n" for one in found)
    records, rows, verified = manifest["records"], manifest["rows"], manifest["verified"]
    sys.stderr.write(
        f"{records['read']:,} records read, {records['written']:,} written, {records['rejected']:,} rejected"
        f"{_codes(manifest)}\n"
        f"{rows['n_rows']:,} rows, {rows['n_tokens']:,} tokens, {rows['n_trained_tokens']:,} of them trained; "
        f"{verified['n_samples']:,} samples verified against {verified['against']}\n"
    )
    sys.stderr.writelines(f"{line}\n" for line in (*gated(totals), *failed(totals)))
    options.tell_skipped(skipped)
    sys.stdout.write(f"{printable(str(out))}\n")
    if not rows["n_rows"]:
        sys.stderr.write("qwen-sft: nothing was written: no record gave a row; rejects.jsonl says why\n")
        code = code or 3
    raise typer.Exit(code)


def _codes(manifest: dict[str, Any]) -> str:
    counts = ", ".join(f"{code} {n:,}" for code, n in manifest["rejected_by_code"].items())
    return f" ({counts})" if counts else ""


build.__doc__ = (build.__doc__ or "") + "\n" + EXAMPLES
