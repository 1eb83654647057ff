"""One build: records to shards, rejects, manifest and dataset card, with every record accounted for."""

import hashlib
import platform
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import orjson

from qwen_sft import __version__
from qwen_sft.baseline import apart
from qwen_sft.card import card
from qwen_sft.curating.curation import Curation
from qwen_sft.curating.mix import with_mix
from qwen_sft.curating.pack import Packer
from qwen_sft.errors import OutputError, UsageError
from qwen_sft.finding import Diagnostic
from qwen_sft.ingest import STDIN, Input, expand, records
from qwen_sft.inmemory import Held, reader
from qwen_sft.pipeline import FILTERED, Outcome, Pipeline, Survey, outcomes, tally
from qwen_sft.proving.lock import LOCK_FILE, lock_of, write_lock
from qwen_sft.rejects import rejected
from qwen_sft.remote import is_url
from qwen_sft.reporter import Totals, finding_json
from qwen_sft.sample import is_list, is_object
from qwen_sft.settings import Settings
from qwen_sft.tokens import Kind
from qwen_sft.writer import Part, Row, Writer, talks, writers

DATA, REJECTS, MANIFEST, CARD = "data", "rejects.jsonl", "manifest.json", "README.md"
UNFINISHED = "unfinished.json"
"""Stands in the folder while a build is at work, and names the files that it is about to name: what is left of one that
was killed is known by it."""

_NAMES = (REJECTS, LOCK_FILE, CARD, MANIFEST, UNFINISHED)
_PENDING_ROWS, _PENDING_TOKENS = 512, 4_000_000  # what a row group holds at most, give or take a record
_PART = re.compile(rf"{DATA}/\.[^/]+\.part")
_VERSIONED = ("numpy", "pyarrow", "jinja2", "tokenizers", "fastokens", "msgspec", "jsonschema-rs")


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

    Raises:
        OutputError: the folder holds something else, an input, or an earlier build and no `force`.
        InputError, ModelError, UsageError: nothing was left behind.
    """
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    skipped = Counter[str]() if skipped is None else skipped
    writer = _packing(writer) if settings.pack is not None else writer
    inputs = apart(expand(paths, hashed=True, skipped=skipped), paths, settings.baseline)
    inputs, sources = with_mix(inputs, settings.mix, hashed=True, skipped=skipped)
    inputs += [Input(name, None) for name in given or {}]
    pipeline = pipeline or Pipeline(settings)
    curation = Curation(pipeline, sources)
    packer = None if settings.pack is None else Packer(settings.pack)
    _keep_apart(inputs, out)
    clear(out, force=force)
    _make(out)
    _begin(out)
    totals, counts, survey = Totals(n_files=len(inputs)), Counts(), Survey(pipeline)
    opened = writer.open(out / DATA, settings.shard_size)
    try:
        if curation.sees_twice:
            for outcome in outcomes(_again(inputs, given), pipeline):
                curation.survey(outcome)
            curation.begin()
        with (out / REJECTS).open("wb") as rejects:
            pending: list[Row] = []
            n_tokens = 0
            for outcome in outcomes(inputs, pipeline, read=reader(given) if given else records):
                curation.apply(outcome)
                tally(totals, outcome)
                survey.see(outcome)
                _count(counts, outcome)
                if writer.trains != "tokens":
                    counts.n_turns_masked += _masked(outcome)
                if not outcome.rows:
                    rejects.write(rejected(outcome))
                pending += outcome.rows if packer is None else packer.add(outcome.rows)
                n_tokens += sum(len(row.tokens.input_ids) for row in outcome.rows)
                if len(pending) >= _PENDING_ROWS or n_tokens >= _PENDING_TOKENS:
                    opened.write(pending)
                    pending, n_tokens = [], 0
                each(outcome)
            pending += [] if packer is None else packer.close()
            opened.write(pending)
        for source in inputs:
            skipped.update(source.skipped)
        parts = opened.finish()
        _name(parts, out)
        findings = survey.conclude(totals)
        concluded(findings)
        curated = curation.account(None if packer is None else packer.account())
        manifest = _manifest(settings, pipeline, inputs, totals, counts, parts, out, findings, writer, curated)
        _check(manifest)
        (out / CARD).write_text(card(manifest, writer), encoding="utf-8")
        write_lock(lock_of(pipeline.encoder.model, settings), out)
        # The manifest comes last: a folder that has one is whole.
        (out / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
        (out / UNFINISHED).unlink()
    except BaseException:
        try:
            opened.abort()
        finally:
            clear(out, force=True)
        raise
    return manifest, totals


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


def clear(out: Path, *, force: bool) -> None:
    """Makes sure that a folder may be written to; with `force` takes an earlier build away, and nothing else.

    Raises:
        OutputError: it may not.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputError(f"{str(out)!r} is a file; name a folder with --out")
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
    found = [*_files(out), *_NAMES[:-1], UNFINISHED]  # what says what is ours goes last
    for name in found:
        (out / name).unlink(missing_ok=True)
    folders = {parent for name in found for parent in PurePosixPath(name).parents} | {PurePosixPath(DATA)}
    for folder in sorted(folders - {PurePosixPath(".")}, reverse=True):
        if (out / folder).is_dir() and not any((out / folder).iterdir()):
            (out / folder).rmdir()


def _strange(out: Path) -> str:
    """What a folder holds that no build writes; "" if nothing. A build that was killed left no manifest."""
    names = {path.name for path in out.iterdir()}
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


def _begin(out: Path, files: Sequence[str] = ()) -> None:
    """Says that a build is at work here, and what it is about to name."""
    told = {"qwen_sft": __version__, "files": [{"file": name} for name in files]}
    (out / UNFINISHED).write_bytes(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))


def _name(parts: Sequence[Part], out: Path) -> None:
    """Gives the files of a writer their names."""
    _begin(out, [f"{DATA}/{part.name}" for part in parts])
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
        "settings": asdict(settings),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _VERSIONED}},
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


def _version(name: str) -> str | None:
    try:
        return version(name)
    except ModuleNotFoundError:  # importlib.metadata.PackageNotFoundError: fastokens has no wheel everywhere
        return None
