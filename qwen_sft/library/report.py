"""The gate for programs: `qwen_sft.validate`, and the report that it gives."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from qwen_sft.errors import ModelError, UsageError
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.ingesting.ingest import Input, expand, records
from qwen_sft.ingesting.inmemory import held, reader
from qwen_sft.pipeline import Pipeline
from qwen_sft.reporter import Totals, reporters
from qwen_sft.running.baseline import apart
from qwen_sft.running.gate import Gate, judged
from qwen_sft.running.workers import jobs_of
from qwen_sft.settings import Settings, settings_of


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of some traces came to. It is true where they pass, and iterates over its findings.

    Attributes:
        findings: all that the baseline does not hold, in the order of the records, and last those
            on the whole set.
        totals: the counts of records, events and findings, as every output format tells them.
        exit_code: what `qwen-sft validate` would exit with: 0 clean, 1 findings at or above `fail_on` or over a limit,
            3 nothing was checked.
        settings: what was asked for: arguments, settings file and defaults together.
        skipped: how many files of directories and archives were left out because they hold no records, by suffix.
    """

    findings: tuple[Diagnostic, ...]
    totals: Totals
    exit_code: int
    settings: Settings
    skipped: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """True if something was checked, and nothing was found that fails."""
        return self.exit_code == 0

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The findings that keep a record out of a training set."""
        return tuple(found for found in self.findings if found.severity is Severity.ERROR)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many findings each rule has, by its code; those of the baseline are none."""
        return dict(Counter(found.code for found in self.findings))

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self.findings)

    def __str__(self) -> str:
        return self.text()

    def text(self, output_format: str = "full", *, max_findings: int | None = None, worst_first: bool = False) -> str:
        """The report as `qwen-sft validate --output-format` prints it, at most `max_findings` of the findings.

        Args:
            worst_first: errors, then warnings, then infos; else in the order of the records.

        Raises:
            UsageError: there is no such output format.
        """
        shelf = reporters()
        if output_format not in shelf:
            raise UsageError(f"no output format {output_format!r}; it can be {', '.join(shelf)}")
        findings = self.findings
        if worst_first:
            findings = sorted(findings, key=lambda found: -found.severity.rank)
        stream = io.StringIO()
        shelf[output_format].report(findings, self.totals, stream, max_findings)
        return stream.getvalue()


def validate(
    data: "str | PathLike[str] | Iterable[Any]",
    *,
    config: "str | PathLike[str] | None" = None,
    locked: "str | PathLike[str] | None" = None,
    write_baseline: "str | PathLike[str] | None" = None,
    **settings: Any,
) -> Report:
    """Checks traces, as `qwen-sft validate` does; the findings are held in memory, the traces are not.

    Args:
        data: files, directories, globs or URLs: one or several; or the records themselves: one mapping, an iterable of
            them, or what `datasets` has loaded.
        config: the settings file; by default `qwen-sft.toml` or `[tool.qwen-sft]` in `pyproject.toml`, here.
        locked: a `qwen-sft.lock.json`, or the folder of one: the model must be the one that it was written for.
        write_baseline: the file to write what is found to; that passes then, in the report too.
        settings: they win over the settings file: `model="qwen3"`, `fail_on="warning"`, `ignore=["TOL020"]`; a list may
            be one string, parted by commas. None leaves a setting as it is.

    Raises:
        UsageError: a setting that does not exist, or cannot have its value.
        InputError: a path that names nothing, or cannot be opened.
        ModelError: the model cannot be loaded, or is not the one of the lock.
        OutputError: the baseline cannot be written.
    """
    told = settings_of(settings, config, "validate()")
    if told.serve != Settings().serve:
        from qwen_sft.serving.server import serving  # the shelf of parsers: 0.1 s that the default need not pay

        serving(told.serve)
    paths, given = held(data)
    skipped = Counter[str]()
    target = None if write_baseline is None else Path(write_baseline)
    inputs = apart(expand(paths, skipped=skipped), paths, told.baseline, target)
    inputs += [Input(name, None) for name in given]

    pipeline = Pipeline(told)
    if locked is not None:
        _hold_to(Path(locked), pipeline)
    gate = Gate(pipeline, inputs, baseline=target)
    totals = Totals(n_files=len(inputs))
    read = reader(given) if given else records
    found = judged(inputs, pipeline, gate, totals, read=read, jobs=jobs_of(told, inputs))
    findings = tuple(one.settled() for one in found)
    for source in inputs:
        skipped.update(source.skipped)
    return Report(findings, totals, gate.close(totals), told, dict(skipped))


def _hold_to(lock: Path, pipeline: Pipeline) -> None:
    """Stops where the model of the settings is not the one that was locked."""
    from qwen_sft.proving.lock import differences, lock_of, read_lock

    known = read_lock(lock)
    if pipeline.settings.model is None:
        raise UsageError("locked compares a model; name one with model")
    found = differences(known, lock_of(pipeline.encoder.model, pipeline.settings))
    errors = [str(one) for one in found if one.severity == "error"]
    if errors:
        raise ModelError(f"{pipeline.settings.model!r} is not the model of {str(lock)!r}: {'; '.join(errors)}")
