"""What a reporter is: one way to print what a run found."""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple, TextIO

from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.sample import json_path
from qwen_sft.settings import FailOn
from qwen_sft.shelf import shelf
from qwen_sft.text.terminal import inert, one_line, styled


@dataclass(slots=True)
class Totals:
    """The counts of a run, as every reporter and the manifest tell them.

    `n_records` = `n_clean` + `n_rejected`: a record is rejected if any of its findings is an error.

    Attributes:
        by_format: records; the three that follow are of their events.
        silenced_by_code: findings that records ask not to be held to; they are nowhere else.
        known_by_code: those findings of `by_code` that the baseline holds; they are not reported.
        n_fixed: findings of the baseline that were looked for and are no more.
        not_checked: samples that some checks could not run on, by what was missing (see NOT_CHECKED).
        failures: why a run fails beside its findings, a sentence each.
    """

    n_files: int = 0
    n_records: int = 0
    n_clean: int = 0
    n_rejected: int = 0
    n_samples: int = 0
    n_events: int = 0
    n_kept: int = 0
    n_merged: int = 0
    n_dropped: int = 0
    by_code: dict[str, int] = field(default_factory=dict[str, int])
    by_severity: dict[str, int] = field(default_factory=dict[str, int])
    by_format: dict[str, int] = field(default_factory=dict[str, int])
    kept_by_format: dict[str, int] = field(default_factory=dict[str, int])
    merged_by_format: dict[str, int] = field(default_factory=dict[str, int])
    dropped_by_format: dict[str, int] = field(default_factory=dict[str, int])
    dropped_reasons: dict[str, int] = field(default_factory=dict[str, int])
    silenced_by_code: dict[str, int] = field(default_factory=dict[str, int])
    known_by_code: dict[str, int] = field(default_factory=dict[str, int])
    n_fixed: int = 0
    not_checked: dict[str, int] = field(default_factory=dict[str, int])
    failures: list[str] = field(default_factory=list[str])

    def add(self, other: "Totals") -> None:
        """Adds the counts of records that stand behind those of this one; files are no records."""
        for name in _COUNTED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTED_BY:
            counts: dict[str, int] = getattr(self, name)
            for key, n in getattr(other, name).items():
                counts[key] = counts.get(key, 0) + n


_COUNTED = ("n_records", "n_clean", "n_rejected", "n_samples", "n_events", "n_kept", "n_merged", "n_dropped")
_EVENTS_BY_FORMAT = ("kept_by_format", "merged_by_format", "dropped_by_format")
_COUNTED_BY = ("by_code", "by_severity", "by_format", *_EVENTS_BY_FORMAT, "dropped_reasons", "silenced_by_code")


NOT_CHECKED = {
    "no_model": "template, tokens and mask of {n} (no --model)",
    "no_tools": "arguments of the calls of {n} (no tools declared)",
}
"""What could not be checked, by the reason, for people."""


class Count(NamedTuple):
    """How often a rule found something, with one severity."""

    n: int
    severity: Severity
    code: str
    name: str


@dataclass(frozen=True, slots=True)
class Reporter:
    """One output format.

    Attributes:
        name: what `--output-format` takes; the file's name.
        title: one line for help.
        report: writes the findings as they come, at most `limit` of them (None: all), then what the totals say. The
            totals are complete only when the findings have been used up.
        statistics: writes how often each rule found something, instead of the findings; None where the output has no
            place for that.
        excerpts: whether it shows the excerpt of a finding; where it does not, none need be made.
    """

    name: str
    title: str
    report: Callable[[Iterable[Diagnostic], Totals, TextIO, int | None], None]
    statistics: Callable[[Sequence[Count], Totals, TextIO], None] | None = None
    excerpts: bool = False


def exit_code(totals: Totals, fail_on: FailOn) -> int:
    """0 clean, 1 findings at or above a severity, 3 nothing was checked."""
    if not totals.n_records:
        return 3
    ranks = [Severity(severity).rank for severity, n in totals.by_severity.items() if n]
    return int(fail_on != "never" and max(ranks, default=-1) >= Severity(fail_on).rank)


MOST_REASONS, MOST_CODES = 6, 30
"""Of these a summary tells at most, so that it fits one screen."""


def by_count(counts: Mapping[str, int]) -> str:
    """How often each of some codes was counted, the most frequent first."""
    ordered = sorted(((code, n) for code, n in counts.items() if n), key=lambda item: -item[1])
    told = ", ".join(f"{code} {n:,}" for code, n in ordered[:MOST_CODES])
    return told if len(ordered) <= MOST_CODES else f"{told} and {len(ordered) - MOST_CODES:,} more codes"


