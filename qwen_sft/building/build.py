"""One build: records to shards, rejects, manifest and dataset card, with every record accounted for."""

import errno
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson

from qwen_sft import __version__
from qwen_sft.building.card import card
from qwen_sft.building.journal import Journal, Left, differences, left_in, unpacked
from qwen_sft.building.lean import lean, lean_talks, without_words
from qwen_sft.building.localfolder import LocalFolder
from qwen_sft.building.outfolder import (
    CARD,
    DATA,
    MANIFEST,
    REJECTS,
    OutFolder,
    begin,
    clear,
    is_whole,
    strange,
    take_back,
    was_killed,
)
from qwen_sft.building.remotefolder import RemoteFolder
from qwen_sft.curating.curation import Curation
from qwen_sft.curating.mix import Source, with_mix
from qwen_sft.curating.pack import Packer
from qwen_sft.errors import OutputError, UsageError
from qwen_sft.finding import Diagnostic
from qwen_sft.ingesting.ingest import STDIN, Input, expand, records
from qwen_sft.ingesting.inmemory import Held, reader
from qwen_sft.ingesting.remote import is_url, local_path
from qwen_sft.ingesting.stretches import Stretch, hash_of, n_plain_bytes
from qwen_sft.inspecting.census import Census
from qwen_sft.pipeline import FILTERED, Outcome, Pipeline, Survey, tally
from qwen_sft.proving.lock import LOCK_FILE, lock_of, write_lock
from qwen_sft.reporter import Totals, finding_json
from qwen_sft.running.baseline import apart
from qwen_sft.running.gate import Fold, see_again
from qwen_sft.running.rejects import rejected
from qwen_sft.running.versions import versions
from qwen_sft.running.workers import Place, Plan, is_alone, jobs_of, worked
from qwen_sft.settings import Settings
from qwen_sft.tokens import Kind
from qwen_sft.writer import OpenWriter, Part, Row, Writer, talks, writers

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_PENDING_ROWS, _PENDING_TOKENS = 512, 4_000_000  # what a row group holds at most, give or take a record


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


def inputs_of(
    paths: Sequence[str], settings: Settings, given: Held | None = None, skipped: Counter[str] | None = None
) -> tuple[list[Input], dict[str, Source]]:
    """What a build reads, each input hashed meanwhile; and the sources of those of a mix, by the names of their files.

    Args:
        paths: files, directories, globs, or "-".
        given: records that a program holds, in place of paths.
        skipped: counts the files of directories that hold no records, by suffix.

    Raises:
        InputError: a path that names nothing.
        UsageError: the mix says what no mix can say, or names a file that is named elsewhere too.
    """
    inputs = apart(expand(paths, hashed=True, skipped=skipped), paths, settings.baseline)
    inputs, sources = with_mix(inputs, settings.mix, hashed=True, skipped=skipped)
    return inputs + [Input(name, None) for name in given or {}], sources


