"""`qwen-sft build`: traces to a training set."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
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
  qwen-sft build runs.jsonl --model qwen3 --out dataset --writer llama_factory
  qwen-sft build runs.jsonl --model qwen3 --out dataset --split train=0.98,eval=0.02 --dedup near
  qwen-sft build s3://traces/runs/ --model qwen3 --out s3://sets/runs
"""

_ROW_GROUP_BYTES = 8_000_000  # arrays from this size on are of a row group that is being written


@options.takes_settings()
def build(
    out: Annotated[
        str,
        typer.Option(
            "--out", metavar="DIR", help="Folder or URL to write: new, empty, or that of a build that was stopped."
        ),
    ],
    flags: dict[str, Any],
    paths: options.SomePaths = None,
    shard_size: Annotated[
        str | None,
        typer.Option("--shard-size", metavar="SIZE", help="Row data in a shard, e.g. 500MB [default: 500MB]."),
    ] = None,
    licence: Annotated[
        str | None,
        typer.Option("--license", metavar="ID", help="Licence that the card names: apache-2.0 [default: unknown]."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier build in that folder.")] = False,
    push_to_hub: Annotated[
        str | None,
        typer.Option(
            "--push-to-hub", metavar="REPO", help="Send the set to a data set of the model hub, if it passes."
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make that data set a private one, if it is not there yet.")
    ] = False,
) -> None:
    """Write a training set: its files, rejects.jsonl, manifest.json and a dataset card."""
    from qwen_sft.building.hub import check_repository, push
    from qwen_sft.cli.progress import Progress
    from qwen_sft.errors import UsageError
    from qwen_sft.ingesting.remote import is_url, masked
    from qwen_sft.library.built import Work
    from qwen_sft.reporter import failed, gated
    from qwen_sft.text.terminal import fitted, one_line, printable

    _give_back_memory()
    size = None if shard_size is None else options.size(shard_size)
    settings = options.settings(flags, shard_size=size, license=licence)
    if push_to_hub is not None:
        if is_url(out):
            raise UsageError("--push-to-hub sends a folder of this machine; name one with --out, or leave it out")
        check_repository(push_to_hub)
    elif private:
        raise UsageError("--private is about a data set on the hub; name one with --push-to-hub")
    if not paths and settings.mix is None:
        raise UsageError("nothing to read is named; name files, directories or globs, or sources with --mix")
    work = Work(paths or [], settings, out)
    with Progress(work.inputs) as progress:
        built = work.run(
            force=force,
            one=progress.advance,
            many=progress.count,
            surveyed=progress.advance,
            begun=progress.begin_again,
            left=lambda says: print(f"qwen-sft: {one_line(says)}", file=sys.stderr),
        )
    manifest, totals, code = built.manifest, built.totals, built.exit_code
    sys.stderr.writelines(fitted(f"{options.said(one)}\n", sys.stderr) for one in work.found)
    records, rows, verified, written = (manifest[key] for key in ("records", "rows", "verified", "writer"))
    said = [
        f"{records['read']:,} records read, {records['written']:,} written, {records['rejected']:,} rejected"
        f"{_codes(manifest)}",
        f"{rows['n_rows']:,} rows, {rows['n_tokens']:,} tokens, {rows['n_trained_tokens']:,} of them trained; "
        f"{verified['n_samples']:,} samples verified against {verified['against']}",
        *(one_line(remark) for remark in manifest["curation"]["remarks"]),
    ]
    if written["trains"] == "all" and written["n_turns_masked"]:
        said.append(
            f"{written['n_turns_masked']:,} turns are not to be trained, and {work.writer.name} has no word for that: "
            "a trainer may train them; README.md says more"
        )
    sys.stderr.writelines(fitted(f"{line}\n", sys.stderr) for line in (*said, *gated(totals), *failed(totals)))
    options.tell_skipped(work.skipped)
    sys.stdout.write(f"{printable(masked(out))}\n")
    if not rows["n_rows"]:
        sys.stderr.write("qwen-sft: nothing was written: no record gave a row; rejects.jsonl says why\n")
    if push_to_hub is not None:
        if code:
            sys.stderr.write(
                f"not pushed to {push_to_hub!r}: the run failed; mend it, or allow it with --fail-on never\n"
            )
        else:
            message = (
                f"{rows['n_rows']:,} rows of {records['written']:,} records, built by qwen-sft {manifest['qwen_sft']}"
            )
            sys.stderr.write(f"pushed: {push(Path(out), push_to_hub, private=private, message=message)}\n")
    raise typer.Exit(code)


def _give_back_memory() -> None:
    """Has what a row group is written with given back to the system each time, for the rest of this process.

    Arrow's own allocator keeps it, and so does glibc's, which puts such arrays between smaller ones once it has seen
    some, and keeps what each thread has freed for that thread: 90 of 475 MB at the peak of a build of 83 MB, in the
    same time. With a limit of 1 MB in place of 8 a build takes a tenth longer. Comes before pyarrow is imported.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    if sys.platform == "linux":
        import ctypes

        mmap_threshold, arena_max = -3, -8  # of malloc.h
        with suppress(OSError, AttributeError):  # musl has no such function
            libc = ctypes.CDLL(None)
            libc.mallopt(mmap_threshold, _ROW_GROUP_BYTES)
            libc.mallopt(arena_max, 1)


def _codes(manifest: Mapping[str, Any]) -> str:
    from qwen_sft.reporter import by_count

    counts = by_count(manifest["rejected_by_code"])
    return f" ({counts})" if counts else ""


build.__doc__ = (build.__doc__ or "") + "\n" + EXAMPLES
