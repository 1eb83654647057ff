"""What a container is: how one kind of file holds records, or files that hold them."""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from qwen_sft.decoding.streams import CHUNK, Stream, Torn, bare, compression, compression_of, decompressed
from qwen_sft.record import Record, Where
from qwen_sft.shelf import shelf

MOST_MEMBER_BYTES = 256_000_000
"""A file that must be read from its end, such as Parquet, is held in memory where it comes as a stream, up to this."""

PEEKED = ("", ".txt", ".log", ".out")
"""Suffixes that say nothing: whether such a file holds records is told by its first bytes."""

_HEAD = 1 << 16


@dataclass(slots=True)
class File:
    """A file that is open: at the top, or in an archive.

    Attributes:
        name: as messages call it; `archive.zip!file.json` for one in an archive.
        stream: its bytes in order.
        seekable: the same bytes to be read in any order; None where they only come in order.
        path: where it is on this machine; None for one that comes over a network, a pipe or out of another file.
        skipped: how many files of an archive were left out, by suffix; its reader counts them.
    """

    name: str
    stream: Stream
    seekable: IO[bytes] | None = None
    path: Path | None = None
    skipped: Counter[str] = field(default_factory=Counter[str])

    def whole(self) -> IO[bytes]:
        """Its bytes to be read in any order; those of a stream are held in memory.

        Raises:
            Torn: the stream has more than MOST_MEMBER_BYTES.
        """
        if self.seekable is None:
            held = io.BytesIO()
            while data := self.stream.read1(CHUNK):
                if held.tell() + len(data) > MOST_MEMBER_BYTES:
                    raise Torn(f"it is read from its end, and has more than {MOST_MEMBER_BYTES:,} bytes; unpack it")
                held.write(data)
            self.seekable = held
        self.seekable.seek(0)
        return self.seekable


@dataclass(frozen=True, slots=True)
class Container:
    """One kind of file.

    Attributes:
        name: the file's name on the shelf.
        title: one line for help.
        suffixes: of its files, in lower case, without those of a compression.
        begins: True if these are the first bytes of such a file.
        records: the records of a file, in order. What cannot be read becomes a record with a fault. May raise Torn,
            where nothing behind a place can be read, and InputError.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    begins: Callable[[bytes], bool]
    records: Callable[[File], Iterator[Record]]


def containers() -> dict[str, Container]:
    """The shelf `containers/`, by name."""
    return shelf("containers", Container, lambda thing: thing.name)


def suffixes() -> tuple[str, ...]:
    """What files with records are called, without the suffixes of a compression."""
    shelved = containers()
    first = shelved["json"]
    return (*first.suffixes, *(suffix for one in shelved.values() if one is not first for suffix in one.suffixes))


def suffix_of(name: str) -> str:
    """The suffix by which a file that was left out is counted, that of its compression included."""
    pure = PurePosixPath(name.rpartition("/")[2].lower())
    return "".join(pure.suffixes[-2:]) if compression(name) else pure.suffix


def is_data(name: str, head: Callable[[], bytes]) -> bool:
    """True if a file that no one named holds records: by its suffix or, where that says nothing, its first bytes."""
    plain = bare(name)
    if plain.endswith(suffixes()):
        return True
    if PurePosixPath(plain.rpartition("/")[2]).suffix not in PEEKED:
        return False
    first = head()
    return any(container.begins(first) for container in containers().values())


def head(opened: Stream, name: str) -> bytes:
    """The first bytes of what a stream holds, unpacked where it is compressed; the stream cannot be read afterwards."""
    try:
        return decompressed(opened, compression(name)).peek(_HEAD)[:_HEAD]
    except Torn:
        return b""


def read(file: File) -> Iterator[Record]:
    """The records of a file, by its suffix or, where that says nothing, its first bytes.

    Raises:
        InputError: it is not what its name says.
    """
    line = 0
    try:
        packed = compression(file.name)
        if not packed and not bare(file.name).endswith(suffixes()):
            packed = compression_of(file.stream.peek(4))
        if packed:
            file = File(file.name, decompressed(file.stream, packed), skipped=file.skipped)
        for record in _container(file).records(file):
            line = record.where.line if record.where.file == file.name else 0
            yield record
    except Torn as torn:
        yield Record(Where(file.name, line + 1), None, b"", f"{torn}; what stands behind this is lost")


def _container(file: File) -> Container:
    plain = bare(file.name)
    shelved = containers()
    for container in shelved.values():
        if plain.endswith(container.suffixes):
            return container
    first = file.stream.peek(_HEAD)
    return next((one for one in shelved.values() if one.begins(first)), shelved["json"])


def member(archive: File, name: str, following: Stream) -> Iterator[Record]:
    """The records of one file of an archive; one that holds none is counted as skipped."""
    try:
        known = is_data(name, lambda: b"" if compression(name) else following.peek(_HEAD))
    except Torn:
        known = True  # `read` says so
    if known and not name.rpartition("/")[2].startswith("._"):  # macOS keeps attributes of x.json in ._x.json
        spelled = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        yield from read(File(f"{archive.name}!{spelled}", following, skipped=archive.skipped))
    else:
        archive.skipped[suffix_of(name)] += 1


def text_start(first: bytes) -> bytes:
    """The first bytes of a text without a byte order mark and white space before it."""
    return first.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
