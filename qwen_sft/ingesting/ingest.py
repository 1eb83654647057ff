"""Files, directories, globs, URLs and stdin to records, one at a time, in memory that does not grow with the input.

What cannot be parsed becomes a record with a fault, and reading goes on behind it; only what cannot be opened stops us.
"""

import glob
import hashlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, cast

from qwen_sft.container import File, containers, head, is_data, read, suffix_of, suffixes
from qwen_sft.decoding.streams import CHUNK, stream
from qwen_sft.errors import InputError
from qwen_sft.ingesting.folder import Entry, left_out
from qwen_sft.ingesting.remote import find_url, is_url, masked, open_url
from qwen_sft.record import Record
from qwen_sft.text.quote import quoted

STDIN = "<stdin>"


@dataclass(slots=True)
class Input:
    """One input file, and after reading it what was in it.

    Attributes:
        name: as messages call it.
        path: where it is; None for stdin and for a URL.
        url: where it is; None for stdin and for a file on this machine.
        n_records: how many records were read.
        n_bytes: its size on disk.
        sha256: of its bytes on disk, hex; only after reading it to the end with `hashed`.
        version: of a URL: what its server says of it that changes when the file does; None where it says nothing.
        skipped: how many files in it, an archive, were left out because they hold no records, by suffix.
    """

    name: str
    path: Path | None
    url: str | None = None
    n_records: int = 0
    n_bytes: int = 0
    sha256: str = ""
    hashed: bool = field(default=False, repr=False)
    version: str | None = field(default=None, repr=False)
    skipped: Counter[str] = field(default_factory=Counter[str])

    @property
    def is_text(self) -> bool:
        """True if its records are the bytes on disk, no more and no fewer."""
        return self.path is not None and self.name.lower().endswith((*containers()["json"].suffixes, ".sse"))


Watched = Callable[[Sequence[Input]], AbstractContextManager[Callable[[int, str], None]]]
"""Makes of some inputs what is told how many more rows of which of them were read, for people who wait."""


def unwatched(_: Sequence[Input]) -> AbstractContextManager[Callable[[int, str], None]]:
    """Nobody waits."""
    return nullcontext(lambda _n_rows, _file: None)


def expand(paths: Sequence[str], *, hashed: bool = False, skipped: Counter[str] | None = None) -> list[Input]:
    """The input files that some paths name: files, directories, globs, URLs, or "-" for stdin.

    A directory gives the files that hold records at any depth, by their suffix, or by their first bytes where that says
    nothing. A file that is named outright may have any suffix.

    Args:
        hashed: take each file's sha256 while it is read.
        skipped: counts the files of directories that are left out, by suffix.

    Raises:
        InputError: a path that names nothing.
    """
    found: dict[str, Input] = {}
    uncounted = Counter[str]() if skipped is None else skipped
    for path in paths:
        for one in _inputs(path, uncounted):
            one.hashed = hashed
            found.setdefault(one.url or (str(one.path.resolve()) if one.path else STDIN), one)
    return list(found.values())


def told_skipped(skipped: Counter[str]) -> str:
    """What was left out, in words: "12 .md, 3 without a suffix"; "" for nothing."""
    counts = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n:,} {suffix or 'without a suffix'}" for suffix, n in counts)


def _inputs(path: str, skipped: Counter[str]) -> list[Input]:
    if path == "-":
        return [Input(STDIN, None)]
    if is_url(path):
        listed, whole = find_url(path)
        names = [entry.name for entry in listed] if whole else _with_records(path, listed, open_url, skipped)
        told = {entry.name: entry for entry in listed}
        return [
            Input(masked(name), None, name, n_bytes=told[name].n_bytes, version=told[name].version) for name in names
        ]
    return [Input(_spelled(name), Path(name), n_bytes=Path(name).stat().st_size) for name in _named(path, skipped)]


