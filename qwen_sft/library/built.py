"""Training sets for programs: `qwen_sft.build`, and what it wrote."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from qwen_sft.building.build import build as written
from qwen_sft.building.build import inputs_of
from qwen_sft.errors import UsageError
from qwen_sft.finding import Diagnostic
from qwen_sft.ingesting.inmemory import Held, held
from qwen_sft.ingesting.remote import is_url
from qwen_sft.ingesting.stretches import n_plain_bytes
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.reporter import Totals
from qwen_sft.running.gate import Fold, Gate
from qwen_sft.settings import Settings, settings_of
from qwen_sft.writer import writer_named


@dataclass(frozen=True, slots=True)
class Built:
    """A training set that was written. It is true where the traces passed and gave rows.

    Attributes:
        out: its folder, or its URL.
        manifest: what its `manifest.json` says: hashes, counts, settings.
        totals: the counts of records, events and findings, as every output format tells them.
        exit_code: what `qwen-sft build` would exit with: 0 clean, 1 findings at or above `fail_on` or over a limit, 3
            no row was written.
    """

    out: Path | str
    manifest: Mapping[str, Any]
    totals: Totals
    exit_code: int

    @property
    def ok(self) -> bool:
        """True if rows were written, and nothing was found that fails."""
        return self.exit_code == 0

    def __bool__(self) -> bool:
        return self.ok


class Work:
    """A build and its gate: what the command and `qwen_sft.build` share. What is read is known before it runs.

    Args:
        paths: files, directories, globs, or "-".
        given: records that a program holds, in place of paths.

    Attributes:
        inputs: what is read.
        writer: what writes the set.
        skipped: counts the files of directories and archives that hold no records, by suffix.
        found: what was found about the whole set and is not in the baseline, when it has run.

    Raises:
        InputError, UsageError: as `inputs_of` and `Gate` say; there is no such writer.
    """

    def __init__(self, paths: Sequence[str], settings: Settings, out: Path | str, given: Held | None = None) -> None:
        self._paths, self._settings, self._out, self._given = paths, settings, out, given
        self.writer = writer_named(settings.writer)
        self.skipped, self.found = Counter[str](), list[Diagnostic]()
        self.inputs, self._sources = inputs_of(paths, settings, given, self.skipped)
        # nothing that a build writes shows an excerpt
        self._pipeline = Pipeline(settings, excerpts=False, n_bytes=n_plain_bytes(self.inputs))
        self._gate = Gate(self._pipeline, self.inputs)

    def run(
        self,
        *,
        force: bool = False,
        one: Callable[[Outcome], None] = lambda _: None,
        many: Callable[[int, int, int, str], None] = lambda _n_records, _n_rejected, _n_bytes, _file: None,
        surveyed: Callable[[Outcome], None] = lambda _: None,
        begun: Callable[[], None] = lambda: None,
        left: Callable[[str], None] = lambda _: None,
    ) -> Built:
        """Writes the set.

        Args:
            force: replace an earlier build.
            one: is told of every record, in order.
            many: is told of records, rejected ones, bytes and the file of the last record, which an earlier run of this
                build had seen.
            surveyed, begun: as `qwen_sft.building.build.build` takes them.
            left: is told, before an exception is raised, what was left behind for a later run to go on from, if
                anything.

        Raises:
            InputError, ModelError, OutputError, UsageError, WorkerError: as `qwen_sft.building.build.build` says.
        """

        def each(outcome: Outcome) -> None:
            one(outcome)
            self._gate.judge(outcome)

        def again(fold: Fold) -> None:
            many(fold.totals.n_records, fold.totals.n_rejected, fold.n_bytes, fold.files[-1])
            self._gate.judge_all(fold)

        def concluded(findings: Sequence[Diagnostic]) -> None:
            self.found += self._gate.news(findings)

        manifest, totals = written(
            *(self._paths, self._settings, self._out, self.writer),
            force=force,
            each=each,
            concluded=concluded,
            skipped=self.skipped,
            pipeline=self._pipeline,
            given=self._given,
            again=again,
            surveyed=surveyed,
            begun=begun,
            left=left,
            reading=(self.inputs, self._sources),
        )
        code = self._gate.close(totals)
        return Built(self._out, manifest, totals, code if manifest["rows"]["n_rows"] else code or 3)


def build(
    data: "str | PathLike[str] | Iterable[Any]",
    out: "str | PathLike[str]",
    *,
    model: "str | PathLike[str]",
    force: bool = False,
    config: "str | PathLike[str] | None" = None,
    **settings: Any,
) -> Built:
    """Writes a training set, as `qwen-sft build` does.

    Records with errors are kept in the folder's `rejects.jsonl` with their findings; nothing is raised for them.

    Args:
        data: files, directories, globs or URLs: one or several; or the records themselves: one mapping, an iterable of
            them, or what `datasets` has loaded.
        out: a folder that does not exist, is empty, or (with `force`) holds an earlier build; or the URL of such a one,
            on any file system that fsspec has a driver for.
        model: family name, folder or hub id.
        config: the settings file; by default `qwen-sft.toml` or `[tool.qwen-sft]` in `pyproject.toml`, here.
        settings: as those of `qwen_sft.validate`.

    Raises:
        UsageError: a setting that does not exist, or cannot have its value.
        InputError: a path that names nothing, or cannot be opened.
        ModelError: the model cannot be loaded.
        OutputError: the folder holds something else, an input, or an earlier build and no `force`.
    """
    told = settings_of({**settings, "model": model}, config, "build()")
    if told.model is None:
        raise UsageError("build() needs a model; name a family, a folder or a hub id")
    paths, given = held(data)
    folder = out if isinstance(out, str) and is_url(out) else Path(fspath(out))
    return Work(paths, told, folder, given).run(force=force)
