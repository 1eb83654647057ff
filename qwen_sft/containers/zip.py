"""Zip archives, and Inspect's .eval logs, which are some: the files in them are read one at a time, in place.

Of an .eval log the samples are read; its header, summaries and journal say nothing that the samples do not.
Source: PKWARE's APPNOTE 6.3.10; inspect_ai/log/_recorders/eval.py, the names in a log.
"""

import struct
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Any

from qwen_sft.container import Container, File, member, suffix_of
from qwen_sft.decoding.streams import CHUNK, Torn, decompressed, stream
from qwen_sft.record import Record, Where

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

_ZSTD = (20, 93)
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ENCRYPTED = 1


def _records(file: File) -> Iterator[Record]:
    from zipfile import BadZipFile, ZipFile

    opened = file.whole()
    try:
        archive = ZipFile(opened)
    except (BadZipFile, NotImplementedError, ValueError) as error:
        yield Record(Where(file.name, 1), None, b"", f"the zip archive is damaged or cut off: {error}")
        return
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    samples = [entry for entry in entries if _is_sample(entry.filename)]
    if samples and any(entry.filename in ("header.json", "_journal/start.json") for entry in entries):
        file.skipped.update(suffix_of(entry.filename) for entry in entries if not _is_sample(entry.filename))
        entries = samples
    for entry in entries:
        if entry.flag_bits & _ENCRYPTED:
            yield Record(Where(f"{file.name}!{entry.filename}", 1), None, b"", "the file is encrypted; unpack it")
        else:
            yield from member(file, entry.filename, stream(_following(archive, opened, entry)))


def _is_sample(name: str) -> bool:
    return name.startswith("samples/") and name.endswith(".json")


def _following(archive: "ZipFile", opened: IO[bytes], entry: "ZipInfo") -> Callable[[], bytes]:
    """The bytes of a file in an archive, a piece a call; it is opened by the first one."""
    from zipfile import BadZipFile
    from zlib import error as ZlibError

    source: Any = None

    def following() -> bytes:
        nonlocal source
        try:
            if source is None:
                zstd = entry.compress_type in _ZSTD
                source = decompressed(stream(_stored(opened, entry)), ".zst") if zstd else archive.open(entry)
            return source.read1(CHUNK)
        except (BadZipFile, ZlibError, EOFError, NotImplementedError, OSError) as error:
            raise Torn(f"the file in the zip archive cannot be unpacked: {error}") from error

    return following


def _stored(opened: IO[bytes], entry: "ZipInfo") -> Callable[[], bytes]:
    """The bytes of a file as they stand in the archive: Python before 3.14 does not know zstd."""
    opened.seek(entry.header_offset)
    header = opened.read(_LOCAL_HEADER.size)
    if len(header) < _LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
        raise Torn(f"the zip archive has no file at byte {entry.header_offset:,}")
    *_, n_name, n_extra = _LOCAL_HEADER.unpack(header)
    at = entry.header_offset + _LOCAL_HEADER.size + n_name + n_extra
    end = at + entry.compress_size

    def following() -> bytes:
        nonlocal at
        opened.seek(at)
        data = opened.read(min(CHUNK, end - at))
        at += len(data)
        return data

    return following


CONTAINER = Container(
    name="zip",
    title="zip archives and Inspect's .eval logs: each file in them is read as if it stood alone",
    suffixes=(".zip", ".eval"),
    begins=lambda first: first.startswith((b"PK\x03\x04", b"PK\x05\x06")),
    records=_records,
)
