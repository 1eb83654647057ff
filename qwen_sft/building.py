"""One build: records to shards, rejects, manifest and dataset card, with every record accounted for."""

import errno
import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
import orjson

from qwen_sft import __version__
from qwen_sft.baseline import apart
from qwen_sft.card import card
from qwen_sft.census import Census
from qwen_sft.curating.curation import Curation
from qwen_sft.curating.mix import with_mix
from qwen_sft.curating.pack import Packer
from qwen_sft.errors import OutputError, UsageError
from qwen_sft.finding import Diagnostic
from qwen_sft.gate import Fold, see_again
from qwen_sft.ingest import STDIN, Input, expand, records
from qwen_sft.inmemory import Held, reader
from qwen_sft.journal import (
    JOURNAL,
    Journal,
    Left,
    alone_in,
    differences,
    left_in,
    sync,
    sync_folder,
    temporary,
    unpacked,
    write_whole,
)
from qwen_sft.lean import lean, lean_talks
from qwen_sft.pipeline import FILTERED, Outcome, Pipeline, Survey, tally
from qwen_sft.proving.lock import LOCK_FILE, lock_of, write_lock
from qwen_sft.record import Where
from qwen_sft.rejects import rejected
from qwen_sft.remote import is_url
from qwen_sft.reporter import Totals, finding_json
from qwen_sft.sample import is_list, is_object
from qwen_sft.settings import Settings
from qwen_sft.stretches import Stretch, hash_of
from qwen_sft.tokens import Kind
from qwen_sft.versions import versions
from qwen_sft.workers import Place, Plan, is_alone, jobs_of, worked
from qwen_sft.writer import OpenWriter, Part, Row, Writer, talks, writers

DATA, REJECTS, MANIFEST, CARD = "data", "rejects.jsonl", "manifest.json", "README.md"
UNFINISHED = "unfinished.json"
"""Stands in the folder while a build is at work, and names the files that it is about to name: what is left of one that
was killed is known by it."""

_TEMPORARY = tuple(temporary(Path(name)).name for name in (MANIFEST, UNFINISHED, JOURNAL))
_NAMES = (JOURNAL, *_TEMPORARY, REJECTS, LOCK_FILE, CARD, MANIFEST, UNFINISHED)
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_PENDING_ROWS, _PENDING_TOKENS = 512, 4_000_000  # what a row group holds at most, give or take a record
_PART = re.compile(rf"{DATA}/\.[^/]+\.part")


@dataclass(slots=True)
class Counts:
    """What a build counts beside the totals of its findings. Tokens are counted over all rows."""

    n_rows: int = 0
    n_tokens: int = 0
    n_trained_tokens: int = 0
    n_trained_turns: int = 0
    n_written: int = 0
    n_rejected: int = 0
    n_samples_verified: int = 0
    n_samples_expanded: int = 0
    n_rows_added: int = 0
    n_tokens_added: int = 0
    n_reasoning_tokens_saved: int = 0
    n_straddling_rows: int = 0
    n_turns_masked: int = 0
    rows_by_length: Counter[int] = field(default_factory=Counter[int])
    requests: dict[str, int] = field(default_factory=dict[str, int])
    rejected_by_code: dict[str, int] = field(default_factory=dict[str, int])
    tokens_by_kind: Any = field(default_factory=lambda: np.zeros(len(Kind), dtype=np.int64))


