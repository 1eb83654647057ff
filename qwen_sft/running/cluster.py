# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportMissingImports=false
# Ray's types are not whole; what leaves this file is typed by its functions.
"""The machines of a Ray cluster that work on the stretches of some inputs; what they give comes out in order.

Each stretch is a task of Ray's: it reads its lines itself, and puts what it makes of them, a batch at a time, into
Ray's store of objects. Ray starts the tasks where there is room, and starts one again whose process or machine is lost.
Only so many are given to Ray at once, and only the batch that is asked for comes here, so this process stays small.

Tasks and not `ray.data`, which was tried (Ray 2.60, 2026-11-21): with `preserve_order` its rows come in order and in
bounded memory, but it wants all stretches before the first is begun, so each input would have to be read twice, and
while the process that writes is what all wait for, its loop turns there without a pause: half a core, of the one that
is the bottleneck.
"""

import gc
import logging
import os
import pickle
import platform
import socket
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qwen_sft import __version__
from qwen_sft.errors import InputError, ServerError, UsageError, WorkerError
from qwen_sft.ingesting.stretches import Stretch
from qwen_sft.pipeline import Pipeline
from qwen_sft.running.versions import versions
from qwen_sft.running.workers import AHEAD, THREADS, Answer, Plan, dumped, failure, n_cores, raised, work, worked_here

_RETRIES = 3
"""How often Ray starts a task again whose process or machine was lost."""


@dataclass(frozen=True, slots=True)
class _Told:
    """What each process must know to give what another would.

    Attributes:
        folder: the working directory, from which names are looked up.
        node: the machine of the process that writes.
    """

    pipeline: Pipeline
    answer: Answer
    thresholds: tuple[int, int, int]
    folder: str
    node: str
    versions: dict[str, str | None]


class Cluster:
    """A Ray at work; leaving it ends what it was given, and a Ray that was started for it.

    Args:
        answer: what is made of a batch.

    Raises:
        UsageError: Ray is not installed, or the address is one that Ray has no such tasks at.
        ServerError: there is no cluster at the address.
    """

    def __init__(self, pipeline: Pipeline, answer: Answer) -> None:
        self._pipeline, self._answer = pipeline, answer
        told = (pipeline, answer, gc.get_threshold(), str(Path.cwd()), platform.node(), _versions())
        self._told = pickle.dumps(_Told(*told), protocol=5)
        self._jobs = pipeline.settings.jobs
        self._left = ExitStack()
        self._ray: Any = None
        self._task: Any = None
        self._is_ours = False
        self._given = deque[_Given]()

    def __enter__(self) -> "Cluster":
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
        except ModuleNotFoundError as error:
            if error.name != "ray":
                raise
            raise UsageError(
                "engine 'ray' needs a package that is not installed: pip install 'qwen-sft[ray]'"
            ) from error
        self._ray = ray
        self._left.enter_context(redirect_stdout(sys.stderr))  # Ray prints what happens to its tasks
        try:
            self._join()
        except BaseException:
            self._left.close()
            raise
        options = {"num_cpus": 1, "num_returns": "streaming", "max_retries": _RETRIES, "name": "qwen-sft"}
        self._task = ray.remote(_serve).options(**options)
        return self

    def _join(self) -> None:
        """Connects to the cluster of the settings, or starts a Ray of this machine."""
        address = self._pipeline.settings.address or os.environ.get("RAY_ADDRESS") or "local"
        if address.startswith("ray://"):
            raise UsageError(
                f"address {address!r} is that of Ray's client, which has no such tasks; start the build on a machine "
                "of the cluster (ray job submit) with address 'auto', or name HOST:PORT of its head"
            )
        if self._ray.is_initialized():
            return
        quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
        self._is_ours = address == "local"
        if self._is_ours:
            n_cpus = n_cores() if self._jobs == "auto" else self._jobs
            self._ray.init(address="local", num_cpus=n_cpus, num_gpus=0, include_dashboard=False, **quiet)
        else:
            try:
                _knock(address)
                self._ray.init(address=address, **quiet)
            except (OSError, RuntimeError, ValueError) as error:
                says = " ".join(str(error).split())
                raise ServerError(f"cannot join a Ray cluster at {address!r}: {says}") from error
        self._left.callback(self._ray.shutdown)

    def __exit__(self, *_: object) -> None:
        with self._left:
            for given in self._given:
                if given.batches is not None:
                    with suppress(Exception):  # it may be done, or gone with its machine
                        self._ray.cancel(given.batches)

    @property
    def _most(self) -> int:
        """How many stretches Ray is given at once; a cluster may have grown since the last."""
        if isinstance(self._jobs, int):
            return self._jobs * AHEAD + 1 if self._is_ours else self._jobs
        return int(self._ray.cluster_resources().get("CPU", 1)) * AHEAD + 1

    def results(self, plan: Plan) -> Iterator[tuple[Stretch, Iterator[Any]]]:
        """Each stretch in order, and what was made of it: pairs of a number of outcomes and an answer, then its End."""
        stretches = plan.stretches()
        while True:
            while len(self._given) < self._most and (stretch := next(stretches, None)) is not None:
                self._given.append(_Given(stretch, None if plan.is_here(stretch) else self._begun(stretch)))
            if not self._given:
                return
            given = self._given[0]
            answers = (
                worked_here(plan, self._pipeline, self._answer, given.stretch)
                if given.batches is None
                else self._answers(given)
            )
            yield given.stretch, answers
            for _ in answers:  # what nobody asked for must not stay in the store
                pass
            self._given.popleft()

    def _begun(self, stretch: Stretch) -> Any:
        path = stretch.path
        n_bytes = path.stat().st_size if path is not None and path.is_file() else None
        return self._task.remote(self._told, stretch, n_bytes)

    def _answers(self, given: "_Given") -> Iterator[Any]:
        """What a task says, as it comes."""
        from ray.exceptions import RayError

        try:
            for batch in given.batches:
                kind, told, data = self._ray.get(batch)
                del batch  # the store need not keep it
                if kind == "end":
                    yield told
                    return
                if kind != "batch":
                    raise raised(kind, told, data, given.stretch)
                yield told, pickle.loads(data)  # what our own process has made
        except RayError as error:
            says = " ".join(str(error).split())[:300]
            raise WorkerError(
                f"Ray gave up {given.stretch.place}: {says} (a piece is tried {_RETRIES + 1} times); run again, where "
                "there is more memory if that was the cause"
            ) from error


