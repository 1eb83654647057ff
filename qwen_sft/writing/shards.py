"""Files of rows, by split, in shards of about one size, under temporary names until the build is done."""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from qwen_sft.writer import TRAIN, Part, Row, Talk, talks

EXTRA = "~extra"
"""Under this name further files wait; no split has it."""

GROUP_BYTES = 1 << 27
"""Bytes of row data that are written at once, give or take an item: what a reader of a row group has to hold."""


Extras = Callable[[Sequence[Part]], dict[str, bytes]]
"""What makes further files by name, from the shards as they will be called."""


def no_extras(_: Sequence[Part]) -> dict[str, bytes]:
    """Nothing beside the shards."""
    return {}


class Sink(Protocol):
    """One file at work."""

    def write(self, rows: Sequence[Any]) -> None:
        """Appends rows."""
        ...

    def close(self) -> None:
        """Ends the file."""
        ...


class Shards:
    """A writer at work: sorts rows by their split, and starts a new file behind the row that passes the size.

    Where one split starts a new file, all others do with their next rows: then whatever was written is in files that
    are whole, but for what was written behind that row, which is remembered until more is written (see `state`).

    Args:
        folder: where the files go.
        shard_size: bytes of row data after which a new shard starts; 0 for files that are never parted.
        items: what is written of some rows, such as their conversations: pairs of split and item.
        size: bytes of row data of an item.
        open_sink: begins a file.
        name: of a shard, from split, number and count.
        extras: further files by name, from the shards as they will be called.
    """

    def __init__(
        self,
        folder: Path,
        shard_size: int,
        *,
        items: Callable[[Sequence[Row]], Iterable[tuple[str, Any]]],
        size: Callable[[Any], int],
        open_sink: Callable[[Path], Sink],
        name: Callable[[str, int, int], str],
        extras: Extras = no_extras,
    ) -> None:
        self._folder = folder
        self._shard_size = shard_size
        self._items, self._size_of, self._open_sink = items, size, open_sink
        self._name, self._extras = name, extras
        self._shards: dict[str, list[_Shard]] = {}
        self._others: list[Path] = []
        self._tails: dict[str, list[Any]] = {}
        self.has_rolled = False
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, rows: Sequence[Row]) -> None:
        """Appends rows, each to its split."""
        self._tails, self.has_rolled = {}, False
        for split, group in groupby(sorted(self._items(rows), key=lambda pair: pair[0]), key=lambda pair: pair[0]):
            self._append(split, [item for _, item in group])
        if self.has_rolled:
            for split, shards in self._shards.items():
                if split not in self._tails:
                    shards[-1].close()

    def _append(self, split: str, items: Sequence[Any]) -> None:
        shards = self._shards.setdefault(split, [])
        group: list[Any] = []
        n_bytes = 0
        for item in items:
            shard = shards[-1] if shards and shards[-1].is_open else self._start(split)
            if self._shard_size and shard.size >= self._shard_size:
                shard.write(group)
                shard.close()
                shard, group, n_bytes = self._start(split), [], 0
                self.has_rolled = True
                self._tails[split] = []
            elif n_bytes >= GROUP_BYTES:
                shard.write(group)
                group, n_bytes = [], 0
            group.append(item)
            if split in self._tails:
                self._tails[split].append(item)
            size = self._size_of(item)
            shard.size += size
            n_bytes += size
        shards[-1].write(group)

    def state(self) -> dict[str, list[Any]]:
        """All that is written, right behind a `write` after which `has_rolled`; see `restore`.

        Returns:
            by split, in their order: its whole files, each with name, rows, size and sha256, then what the next one
            begins with.
        """
        return {
            split: [
                [shard.told for shard in shards[: -1 if split in self._tails else None]],
                self._tails.get(split, []),
            ]
            for split, shards in self._shards.items()
        }

    def restore(self, state: Mapping[str, Sequence[Any]]) -> None:
        """Goes on behind what another one had written, in the same folder."""
        for split, (whole, _) in state.items():
            self._shards[split] = [_Shard(self._folder / name, None, *told) for name, *told in whole]
        for split, (_, tail) in state.items():
            if tail:
                self._append(split, tail)

    def leave(self) -> None:
        """Stops, and leaves the files as they are."""
        for shard in (one for shards in self._shards.values() for one in shards):
            with suppress(OSError):  # a disk that is full
                shard.close()

    def _start(self, split: str) -> "_Shard":
        shards = self._shards.setdefault(split, [])
        path = self._folder / f".{split}-{len(shards):05d}.part"
        shards.append(_Shard(path, self._open_sink(path)))
        return shards[-1]

    def finish(self) -> list[Part]:
        """The files; without any row there is one, empty, so that readers find the columns."""
        if not self._shards:
            self._start(TRAIN)
        parts: list[Part] = []
        for split, shards in self._shards.items():
            for number, shard in enumerate(shards):
                shard.close()
                _, n_rows, n_bytes, sha256 = shard.told
                parts.append(Part(shard.path, self._name(split, number, len(shards)), split, n_rows, n_bytes, sha256))
        for number, (name, content) in enumerate(self._extras(parts).items()):
            path = self._folder / f".{EXTRA}-{number:05d}.part"
            self._others.append(path)
            path.write_bytes(content)
            parts.append(Part(path, name, None, 0, len(content), hashlib.sha256(content).hexdigest()))
        return parts

    def abort(self) -> None:
        """Takes the files away, finished or not."""
        self.leave()
        for shard in (one for shards in self._shards.values() for one in shards):
            shard.path.unlink(missing_ok=True)
        for path in self._others:
            path.unlink(missing_ok=True)


class _Shard:
    """A file, with what is in it; one without a sink was whole before, and need not be here any more."""

    def __init__(self, path: Path, sink: Sink | None, n_rows: int = 0, n_bytes: int = 0, sha256: str = "") -> None:
        self.path, self._sink = path, sink
        self._n_rows, self._n_bytes, self._sha256 = n_rows, n_bytes, sha256
        self.size = 0

    @property
    def told(self) -> tuple[str, int, int, str]:
        """What is known of it when it is whole: name, rows, bytes, sha256."""
        return self.path.name, self._n_rows, self._n_bytes, self._sha256

    @property
    def is_open(self) -> bool:
        return self._sink is not None

    def write(self, items: Sequence[Any]) -> None:
        if items and self._sink is not None:
            self._sink.write(items)
            self._n_rows += len(items)

    def close(self) -> None:
        """Ends the file, and brings it to the disk."""
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.close()
            with self.path.open("r+b") as file:
                os.fsync(file.fileno())
                self._sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                self._n_bytes = file.tell()


def as_rows(rows: Sequence[Row]) -> Iterable[tuple[str, Row]]:
    """Each training row, for a writer of tokens."""
    return ((row.split, row) for row in rows)


def as_talks(rows: Sequence[Row]) -> Iterable[tuple[str, Talk]]:
    """Each conversation, for a writer of conversations."""
    return ((talk.rows[0].split, talk) for talk in talks(rows))


def shard_name(suffix: str) -> Callable[[str, int, int], str]:
    """The names that `datasets` gives shards, in one folder: `train-00000-of-00003.parquet`."""
    return lambda split, number, count: f"{split}-{number:05d}-of-{count:05d}.{suffix}"
