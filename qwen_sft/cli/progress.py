"""Progress on stderr, for people only: nothing is shown where stderr is no terminal."""

import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from types import TracebackType
from typing import Any, TextIO, cast

from qwen_sft.ingesting.ingest import Input, passed
from qwen_sft.pipeline import Outcome
from qwen_sft.text.terminal import columns

_NARROW = 80  # columns below which there is no room for a bar
_PAUSE = 0.05  # seconds between two times that lines are put above the bar


class Progress:
    """How many records of some inputs are done, with the rate, and with a bar and the time that is left where the end
    is known: not of stdin, nor of a URL.

    What is written to stdout and stderr meanwhile stands above it, if they are terminals too.

    Args:
        inputs: what is read, in order.
        what: what is counted.
        total: how many there are of that, where nothing is read.

    Attributes:
        stdout: where to write to stdout meanwhile.
    """

    def __init__(self, inputs: Sequence[Input] = (), *, what: str = "records", total: int | None = None) -> None:
        self._inputs, self._what = inputs, what
        self._total = total if total is not None else sum(one.n_bytes for one in inputs)
        self._known = total is not None or all(one.path is not None for one in inputs)
        self._way = _Way(inputs)
        self._n = self._n_rejected = 0
        self._begun = 0.0
        self._bar: Any = None
        self._task: Any = None
        self._are = sys.stdout, sys.stderr
        self._is_shown = sys.stderr.isatty()
        self.stdout: TextIO = sys.stdout
        if self._is_shown and sys.stdout.isatty():
            self.stdout = cast("TextIO", _Above(sys.stdout, self))  # it has what is asked of a stream here

    def __enter__(self) -> "Progress":
        if self._is_shown:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                ProgressColumn,
                SpinnerColumn,
                TaskProgressColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar
            from rich.table import Column

            stderr = sys.stderr
            width = columns(stderr)
            cut = Column(no_wrap=True, overflow="ellipsis")
            shown: list[ProgressColumn] = [] if width < _NARROW else [SpinnerColumn()]
            shown.append(TextColumn("{task.description}", table_column=cut, markup=False))
            if self._known:
                shown += [] if width < _NARROW else [BarColumn(bar_width=min(40, width - 70))]
                shown.append(TaskProgressColumn())
            shown += [] if width < _NARROW and self._known else [TimeElapsedColumn()]
            if self._known:
                shown += [TextColumn("left:"), TimeRemainingColumn()]
            console = Console(file=stderr, width=width)
            self._bar = Bar(*shown, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
            self._bar.start()
            self._begun = time.monotonic()
            self._task = self._bar.add_task("reading", total=self._total if self._known else None)
            if self._inputs:
                self._way.look()
            sys.stdout, sys.stderr = self.stdout, cast("TextIO", _Above(stderr, self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Takes the bar away; nothing is shown from here on."""
        if self._bar is not None:
            for stream in {sys.stdout, sys.stderr}:
                stream.flush()
            self._bar.stop()
            self._bar = None
            sys.stdout, sys.stderr = self._are

    def advance(self, outcome: Outcome) -> None:
        """Counts one record."""
        n_bytes = len(outcome.record.raw) if outcome.n_bytes is None else outcome.n_bytes
        self.count(1, int(outcome.rejected), n_bytes + 1, outcome.record.where.file)

    def count(self, n: int, n_rejected: int = 0, n_bytes: int = 0, file: str | None = None) -> None:
        """Counts many.

        Args:
            n_bytes: how long they are, as text; 0 where nobody knows.
            file: where the last of them stands; None where nothing is read.
        """
        self._n += n
        self._n_rejected += n_rejected
        if self._bar is None:
            return
        done = self._n if file is None else self._way.at(file, n, n_bytes)
        self._bar.update(self._task, completed=done, description=self._says())

    def begin_again(self) -> None:
        """All inputs are read once more from here on."""
        self._way.begin_again()
        self._n = self._n_rejected = 0
        self._begun = time.monotonic()
        if self._bar is not None:
            self._bar.reset(self._task, description="reading again")

    @property
    def is_running(self) -> bool:
        """True while there is a bar."""
        return self._bar is not None

    def above(self, text: str) -> bool:
        """Puts whole lines above the bar; False where there is none."""
        if self._bar is None:
            return False
        self._bar.console.out(text, end="", highlight=False)
        return True

    def _says(self) -> str:
        seconds = time.monotonic() - self._begun
        rate = f", {self._n / seconds:,.0f} a second" if seconds > 1 else ""
        rate = f", {seconds / self._n:,.0f} s each" if seconds > self._n > 0 else rate
        rejected = f", {self._n_rejected:,} rejected" if self._what == "records" else ""
        return f"{self._n:,} {self._what}{rejected}{rate}"


@contextmanager
def reading_rows(inputs: Sequence[Input]) -> Generator[Callable[[int, str], None]]:
    """A bar over the rows of some files; what it gives is told how many more rows of which file were read."""
    with Progress(inputs, what="rows") as progress:
        yield lambda n_rows, file: progress.count(n_rows, file=file)


class _Way:
    """How far a run has come through its inputs, in bytes of them on disk."""

    def __init__(self, inputs: Sequence[Input]) -> None:
        self._inputs = inputs
        self._place = {one.name: k for k, one in enumerate(inputs)}
        self._before = [0, *accumulate(one.n_bytes for one in inputs)]
        self._rows: dict[int, int] = {}
        self.begin_again()

    def begin_again(self) -> None:
        """Back to the first input."""
        self._now, self._n, self._n_bytes = 0, 0, 0

    def look(self) -> None:
        """Learns how many rows files of columns have, whose bytes are not read in order."""
        for k, one in enumerate(self._inputs):
            if one.path is not None and one.name.lower().endswith((".parquet", ".arrow", ".feather")):
                from qwen_sft.decoding.columnar import n_rows  # pyarrow

                rows = n_rows(one.path)
                if rows:
                    self._rows[k] = rows

    def at(self, file: str, n: int, n_bytes: int) -> int:
        """How far it is behind so many more records, of which the last stands in this file.

        In a file the bytes of its records tell it, or its rows, or how much of it was read, of one that is compressed;
        one that is read in another process and tells none of these is done when the next one begins.
        """
        k = self._place.get(file, self._place.get(file.partition("!")[0], self._now))
        if k != self._now:
            self._now, self._n, self._n_bytes = k, 0, 0
        self._n += n
        self._n_bytes += n_bytes
        one = self._inputs[k]
        if k in self._rows:
            inside = one.n_bytes * self._n // self._rows[k]
        else:
            inside = self._n_bytes if one.is_text and n_bytes else passed(one.name)
        return self._before[k] + min(inside, one.n_bytes)


class _Above:
    """A stream of a terminal, whose whole lines are put above the bar while there is one."""

    def __init__(self, stream: TextIO, progress: Progress) -> None:
        self._stream, self._progress = stream, progress
        self._held = ""
        self._last = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Holds text back until it is a line, and lines until some are there: each time the bar is drawn anew."""
        self._held += text
        if not self._progress.is_running:
            self.flush()
        elif time.monotonic() - self._last > _PAUSE:
            self._put()
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Writes one after the other."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Writes all that is held back."""
        self._put()
        if self._held:
            self._stream.write(self._held)
            self._held = ""
        self._stream.flush()

    def _put(self) -> None:
        lines, newline, self._held = self._held.rpartition("\n")
        if newline:
            self._last = time.monotonic()
            if not self._progress.above(lines + newline):
                self._stream.write(lines + newline)