def build(
    paths: Sequence[str],
    settings: Settings,
    out: Path,
    writer: Writer,
    *,
    force: bool = False,
    each: Callable[[Outcome], None] = lambda _: None,
    concluded: Callable[[Sequence[Diagnostic]], None] = lambda _: None,
    skipped: Counter[str] | None = None,
    pipeline: Pipeline | None = None,
    given: Held | None = None,
    again: Callable[[Fold], None] = lambda _: None,
    left: Callable[[str], None] = lambda _: None,
) -> tuple[dict[str, Any], Totals]:
    """Writes a training set and returns its manifest, and the counts of its findings.

    Args:
        paths: files, directories, globs, or "-".
        out: a folder that does not exist, is empty, or (with `force`) holds an earlier build.
        each: is told of every record, in order.
        concluded: is told what was found about the whole set.
        skipped: counts the files of directories and archives that hold no records, by suffix.
        pipeline: of these settings, where there is one already.
        given: records that a program holds, in place of paths.
        again: is told of what an earlier run of this build had seen, where this one goes on from there.
        left: is told, before an exception is raised, what was left behind for a later run to go on from, if anything.

    Raises:
        OutputError: the folder holds something else, an input, an earlier build and no `force`, the beginning of
            another build, or one that is at work; the disk is full.
        InputError, ModelError, UsageError, WorkerError: as they say.
    """
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    skipped = Counter[str]() if skipped is None else skipped
    writer = _packing(writer) if settings.pack is not None else writer
    inputs = apart(expand(paths, hashed=True, skipped=skipped), paths, settings.baseline)
    inputs, sources = with_mix(inputs, settings.mix, hashed=True, skipped=skipped)
    inputs += [Input(name, None) for name in given or {}]
    pipeline = pipeline or Pipeline(settings, excerpts=False)
    curation = Curation(pipeline, sources)
    packer = None if settings.pack is None else Packer(settings.pack)
    _keep_apart(inputs, out)
    clear(out, force=force, only_look=True)
    _make(out)
    with alone_in(out):
        made = _Made(pipeline, inputs, curation, packer, writer, out, given)
        made.begin(force=force, again=again)
        try:
            made.run(each)
            for source in inputs:
                skipped.update(source.skipped)
            manifest = made.finish(concluded)
        except BaseException as error:
            says = made.stop()
            if says:
                left(says)
            if isinstance(error, OSError) and error.errno in _FULL:
                raise OutputError(f"cannot write to {str(out)!r}: {error.strerror or error}") from error
            raise
    return manifest, made.totals