def build(
    paths: Sequence[str],
    settings: Settings,
    out: Path | str,
    writer: Writer,
    *,
    force: bool = False,
    each: Callable[[Outcome], None] = lambda _: None,
    concluded: Callable[[Sequence[Diagnostic]], None] = lambda _: None,
    skipped: Counter[str] | None = None,
    pipeline: Pipeline | None = None,
    given: Held | None = None,
    again: Callable[[Fold], None] = lambda _: None,
    surveyed: Callable[[Outcome], None] = lambda _: None,
    begun: Callable[[], None] = lambda: None,
    left: Callable[[str], None] = lambda _: None,
    reading: tuple[Sequence[Input], Mapping[str, Source]] | None = None,
) -> tuple[dict[str, Any], Totals]:
    """Writes a training set and returns its manifest, and the counts of its findings.

    Args:
        paths: files, directories, globs, or "-".
        out: a folder that does not exist, is empty, or (with `force`) holds an earlier build; or the URL of such a one.
        each: is told of every record, in order.
        concluded: is told what was found about the whole set.
        skipped: counts the files of directories and archives that hold no records, by suffix.
        pipeline: of these settings, where there is one already.
        given: records that a program holds, in place of paths.
        again: is told of what an earlier run of this build had seen, where this one goes on from there.
        surveyed: is told of every record, in order, where all are read before the first is written.
        begun: is told when they are read for the second time.
        left: is told, before an exception is raised, what was left behind for a later run to go on from, if anything.
        reading: what `inputs_of` says of the paths and the records, where it was asked already.

    Raises:
        OutputError: the folder holds something else, an input, an earlier build and no `force`, the beginning of
            another build, or one that is at work; the disk is full.
        InputError, ModelError, UsageError, WorkerError: as they say.
    """
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    skipped = Counter[str]() if skipped is None else skipped
    writer = _packing(writer) if settings.pack is not None else writer
    inputs, sources = inputs_of(paths, settings, given, skipped) if reading is None else reading
    pipeline = pipeline or Pipeline(settings, excerpts=False, n_bytes=n_plain_bytes(inputs))
    curation = Curation(pipeline, sources)
    packer = None if settings.pack is None else Packer(settings.pack)
    folder = _out_folder(out)
    _keep_apart(inputs, folder)
    clear(folder, force=force, only_look=True)
    with folder.alone():
        made = _Made(pipeline, inputs, curation, packer, writer, folder, given)
        made.begin(force=force, again=again)
        try:
            made.run(each, surveyed, begun)
            for source in inputs:
                skipped.update(source.skipped)
            manifest = made.finish(concluded)
        except BaseException as error:
            says = made.stop()
            if says:
                left(says)
            if isinstance(error, OSError) and error.errno in _FULL:
                raise OutputError(f"cannot write to {str(folder.stage)!r}: {error.strerror or error}") from error
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
        out: OutFolder,
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
        out, stage = self._out, self._out.stage
        if not force:
            out.fetch()
        left = None if force else left_in(stage)
        if is_whole(out):  # and was killed before it could say so
            out.tidy()
            left = None
        if left is not None and left.n_commits:
            told = strange(out)
            if told:
                raise OutputError(f"{out.name!r} {told}, so no build goes on there; name another --out")
            self._hold_to(left.asked, asked)
            take_back(out, left.last, left.n_commits)
        else:
            left = None
            clear(out, force=force or was_killed(out))
        begin(out)
        if left is not None:
            for commit in left.commits(stage):
                self._learn(unpacked(commit["more"]), again)
        self._opened = self._writer.open(stage / DATA, self._settings.shard_size)
        with (stage / REJECTS).open("ab") as file:
            file.truncate(0 if left is None else left.last["rejects"])
        self._rejects = (stage / REJECTS).open("ab")
        if left is not None:
            self._restore(unpacked(left.last["now"]))
            self._hold_inputs_to(left)
        if self._can_go_on:
            self._journal = Journal(stage, asked, left, out.keep_line)

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
        how = f"{self._out.name!r} holds the beginning of another build"
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
            is_same = _changed(source) == left.asked["inputs"][source.name]["changed"]
            is_open = number == self._place.number or source.path is None
            if not is_same and (is_open or hash_of(source) != source.sha256):
                raise OutputError(
                    f"{source.name!r} has changed since {self._out.name!r} was begun with it; start anew with --force"
                )

    def _learn(self, more: Any, again: Callable[[Fold], None]) -> None:
        self._census.merge(more["census"])
        self._curation.learn(more["twins"])
        again(more["fold"])

    def _restore(self, now: Any) -> None:
        assert self._opened is not None
        self._place, self._is_surveyed = now["place"], True
        self.totals, self._counts = now["totals"], now["counts"]
        self._n_committed = self.totals.n_records
        self._pending, self._n_tokens, self._n_rejects = now["pending"], now["n_tokens"], now["rejects"]
        self._curation.restore(now["curation"])
        if self._packer is not None:
            self._packer.restore(now["packer"])
        for source, (n_records, n_bytes, digest, skipped) in zip(self._inputs, now["inputs"], strict=False):
            source.n_records, source.n_bytes, source.sha256 = n_records, n_bytes, digest
            source.skipped = skipped
        self._opened.restore(now["shards"])

    def _begin_census(self) -> None:
        """From now on a census of its own counts what comes, until it is written down."""
        if self._journal is None:
            return
        self._survey.census = Census(self._census.thresholds, self._census.model_context, is_part=True)
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

    def run(
        self, each: Callable[[Outcome], None], surveyed: Callable[[Outcome], None], begun: Callable[[], None]
    ) -> None:
        """Reads all records, and writes their rows."""
        assert self._opened is not None and self._rejects is not None
        if self._curation.sees_twice and not self._is_surveyed:
            for _, outcome in self._outcomes(_again(self._inputs, self._given), Place()):
                self._curation.survey(outcome)
                surveyed(outcome)
            self._curation.begin()
            begun()
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
        if self._survey.census is not self._census:
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
        # The words of 512 rows take more memory than their tokens.
        rows = outcome.rows if self._writer.writes != "tokens" else list(map(without_words, outcome.rows))
        self._pending += rows if self._packer is None else self._packer.add(rows)
        self._n_tokens += sum(len(row.tokens.input_ids) for row in outcome.rows)
        if self._journal is not None:
            see_again(self._fold, outcome, has_baseline=self._settings.baseline is not None)

    def _commit(self) -> None:
        """Writes down what is done."""
        if self._journal is None:
            return
        assert self._opened is not None and self._rejects is not None
        self._rejects.flush()
        shards = self._opened.state()
        files = [_file(*one) for whole, _ in shards.values() for one in whole]
        self._out.keep(files)
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
        told = {"n_records": self.totals.n_records, "rejects": self._n_rejects, "files": files}
        self._journal.commit(told, more=more, now=now)
        self._n_committed = self.totals.n_records
        self._census.merge(self._survey.census)
        self._begin_census()

    # -- the end ------------------------------------------------------------------------------------------------------

    def finish(self, concluded: Callable[[Sequence[Diagnostic]], None]) -> dict[str, Any]:
        """Gives the files their names, and writes what tells of them."""
        assert self._opened is not None
        out, settings, writer, packer = self._out, self._settings, self._writer, self._packer
        parts = self._opened.finish()
        out.give_names(parts)
        findings = self._survey.conclude(self.totals)
        concluded(findings)
        curated = self._curation.account(None if packer is None else packer.account())
        told = (settings, self._pipeline, self._inputs, self.totals, self._counts)
        manifest = _manifest(*told, parts, findings, writer, curated)
        _check(manifest)
        (out.stage / CARD).write_text(card(manifest, writer), encoding="utf-8")
        write_lock(lock_of(self._pipeline.encoder.model, settings), out.stage)
        out.publish((REJECTS, CARD, LOCK_FILE))
        # The manifest comes last: a folder that has one, and no journal, is whole.
        out.write(MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        if self._journal is not None:
            self._journal.close()
        out.tidy()
        return manifest

    def stop(self) -> str:
        """Leaves what a later run can go on from, and says so; takes everything away where there is nothing such."""
        if self._journal is not None and self._journal.n_commits:
            assert self._opened is not None and self._rejects is not None
            self._opened.leave()
            self._journal.close()
            with suppress(OSError):
                self._rejects.close()
            if not self._out.is_held:
                return ""
            return (
                f"stopped; {self._n_committed:,} records are done and stay in {self._out.name!r}: the same command "
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
            if self._out.is_held:
                with suppress(OutputError):  # what stopped the build is told, and not this
                    clear(self._out, force=True)
        return ""


def _as_they_are(_: Pipeline, batch: Sequence[Outcome]) -> Sequence[Outcome]:
    return batch


def _changed(source: Input) -> int | str | None:
    """When a file was written last, in ns; what its server says instead; None where nobody knows."""
    return source.version if source.path is None else source.path.stat().st_mtime_ns


def _told_settings(settings: Settings) -> dict[str, Any]:
    """The settings that a result hangs on."""
    return {name: value for name, value in asdict(settings).items() if name not in ("jobs", "engine", "address")}


def _out_folder(out: Path | str) -> OutFolder:
    """The folder of that path or URL; nothing of it is touched.

    Raises:
        InputError: there is no driver for the URL.
        OutputError: it names no folder.
    """
    told = str(out)
    if isinstance(out, Path) and is_url(told.replace(":/", "://", 1)):  # a Path has one slash where a URL has two
        raise OutputError(f"{told!r} is a URL that has become a path; give it as text")
    if not is_url(told):
        return LocalFolder(Path(out))
    if told.startswith("hf://") and not told.startswith("hf://buckets/"):
        raise OutputError(
            f"{told!r} is a repository, in which each file would be a commit; name a folder with --out, and the "
            "repository with --push-to-hub"
        )
    path = local_path(told)
    return RemoteFolder(told) if path is None else LocalFolder(path)


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


def _keep_apart(inputs: Sequence[Input], out: OutFolder) -> None:
    for source in inputs:
        if out.holds(source):
            raise OutputError(
                f"{source.name!r} lies in {out.name!r}, where the build would replace it; name another --out"
            )


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
            "by_format": {name: _events(totals, name) for name in sorted(totals.kept_by_format)},
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
        "files": [_file(part.name, part.n_rows, part.n_bytes, part.sha256, split=part.split) for part in parts],
        "settings": _told_settings(settings),
        "versions": versions(),
    }


def _events(totals: Totals, name: str) -> dict[str, int]:
    """What became of the events that one format read."""
    kept, merged = totals.kept_by_format[name], totals.merged_by_format[name]
    dropped = totals.dropped_by_format[name]
    return {"read": kept + merged + dropped, "kept": kept, "merged": merged, "dropped": dropped}


def _file(name: str, n_rows: int, n_bytes: int, sha256: str, **more: Any) -> dict[str, Any]:
    return {"file": f"{DATA}/{name}", **more, "n_rows": n_rows, "n_bytes": n_bytes, "sha256": sha256}


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
    for fate in ("read", "kept", "merged", "dropped"):
        if events[fate] != sum(one[fate] for one in events["by_format"].values()):
            raise OutputError(
                f"events by format do not add up: {events}; this is a fault of qwen-sft, please report it"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
