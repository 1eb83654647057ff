"""A folder of this machine that a set is written to."""

import hashlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qwen_sft.building.journal import JOURNAL, alone_in, sync, sync_folder, write_whole
from qwen_sft.building.outfolder import DATA, REJECTS, UNFINISHED, Kind, begin
from qwen_sft.errors import OutputError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.ingesting.remote import local_path
from qwen_sft.writer import Part


class LocalFolder:
    """A folder of this machine."""

    is_held = True

    def __init__(self, path: Path) -> None:
        self.name, self.stage = str(path), path

    def is_file(self) -> bool:
        return self.stage.exists() and not self.stage.is_dir()

    def holds(self, source: Input) -> bool:
        path = source.path if source.url is None else local_path(source.url)
        return path is not None and self.stage.resolve() in path.resolve().parents

    @contextmanager
    def alone(self) -> Generator[None]:
        try:
            self.stage.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cannot make the folder {self.name!r}: {error.strerror}; name another with --out"
            ) from error
        with alone_in(self.stage):
            yield

    def fetch(self) -> None:
        pass

    def found(self) -> Iterator[tuple[str, Kind]]:
        if not self.stage.exists():
            return
        for path in self.stage.iterdir():
            yield path.name, _kind(path)
        data = self.stage / DATA
        if data.is_dir() and not data.is_symlink():
            for path in data.rglob("*"):
                yield path.relative_to(self.stage).as_posix(), _kind(path)

    def read(self, name: str) -> bytes | None:
        path = self.stage / name
        return path.read_bytes() if path.is_file() else None

    def write(self, name: str, data: bytes) -> None:
        write_whole(self.stage / name, data)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self.stage / name).unlink(missing_ok=True)

    def prune(self) -> None:
        data = self.stage / DATA
        if data.is_symlink():
            return
        for folder in sorted((path for path in (data, *data.rglob("*")) if _kind(path) == "folder"), reverse=True):
            if not any(folder.iterdir()):
                folder.rmdir()

    def wrong(self, files: Sequence[dict[str, Any]]) -> str | None:
        for one in files:
            path = self.stage / one["file"]
            if not path.is_file() or path.stat().st_size != one["n_bytes"]:
                return one["file"]
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != one["sha256"]:
                    return one["file"]
        return None

    def rewind(self, named: Sequence[dict[str, str]], n_commits: int, n_rejects: int) -> None:  # noqa: ARG002
        for told in named:
            path, part = self.stage / told["file"], self.stage / told["part"]
            if path.is_file() and not part.exists():
                path.rename(part)

    def keep(self, files: Sequence[dict[str, Any]]) -> None:  # noqa: ARG002
        sync(self.stage / REJECTS)
        sync_folder(self.stage / DATA)

    def keep_line(self, line: bytes) -> None:
        pass

    def give_names(self, parts: Sequence[Part]) -> None:
        begin(self, parts)
        for part in parts:
            path = self.stage / DATA / part.name
            path.parent.mkdir(parents=True, exist_ok=True)
            part.path.rename(path)

    def publish(self, names: Sequence[str]) -> None:
        for name in names:
            sync(self.stage / name)

    def tidy(self) -> None:
        self.remove([JOURNAL, UNFINISHED])


def _kind(path: Path) -> Kind:
    if path.is_symlink():
        return "link"
    return "folder" if path.is_dir() else "file"
