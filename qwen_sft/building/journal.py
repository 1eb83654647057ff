"""What a build has done, so that one that was stopped can go on: a line for each time that shards became whole.

The first line says what the build was asked for. Each other one names the shards that are whole, and holds all that the
build knew at that moment: what it adds to a set that grows (`more`), and the rest, of which only the last one counts
(`now`). A line that was not written to its end is none. Nothing in a journal is run: it may hold our own kinds of
values, and no others.
"""

import base64
import hashlib
import io
import os
import pickle
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, is_dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import orjson

from qwen_sft.errors import OutputError
from qwen_sft.sample import is_object

JOURNAL = "journal.jsonl"

_OTHERS = {
    ("array", "_array_reconstructor"),
    ("array", "array"),
    ("collections", "Counter"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
}
"""What values are made of beside our own dataclasses and enumerations."""


class _Values(pickle.Unpickler):
    """Reads values of our own kinds; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OTHERS and not module.startswith("qwen_sft."):
            raise pickle.UnpicklingError(f"{module}.{name} is no value of ours")
        found: Any = super().find_class(module, name)
        if (module, name) in _OTHERS or (
            isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum | msgspec.Struct))
        ):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value of ours")


def packed(value: Any) -> str:
    """A value as text."""
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol=5), 1)).decode()


def unpacked(text: str) -> Any:
    """The value that `packed` made a text of.

    Raises:
        OutputError: it holds something else.
    """
    try:
        return _Values(io.BytesIO(zlib.decompress(base64.b64decode(text)))).load()
    except Exception as error:  # a damaged pickle raises whatever it stumbles over
        raise OutputError(f"{JOURNAL} holds what no build writes ({error}); start anew with --force") from error


@dataclass(slots=True)
class Left:
    """What a journal says. It may be larger than the memory, so its lines are read one by one.

    Attributes:
        asked: what the build was asked for.
        last: the last whole line behind it, if there is any.
        n_commits: how many there are.
        n_bytes: its length up to the last whole line.
    """

    asked: dict[str, Any]
    last: dict[str, Any] = field(default_factory=dict[str, Any])
    n_commits: int = 0
    n_bytes: int = 0

    def commits(self, folder: Path) -> Iterator[dict[str, Any]]:
        """The whole lines behind the first one."""
        with (folder / JOURNAL).open("rb") as file:
            yield from map(orjson.loads, islice((line.partition(b" ")[2] for line in file), 1, 1 + self.n_commits))


def left_in(folder: Path) -> Left | None:
    """The journal of a folder; None where there is none, or none that was begun to its end."""
    left: Left | None = None
    with suppress(FileNotFoundError), (folder / JOURNAL).open("rb") as file:
        for line in file:
            told = _line(line)
            if told is None:
                break
            if left is None:
                left = Left(told)
            else:
                left.last = told
                left.n_commits += 1
            left.n_bytes += len(line)
    return left


def _line(line: bytes) -> dict[str, Any] | None:
    """A line of a journal; None for one that is not whole."""
    digest, _, text = line.partition(b" ")
    if not line.endswith(b"\n") or _digest(text) != digest:
        return None
    told: Any = orjson.loads(text)
    return told if is_object(told) else None


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=8).hexdigest().encode()


class Journal:
    """A journal that is written.

    Args:
        folder: of the build.
        asked: what it was asked for.
        left: what the journal of an earlier run says, with which this one goes on; None to begin one.
        kept: is given each line that is written.
    """

    def __init__(
        self,
        folder: Path,
        asked: Mapping[str, Any],
        left: Left | None = None,
        kept: Callable[[bytes], None] = lambda _: None,
    ) -> None:
        self.n_commits = 0 if left is None else left.n_commits
        self._kept = kept
        if left is None:
            write_whole(folder / JOURNAL, _spelled(asked))
            kept(_spelled(asked))
        self._file = (folder / JOURNAL).open("r+b")
        self._file.truncate(self._file.seek(0, os.SEEK_END) if left is None else left.n_bytes)
        self._file.seek(0, os.SEEK_END)

    def commit(self, told: Mapping[str, Any], *, more: Any, now: Any) -> None:
        """Writes down what is done; everything that it tells of is on disk already."""
        line = _spelled({**told, "more": packed(more), "now": packed(now)})
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._kept(line)
        self.n_commits += 1

    def close(self) -> None:
        """Ends writing; the file stays."""
        self._file.close()


def _spelled(told: Mapping[str, Any]) -> bytes:
    text = orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS)
    return _digest(text) + b" " + text


# -- files that are whole or not there ---------------------------------------------------------------------------------


def temporary(path: Path) -> Path:
    """What a file is called until it is whole."""
    return path.with_name(f".{path.name}.part")


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file that is there with all of its bytes, or not at all, whenever the machine stops."""
    with temporary(path).open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary(path).replace(path)
    sync_folder(path.parent)


def sync(path: Path) -> None:
    """Brings a file's bytes to the disk."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Brings the names in a folder to the disk, where the system can do that."""
    if os.name == "nt":
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def alone_in(folder: Path, name: str | None = None) -> Generator[bool, None, None]:
    """Keeps other builds out of a folder. The system lets go of it when this process ends, however it does.

    Windows has no such lock, and some file systems have none; there nobody is kept out.

    Args:
        name: of the folder, for people.

    Yields:
        True if others are kept out.

    Raises:
        OutputError: another build is at work there.
    """
    try:
        import fcntl
    except ModuleNotFoundError:
        yield False
        return
    is_alone = True
    opened = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"another build is at work in {name or str(folder)!r}; wait for it, or name another folder with --out"
            ) from error
        except OSError:  # a file system without locks
            is_alone = False
        yield is_alone
    finally:
        os.close(opened)


def differences(before: Mapping[str, Any], now: Mapping[str, Any], path: Sequence[str] = ()) -> list[str]:
    """What differs between what two builds were asked for, each in words: `max_length was null and is 4096`."""
    found: list[str] = []
    for key in dict.fromkeys((*before, *now)):
        one, other = before.get(key), now.get(key)
        if one == other:
            continue
        if is_object(one) and is_object(other):
            found += differences(one, other, (*path, key))
        else:
            name = " ".join((*path, key))
            found.append(f"{name} was {_short(one)} and is {_short(other)}")
    return found


def _short(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