class _Made:
    """A set while it is made: all that is known of it so far, and its files.

    Args:
        given: records that a program holds, in place of files.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        inputs: Sequence[Input],
        curation: Curation,
        packer: Packer | None,
        writer: Writer,
        out: Path,
        given: Held | None,
    ) -> None:
        self._pipeline, self._settings, self._inputs = pipeline, pipeline.settings, inputs
        self._curation, self._packer, self._writer, self._out, self._given = curation, packer, writer, out, given
        self.totals, self._counts, self._survey = Totals(n_files=len(inputs)), Counts(), Survey(pipeline)
        self._census = self._survey.census  # of all records up to the last commit
        self._pending: list[Row] = []
        self._n_tokens = self._n_rejects = 0
        self._place = Place()
        self._is_surveyed = False
        self._fold = Fold(Totals(), Census())
        self._twins: list[tuple[bytes, bytes, Where]] = []
        self._hashes: dict[str, str] = {}
        self._n_committed = 0
        self._journal: Journal | None = None
        self._opened: OpenWriter | None = None
        self._rejects: IO[bytes] | None = None

    @property
    def _can_go_on(self) -> bool:
        """True if all inputs can be read again."""
        return not self._given and all(source.name != STDIN for source in self._inputs)

    # -- the beginning ------------------------------------------------------------------------------------------------

    def begin(self, *, force: bool, again: Callable[[Fold], None]) -> None:
        """Opens the folder's files, and goes on where an earlier run of the same build was.

        Raises:
            OutputError: what the folder holds is something else.
        """
        asked = self._asked() if self._can_go_on else {}
        left = None if force else left_in(self._out)
        if _is_whole(self._out):  # and was killed before it could say so
            (self._out / JOURNAL).unlink(missing_ok=True)
            (self._out / UNFINISHED).unlink(missing_ok=True)
            left = None
        if left is not None and left.commits:
            strange = _strange(self._out)
            if strange:
                raise OutputError(f"{str(self._out)!r} {strange}, so no build goes on there; name another --out")
            self._hold_to(left.asked, asked)
        else:
            left = None
            clear(self._out, force=force or _was_killed(self._out))
        if left is not None:
            _take_back(self._out, left.commits[-1])
            self._hashes = {PurePosixPath(one["file"]).name: one["sha256"] for one in left.commits[-1]["files"]}
        _begin(self._out)
        if left is not None:
            for commit in left.commits:
                self._learn(unpacked(commit["more"]), again)
        self._opened = self._writer.open(self._out / DATA, self._settings.shard_size)
        with (self._out / REJECTS).open("ab") as file:
            file.truncate(0 if left is None else left.commits[-1]["rejects"])
        self._rejects = (self._out / REJECTS).open("ab")
        if left is not None:
            self._restore(unpacked(left.commits[-1]["now"]))
            self._hold_inputs_to(left)
            self._begin_census()
        if self._can_go_on:
            self._journal = Journal(self._out, asked, left)

    def _asked(self) -> dict[str, Any]:
        """What hangs on nothing but what is asked for: two builds of which this is alike give the same bytes."""
        settings = _told_settings(self._settings)
        model = self._pipeline.encoder.model
        named = (self._settings.tools, self._settings.mix, self._settings.baseline)
        asked = {
            "qwen_sft": __version__,
            "inputs": {one.name: {"n_bytes": one.n_bytes, "changed": _changed(one)} for one in self._inputs},
            "settings": settings,
            "files": {name: _sha256(Path(name)) for name in named if name is not None and Path(name).is_file()},
            "model": {"template": model.template_sha256, "tokenizer": model.tokenizer.fingerprint},
            "versions": versions(),
        }
        return orjson.loads(orjson.dumps(asked))

    def _hold_to(self, before: dict[str, Any], asked: dict[str, Any]) -> None:
        how = f"{str(self._out)!r} holds the beginning of another build"
        if not self._can_go_on:
            raise OutputError(f"{how}; go on with the same inputs, or start anew with --force")

        def timeless(told: dict[str, Any]) -> dict[str, Any]:
            return {**told, "inputs": {name: {"n_bytes": one["n_bytes"]} for name, one in told["inputs"].items()}}

        found = differences(timeless(before), timeless(asked))
        pairs = zip(before["inputs"], asked["inputs"], strict=False)
        moved = next(((was, now) for was, now in pairs if was != now), None)
        if not found and moved:
            found = [f"its inputs come in another order, {moved[1]!r} where {moved[0]!r} was"]
        if found:
            more = f", and {len(found) - 3} more" if len(found) > 3 else ""
            says = "; ".join(found[:3])
            raise OutputError(f"{how}: {says}{more}; ask for the same to go on, or start anew with --force")

    def _hold_inputs_to(self, left: Left) -> None:
        """Stops where what was read of the inputs is no longer what stands in them."""
        for number, source in enumerate(self._inputs[: self._place.number + 1]):
            if source.path is None:
                continue
            is_same = _changed(source) == left.asked["inputs"][source.name]["changed"]
            if not is_same and (number == self._place.number or hash_of(source) != source.sha256):
                raise OutputError(
                    f"{source.name!r} has changed since {str(self._out)!r} was begun with it; start anew with --force"
                )

    def _learn(self, more: Any, again: Callable[[Fold], None]) -> None:
        self._census.merge(more["census"])
        self._twins += more["twins"]
        again(more["fold"])

    def _restore(self, now: Any) -> None:
        assert self._opened is not None
        self._place, self._is_surveyed = now["place"], True
        self.totals, self._counts = now["totals"], now["counts"]
        self._n_committed = self.totals.n_records
        self._pending, self._n_tokens, self._n_rejects = now["pending"], now["n_tokens"], now["rejects"]
        self._curation.restore(self._twins, now["curation"])
        if self._packer is not None:
            self._packer.restore(now["packer"])
        for source, (n_records, n_bytes, digest, skipped) in zip(self._inputs, now["inputs"], strict=False):
            source.n_records, source.n_bytes, source.sha256 = n_records, n_bytes, digest
            source.skipped = skipped
        self._opened.restore(now["shards"])

    def _begin_census(self) -> None:
        """From now on a census of its own counts what comes, until it is written down."""
        self._survey.census = Census(self._census.thresholds, self._census.model_context)
        self._fold = Fold(Totals(), Census())

    # -- the records --------------------------------------------------------------------------------------------------

    def _outcomes(self, inputs: Sequence[Input], at: Place) -> Iterator[tuple[Place, Outcome]]:
        """The outcomes from a place on, each with the place behind it."""
        read = reader(self._given) if self._given else records
        plan = Plan(inputs, self._pipeline, at, read)
        jobs = jobs_of(self._settings, self._inputs)
        answer = lean if self._writer.trains == "tokens" else lean_talks
        answer = _as_they_are if is_alone(self._settings, jobs) else answer
        now: Stretch | None = None
        n_done = 0
        for stretch, made, end in worked(plan, self._pipeline, jobs, answer):
            if stretch is not now:
                now, n_done = stretch, stretch.skip
            source = inputs[stretch.number]
            if end is not None:
                source.n_records += end.n_records
            for outcome in made or ():
                n_done += 1
                yield Place(stretch.number, stretch.start, stretch.line, source.n_records, n_done), outcome

    def run(self, each: Callable[[Outcome], None]) -> None:
        """Reads all records, and writes their rows."""
        assert self._opened is not None and self._rejects is not None
        if self._curation.sees_twice and not self._is_surveyed:
            for _, outcome in self._outcomes(_again(self._inputs, self._given), Place()):
                self._curation.survey(outcome)
            self._curation.begin()
        self._begin_census()
        for source in self._inputs[self._place.number : self._place.number + 1]:
            source.n_records = self._place.n_before
        for place, outcome in self._outcomes(self._inputs, self._place):
            self._see(outcome)
            if len(self._pending) >= _PENDING_ROWS or self._n_tokens >= _PENDING_TOKENS:
                self._write()
            each(outcome)
            self._place = place
            if self._opened.has_rolled:
                self._opened.has_rolled = False
                self._commit()
        self._pending += [] if self._packer is None else self._packer.close()
        self._write()
        self._rejects.close()
        self._census.merge(self._survey.census)
        self._survey.census = self._census

    def _write(self) -> None:
        assert self._opened is not None
        self._opened.write(self._pending)
        self._pending, self._n_tokens = [], 0

    def _see(self, outcome: Outcome) -> None:
        assert self._rejects is not None
        self._curation.apply(outcome)
        tally(self.totals, outcome)
        self._survey.see(outcome)
        _count(self._counts, outcome)
        if self._writer.trains != "tokens":
            self._counts.n_turns_masked += _masked(outcome)
        if not outcome.rows:
            self._n_rejects += self._rejects.write(rejected(outcome))
        self._pending += outcome.rows if self._packer is None else self._packer.add(outcome.rows)
        self._n_tokens += sum(len(row.tokens.input_ids) for row in outcome.rows)
        if self._journal is not None:
            see_again(self._fold, outcome, has_baseline=self._settings.baseline is not None)

    def _commit(self) -> None:
        """Writes down what is done."""
        if self._journal is None:
            return
        assert self._opened is not None and self._rejects is not None
        self._rejects.flush()
        os.fsync(self._rejects.fileno())
        sync_folder(self._out / DATA)
        shards = self._opened.state()
        now = {
            "place": self._place,
            "totals": self.totals,
            "counts": self._counts,
            "pending": self._pending,
            "n_tokens": self._n_tokens,
            "rejects": self._n_rejects,
            "curation": self._curation.state(),
            "packer": None if self._packer is None else self._packer.state(),
            "inputs": [
                (one.n_records, one.n_bytes, one.sha256, one.skipped) for one in self._inputs[: self._place.number + 1]
            ],
            "shards": shards,
        }
        more = {"census": self._survey.census, "twins": self._curation.news(), "fold": self._fold}
        files = [self._whole(name, n_rows) for whole, _ in shards.values() for name, n_rows in whole]
        told = {"n_records": self.totals.n_records, "rejects": self._n_rejects, "files": files}
        self._journal.commit(told, more=more, now=now)
        self._n_committed = self.totals.n_records
        self._census.merge(self._survey.census)
        self._begin_census()

    def _whole(self, name: str, n_rows: int) -> dict[str, Any]:
        path = self._out / DATA / name
        if name not in self._hashes:
            self._hashes[name] = _sha256(path)
        return {
            "file": f"{DATA}/{name}",
            "n_rows": n_rows,
            "n_bytes": path.stat().st_size,
            "sha256": self._hashes[name],
        }

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self, concluded: Callable[[Sequence[Diagnostic]], None]) -> dict[str, Any]:
        """Gives the files their names, and writes what tells of them."""
        assert self._opened is not None
        out, settings, writer, packer = self._out, self._settings, self._writer, self._packer
        parts = self._opened.finish()
        _name(parts, out)
        findings = self._survey.conclude(self.totals)
        concluded(findings)
        curated = self._curation.account(None if packer is None else packer.account())
        told = (settings, self._pipeline, self._inputs, self.totals, self._counts)
        manifest = _manifest(*told, parts, out, findings, writer, curated)
        _check(manifest)
        (out / CARD).write_text(card(manifest, writer), encoding="utf-8")
        write_lock(lock_of(self._pipeline.encoder.model, settings), out)
        for name in (REJECTS, CARD, LOCK_FILE):
            sync(out / name)
        # The manifest comes last: a folder that has one, and no journal, is whole.
        write_whole(out / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        if self._journal is not None:
            self._journal.close()
            (out / JOURNAL).unlink()
        (out / UNFINISHED).unlink()
        return manifest

    def stop(self) -> str:
        """Leaves what a later run can go on from, and says so; takes everything away where there is nothing such."""
        if self._journal is not None and self._journal.n_commits:
            assert self._opened is not None and self._rejects is not None
            self._opened.leave()
            self._journal.close()
            with suppress(OSError):
                self._rejects.close()
            return (
                f"stopped; {self._n_committed:,} records are done and stay in {str(self._out)!r}: the same command "
                "goes on there, with --force it starts anew"
            )
        try:
            if self._opened is not None:
                self._opened.abort()
            if self._journal is not None:
                self._journal.close()
            if self._rejects is not None:
                with suppress(OSError):
                    self._rejects.close()
        finally:
            clear(self._out, force=True)
        return ""


def _as_they_are(_: Pipeline, batch: Sequence[Outcome]) -> Sequence[Outcome]:
    return batch


def _changed(source: Input) -> int | None:
    """When a file was written last, in ns; None for what is no file here."""
    return None if source.path is None else source.path.stat().st_mtime_ns


def _told_settings(settings: Settings) -> dict[str, Any]:
    """The settings that a result hangs on."""
    return {name: value for name, value in asdict(settings).items() if name not in ("jobs", "engine", "address")}


def _was_killed(out: Path) -> bool:
    """True if a folder holds what is left of a build of which nothing can be gone on with."""
    if _is_bare(out):
        return True
    return (out / UNFINISHED).is_file() and not (out / MANIFEST).is_file() and not _strange(out)


def _is_bare(out: Path) -> bool:
    """True for a folder in which a build was killed before it wrote anything, or behind taking everything away."""
    for path in out.rglob("*"):
        place = path.relative_to(out)
        is_folder = path.is_dir() and not path.is_symlink()
        if place.parts[0] != DATA if is_folder else place.as_posix() not in _TEMPORARY:
            return False
    return True


def _is_whole(out: Path) -> bool:
    """True for a folder with a build that came to its end: its manifest is written last."""
    return (out / MANIFEST).is_file() and not _strange(out)


def _take_back(out: Path, commit: dict[str, Any]) -> None:
    """Takes away what was written behind a commit, and takes the names back that files were given.

    Raises:
        OutputError: a file is not what it was.
    """
    for name in (MANIFEST, CARD, LOCK_FILE, *_TEMPORARY):
        (out / name).unlink(missing_ok=True)
    for told in _named(out):
        named, part = out / told["file"], out / told["part"]
        if named.is_file() and not part.exists():
            named.rename(part)
    whole = {one["file"]: one for one in commit["files"]}
    for path in (out / DATA).rglob("*"):
        name = path.relative_to(out).as_posix()
        if path.is_file() and name not in whole:
            path.unlink()
    for folder in sorted((path for path in (out / DATA).rglob("*") if path.is_dir()), reverse=True):
        folder.rmdir()
    for name, one in whole.items():
        if (
            not (out / name).is_file()
            or (out / name).stat().st_size != one["n_bytes"]
            or (_sha256(out / name) != one["sha256"])
        ):
            raise OutputError(f"{str(out / name)!r} is not what was written there; start anew with --force")


def _named(out: Path) -> list[dict[str, str]]:
    """The files that a build was about to name, and what they were called before."""
    try:
        told: Any = orjson.loads((out / UNFINISHED).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    listed: list[Any] = told.get("files", [])
    return [one for one in listed if _is_within(one["file"]) and _is_within(one.get("part", ""))]


def _packing(writer: Writer) -> Writer:
    if writer.packing is None:
        able = ", ".join(name for name, one in writers().items() if one.packing is not None)
        raise UsageError(
            f"the writer {writer.name!r} cannot write packed rows; leave --pack out, or name one of {able}"
        )
    return replace(writer, open=writer.packing.open, columns=writer.packing.columns)


def _again(inputs: Sequence[Input], given: Held | None) -> list[Input]:
    """The inputs, to be read once more.

    Raises:
        UsageError: one of them can be read only once.
    """
    once = next((one.name for one in inputs if one.name == STDIN), None) or next(iter(given or ()), None)
    if once is not None:
        raise UsageError(
            f"a number of samples is drawn by reading all of them twice, and {once} can be read once; name a file, or "
            "draw a share with --sample 0.1"
        )
    return [Input(one.name, one.path, one.url) for one in inputs]


def _keep_apart(inputs: Sequence[Input], out: Path) -> None:
    if is_url(out.as_posix()) or is_url(str(out).replace(":/", "://", 1)):  # a Path has one slash where a URL has two
        raise OutputError(f"{str(out)!r} is a URL, and a set is written to a local disk; name a folder with --out")
    for source in inputs:
        if source.path is not None and out.resolve() in source.path.resolve().parents:
            raise OutputError(
                f"{source.name!r} lies in {str(out)!r}, where the build would replace it; name another --out"
            )


def _make(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {str(out)!r}: {error.strerror}; name another with --out") from error


def clear(out: Path, *, force: bool, only_look: bool = False) -> None:
    """Makes sure that a folder may be written to; with `force` takes an earlier build away, and nothing else.

    Args:
        only_look: leave everything as it is, for one that may go on with what is there.

    Raises:
        OutputError: it may not.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{str(out)!r} is a file; name a folder with --out")
    if only_look:
        return
    names = {path.name for path in out.iterdir()}
    if not names:
        return
    if not force:
        raise OutputError(f"{str(out)!r} is not empty; name another folder, or replace an earlier build with --force")
    strange = _strange(out)
    if strange:
        raise OutputError(f"{str(out)!r} {strange}, so it is no earlier build; --force does not touch it")
    _take_away(out)


