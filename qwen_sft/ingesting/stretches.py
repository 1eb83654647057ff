"""Inputs in pieces that can be worked on at the same time: stretches of whole lines of a file, or whole inputs.

Where a file is cut hangs on its bytes alone, never on how many work on it. A record of several lines, such as a
session, is not cut, as far as lines near the cut tell; who reads a stretch looks behind its end to see that none was.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from qwen_sft.decoding.jsontext import limited, lines, parse
from qwen_sft.decoding.streams import CHUNK, stream
from qwen_sft.errors import InputError
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.record import Record, Where

LENGTH = 2_000_000
"""Bytes of a stretch, and the rest of its last record: some hundred milliseconds of work."""

FURTHER = 8
"""So many times these bytes are looked through for the end of a record."""

_BEHIND = (200, 2_000_000)  # lines and bytes in which it must show whether a record goes on behind its stretch

_BOM = b"\xef\xbb\xbf"
_LINES = (".jsonl", ".ndjson")
_PLAIN = (*_LINES, ".json")


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of work.

    Attributes:
        number: which of the run's inputs it is of.
        name, path, url, hashed: those of the input.
        start: the byte where it begins, which begins a line.
        end: the byte behind its last line; None for an input that is read whole, whatever is in it.
        line: how many lines stand before it in the file.
        is_last: True if no stretch of the input follows.
        skip: records that come out first, and were worked on before.
    """

    number: int
    name: str
    path: Path | None
    url: str | None = None
    hashed: bool = False
    start: int = 0
    end: int | None = None
    line: int = 0
    is_last: bool = True
    skip: int = 0

    @property
    def source(self) -> Input:
        """The input, to be read whole."""
        return Input(self.name, self.path, self.url, hashed=self.hashed)

    @property
    def place(self) -> str:
        """Where it lies, for people."""
        if self.end is None:
            return self.name
        return f"{self.name}:{self.line + 1}, bytes {self.start:,} to {self.end:,}"


def is_cut(source: Input) -> bool:
    """True if an input can be parted: JSON Lines in a file on this machine, not compressed, and not small."""
    if source.path is None or not source.name.lower().endswith(_LINES):
        return False
    return source.path.is_file() and source.path.stat().st_size > LENGTH


def whole(source: Input, number: int, *, skip: int = 0) -> Stretch:
    """An input as one piece."""
    return Stretch(number, source.name, source.path, source.url, source.hashed, skip=skip)


def cut(
    source: Input,
    number: int,
    start: int = 0,
    line: int = 0,
    skip: int = 0,
    *,
    wanted: Callable[[], bool] = lambda: True,
    apart: Callable[[Sequence[Any], Any], bool] | None = None,
) -> Iterator[Stretch]:
    """The stretches of an input that can be parted, from a byte on; afterwards its size and hash are known.

    Args:
        start: where a line begins; what stands before it is hashed only.
        line: how many lines stand before that.
        skip: records that the first stretch leaves out.
        wanted: asked before each stretch; where it says no, the rest is hashed only.
        apart: True for the values of some lines and that of the next one, where no record seems to go on from those to
            this; without it each line is a record.

    Raises:
        InputError: it cannot be read.
    """
    digest: Any = hashlib.sha256()
    try:
        with _opened(source) as file:
            reached = _passed(file, digest, start) if source.hashed else file.seek(start)
            while wanted():
                n_lines, end, most = line, reached, reached + LENGTH
                is_between = False  # two records
                while data := file.read(min(CHUNK, most - end)) if end < most else file.readline(CHUNK):
                    end += len(data)
                    n_lines += data.count(b"\n")
                    if source.hashed:
                        digest.update(data)
                    if end < most or not data.endswith(b"\n"):
                        continue
                    if is_between or apart is None:
                        break
                    most, is_between = _between(source, end, apart), True
                    if most == end:
                        break
                following = file.peek(1)[:1] if end > reached else b""
                if end == reached and reached > start:
                    break
                told = (source.name, source.path, None, source.hashed)
                yield Stretch(number, *told, reached, end, line, not following, skip)
                reached, line, skip = end, n_lines, 0
                if not following:
                    break
            if source.hashed:
                reached += _passed(file, digest)
                source.sha256 = digest.hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {source.name!r}: {error.strerror or error}") from error


