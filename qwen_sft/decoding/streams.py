"""Bytes that come piece by piece: from a file, through a digest, out of gzip or zstd; memory holds one piece."""

import gzip
import io
import zlib
from collections.abc import Callable
from typing import Any

CHUNK = 1 << 20
_COMPRESSED = 1 << 13  # read at once of a zstd file: it may hold a thousand times as much text

Stream = io.BufferedReader

SUFFIXES = (".gz", ".zst")
"""What compressed files are called."""

_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}


class Torn(Exception):
    """A compressed stream, or an archive, that ends before its end, or is damaged."""


class _Chunks(io.RawIOBase):
    """A readable stream over a function that gives the next bytes, b"" at the end."""

    def __init__(self, following: Callable[[], bytes]) -> None:
        self._following = following
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(self._following())
        n = min(len(buffer), len(self._rest))
        buffer[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n


def stream(following: Callable[[], bytes]) -> Stream:
    """A stream over a function that gives the next bytes, b"" at the end."""
    return io.BufferedReader(_Chunks(following), CHUNK)


def compression(name: str) -> str:
    """The one of SUFFIXES that a file's name ends in; "" if it is not compressed."""
    lower = name.lower()
    return ".gz" if lower.endswith(".tgz") else next((s for s in SUFFIXES if lower.endswith(s)), "")


def compression_of(head: bytes) -> str:
    """The same, by the first bytes of the file."""
    return next((suffix for magic, suffix in _MAGIC.items() if head.startswith(magic)), "")


def bare(name: str) -> str:
    """A file's name in lower case without the suffix of its compression."""
    lower = name.lower()
    if lower.endswith(".tgz"):
        return f"{lower[:-4]}.tar"
    return lower.removesuffix(compression(lower))


def decompressed(opened: Stream, suffix: str) -> Stream:
    """What is in a compressed stream; reading it may raise Torn."""
    following = {".gz": _gzip, ".zst": _zstd}
    return stream(following[suffix](opened)) if suffix else opened


def _gzip(opened: Stream) -> Callable[[], bytes]:
    unzipped = gzip.GzipFile(fileobj=opened)

    def following() -> bytes:
        try:
            return unzipped.read1(CHUNK)  # not `read`: that one forgets what it had read before the stream broke off
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise Torn(f"the gzip stream is damaged or cut off: {error}") from error

    return following


def _zstd(opened: Stream) -> Callable[[], bytes]:
    import zstandard

    frame: Any = None

    def following() -> bytes:
        # A frame object, not `stream_reader`: that one takes a torn file for a complete one.
        nonlocal frame
        while True:
            data = opened.read(_COMPRESSED) if frame is None or not frame.unused_data else frame.unused_data
            if not data:
                if frame is not None and not frame.eof:
                    raise Torn("the zstd stream is cut off")
                return b""
            if frame is None or frame.eof:
                frame = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()
            try:
                out: bytes = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise Torn(f"the zstd stream is damaged: {error}") from error
            if out:
                return out

    return following
