"""Files, directories, globs and stdin to records, one at a time, in memory that does not grow with the input.

What cannot be parsed becomes a record with a fault, and reading goes on behind it; only what cannot be opened stops us.
"""

import glob
import gzip
import hashlib
import io
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import msgspec

from qwen_sft.errors import InputError
from qwen_sft.record import Record, Where
from qwen_sft.sample import is_object

SUFFIXES = (".json", ".jsonl", ".json.gz", ".jsonl.gz", ".json.zst", ".jsonl.zst", ".parquet")
"""What a directory is searched for; a file that is named outright may have any suffix."""

STDIN = "<stdin>"
_CHUNK = 1 << 20
_BOM = b"\xef\xbb\xbf"
_decode = msgspec.json.Decoder().decode


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
            found.setdefault(name, Input(name, file, n_bytes=size, hashed=hashed))
    return list(found.values())


def _named(path: str) -> list[str]:
    here = Path(path)
    if here.is_dir():
        names = sorted(str(p) for p in here.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES))
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
    reader = _parquet_rows if source.name.endswith(".parquet") else _text_records
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


def _open(source: Input, digest: _Digest) -> io.BufferedReader:
    """The decompressed bytes of an input; reading them may raise _Torn."""
    try:
        raw = cast("IO[bytes]", sys.stdin.buffer) if source.path is None else source.path.open("rb")
    except OSError as error:
        raise InputError(f"cannot open {source.name!r}: {error.strerror}") from error

    def plain() -> bytes:
        data = raw.read(_CHUNK)
        digest.update(data)
        return data

    opened = io.BufferedReader(_Chunks(plain), _CHUNK)
    if source.name.endswith(".gz"):
        unzipped = gzip.GzipFile(fileobj=opened)

        def gz() -> bytes:
            try:
                return unzipped.read(_CHUNK)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise _Torn(f"the gzip stream is damaged or cut off: {error}") from error

        return io.BufferedReader(_Chunks(gz), _CHUNK)
    if source.name.endswith(".zst"):
        return io.BufferedReader(_Chunks(_zstd(opened)), _CHUNK)
    return opened


def _zstd(opened: io.BufferedReader) -> Callable[[], bytes]:
    import zstandard

    frame: Any = None

    def following() -> bytes:
        # A frame object, not `stream_reader`: that one takes a torn file for a complete one.
        nonlocal frame
        while True:
            data = opened.read(_CHUNK) if frame is None or not frame.unused_data else frame.unused_data
            if not data:
                if frame is not None and not frame.eof:
                    raise _Torn("the zstd stream is cut off")
                return b""
            if frame is None or frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            try:
                out: bytes = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise _Torn(f"the zstd stream is damaged: {error}") from error
            if out:
                return out

    return following


def _text_records(source: Input, digest: _Digest) -> Iterator[Record]:
    stream = _open(source, digest)
    where = Where(source.name, 1)
    bare = source.name.removesuffix(".gz").removesuffix(".zst")
    try:
        if stream.peek(3)[:3] == _BOM:
            stream.read(3)
        by_line = bare.endswith(".jsonl") or (not bare.endswith(".json") and _first_line_is_json(stream))
        for record in _lines(source, stream) if by_line else _documents(source, stream):
            where = record.where
            yield record
    except _Torn as torn:
        yield Record(Where(source.name, where.line + 1), None, b"", f"{torn}; what stands behind this is lost")


def _first_line_is_json(stream: io.BufferedReader) -> bool:
    head = stream.peek(_CHUNK)
    line, newline, _ = head.lstrip().partition(b"\n")
    try:
        _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return bool(newline)


def _lines(source: Input, stream: io.BufferedReader) -> Iterator[Record]:
    byte = 0
    for number, line in enumerate(stream, start=1):
        text = line.strip()
        if text:
            yield parse(text, Where(source.name, number, byte))
        byte += len(line)