def _between(source: Input, start: int, apart: Callable[[Sequence[Any], Any], bool]) -> int:
    """The byte where the next record begins, or one that is far from where a line begins."""
    at, values = start, list[Any]()
    with _opened(source) as file:
        file.seek(start)
        for line, n_bytes in limited(file):
            text = line.strip()
            record = parse(text, Where(source.name, 0, at)) if text else None
            if record is not None and record.fault is None:
                if values and apart(values, record.data):
                    break
                values.append(record.data)
            at += n_bytes
            if at - start >= FURTHER * LENGTH:
                break
    return at


def hash_of(source: Input) -> str:
    """sha256 of a file, hex.

    Raises:
        InputError: it cannot be read.
    """
    digest: Any = hashlib.sha256()
    try:
        with _opened(source) as file:
            _passed(file, digest)
    except OSError as error:
        raise InputError(f"cannot read {source.name!r}: {error.strerror or error}") from error
    return digest.hexdigest()


def _opened(source: Input) -> Any:
    assert source.path is not None
    try:
        return source.path.open("rb")
    except OSError as error:
        raise InputError(f"cannot open {source.name!r}: {error.strerror}") from error


def _passed(file: Any, digest: Any, n_bytes: int | None = None) -> int:
    """Hashes so many bytes, or all that are left, and says how many there were."""
    n_passed = 0
    while data := file.read(CHUNK if n_bytes is None else min(CHUNK, n_bytes - n_passed)):
        digest.update(data)
        n_passed += len(data)
    return n_passed


@dataclass(slots=True)
class Reading:
    """The records of a stretch while they are read: an iterator that knows where it is.

    Attributes:
        source: the input, with what reading the whole of it tells.
        n_records: how many lines, or values, were read.
        n_given: how many of them were in records that `closed` gave away.
        is_sure: False if too little was read behind the stretch to tell what goes on there.
    """

    stretch: Stretch
    read: Callable[[Input], Iterator[Record]] = records
    source: Input = field(init=False)
    n_records: int = 0
    n_given: int = 0
    is_sure: bool = True

    def __post_init__(self) -> None:
        self.source = self.stretch.source

    def __iter__(self) -> Iterator[Record]:
        end = self.stretch.end
        for record in self.read(self.source) if end is None else _lines(self.stretch, end):
            self.n_records += 1
            yield record

    @property
    def is_open(self) -> bool:
        """True if `closed` left a record out."""
        return self.n_given < self.n_records

    def behind(self) -> Iterator[Record]:
        """Lines behind a stretch in which something is open, as many as should tell whether its last record goes on."""
        most, n_bytes = _BEHIND
        path, end = self.stretch.path, self.stretch.end
        if not self.is_open or self.stretch.is_last or path is None or end is None:
            return
        for number, record in enumerate(_lines(replace(self.stretch, start=end), path.stat().st_size), 1):
            yield record
            n_bytes -= len(record.raw)
            if number == most or n_bytes < 0:
                self.is_sure = False
                return


def _lines(stretch: Stretch, end: int) -> Iterator[Record]:
    source = stretch.source
    with _opened(source) as file:
        file.seek(stretch.start)
        left = end - stretch.start

        def following() -> bytes:
            nonlocal left
            try:
                data: bytes = file.read(min(CHUNK, left))
            except OSError as error:
                raise InputError(f"cannot read {source.name!r}: {error.strerror or error}") from error
            left -= len(data)
            return data

        text = stream(following)
        byte = stretch.start
        if not byte and text.peek(len(_BOM))[: len(_BOM)] == _BOM:
            byte = len(text.read(len(_BOM)))
        yield from lines(stretch.name, text, byte, line_number=stretch.line)


def closed(reading: Reading, gathered: Callable[[Iterator[Record]], Iterator[Record]]) -> Iterator[Record]:
    """The records of a stretch, but for those that go on behind it, and what comes out with them.

    Where some are left out, `reading.is_open`: they, and what follows, are to be read without a cut.
    """
    end = reading.stretch.end
    for record in gathered(chain(reading, reading.behind())):
        parts = record.parts or (record.where,)
        if not reading.is_sure or (end is not None and parts[-1].byte >= end):
            break
        reading.n_given += len(parts)
        yield record


def total_bytes(inputs: Sequence[Input]) -> int:
    """How much there is to read, as far as that is known."""
    return sum(source.n_bytes for source in inputs)


def n_plain_bytes(inputs: Sequence[Input]) -> int | None:
    """How much text there is to read; None where it is compressed, comes from elsewhere, or is no text as it lies."""
    plain = all(source.path is not None and source.path.suffix.lower() in _PLAIN for source in inputs)
    return total_bytes(inputs) if plain else None
