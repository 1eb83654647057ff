"""What a reporter is: one way to print what a run found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TextIO

from qwen_sft.finding import Diagnostic


@dataclass(slots=True)
class Totals:
    """The counts of a run, as every reporter and the manifest tell them.

    `n_records` = `n_clean` + `n_rejected`: a record is rejected if any of its findings is an error.
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
    dropped_reasons: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class Reporter:
    """One output format.

    Attributes:
        name: what `--output-format` takes; the file's name.
        title: one line for help.
        report: writes the findings as they come, at most `limit` of them (None: all), then what the totals say. The
            totals are complete only when the findings have been used up.
    """

    name: str
    title: str
    report: Callable[[Iterable[Diagnostic], Totals, TextIO, int | None], None]