def summary(totals: Totals, *, colour: bool = False) -> str:
    """What a run comes to, in a few lines for people."""
    lines = [
        f"{totals.n_records:,} records in {totals.n_files:,} {'file' if totals.n_files == 1 else 'files'}: "
        f"{styled(f'{totals.n_clean:,} clean', 'ok' if totals.n_clean else 'dim', colour)}, "
        f"{styled(f'{totals.n_rejected:,} rejected', 'error' if totals.n_rejected else 'dim', colour)}"
    ]
    if totals.n_events:
        lines.append(
            f"{totals.n_events:,} events: {totals.n_kept:,} kept, "
            f"{totals.n_merged:,} merged, {totals.n_dropped:,} dropped"
        )
        reasons = sorted(totals.dropped_reasons.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"    dropped {n:,}: {inert(one_line(reason))}" for reason, n in reasons[:MOST_REASONS]]
        if len(reasons) > MOST_REASONS:
            n = sum(n for _, n in reasons[MOST_REASONS:])
            lines.append(f"    dropped {n:,}: {len(reasons) - MOST_REASONS:,} more reasons")
    lines += gated(totals)
    new = {code: n - totals.known_by_code.get(code, 0) for code, n in totals.by_code.items()}
    if any(new.values()):
        lines.append(f"findings: {by_count(new)}")
    lines += failed(totals)
    return "\n".join(lines) + "\n"


def gated(totals: Totals) -> list[str]:
    """What the gate has to say, in lines for people: what is known, silenced, and unchecked."""
    lines: list[str] = []
    if totals.known_by_code or totals.n_fixed:
        n = sum(totals.known_by_code.values())
        lines.append(f"in the baseline: {n:,} {'finding' if n == 1 else 'findings'}, {totals.n_fixed:,} fixed")
    if totals.silenced_by_code:
        lines.append(f"silenced by records: {by_count(totals.silenced_by_code)}")
    unchecked = [
        NOT_CHECKED[reason].format(n=f"{n:,} {'sample' if n == 1 else 'samples'}")
        for reason, n in totals.not_checked.items()
        if n
    ]
    if unchecked:
        lines.append(f"not checked: {'; '.join(unchecked)}")
    return lines


def failed(totals: Totals) -> list[str]:
    """Why a run fails beside its findings, in lines for people."""
    return [f"fails: {inert(one_line(why))}" for why in totals.failures]


def finding_json(found: Diagnostic) -> dict[str, Any]:
    """A finding as JSON, as reports and rejects files have it."""
    return {
        "code": found.code,
        "name": found.name,
        "severity": found.severity.value,
        "file": found.where.file,
        "line": found.where.line,
        "byte": found.where.byte,
        "item": found.where.item,
        "path": found.json_path,
        "sample_path": json_path(found.sample_path),
        "sample_id": found.sample_id,
        "says": found.says,
        "fix": found.fix,
        "fingerprint": found.fingerprint,
    }


def counted(findings: Iterable[Diagnostic]) -> list[Count]:
    """How often each rule found something, the most frequent first."""
    counts = Counter((found.severity, found.code, found.name) for found in findings)
    return sorted((Count(n, *of) for of, n in counts.items()), key=lambda one: (-one.n, one.code, -one.severity.rank))


def numbered(findings: Iterable[Diagnostic]) -> Iterator[tuple[Diagnostic, str]]:
    """Findings with a fingerprint that no other one of the run has: `:1` behind the first that shares one, then `:2`.

    It names no line and no file, so it stays when lines move; of equal records it does not matter which is the first.
    Memory holds about 60 bytes for each finding: there is no other way to know that two are alike.
    """
    seen = set[int]()
    again = Counter[int]()
    for found in (one.settled() for one in findings):
        fingerprint = found.fingerprint
        key = int(fingerprint, 16)
        if key in seen:
            again[key] += 1
        seen.add(key)
        yield found, f"{fingerprint}:{1 + again.get(key, 0)}"


def in_checkout(file: str) -> str:
    """A file's name as CI systems look it up: from the working directory, with slashes, without a leading `./`."""
    if "://" in file or file in ("<stdin>", "<set>"):
        return file
    path = os.path.normpath(file)
    if Path(path).is_absolute() and Path(path).is_relative_to(here := Path.cwd()):
        path = str(Path(path).relative_to(here))
    return path.replace(os.sep, "/")


@contextmanager
def spooled() -> Generator[IO[str]]:
    """A file for what must be written behind counts that are known only at the end: memory holds 1 MB of it."""
    with tempfile.SpooledTemporaryFile(1_000_000, "w+", encoding="utf-8", errors="surrogatepass", newline="") as spool:
        yield spool


def reporters() -> dict[str, Reporter]:
    """The shelf `reporters/`, by name."""
    return shelf("reporters", Reporter, lambda thing: thing.name)
