"""Traces to samples, one a line: what `qwen-sft convert` writes, and every later step reads as it would the traces."""

import gzip
import json
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, cast

import orjson

from qwen_sft.errors import OutputError
from qwen_sft.format import Conversation
from qwen_sft.ingest import Input
from qwen_sft.pipeline import Outcome, Pipeline, outcomes, tally
from qwen_sft.rejects import rejected
from qwen_sft.reporter import Totals
from qwen_sft.sample import Sample
from qwen_sft.settings import Settings
from qwen_sft.shape import shaped
from qwen_sft.transcript import Transcript

STDOUT = "-"


def convert(
    inputs: Sequence[Input],
    settings: Settings,
    out: str,
    rejects: Path | None = None,
    *,
    each: Callable[[Outcome], None] = lambda _: None,
) -> Totals:
    """Writes the samples of some inputs, and beside them the records that gave none; `n_samples` is what was written.

    Results come into the order of their calls and tool schemas become JSON Schema, as for training; where that changes
    the tools, the trace's own are kept in the metadata as `tools_original`.

    Args:
        out: the file to write, compressed if its name ends in .gz or .zst; "-" for stdout.
        rejects: where rejected records go; by default beside `out`, and nowhere if that is stdout.
        each: is told of every record, in order.

    Raises:
        OutputError: a file cannot be written, or is one of the inputs.
        InputError, UsageError: nothing was left behind.
    """
    pipeline = Pipeline(settings)
    aside = rejects if rejects is not None or out == STDOUT else Path(f"{out}.rejects.jsonl")
    targets = [path for path in (None if out == STDOUT else Path(out), aside) if path is not None]
    for source in inputs:
        if source.path is not None and any(source.path.resolve() == path.resolve() for path in targets):
            raise OutputError(f"{source.name!r} is an input and would be overwritten; name another --out")
    totals, n_written = Totals(n_files=len(inputs)), 0
    with _opened(out) as samples, _opened(str(aside)) if aside is not None else nullcontext() as refused:
        for outcome in outcomes(inputs, pipeline):
            if not outcome.rejected:
                _shape(outcome, settings)
                for conversation in outcome.conversations:
                    samples.write(json_line(conversation.sample))
                n_written += len(outcome.conversations)
            elif refused is not None:
                refused.write(rejected(outcome))
            tally(totals, outcome)
            each(outcome)
    totals.n_samples = n_written
    if aside is not None and not totals.n_rejected:
        aside.unlink(missing_ok=True)
    return totals


def _shape(outcome: Outcome, settings: Settings) -> None:
    made: list[Conversation] = []
    for conversation in outcome.conversations:
        done, dropped = shaped(conversation, Transcript(conversation.sample, settings), settings)
        given: Any = conversation.sample.get("tools")
        if given != done.sample.get("tools"):
            labels = {**done.sample.get("metadata", {}), "tools_original": given}
            done = replace(done, sample={**done.sample, "metadata": labels})
        made.append(done)
        outcome.aside += dropped
    outcome.conversations = made


def json_line(sample: Sample) -> bytes:
    """A sample as a line of JSON; integers of any size stay exact."""
    try:
        return orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(sample).encode() + b"\n"


@contextmanager
def _opened(name: str) -> Generator[IO[bytes]]:
    """A file that takes its name only when it is whole; stdout for "-"."""
    if name == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = Path(f"{name}.part")
    try:
        raw = part.open("wb")
    except OSError as error:
        raise OutputError(f"cannot write {name!r}: {error.strerror}; name another file") from error
    try:
        with raw, _compressed(name, raw) as file:
            yield file
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    part.replace(name)


def _compressed(name: str, raw: IO[bytes]) -> Any:
    if name.endswith(".gz"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="wb", filename="", mtime=0))
    if name.endswith(".zst"):
        import zstandard

        return zstandard.ZstdCompressor().stream_writer(raw, closefd=False)
    return nullcontext(raw)
