"""A folder on another machine that a set is written to.

There is no appending, no renaming and no lock, and a file is there whole, or not at all. So files are written in a
folder of this machine, the stage, and sent when they are whole; the journal and the rejects are sent in pieces, one for
each time that something is done; and a mark, which is renewed, says who is at work there.
"""

import hashlib
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import orjson

from qwen_sft import __version__
from qwen_sft.building.journal import JOURNAL, alone_in
from qwen_sft.building.outfolder import AT_WORK, DATA, PART, PIECE, REJECTS, UNFINISHED, Kind, begin, piece_name, place
from qwen_sft.errors import OutputError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.ingesting.remote import Prefix
from qwen_sft.sample import is_object
from qwen_sft.tokenizing.vocabulary import cache_folders
from qwen_sft.writer import Part

SIGN, LEASE = 60.0, 600.0
"""Seconds after which the mark is renewed, and those without a renewal after which it counts no more."""

_OWNER = "owner"


class RemoteFolder:
    """A folder on another machine."""

    def __init__(self, url: str) -> None:
        self._prefix = Prefix(url)
        self.name = self._prefix.name
        self.is_held = False
        self._owner = secrets.token_hex(16)
        self._since = ""
        self._stop = threading.Event()
        self._n_lines = self._n_rejects = 0
        self._sent: set[str] = set()
        place = hashlib.sha256(self._prefix.key.encode()).hexdigest()[:16]
        self._stages = [folder / "builds" / place for folder in cache_folders()]
        self.stage = self._stages[0]

    def is_file(self) -> bool:
        return self._prefix.is_file()

    def holds(self, source: Input) -> bool:
        return source.url is not None and self._prefix.holds(source.url)

    # -- who is at work there

    @contextmanager
    def alone(self) -> Generator[None]:
        self._make_stage()
        with alone_in(self.stage, self.name) as is_alone:
            self._take(is_alone)
            self._clear_stage()
            renewing = threading.Thread(target=self._renew, daemon=True)
            renewing.start()
            try:
                yield
            finally:
                self._stop.set()
                renewing.join(timeout=5)
                with suppress(OutputError):  # the server may be what stopped us
                    if self._is_ours():
                        self._prefix.remove([AT_WORK])
                        (self.stage / _OWNER).unlink(missing_ok=True)
                self.is_held = False
                self._clear_stage()

    def _make_stage(self) -> None:
        refusals: list[str] = []
        for stage in self._stages:
            try:
                stage.mkdir(parents=True, exist_ok=True, mode=0o700)
                if hasattr(os, "getuid") and stage.stat().st_uid != os.getuid():
                    raise PermissionError(0, "it is another user's")
            except OSError as refusal:
                refusals.append(f"{stage}: {refusal.strerror or refusal}")
            else:
                self.stage = stage
                return
        raise OutputError(
            f"no folder can hold files until they are sent to {self.name!r} ({'; '.join(refusals)}); set QWEN_SFT_CACHE"
        )

    def _clear_stage(self) -> None:
        for path in self.stage.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _OWNER:
                path.unlink()

    def _take(self, is_alone: bool) -> None:
        """Puts the mark there.

        That of a build that was killed on this machine is known by the name that it left in the stage: nobody else can
        be at work with it, if the system keeps others out of the stage.
        """
        own = self.stage / _OWNER
        dead = own.read_text().split() if is_alone and own.is_file() else []
        before = self._mark()
        if before is not None and before["owner"] not in dead and time.time() - before["seen"] < LEASE:
            raise OutputError(self._held_by(before))
        own.write_text(self._owner if before is None else f"{self._owner} {before['owner']}")
        self._since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        if before is None:
            self._prefix.create(AT_WORK, self._told())
        else:
            self._prefix.write(AT_WORK, self._told())
        now = self._mark()
        if now is None or now["owner"] != self._owner:
            raise OutputError(self._held_by(now or {}))
        self.is_held = True

    def _told(self) -> bytes:
        who = {"owner": self._owner, "host": socket.gethostname(), "process": os.getpid(), "since": self._since}
        return orjson.dumps({"qwen_sft": __version__, **who, "seen": time.time()}, option=orjson.OPT_APPEND_NEWLINE)

    def _mark(self) -> dict[str, Any] | None:
        """What the mark says; None where there is none."""
        content = self._prefix.read(AT_WORK)
        if content is None:
            return None
        try:
            told: Any = orjson.loads(content)
        except ValueError:
            told = None
        if not is_object(told) or "owner" not in told or not isinstance(told.get("seen"), float):
            raise OutputError(f"{self.name!r} holds an {AT_WORK} that no build writes; name another --out")
        return told

    def _held_by(self, mark: dict[str, Any]) -> str:
        ago = max(0, round(time.time() - mark.get("seen", time.time())))
        who = f"process {mark.get('process')!r} on {mark.get('host')!r}, begun {mark.get('since')!r}"
        return (
            f"another build is at work in {self.name!r}: {who}, last heard of {ago:,} s ago; wait for it, or "
            f"name another folder with --out. If it was killed, its mark {AT_WORK} counts no more after {LEASE:,.0f} s"
        )

    def _is_ours(self) -> bool:
        if self.is_held:
            mark = self._mark()
            self.is_held = mark is not None and mark["owner"] == self._owner
        return self.is_held

    def _renew(self) -> None:
        while not self._stop.wait(SIGN):
            with suppress(OutputError):  # the next time it may work
                if not self._is_ours():
                    return
                self._prefix.write(AT_WORK, self._told())

    def _hold(self) -> None:
        """Stops where the folder is no longer ours.

        Raises:
            OutputError: it is not.
        """
        if not self._is_ours():
            raise OutputError(f"another build has taken {self.name!r} over, so this one stops")

    # -- what is there

    def fetch(self) -> None:
        pieces = sorted(name for name, kind in self.found() if kind == "piece" and "/" not in name)
        for whole in (JOURNAL, REJECTS):
            with (self.stage / whole).open("wb") as file:
                for number, name in enumerate(name for name in pieces if name.startswith(whole)):
                    if whole == JOURNAL and name != piece_name(JOURNAL, number):
                        break
                    with self._prefix.open(name) as piece:
                        shutil.copyfileobj(piece, file)

    def found(self) -> Iterator[tuple[str, Kind]]:
        listed = dict(self._prefix.listed())
        for name, is_file in listed.items():
            if name != AT_WORK:
                kind: Kind = "file" if is_file else "folder"
                yield name, "piece" if is_file and PIECE.fullmatch(name) else kind
        if DATA in listed:
            for name in self._prefix.sizes(DATA):
                yield name, "piece" if PART.fullmatch(name) else "file"

    def read(self, name: str) -> bytes | None:
        return self._prefix.read(name)

    def write(self, name: str, data: bytes) -> None:
        self._hold()
        self._prefix.write(name, data)

    def remove(self, names: Iterable[str]) -> None:
        there = {name for name, kind in self.found() if kind != "folder"}
        self._hold()
        self._prefix.remove([name for name in dict.fromkeys(names) if name in there])

    def prune(self) -> None:
        pass

    def wrong(self, files: Sequence[dict[str, Any]]) -> str | None:
        self._sent = {one["file"] for one in files}
        sizes = self._prefix.sizes(DATA)
        for one in files:
            name = one["file"]
            if sizes.get(name) != one["n_bytes"] or self._prefix.sha256(name) != one["sha256"]:
                return name
        return None

    def rewind(self, named: Sequence[dict[str, str]], n_commits: int, n_rejects: int) -> None:  # noqa: ARG002
        self._n_lines, self._n_rejects = n_commits + 1, n_rejects
        matched = [PIECE.fullmatch(name) for name, _ in self.found()]
        self.remove([REJECTS, *(one[0] for one in matched if one and int(one[2]) > n_commits)])

    # -- what is sent

    def keep(self, files: Sequence[dict[str, Any]]) -> None:
        self._hold()
        for one in files:
            if one["file"] not in self._sent:
                path = self.stage / one["file"]
                self._prefix.put(path, one["file"])
                self._sent.add(one["file"])
                path.unlink()
        piece = self.stage / piece_name(REJECTS, self._n_lines)
        with (self.stage / REJECTS).open("rb") as rejects, piece.open("wb") as file:
            rejects.seek(self._n_rejects)
            shutil.copyfileobj(rejects, file)
            n_new = file.tell()
        if n_new:
            self._prefix.put(piece, piece.name)
        piece.unlink()
        self._n_rejects += n_new

    def keep_line(self, line: bytes) -> None:
        self._prefix.write(piece_name(JOURNAL, self._n_lines), line)
        self._n_lines += 1

    def give_names(self, parts: Sequence[Part]) -> None:
        begin(self, parts)
        copies: list[tuple[str, str]] = []
        for part in parts:
            name = f"{DATA}/{part.name}"
            if part.path.exists():
                self._prefix.put(part.path, name)
            else:
                copies.append((f"{DATA}/{part.path.name}", name))
        self._prefix.copy(copies)
        sizes = self._prefix.sizes(DATA)
        for part in parts:
            name = f"{DATA}/{part.name}"
            if sizes.get(name) != part.n_bytes:
                raise OutputError(
                    f"{place(self, name)!r} was sent with {part.n_bytes:,} bytes and has {sizes.get(name, 0):,}; give "
                    "the same command again"
                )

    def publish(self, names: Sequence[str]) -> None:
        for name in names:
            self._prefix.put(self.stage / name, name)

    def tidy(self) -> None:
        self.remove([name for name, kind in self.found() if kind == "piece"])
        self.remove([UNFINISHED])
