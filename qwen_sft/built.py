"""Training sets for programs: `qwen_sft.build`, and what it wrote."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from qwen_sft.baseline import apart
from qwen_sft.building import build as written
from qwen_sft.curating.mix import with_mix
from qwen_sft.errors import UsageError
from qwen_sft.finding import Diagnostic
from qwen_sft.gate import Fold, Gate
from qwen_sft.ingest import Input, expand
from qwen_sft.inmemory import held
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.remote import is_url
from qwen_sft.reporter import Totals
from qwen_sft.settings import settings_of
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
    skipped = Counter[str]()
    pipeline = Pipeline(told, excerpts=False)
    inputs, _ = with_mix(apart(expand(paths), paths, told.baseline), told.mix)
    inputs += [Input(name, None) for name in given]
    gate = Gate(pipeline, inputs)
    folder = out if isinstance(out, str) and is_url(out) else Path(fspath(out))

    def each(outcome: Outcome) -> None:
        gate.judge(outcome)

    def again(fold: Fold) -> None:
        gate.judge_all(fold)

    def concluded(findings: Sequence[Diagnostic]) -> None:
        gate.news(findings)

    manifest, totals = written(
        *(paths, told, folder, writer_named(told.writer)),
        force=force,
        each=each,
        concluded=concluded,
        skipped=skipped,
        pipeline=pipeline,
        given=given,
        again=again,
    )
    code = gate.close(totals)
    return Built(folder, manifest, totals, code if manifest["rows"]["n_rows"] else code or 3)