def _spelled(name: str) -> str:
    """A file's name as text: bytes that are no UTF-8, which Python holds as surrogates, become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _named(path: str, skipped: Counter[str]) -> list[str]:
    here = Path(path)
    try:
        here.stat()
    except FileNotFoundError:
        pass
    except OSError as error:  # no permission, or text that is too long to be a name
        raise InputError(f"cannot open {quoted(path)}: {error.strerror}") from error
    if here.is_dir():
        listed = [Entry(str(p), p.stat().st_size) for p in here.rglob("*") if p.is_file()]
        return _with_records(path, listed, _open_path, skipped)
    if here.exists():
        return [path]
    names = sorted(name for name in glob.glob(path, recursive=True) if Path(name).is_file())  # noqa: PTH207  # absolute too
    if not names:
        hub = f"; a dataset on the Hugging Face hub is hf://datasets/{path}" if path.count("/") == 1 else ""
        raise InputError(f"no file {path!r}; name a file, a directory, a glob or - for stdin{hub}")
    return names


def _with_records(
    path: str, listed: Sequence[Entry], opener: Callable[[str], IO[bytes]], skipped: Counter[str]
) -> list[str]:
    """Those of a directory's files that hold records, in order."""
    aside = left_out([entry.name for entry in listed], opener)
    names: list[str] = []
    for name in sorted(entry.name for entry in listed):
        if name not in aside and is_data(name, lambda name=name: _first_bytes(name, opener)):
            names.append(name)
        else:
            skipped[suffix_of(name)] += 1
    if not names:
        raise InputError(
            f"the directory {masked(path)!r} has no file ending in {', '.join(suffixes())}, nor these with .gz or .zst"
        )
    return names


def _open_path(name: str) -> IO[bytes]:
    return Path(name).open("rb")


def _first_bytes(name: str, opener: Callable[[str], IO[bytes]]) -> bytes:
    """The first bytes of what a file holds; of one that cannot be read b"{}", so that reading it says why."""
    try:
        with opener(name) as file:
            return head(stream(lambda: file.read(1 << 16)), name)
    except OSError:
        return b"{}"


def records(source: Input) -> Iterator[Record]:
    """The records of one input, in order.

    Raises:
        InputError: it cannot be opened, or is no Parquet or Arrow file though its name says so.
    """
    digest = _Digest()
    raw = _opened(source)
    try:
        plain = _plain(source, digest, raw)
        seekable = None if source.name == STDIN or not raw.seekable() else raw
        for record in read(File(source.name, stream(plain), seekable, source.path, source.skipped)):
            source.n_records += 1
            yield record
        if source.hashed:
            if seekable is not None and seekable.tell() != digest.n_bytes:  # it was not read in order
                seekable.seek(0)
                digest.forget()
            while plain():  # what stands behind the last record
                pass
            source.sha256 = digest.hexdigest()
        if source.path is None and source.url is None:
            source.n_bytes = digest.n_bytes
    finally:
        if source.name != STDIN:
            raw.close()


_PASSED: dict[str, int] = {}


def passed(name: str) -> int:
    """How many bytes of an input this process has read in order so far, for people who wait; 0 if none."""
    return _PASSED.get(name, 0)


def _opened(source: Input) -> IO[bytes]:
    if source.url is not None:
        return open_url(source.url)
    try:
        return cast("IO[bytes]", sys.stdin.buffer) if source.path is None else source.path.open("rb")
    except OSError as error:
        raise InputError(f"cannot open {source.name!r}: {error.strerror}") from error


class _Digest:
    """sha256 and length of the bytes that pass."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begins again."""
        self._algorithm: Any = hashlib.sha256()
        self.n_bytes = 0

    def update(self, data: bytes, hashed: bool) -> None:
        self.n_bytes += len(data)
        if hashed:
            self._algorithm.update(data)

    def hexdigest(self) -> str:
        return self._algorithm.hexdigest()


def _plain(source: Input, digest: _Digest, raw: IO[bytes]) -> Callable[[], bytes]:
    """The bytes of an input as they are on disk, a piece a call."""

    def following() -> bytes:
        try:
            data = raw.read(CHUNK)
        except OSError as error:
            raise InputError(f"cannot read {source.name!r}: {error.strerror or error}") from error
        digest.update(data, source.hashed)
        _PASSED[source.name] = digest.n_bytes
        return data

    return following
