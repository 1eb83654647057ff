"""The gate for programs: `qwen_sft.validate`, and the report that it gives."""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from qwen_sft.baseline import apart
from qwen_sft.errors import UsageError
from qwen_sft.finding import Diagnostic, Severity
from qwen_sft.gate import Gate, judged
from qwen_sft.ingest import Input, expand, records
from qwen_sft.inmemory import held
from qwen_sft.pipeline import Pipeline
from qwen_sft.record import Record
from qwen_sft.reporter import Totals, reporters
from qwen_sft.settings import Settings, checked, load_settings


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
    **settings: Any,
) -> Report:
    """Checks traces, as `qwen-sft validate` does; the findings are held in memory, the traces are not.

    Args:
        data: files, directories, globs or URLs: one or several; or the records themselves: one mapping, an iterable of
            them, or what `datasets` has loaded.
        config: the settings file; by default `qwen-sft.toml` or `[tool.qwen-sft]` in `pyproject.toml`, here.
        settings: they win over the settings file: `model="qwen3"`, `fail_on="warning"`, `ignore=["TOL020"]`; a list may
            be one string, parted by commas. None leaves a setting as it is.

    Raises:
        UsageError: a setting that does not exist, or cannot have its value.
        InputError: a path that names nothing, or cannot be opened.
        ModelError: the model cannot be loaded.
    """
    told = load_settings(_given(settings), file=None if config is None else Path(config))
    if told.serve != Settings().serve:
        from qwen_sft.serving import serving  # the shelf of parsers: 0.1 s that the default need not pay

        serving(told.serve)
    paths, given = held(data)
    skipped = Counter[str]()
    inputs = apart(expand(paths, skipped=skipped), paths, told.baseline) + [Input(name, None) for name in given]

    def read(source: Input) -> Iterator[Record]:
        return given[source.name]() if given else records(source)

    pipeline = Pipeline(told)
    gate = Gate(pipeline, inputs)
    totals = Totals(n_files=len(inputs))
    findings = tuple(judged(inputs, pipeline, gate, totals, read=read))
    for source in inputs:
        skipped.update(source.skipped)
    return Report(findings, totals, gate.close(totals), told, dict(skipped))


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a call, each held to its type: those of a command line and of a file are too."""
    table: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, PathLike):
            value = fspath(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # of any path
        elif isinstance(value, str) and name in ("select", "ignore", "train", "limit"):
            value = [part for each in value.split(",") if (part := each.strip())]
        elif isinstance(value, (tuple, set, frozenset)):
            value = list(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # of any
        if value is not None:
            table[name.replace("_", "-")] = value
    return checked(table, "validate()")
