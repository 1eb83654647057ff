"""Files, directories, globs and stdin to records, one at a time, in memory that does not grow with the input.

What cannot be parsed becomes a record with a fault, and reading goes on behind it; only what cannot be opened stops us.
"""

import glob
import gzip
import hashlib
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from qwen_sft.errors import InputError
from qwen_sft.jsontext import documents, is_lines, lines, parse
from qwen_sft.quote import quoted
from qwen_sft.record import Record, Where

SUFFIXES = (".json", ".jsonl", ".traj", ".traj.gz", ".traj.zst", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst", ".parquet")
"""What a directory is searched for; a file that is named outright may have any suffix."""

STDIN = "<stdin>"
_CHUNK = 1 << 20
_COMPRESSED = 1 << 13  # read at once of a zstd file: it may hold a thousand times as much text
_BOM = b"\xef\xbb\xbf"


@dataclass(slots=True)
class Input:
    """One input file, and after reading it what was in it.

    Attributes:
        name: as messages call it.
        path: where it is; None for stdin.
        n_records: how many records were read.
        n_bytes: its size on disk.
        sha256: of its bytes on disk, hex; only after reading it to the end with `hashed`.
    """

    name: str
    path: Path | None
    n_records: int = 0
    n_bytes: int = 0
    sha256: str = ""
    hashed: bool = field(default=False, repr=False)


def expand(paths: Sequence[str], *, hashed: bool = False) -> list[Input]:
    """The input files that some paths name: files, directories (searched for SUFFIXES), globs, or "-" for stdin.

    Args:
        hashed: take each file's sha256 while it is read.

    Raises:
        InputError: a path that names nothing.
    """
    found: dict[str, Input] = {}
    for path in paths:
        for name in [STDIN] if path == "-" else _named(path):
            file = None if name == STDIN else Path(name)
            size = file.stat().st_size if file else 0
            key = str(file.resolve()) if file else STDIN
            found.setdefault(key, Input(_spelled(name), file, n_bytes=size, hashed=hashed))
    return list(found.values())


def _spelled(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8, which Python holds as surrogates, become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _named(path: str) -> list[str]:
    here = Path(path)
    try:
        here.stat()
    except FileNotFoundError:
        pass
    except OSError as error:  # no permission, or text that is too long to be a name
        raise InputError(f"cannot open {quoted(path)}: {error.strerror}") from error
    if here.is_dir():
        names = sorted(str(p) for p in here.rglob("*") if p.is_file() and p.name.lower().endswith(SUFFIXES))
        if not names:
            raise InputError(f"the directory {path!r} has no file ending in {', '.join(SUFFIXES)}")
        return names
    if here.exists():
        return [path]
    names = sorted(name for name in glob.glob(path, recursive=True) if Path(name).is_file())  # noqa: PTH207  # absolute too
    if not names:
        raise InputError(f"no file {path!r}; name a file, a directory, a glob or - for stdin")
    return names


def records(source: Input) -> Iterator[Record]:
    """The records of one input, in order.

    Raises:
        InputError: it cannot be opened, or is no Parquet file though its name says so.
    """
    digest = _Digest(hashlib.sha256() if source.hashed else None)
    reader = _parquet_rows if source.name.lower().endswith(".parquet") else _text_records
    for record in reader(source, digest):
        source.n_records += 1
        yield record
    source.sha256 = digest.hexdigest()
    if source.path is None:
        source.n_bytes = digest.n_bytes


class _Digest:
    """sha256 and length of the bytes that pass."""

    def __init__(self, algorithm: Any) -> None:
        self._algorithm = algorithm
        self.n_bytes = 0

    def update(self, data: bytes | memoryview) -> None:
        self.n_bytes += len(data)
        if self._algorithm:
            self._algorithm.update(data)

    def hexdigest(self) -> str:
        return self._algorithm.hexdigest() if self._algorithm else ""


class _Chunks(io.RawIOBase):
    """A readable stream over a function that gives the next bytes, b"" at the end."""

    def __init__(self, following: Callable[[], bytes]) -> None:
        self._following = following
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = self._following()
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


class _Torn(Exception):
    """A compressed stream that ends before its end, or is damaged."""


def _plain(source: Input, digest: _Digest, raw: "IO[bytes]") -> Callable[[], bytes]:
    """The bytes of an input as they are on disk, a piece a call."""

    def following() -> bytes:
        try:
            data = raw.read(_CHUNK)
        except OSError as error:
            raise InputError(f"cannot read {source.name!r}: {error.strerror}") from error
        digest.update(data)
        return data

    return following


def _decompressed(name: str, plain: Callable[[], bytes]) -> "io.BufferedReader[Any]":
    """The bytes of an input by its suffix; reading them may raise _Torn."""
    opened = io.BufferedReader(_Chunks(plain), _CHUNK)
    if name.endswith(".gz"):
        return io.BufferedReader(_Chunks(_gzip(opened)), _CHUNK)
    if name.endswith(".zst"):
        return io.BufferedReader(_Chunks(_zstd(opened)), _CHUNK)
    return opened


def _gzip(opened: "io.BufferedReader[Any]") -> Callable[[], bytes]:
    unzipped = gzip.GzipFile(fileobj=opened)

    def following() -> bytes:
        try:
            return unzipped.read1(_CHUNK)  # not `read`: that one forgets what it had read before the stream broke off
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _Torn(f"the gzip stream is damaged or cut off: {error}") from error

    return following


def _zstd(opened: "io.BufferedReader[Any]") -> Callable[[], bytes]:
    import zstandard

    frame: Any = None

    def following() -> bytes:
        # A frame object, not `stream_reader`: that one takes a torn file for a complete one.
        nonlocal frame
        while True:
            data = opened.read(_COMPRESSED) if frame is None or not frame.unused_data else frame.unused_data
            if not data:
                if frame is not None and not frame.eof:
                    raise _Torn("the zstd stream is cut off")
                return b""
            if frame is None or frame.eof:
                frame = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            try:
                out: bytes = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise _Torn(f"the zstd stream is damaged: {error}") from error
            if out:
                return out

    return following


def _text_records(source: Input, digest: _Digest) -> Iterator[Record]:
    try:
        raw = cast("IO[bytes]", sys.stdin.buffer) if source.path is None else source.path.open("rb")
    except OSError as error:
        raise InputError(f"cannot open {source.name!r}: {error.strerror}") from error
    try:
        plain = _plain(source, digest, raw)
        yield from _parsed(source.name, _decompressed(source.name.lower(), plain))
        while source.hashed and plain():  # behind a fault that ended the reading
            pass
    finally:
        if source.path is not None:
            raw.close()


def _parsed(name: str, stream: "io.BufferedReader[Any]") -> Iterator[Record]:
    line = 0
    bare = name.lower().removesuffix(".gz").removesuffix(".zst")
    try:
        start = len(stream.read(3)) if stream.peek(3)[:3] == _BOM else 0
        by_line = bare.endswith(".jsonl") or (not bare.endswith(".json") and is_lines(stream))
        for record in (lines if by_line else documents)(name, stream, start):
            line = record.where.line
            yield record
    except _Torn as torn:
        yield Record(Where(name, line + 1), None, b"", f"{torn}; what stands behind this is lost")


def _parquet_rows(source: Input, digest: _Digest) -> Iterator[Record]:
    from qwen_sft.parquet import rows  # pyarrow: 0.15 s

    if source.path is None:
        raise InputError("Parquet cannot be read from stdin; name the file")
    if source.hashed:
        with source.path.open("rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
    for row in rows(source.name, source.path):
        yield row if row.fault else parse(row.raw, row.where)
