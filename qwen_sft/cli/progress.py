"""Progress on stderr, for people only: nothing is shown where stderr is no terminal."""

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from qwen_sft.ingest import Input
from qwen_sft.pipeline import Outcome


class Progress:
    """A bar over the bytes of some inputs, with records, rejects, rate and the time that is left beside it."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._total = sum(i.n_bytes for i in inputs)
        self._known = all(i.is_text for i in inputs)
        self._n_records = self._n_rejected = 0
        self._begun = 0.0
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> "Progress":
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                SpinnerColumn,
                TaskProgressColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            columns: list[Any] = [SpinnerColumn(), TextColumn("{task.description}")]
            columns += [BarColumn(), TaskProgressColumn()] if self._known else []
            columns.append(TimeElapsedColumn())
            columns += [TextColumn("left:"), TimeRemainingColumn()] if self._known else []
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._begun = time.monotonic()
            self._task = self._bar.add_task("reading", total=self._total if self._known else None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, outcome: Outcome) -> None:
        """Counts one record."""
        n_bytes = len(outcome.record.raw) if outcome.n_bytes is None else outcome.n_bytes
        self.count(1, int(outcome.rejected), n_bytes + 1)

    def count(self, n_records: int, n_rejected: int, n_bytes: int) -> None:
        """Counts many records."""
        self._n_records += n_records
        self._n_rejected += n_rejected
        if self._bar is not None:
            seconds = time.monotonic() - self._begun
            rate = f", {self._n_records / seconds:,.0f} a second" if seconds > 1 else ""
            says = f"{self._n_records:,} records, {self._n_rejected:,} rejected{rate}"
            self._bar.update(self._task, advance=n_bytes, description=says)
