# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportMissingImports=false
# pyright: reportUnknownVariableType=false, reportUntypedBaseClass=false
# datatrove has no types; what leaves this file is typed by its functions.
"""A step for datatrove's pipelines: each task builds a training set of its share of the files.

datatrove starts the tasks (on this machine, under Slurm, on Ray), and remembers those that are done. Each writes a set
of its own, so no process has to write for all of them.
"""

from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from qwen_sft.building.build import MANIFEST
from qwen_sft.errors import RejectedError, UsageError
from qwen_sft.ingesting.ingest import expand
from qwen_sft.library.built import build
from qwen_sft.settings import settings_of


class Build(PipelineStep):
    """Writes `out/00000`, `out/00001`, and so on: a folder for each task that has files, as `qwen_sft.build` does.

    Of N tasks the first one takes the 1st file, the (N+1)th and so on. Documents that come in go on unchanged.

    Args:
        paths: files, directories, globs or URLs; the same ones for every task.
        out: a folder that all tasks see; no URL.
        model, config, settings: as those of `qwen_sft.build`; `jobs` is 1 unless it is given.
    """

    name = "qwen-sft build"
    type = "Training set"

    def __init__(
        self,
        paths: Iterable[str],
        out: "str | PathLike[str]",
        *,
        model: "str | PathLike[str]",
        config: "str | PathLike[str] | None" = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.paths, self.out = [paths] if isinstance(paths, str) else list(paths), Path(out)
        self.model, self.config, self.settings = model, config, {"jobs": 1, **settings}

    def run(self, data: Iterable[Any] | None = None, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Builds a task's set.

        Raises:
            UsageError: settings that ask for decisions over all files, where there are several tasks.
            RejectedError: the set is written, and its findings fail the run (`fail_on`, `limit`).
        """
        yield from data or ()
        told = settings_of({**self.settings, "model": self.model}, self.config, "Build()")
        if world_size > 1 and (told.dedup != "none" or told.mix is not None or (told.sample or 0) >= 1):
            raise UsageError(
                "dedup, mix and a number to sample look at all files, and each of several tasks sees its own; run one "
                "task, or leave them out"
            )
        mine = [one.url or str(one.path) for one in expand(self.paths)][rank::world_size]
        if not mine:
            return
        out = self.out / f"{rank:05d}"
        is_there = (out / MANIFEST).is_file()  # whole, but not marked as done
        built = build(mine, out, model=self.model, force=is_there, config=self.config, **self.settings)
        for what, n in built.manifest["records"].items():
            self.stat_update(f"records_{what}", value=n, unit="task")
        if built.exit_code == 1:
            raise RejectedError(f"what was found fails task {rank}; {str(out / 'rejects.jsonl')!r} says why")