def _knock(address: str) -> None:
    """Raises an OSError where nobody listens at HOST:PORT: Ray itself asks there for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=30).close()


@dataclass(slots=True)
class _Given:
    """A stretch that Ray was given, and where its batches come from; None for one that only this process can read."""

    stretch: Stretch
    batches: Any


# -- in a process of Ray's ---------------------------------------------------------------------------------------------


def _serve(data: bytes, stretch: Stretch, n_bytes: int | None) -> Iterator[tuple[str, Any, Any]]:
    """What is made of a stretch, a batch at a time, then its End, or what went wrong: that is no matter for Ray."""
    try:
        told = _loaded(data)
        _check_file(stretch, n_bytes, told.node)
        batches = work(told.pipeline, stretch)
        while True:
            try:
                outcomes = next(batches)
            except StopIteration as stop:
                yield "end", stop.value, None
                return
            yield "batch", len(outcomes), dumped(told.answer(told.pipeline, outcomes))
    except (GeneratorExit, SystemExit):
        raise
    except BaseException as error:  # a panic of a Rust library is no Exception
        yield failure(error)


@lru_cache(maxsize=1)
def _loaded(data: bytes) -> _Told:
    """The pipeline, once for each process.

    Raises:
        InputError: this machine has not the working directory.
        UsageError: it has other versions.
    """
    os.environ.update(THREADS)
    told: _Told = pickle.loads(data)  # what our own process has made
    here = platform.node()
    try:
        os.chdir(told.folder)
    except OSError as error:
        raise InputError(
            f"the machine {here!r} has no folder {told.folder!r}, where the build was started; all machines of the "
            "cluster must see the same files under the same names"
        ) from error
    mine = _versions()
    other = [f"{name} {mine[name]} and not {one}" for name, one in told.versions.items() if mine[name] != one]
    if other:
        raise UsageError(
            f"the machine {here!r} has {', '.join(other)}, so its rows could differ; install the same on all machines"
        )
    gc.set_threshold(*told.thresholds)
    return told


def _versions() -> dict[str, str | None]:
    return {"qwen_sft": __version__, **versions()}


def _check_file(stretch: Stretch, n_bytes: int | None, node: str) -> None:
    """Stops where another machine has another file under that name.

    Raises:
        InputError: it has one, or none.
    """
    here = platform.node()
    if stretch.path is None or here == node:
        return
    found = stretch.path.stat().st_size if stretch.path.is_file() else None
    if found != n_bytes:
        has = "no such file" if found is None else f"{found:,} bytes of it"
        raise InputError(
            f"the machine {here!r} has {has} where {node!r} has {n_bytes:,} bytes of {stretch.name!r}; all machines of "
            "the cluster must see the same files under the same names"
        )
