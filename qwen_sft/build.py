"""One build: records to shards, rejects, manifest and dataset card, with every record accounted for."""

import hashlib
import platform
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from qwen_sft import __version__
from qwen_sft.baseline import apart
from qwen_sft.card import card
from qwen_sft.errors import OutputError, UsageError
from qwen_sft.finding import Diagnostic
from qwen_sft.ingest import Input, expand
from qwen_sft.pipeline import Outcome, Pipeline, Survey, outcomes, tally
from qwen_sft.proving.lock import LOCK_FILE, lock_of, write_lock
from qwen_sft.rejects import rejected
from qwen_sft.reporter import Totals, finding_json
from qwen_sft.sample import is_object
from qwen_sft.settings import Settings
from qwen_sft.tokens import Kind
from qwen_sft.writer import Row, Writer

DATA, REJECTS, MANIFEST, CARD = "data", "rejects.jsonl", "manifest.json", "README.md"
_NAMES = (REJECTS, LOCK_FILE, CARD, MANIFEST)
_PENDING_ROWS, _PENDING_TOKENS = 512, 4_000_000  # what a row group holds at most, give or take a record
_SHARD = re.compile(rf"{DATA}/(train-\d{{5}}-of-\d{{5}}\.parquet|\.train-\d{{5}}\.part)")
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
) -> tuple[dict[str, Any], Totals]:
    """Writes a training set and returns its manifest, and the counts of its findings.

    Args:
        paths: files, directories, globs, or "-".
        out: a folder that does not exist, is empty, or (with `force`) holds an earlier build.
        each: is told of every record, in order.
        concluded: is told what was found about the whole set.
        skipped: counts the files of directories and archives that hold no records, by suffix.
        pipeline: of these settings, where there is one already.

    Raises:
        OutputError: the folder holds something else, an input, or an earlier build and no `force`.
        InputError, ModelError, UsageError: nothing was left behind.
    """
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    skipped = Counter[str]() if skipped is None else skipped
    inputs = apart(expand(paths, hashed=True, skipped=skipped), paths, settings.baseline)
    pipeline = pipeline or Pipeline(settings)
    _keep_apart(inputs, out)
    clear(out, force=force)
    _make(out)
    totals, counts, survey = Totals(n_files=len(inputs)), Counts(), Survey(pipeline)
    opened = writer.open(out / DATA, settings.shard_size)
    try:
        with (out / REJECTS).open("wb") as rejects:
            pending: list[Row] = []
            n_tokens = 0
            for outcome in outcomes(inputs, pipeline):
                tally(totals, outcome)
                survey.see(outcome)
                _count(counts, outcome)
                if not outcome.rows:
                    rejects.write(rejected(outcome))
                pending += outcome.rows
                n_tokens += sum(len(row.tokens.input_ids) for row in outcome.rows)
                if len(pending) >= _PENDING_ROWS or n_tokens >= _PENDING_TOKENS:
                    opened.write(pending)
                    pending, n_tokens = [], 0
                each(outcome)
            opened.write(pending)
        for source in inputs:
            skipped.update(source.skipped)
        files = opened.close()
        findings = survey.conclude(totals)
        concluded(findings)
        manifest = _manifest(settings, pipeline, inputs, totals, counts, files, out, findings)
        _check(manifest)
        (out / CARD).write_text(card(manifest), encoding="utf-8")
        write_lock(lock_of(pipeline.encoder.model, settings), out)
        # The manifest comes last: a folder that has one is whole.
        (out / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except BaseException:
        opened.abort()
        clear(out, force=True)
        raise
    return manifest, totals


def _keep_apart(inputs: Sequence[Input], out: Path) -> None:
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
    shutil.rmtree(out / DATA, ignore_errors=True)
    for name in _NAMES:
        (out / name).unlink(missing_ok=True)


def _strange(out: Path) -> str:
    """What a folder holds that no build writes; "" if nothing. A build that was killed left no manifest."""
    names = {path.name for path in out.iterdir()}
    names |= {f"{DATA}/{path.name}" for path in (out / DATA).glob("*")}
    ours = {DATA, *_NAMES}
    others = sorted(name for name in names - ours if not _SHARD.fullmatch(name))
    if others:
        return f"holds {others[0]!r}"
    if MANIFEST in names:
        try:
            manifest: Any = orjson.loads((out / MANIFEST).read_bytes())
        except ValueError:
            manifest = None
        return "" if is_object(manifest) and "qwen_sft" in manifest else f"holds a {MANIFEST} of another program"
    return "" if DATA in names and REJECTS in names else f"has no {MANIFEST}"


def _count(counts: Counts, outcome: Outcome) -> None:
    counts.n_samples_verified += outcome.n_verified
    if not outcome.rows:
        counts.n_rejected += 1
        by_severity = ({d.code for d in outcome.diagnostics if d.severity == s} for s in ("error", "warning", "info"))
        for code in next(filter(None, by_severity), set[str]()):
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
        counts.n_trained_tokens += row.tokens.n_trained_tokens
        counts.n_trained_turns += len(row.tokens.turns)
        counts.tokens_by_kind += np.bincount(row.tokens.kinds, minlength=len(Kind))


def _manifest(
    settings: Settings,
    pipeline: Pipeline,
    inputs: Sequence[Input],
    totals: Totals,
    counts: Counts,
    files: Sequence[Path],
    out: Path,
    findings: Sequence[Diagnostic],
) -> dict[str, Any]:
    model = pipeline.encoder.model
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
            "n_straddling_rows": counts.n_straddling_rows,
        },
        "expansion": {
            "n_samples": counts.n_samples_expanded,
            "n_rows_added": counts.n_rows_added,
            "n_tokens_added": counts.n_tokens_added,
            "n_reasoning_tokens_saved": counts.n_reasoning_tokens_saved,
        },
        "requests": dict(sorted(counts.requests.items())),
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
        "files": [
            {"file": path.relative_to(out).as_posix(), "n_bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in files
        ],
        "settings": asdict(settings),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _VERSIONED}},
    }


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