def parse(text: bytes, where: Where) -> Record:
    """The record of one JSON text; with a fault where it is none."""
    try:
        return Record(where, _decode(text), text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Record(where, None, text, _fault(text, error))


def _fault(text: bytes, error: Exception) -> str:
    """Why a text is no JSON, in words that name the column."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except UnicodeDecodeError as bad:
        return f"byte {bad.start} (0x{text[bad.start]:02x}) is not UTF-8"
    except json.JSONDecodeError as bad:
        return f"{bad.msg} at column {bad.colno}"
    except RecursionError:
        return "it is nested too deeply"
    except ValueError as bad:
        return str(bad)
    return "a \\u escape is half of a surrogate pair" if _has_surrogate(value) else str(error)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _has_surrogate(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _documents(source: Input, stream: io.BufferedReader) -> Iterator[Record]:
    """The records of JSON text that is not in lines: one value, several, or lists of records."""
    text = _Text(source.name, stream)
    while text.skip_space():
        if text.here() != "[":
            yield text.value(None)
            text.forget()
        else:
            yield from _list(text)
        if text.broken:
            return


def _list(text: "_Text") -> Iterator[Record]:
    """A list of records; a list of messages is one record."""
    start = text.mark()
    first = True
    text.step()
    item = 0
    while text.skip_space() and text.here() != "]":
        if item and text.here() == ",":
            text.step()
            text.skip_space()
        record = text.value(item)
        if first and not text.broken and is_object(record.data) and _is_message(record.data):
            text.back(start)
            yield text.value(None)
            return
        first = False
        text.forget()
        yield record
        if text.broken:
            return
        item += 1
    if text.here() == "]":
        text.step()
        if not item:
            yield text.fault("an empty list")
    else:
        yield text.fault("the list is never closed")


def _is_message(first: dict[str, Any]) -> bool:
    return ("role" in first or "from" in first) and "messages" not in first and "conversations" not in first


class _Text:
    """A cursor over JSON text that is read as it is needed."""

    def __init__(self, name: str, stream: io.BufferedReader) -> None:
        self._name = name
        self._stream = stream
        self._utf8 = io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline="")
        self._decoder = json.JSONDecoder(parse_constant=_no_constant)
        self._buffer = ""
        self._at = 0
        self._told = 0  # how far line and byte have been counted
        self._line = 1
        self._byte = 0
        self._ended = False
        self.broken = False

    def _more(self, n: int) -> bool:
        """Reads on; False at the end of the input."""
        data = "" if self._ended else self._utf8.read(n)
        self._ended = not data
        self._buffer += data
        return bool(data)

    def forget(self) -> None:
        """Lets go of the text before the cursor once there is much of it; `back` can then no longer reach it."""
        if self._at >= _CHUNK:
            self._advance()
            self._buffer = self._buffer[self._at :]
            self._at = self._told = 0

    def _advance(self) -> None:
        """Brings line and byte up to the cursor."""
        passed = self._buffer[self._told : self._at]
        self._line += passed.count("\n")
        self._byte += len(passed.encode("utf-8", "surrogateescape"))
        self._told = self._at

    def mark(self) -> tuple[int, int, int]:
        """A place to come back to, until the next `forget`."""
        self._advance()
        return self._at, self._line, self._byte

    def back(self, mark: tuple[int, int, int]) -> None:
        """Returns to a marked place."""
        self._at, self._line, self._byte = mark
        self._told = self._at

    def skip_space(self) -> bool:
        """Moves to the next character that is no white space; False where the input ends."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._buffer):
                return True
            if not self._more(_CHUNK):
                return False

    def here(self) -> str:
        """The character under the cursor; "" at the end."""
        return self._buffer[self._at : self._at + 1]

    def step(self) -> None:
        """Moves one character on."""
        self._at += 1

    def _where(self, item: int | None) -> Where:
        self._advance()
        return Where(self._name, self._line, self._byte, item)

    def fault(self, says: str) -> Record:
        """A record for what stands here and cannot be read; reading ends with it."""
        self.broken = True
        rest = self._buffer[self._at : self._at + 200].encode("utf-8", "surrogateescape")
        return Record(self._where(None), None, rest, f"{says}; nothing behind this place was read")

    def value(self, item: int | None) -> Record:
        """The JSON value at the cursor, as a record; moves behind it."""
        where = self._where(item)
        wanted = _CHUNK
        while True:
            try:
                data, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                inside = error.pos < len(self._buffer) - 1024 and not error.msg.startswith("Unterminated string")
                if inside or not self._more(wanted):
                    return self._bad(where, f"{error.msg} at column {error.colno}")
            except (ValueError, RecursionError) as error:
                return self._bad(where, str(error) if isinstance(error, ValueError) else "it is nested too deeply")
            else:
                if end < len(self._buffer) or not self._more(wanted):
                    break
            wanted *= 2
        raw = self._buffer[self._at : end].encode("utf-8", "surrogateescape")
        self._at = end
        checked = parse(raw, where)
        return checked if checked.fault else Record(where, data, raw)

    def _bad(self, where: Where, says: str) -> Record:
        self.broken = True
        raw = self._buffer[self._at :].encode("utf-8", "surrogateescape")
        return Record(where, None, raw[:_CHUNK], f"{says}; nothing behind this place was read")


def _parquet_rows(source: Input, digest: _Digest) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if source.path is None:
        raise InputError("Parquet cannot be read from stdin; name the file")
    if source.hashed:
        with source.path.open("rb") as file:
            while data := file.read(_CHUNK):
                digest.update(data)
    try:
        opened = pq.ParquetFile(source.path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{source.name!r} is no Parquet file: {error}") from error
    row = 0
    for batch in opened.iter_batches(batch_size=256):  # pyright: ignore[reportUnknownMemberType]
        for data in cast("list[dict[str, Any]]", batch.to_pylist()):  # one dict a row, by column name
            row += 1
            raw = msgspec.json.encode(data)
            yield Record(Where(source.name, row), data, raw)
