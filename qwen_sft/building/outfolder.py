"""Where a set is written: what a build finds there, what of it is its own, and what it may take away.

`localfolder` is a folder of this machine, `remotefolder` one on another machine; what is here is the same for both.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol

import orjson

from qwen_sft import __version__
from qwen_sft.building.journal import JOURNAL, temporary
from qwen_sft.errors import OutputError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.proving.lock import LOCK_FILE
from qwen_sft.sample import is_list, is_object
from qwen_sft.writer import Part

DATA, REJECTS, MANIFEST, CARD = "data", "rejects.jsonl", "manifest.json", "README.md"
UNFINISHED = "unfinished.json"
"""Stands in the folder while a build is at work, and names the files that it is about to name: what is left of one that
was killed is known by it."""

AT_WORK = "at-work.json"
"""On another machine: who is at work there, and when it has last said so."""

_TEMPORARY = tuple(temporary(Path(name)).name for name in (MANIFEST, UNFINISHED, JOURNAL))
_NAMES = (*_TEMPORARY, REJECTS, LOCK_FILE, CARD, MANIFEST)
PART = re.compile(rf"{DATA}/\.[^/]+\.part")
PIECE = re.compile(rf"({re.escape(JOURNAL)}|{re.escape(REJECTS)})\.(\d{{8}})")

Kind = Literal["file", "folder", "link", "piece"]


class OutFolder(Protocol):
    """A folder that a set is written to.

    Attributes:
        name: for people.
        stage: the folder of this machine in which files are written; the folder itself, if it is one of this machine.
        is_held: False where another build has taken it over: it must not be touched any more.
    """

    name: str
    stage: Path
    is_held: bool

    def is_file(self) -> bool:
        """True if it is no folder but a file."""
        ...

    def holds(self, source: Input) -> bool:
        """True if an input lies in it."""
        ...

    def alone(self) -> AbstractContextManager[None]:
        """Makes it, and keeps other builds out."""
        ...

    def fetch(self) -> None:
        """Brings what says how far an earlier build was into the stage."""
        ...

    def found(self) -> Iterator[tuple[str, Kind]]:
        """What stands in it: what is right in it, and what is in `data` at any depth."""
        ...

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Writes a file that is there with all of its bytes, or not at all."""
        ...

    def remove(self, names: Iterable[str]) -> None:
        """Takes files away, in this order; one that is not there is no matter."""
        ...

    def prune(self) -> None:
        """Takes folders away that are empty."""
        ...

    def wrong(self, files: Sequence[dict[str, Any]]) -> str | None:
        """The first of some files that is not there with the size and the sha256 that is told; None for none."""
        ...

    def rewind(self, named: Sequence[dict[str, str]], n_commits: int, n_rejects: int) -> None:
        """Takes back what was done behind a commit, but for the files in `data`.

        Args:
            named: files that may have their names already, and what they were called before.
            n_commits: how many count.
            n_rejects: bytes of the rejects that count.
        """
        ...

    def keep(self, files: Sequence[dict[str, Any]]) -> None:
        """Sees to it that shards that are whole, and the rejects, outlive this process and this machine's crash."""
        ...

    def keep_line(self, line: bytes) -> None:
        """The same for a line of the journal."""
        ...

    def give_names(self, parts: Sequence[Part]) -> None:
        """Gives the files of a writer their names."""
        ...

    def publish(self, names: Sequence[str]) -> None:
        """Puts files of the stage where they belong."""
        ...

    def tidy(self) -> None:
        """Takes away what a whole set does not need."""
        ...


# -- what is found there -----------------------------------------------------------------------------------------------


def clear(out: OutFolder, *, force: bool, only_look: bool = False) -> None:
    """Makes sure that a folder may be written to; with `force` takes an earlier build away, and nothing else.

    Args:
        only_look: leave everything as it is, for one that may go on with what is there.

    Raises:
        OutputError: it may not.
    """
    if out.is_file():
        raise OutputError(f"{out.name!r} is a file; name a folder with --out")
    if only_look or next(out.found(), None) is None:
        return
    if not force:
        raise OutputError(f"{out.name!r} is not empty; name another folder, or replace an earlier build with --force")
    told = strange(out)
    if told:
        raise OutputError(f"{out.name!r} {told}, so it is no earlier build; --force does not touch it")
    _take_away(out)


def was_killed(out: OutFolder) -> bool:
    """True if a folder holds what is left of a build of which nothing can be gone on with."""
    names = dict(out.found())
    return _is_bare(names) or (names.get(UNFINISHED) == "file" and MANIFEST not in names and not strange(out))


def is_whole(out: OutFolder) -> bool:
    """True for a folder with a build that came to its end: its manifest is written last."""
    return dict(out.found()).get(MANIFEST) == "file" and not strange(out)


