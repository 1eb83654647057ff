"""Files that are written line by line: they take their names when they are whole, and never an input's."""

import gzip
import json
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

import orjson

from qwen_sft.errors import OutputError
from qwen_sft.ingesting.ingest import Input

STDOUT = "-"


def refuse_inputs(inputs: Iterable[Input], targets: Sequence[Path]) -> None:
    """Stops where a file to be written is one of those to be read.

    Raises:
        OutputError: one is.
    """
    for source in inputs:
        if source.path is not None and any(source.path.resolve() == path.resolve() for path in targets):
            raise OutputError(f"{source.name!r} is an input and would be overwritten; name another --out")


def json_line(value: Any) -> bytes:
    """A JSON value, such as a sample, as a line; integers of any size stay exact."""
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(value).encode() + b"\n"


@contextmanager
def opened(name: str) -> Generator[IO[bytes]]:
    """A file that takes its name only when it is whole, compressed if the name says so; stdout for "-".

    Raises:
        OutputError: it cannot be written.
    """
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