def _take_away(out: Path) -> None:
    """Removes what a build has written, and folders that are empty then."""
    found = [*_NAMES[:1], *_files(out), *_NAMES[1:-1], UNFINISHED]  # what says what is ours goes last
    for name in found:
        (out / name).unlink(missing_ok=True)
    folders = {parent for name in found for parent in PurePosixPath(name).parents} | {PurePosixPath(DATA)}
    folders |= {PurePosixPath(path.relative_to(out).as_posix()) for path in (out / DATA).rglob("*") if path.is_dir()}
    for folder in sorted(folders - {PurePosixPath(".")}, reverse=True):
        if (out / folder).is_dir() and not any((out / folder).iterdir()):
            (out / folder).rmdir()


def _strange(out: Path) -> str:
    """What a folder holds that no build writes; "" if nothing. A build that was killed left no manifest."""
    names = {path.name for path in out.iterdir()}
    if _is_bare(out):
        return ""
    if (out / DATA).is_symlink():
        return f"has a link for {DATA!r}"
    told = _told(out)
    if told is None:
        if MANIFEST in names:
            return f"holds a {MANIFEST} of another program"
        others = sorted(names - {DATA, *_NAMES})
        return f"holds {others[0]!r}" if others else f"has no {MANIFEST}"
    ours = {DATA, *_NAMES, *_files(out)}
    ours |= {str(parent) for name in ours for parent in PurePosixPath(name).parents}
    found = {path.relative_to(out).as_posix(): path for path in (out / DATA).rglob("*")}
    links = {name for name, path in found.items() if path.is_symlink()}
    others = sorted((names | found.keys()) - ours | links)
    return f"holds {others[0]!r}" if others else ""