def strange(out: OutFolder) -> str:
    """What a folder holds that no build writes; "" if nothing. A build that was killed left no manifest."""
    found = dict(out.found())
    if _is_bare(found):
        return ""
    if found.get(DATA) == "link":
        return f"has a link for {DATA!r}"
    told = _told(out)
    if told is None:
        if MANIFEST in found:
            return f"holds a {MANIFEST} of another program"
        known = {DATA, JOURNAL, UNFINISHED, *_NAMES}
        others = sorted(n for n, kind in found.items() if "/" not in n and n not in known and kind != "piece")
        return f"holds {others[0]!r}" if others else f"has no {MANIFEST}"
    ours = {DATA, JOURNAL, UNFINISHED, *_NAMES, *_files(out)}
    ours |= {str(parent) for name in ours for parent in PurePosixPath(name).parents}
    links = {name for name, kind in found.items() if kind == "link" and "/" in name}
    others = sorted((found.keys() - ours) | links)
    return f"holds {others[0]!r}" if others else ""


def take_back(out: OutFolder, commit: dict[str, Any], n_commits: int) -> None:
    """Takes away what was written behind the last commit, and takes the names back that files were given.

    Args:
        n_commits: how many there are.

    Raises:
        OutputError: a file is not what it was.
    """
    named = _named(out)
    out.remove([MANIFEST, CARD, LOCK_FILE, *_TEMPORARY])
    out.rewind(named, n_commits, commit["rejects"])
    whole = {one["file"] for one in commit["files"]}
    out.remove([n for n, kind in out.found() if n.startswith(f"{DATA}/") and kind != "folder" and n not in whole])
    out.prune()
    wrong = out.wrong(commit["files"])
    rejects = out.stage / REJECTS
    if wrong is None and (rejects.stat().st_size if rejects.is_file() else 0) < commit["rejects"]:
        wrong = REJECTS
    if wrong is not None:
        raise OutputError(f"{place(out, wrong)!r} is not what was written there; start anew with --force")


def begin(out: OutFolder, parts: Sequence[Part] = ()) -> None:
    """Says that a build is at work here, and what it is about to name."""
    files = [{"file": f"{DATA}/{part.name}", "part": f"{DATA}/{part.path.name}"} for part in parts]
    told = {"qwen_sft": __version__, "files": files}
    out.write(UNFINISHED, orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))


def _take_away(out: OutFolder) -> None:
    """Removes what a build has written, and folders that are empty then."""
    files = _files(out)
    out.remove([JOURNAL, piece_name(JOURNAL, 0)])  # without its beginning, no build goes on from a journal
    out.remove([*files, *_NAMES])
    out.remove([UNFINISHED])  # what says what is ours goes last
    out.prune()


def _is_bare(found: dict[str, Kind]) -> bool:
    """True for a folder in which a build was killed before it wrote anything, or behind taking everything away."""
    return all(
        name.split("/")[0] == DATA if kind == "folder" else name in _TEMPORARY or (kind == "piece" and "/" in name)
        for name, kind in found.items()
    )


def _told(out: OutFolder) -> list[str] | None:
    """The files of a build, as its manifest or what stands for it names them; None where nothing of ours does."""
    for name in (MANIFEST, UNFINISHED):
        content = out.read(name)
        if content is None:
            continue
        try:
            told: Any = orjson.loads(content)
        except ValueError:
            return None
        if not is_object(told) or "qwen_sft" not in told:
            return None
        listed: Any = told.get("files")
        files: list[Any] = listed if is_list(listed) else []
        return [one["file"] for one in files if is_object(one) and isinstance(one.get("file"), str)]
    return None


def _files(out: OutFolder) -> list[str]:
    """The files that a build has written under names of its own: those that it names, and those without a name yet."""
    named = [name for name in _told(out) or () if _is_within(name)]
    return [*named, *(name for name, kind in out.found() if kind == "piece" or PART.fullmatch(name))]


def _named(out: OutFolder) -> list[dict[str, str]]:
    """The files that a build was about to name, and what they were called before."""
    try:
        told: Any = orjson.loads(out.read(UNFINISHED) or b"{}")
    except ValueError:
        return []
    listed: list[Any] = told.get("files", [])
    return [one for one in listed if _is_within(one["file"]) and _is_within(one.get("part", ""))]


def _is_within(name: str) -> bool:
    """True for a name below `data`: a manifest may say anything."""
    path = PurePosixPath(name)
    return len(path.parts) > 1 and path.parts[0] == DATA and ".." not in path.parts


def place(out: OutFolder, name: str) -> str:
    return f"{out.name.rstrip('/')}/{name}"


def piece_name(name: str, number: int) -> str:
    """What the part of a growing file is called that is sent by itself."""
    return f"{name}.{number:08d}"