def _told(out: Path) -> list[str] | None:
    """The files of a build, as its manifest or what stands for it names them; None where nothing of ours does."""
    for name in (MANIFEST, UNFINISHED):
        if not (out / name).is_file():
            continue
        try:
            told: Any = orjson.loads((out / name).read_bytes())
        except ValueError:
            return None
        if not is_object(told) or "qwen_sft" not in told:
            return None
        listed: Any = told.get("files")
        files: list[Any] = listed if is_list(listed) else []
        return [one["file"] for one in files if is_object(one) and isinstance(one.get("file"), str)]
    return None


def _files(out: Path) -> list[str]:
    """The files in `data` that a build has written: those that it names, and those that have no name yet."""
    named = [name for name in _told(out) or () if _is_within(name)]
    unnamed = [path.relative_to(out).as_posix() for path in (out / DATA).glob(".*.part")]
    return [*named, *(name for name in unnamed if _PART.fullmatch(name))]


def _is_within(name: str) -> bool:
    """True for a name below `data`: a manifest may say anything."""
    path = PurePosixPath(name)
    return len(path.parts) > 1 and path.parts[0] == DATA and ".." not in path.parts


def _begin(out: Path, parts: Sequence[Part] = ()) -> None:
    """Says that a build is at work here, and what it is about to name."""
    files = [{"file": f"{DATA}/{part.name}", "part": f"{DATA}/{part.path.name}"} for part in parts]
    told = {"qwen_sft": __version__, "files": files}
    write_whole(out / UNFINISHED, orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))


def _name(parts: Sequence[Part], out: Path) -> None:
    """Gives the files of a writer their names."""
    _begin(out, parts)
    for part in parts:
        path = out / DATA / part.name
        path.parent.mkdir(parents=True, exist_ok=True)
        part.path.rename(path)


def _masked(outcome: Outcome) -> int:
    """Turns of the assistant that a conversation shows and no row of it trains."""
    masked = 0
    for talk in talks(outcome.rows):
        messages = talk.shown.get("messages", [])
        spoken = sum(message.get("role") == "assistant" for message in messages)
        masked += spoken - len(talk.trained)
    return masked


def _count(counts: Counts, outcome: Outcome) -> None:
    counts.n_samples_verified += outcome.n_verified
    if not outcome.rows:
        counts.n_rejected += 1
        found = outcome.diagnostics
        errors, *others = ({d.code for d in found if d.severity == s} for s in ("error", "warning", "info"))
        left_out = {FILTERED} & set[str]().union(*others)  # whatever else was found, that is why
        for code in next(filter(None, (errors, left_out, *others)), set[str]()):
            counts.rejected_by_code[code] = counts.rejected_by_code.get(code, 0) + 1
        return
    counts.n_written += 1
    for one in outcome.encoded or ():
        for request in one.requests:
            counts.requests[request] = counts.requests.get(request, 0) + 1
        if one.expansion is not None:
            counts.n_samples_expanded += 1
            counts.n_rows_added += one.expansion.n_rows
            counts.n_tokens_added += one.expansion.n_tokens
            counts.n_reasoning_tokens_saved += one.expansion.n_reasoning_tokens
    for row in outcome.rows:
        counts.n_rows += 1
        counts.n_straddling_rows += row.tokens.boundary != "clean"
        counts.n_tokens += len(row.tokens.input_ids)
        counts.rows_by_length[1 << (len(row.tokens.input_ids) - 1).bit_length()] += 1
        counts.n_trained_tokens += row.tokens.n_trained_tokens
        counts.n_trained_turns += len(row.tokens.turns)
        counts.tokens_by_kind += np.bincount(row.tokens.kinds, minlength=len(Kind))


def _manifest(
    settings: Settings,
    pipeline: Pipeline,
    inputs: Sequence[Input],
    totals: Totals,
    counts: Counts,
    parts: Sequence[Part],
    out: Path,
    findings: Sequence[Diagnostic],
    writer: Writer,
    curated: dict[str, Any],
) -> dict[str, Any]:
    model = pipeline.encoder.model
    splits = Counter[str]()
    for part in parts:
        if part.split is not None:
            splits[part.split] += part.n_rows
    return {
        "qwen_sft": __version__,
        "inputs": [
            {"file": i.name, "n_bytes": i.n_bytes, "sha256": i.sha256, "n_records": i.n_records} for i in inputs
        ],
        "records": {"read": totals.n_records, "written": counts.n_written, "rejected": counts.n_rejected},
        "rejected_by_code": dict(sorted(counts.rejected_by_code.items())),
        "findings_by_code": dict(sorted(totals.by_code.items())),
        "silenced_by_code": dict(sorted(totals.silenced_by_code.items())),
        "set_findings": [_set_finding(found) for found in findings],
        "records_by_format": dict(sorted(totals.by_format.items())),
        "events": {
            "read": totals.n_events,
            "kept": totals.n_kept,
            "merged": totals.n_merged,
            "dropped": totals.n_dropped,
            "dropped_reasons": dict(sorted(totals.dropped_reasons.items())),
        },
        "rows": {
            "n_rows": counts.n_rows,
            "n_trained_turns": counts.n_trained_turns,
            "n_tokens": counts.n_tokens,
            "n_trained_tokens": counts.n_trained_tokens,
            "n_tokens_by_kind": {kind.name.lower(): int(counts.tokens_by_kind[kind]) for kind in Kind},
            "n_rows_by_length": {str(most): n for most, n in sorted(counts.rows_by_length.items())},
            "n_straddling_rows": counts.n_straddling_rows,
        },
        "expansion": {
            "n_samples": counts.n_samples_expanded,
            "n_rows_added": counts.n_rows_added,
            "n_tokens_added": counts.n_tokens_added,
            "n_reasoning_tokens_saved": counts.n_reasoning_tokens_saved,
        },
        "requests": dict(sorted(counts.requests.items())),
        "curation": curated,
        "model": {
            "name": model.name,
            "family": model.family.name,
            "parser": model.family.parser,
            "template_sha256": model.template_sha256,
            "tokenizer_sha256": model.tokenizer.fingerprint,
            "tokenizer_backend": model.tokenizer.backend,
        },
        "verified": {
            "policy": settings.verify,
            "against": model.oracle,
            "n_samples": counts.n_samples_verified,
            "n_disagreements": totals.by_code.get("TOK005", 0),
        },
        "writer": {
            "name": writer.name,
            "writes": writer.writes,
            "columns": [asdict(column) for column in writer.columns],
            "n_rows": splits.total(),
            "n_rows_by_split": dict(splits),
            "trains": writer.trains,
            "n_turns_masked": None if writer.trains == "tokens" else counts.n_turns_masked,
        },
        "license": settings.license,
        "files": [_file(out / DATA / part.name, part, out) for part in parts],
        "settings": _told_settings(settings),
        "versions": versions(),
    }


def _file(path: Path, part: Part, out: Path) -> dict[str, Any]:
    place = {"file": path.relative_to(out).as_posix(), "split": part.split, "n_rows": part.n_rows}
    return {**place, "n_bytes": path.stat().st_size, "sha256": _sha256(path)}


def _set_finding(found: Diagnostic) -> dict[str, Any]:
    """A finding about the whole set: it has no file, no line and no place."""
    told = finding_json(found)
    return {key: told[key] for key in ("code", "name", "severity", "says", "fix", "fingerprint")}


def _check(manifest: dict[str, Any]) -> None:
    """The two laws, on the numbers that we are about to publish."""
    records, events = manifest["records"], manifest["events"]
    if records["read"] != records["written"] + records["rejected"]:
        raise OutputError(f"records do not add up: {records}; this is a fault of qwen-sft, please report it")
    if events["read"] != events["kept"] + events["merged"] + events["dropped"]:
        raise OutputError(f"events do not add up: {events}; this is a fault of qwen-sft, please report it")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
