"""Processes that work on the stretches of some inputs at the same time; what they give comes out in order.

Each is a Python of its own that gets the pipeline, as its settings, and then one stretch after the other: it reads the
lines itself. Its answers go through a pipe, a batch at a time. Who waits for a turn holds a few batches at most, so
memory does not grow with the input.
"""

import contextlib
import gc
import io
import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from itertools import islice
from operator import attrgetter
from typing import IO, Any

from qwen_sft.errors import InputError, ModelError, OutputError, QwenSftError, UsageError, WorkerError
from qwen_sft.ingesting.ingest import Input, records
from qwen_sft.ingesting.stretches import Reading, Stretch, closed, cut, is_cut, total_bytes, whole
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.record import Record
from qwen_sft.settings import Settings

MOST_JOBS = 8
"""Processes that `auto` starts at most: more wait for the one that writes."""

MUCH = 64_000_000
"""Bytes from which `auto` starts more than one."""

AHEAD = 2
"""Stretches for each process that may be done before their turn."""

THREADS = {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}
"""What keeps a process to one core, in its environment."""

_JOINED = 4  # stretches that are read together where a record does not end; then the rest of the input is
_HELD = 4  # batches of a stretch that wait for their turn
_BATCH = (512, 1_000_000)  # records and bytes
_ERRORS = {one.__name__: one for one in (InputError, ModelError, OutputError, UsageError)}

Answer = Callable[[Pipeline, Sequence[Outcome]], Any]
"""What a worker makes of a batch of outcomes, for its way through the pipe: a function at the top of a module."""


def jobs_of(settings: Settings, inputs: Sequence[Input]) -> int:
    """How many processes are to work. `auto`: one for each core, where it takes longer than starting them.

    A process needs two seconds and some hundred megabytes to start, most of it for the tokenizer.
    """
    if settings.jobs != "auto":
        return settings.jobs
    is_much = total_bytes(inputs) >= MUCH
    return max(1, min(MOST_JOBS, n_cores(), _n_pieces(inputs))) if is_much else 1


def is_alone(settings: Settings, jobs: int) -> bool:
    """True if this process does all of the work."""
    return settings.engine == "local" and jobs == 1


def n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _n_pieces(inputs: Sequence[Input]) -> int:
    """How many processes find something to do, as far as it shows: a file that cannot be cut gives work to one."""
    return sum(MOST_JOBS if is_cut(source) else 1 for source in inputs)


# -- the pieces of a run ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """How far a run has come.

    Attributes:
        number: of the input.
        start, line: the byte of it where the stretch begins that is worked on, and how many lines stand before that.
        n_before: values that were read before that byte.
        n_done: records of the stretch that are done.
    """

    number: int = 0
    start: int = 0
    line: int = 0
    n_before: int = 0
    n_done: int = 0


class Plan:
    """The stretches of some inputs, in order.

    Args:
        at: where to begin.
        read: gives the records of an input that only this process has.
    """

    def __init__(
        self,
        inputs: Sequence[Input],
        pipeline: Pipeline,
        at: Place = Place(),
        read: Callable[[Input], Iterator[Record]] = records,
    ) -> None:
        self.inputs, self.at, self.read = inputs, at, read
        self._pipeline = pipeline
        self._uncut = set[int]()

    def stretches(self) -> Iterator[Stretch]:
        """One after the other; files are opened when it is their turn."""
        for number in range(self.at.number, len(self.inputs)):
            source = self.inputs[number]
            at = self.at if number == self.at.number else Place(number)
            if is_cut(source) and not self._pipeline.settings.dedup_prefixes:
                wanted = self._wanting(number)
                told = (at.start, at.line, at.n_done)
                yield from cut(source, number, *told, wanted=wanted, apart=self._pipeline.apart)
            else:
                yield whole(source, number, skip=at.n_done)

    def _wanting(self, number: int) -> Callable[[], bool]:
        return lambda: number not in self._uncut

    def is_here(self, stretch: Stretch) -> bool:
        """True if no other process can read it."""
        return stretch.path is None and stretch.url is None

    def uncut(self, stretch: Stretch, n_done: int) -> Stretch:
        """What is left of a stretch's input, as one piece that begins with it, after so many of its records."""
        self._uncut.add(stretch.number)
        source = self.inputs[stretch.number]
        end = stretch.end if source.path is None else source.path.stat().st_size
        told = (stretch.number, stretch.name, stretch.path, stretch.url, stretch.hashed)
        return Stretch(*told, stretch.start, end, stretch.line, True, n_done)


@dataclass(slots=True)
class End:
    """What is known when a stretch is done.

    Attributes:
        n_records: values that were read.
        is_open: whether its last record goes on behind it, and was left out.
        read: the input, where it was read whole.
    """

    n_records: int
    is_open: bool
    read: Input | None


def work(
    pipeline: Pipeline, stretch: Stretch, read: Callable[[Input], Iterator[Record]] = records
) -> Generator[list[Outcome], None, End]:
    """The outcomes of a stretch, a batch at a time."""
    reading = Reading(stretch, read)
    batch: list[Record] = []
    size = 0
    for record in islice(closed(reading, pipeline.whole), stretch.skip, None):
        batch.append(record)
        size += len(record.raw)
        if len(batch) >= _BATCH[0] or size >= _BATCH[1]:
            yield pipeline.process(batch)
            batch, size = [], 0
    if batch:
        yield pipeline.process(batch)
    return End(reading.n_records, reading.is_open, reading.source if stretch.end is None else None)


def worked(plan: Plan, pipeline: Pipeline, jobs: int, answer: Answer) -> Generator[tuple[Stretch, Any, End | None]]:
    """What is made of all stretches, in order: for each its batches, then its End with None for a batch.

    Raises:
        InputError: an input cannot be opened.
        WorkerError: a process was ended by somebody else.
        UsageError, ServerError: there is no Ray, or no cluster where the settings name one.
    """
    if is_alone(pipeline.settings, jobs):
        yield from _joined(plan, pipeline, answer, _alone(plan, pipeline, answer))
        return
    if pipeline.settings.engine == "ray":
        from qwen_sft.running.cluster import Cluster

        makes = Cluster(pipeline, answer)
    else:
        makes = Crew(pipeline, answer, jobs)
    with makes as crew:
        yield from _joined(plan, pipeline, answer, crew.results(plan))


def _alone(plan: Plan, pipeline: Pipeline, answer: Answer) -> Iterator[tuple[Stretch, Iterator[Any]]]:
    """Each stretch in order, and what is made of it here, when it is asked for."""
    for stretch in plan.stretches():
        yield stretch, worked_here(plan, pipeline, answer, stretch)


def worked_here(plan: Plan, pipeline: Pipeline, answer: Answer, stretch: Stretch) -> Iterator[Any]:
    """What is made of a stretch in this process: pairs of a number of outcomes and an answer, then the End."""
    batches = work(pipeline, stretch, plan.read)
    while True:
        try:
            outcomes = next(batches)
        except StopIteration as stop:
            yield stop.value
            return
        yield len(outcomes), answer(pipeline, outcomes)


def _joined(
    plan: Plan, pipeline: Pipeline, answer: Answer, results: Iterator[tuple[Stretch, Iterator[Any]]]
) -> Generator[tuple[Stretch, Any, End | None]]:
    """The results in order. A stretch whose last record goes on behind it is read once more, from there, with the next
    one; after some that do not end, with all that is left of its input."""
    left = set[int]()
    for first, batches in results:
        if first.number in left:
            continue
        stretch, n_joined = first, 0
        while True:
            n_done, end = stretch.skip, None
            for batch in batches:
                if isinstance(batch, End):
                    end = batch
                else:
                    n_outcomes, made = batch
                    n_done += n_outcomes
                    yield stretch, made, None
            assert end is not None
            if not end.is_open:
                yield stretch, None, _told(plan, stretch, end)
                break
            n_joined += 1
            if n_joined < _JOINED:
                following, _ = next(results)
                stretch = replace(stretch, end=following.end, is_last=following.is_last, skip=n_done)
            else:
                stretch = plan.uncut(stretch, n_done)
                left.add(stretch.number)
            batches = worked_here(plan, pipeline, answer, stretch)


def _told(plan: Plan, stretch: Stretch, end: End) -> End:
    """Tells the input what reading the whole of it has told."""
    source = plan.inputs[stretch.number]
    if end.read is not None:
        source.n_bytes = end.read.n_bytes or source.n_bytes
        source.sha256 = end.read.sha256
        source.skipped = end.read.skipped
    return end


# -- in this process --------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Task:
    """A stretch with the answers to it that were not asked for yet."""

    stretch: Stretch
    is_here: bool = False
    answers: "queue.Queue[Any]" = field(default_factory=lambda: queue.Queue[Any](_HELD))


class _Stopped(Exception):
    """Nobody wants what a process makes."""


class Crew:
    """Processes at work; leaving it ends them, whatever they do.

    Args:
        answer: what they make of a batch.
    """

    def __init__(self, pipeline: Pipeline, answer: Answer, jobs: int) -> None:
        self._told = pickle.dumps((pipeline, answer, gc.get_threshold()), protocol=5)
        self._pipeline, self._answer = pipeline, answer
        self._jobs = jobs
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._room = threading.Semaphore(jobs * AHEAD + 1)
        self._order: queue.Queue[_Task | BaseException | None] = queue.Queue()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        for thread in self._threads:
            thread.join()
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()

    def results(self, plan: Plan) -> Iterator[tuple[Stretch, Iterator[Any]]]:
        """Each stretch in order, and what was made of it: pairs of a number of outcomes and an answer, then its End."""
        stretches = plan.stretches()
        for _ in range(self._jobs):
            process = _started()
            self._processes.append(process)
            thread = threading.Thread(target=self._drive, args=(process, stretches, plan), daemon=True)
            self._threads.append(thread)
            thread.start()
        while (task := self._order.get()) is not None:
            if isinstance(task, BaseException):
                raise task
            here = task.is_here
            answers = worked_here(plan, self._pipeline, self._answer, task.stretch) if here else self._answers(task)
            yield task.stretch, answers
            for _ in answers:  # what nobody asked for must not wait for ever
                pass
            self._room.release()

    def _answers(self, task: _Task) -> Iterator[Any]:
        while True:
            one = task.answers.get()
            if isinstance(one, BaseException):
                raise one
            if isinstance(one, End):
                yield one
                return
            n_outcomes, data = one
            yield n_outcomes, pickle.loads(data)  # what our own process has made

    # -- in the thread of each process

    def _drive(self, process: "subprocess.Popen[bytes]", stretches: Iterator[Stretch], plan: Plan) -> None:
        """Gives a process one stretch after the other."""
        task: _Task | None = None
        try:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it may have said why
                _send(process.stdin, self._told)
            while (task := self._next(stretches, plan)) is not None:
                with contextlib.suppress(BrokenPipeError):
                    _send(process.stdin, pickle.dumps(task.stretch, protocol=5))
                while not self._took(task, process.stdout):
                    pass
                task = None
        except _Stopped:
            pass
        except (EOFError, OSError):
            if not self._stopped.is_set():
                self._fail(task, _gone(process, task))
        except BaseException as error:  # it is raised where the answers are asked for
            self._fail(task, error)

    def _next(self, stretches: Iterator[Stretch], plan: Plan) -> _Task | None:
        while True:
            while not self._room.acquire(timeout=0.2):
                if self._stopped.is_set():
                    raise _Stopped
            with self._lock:
                try:
                    stretch = None if self._stopped.is_set() else next(stretches, None)
                except BaseException as error:
                    self._order.put(error)
                    raise _Stopped from error
                task = None if stretch is None else _Task(stretch, plan.is_here(stretch))
                self._order.put(task)
            if task is None or not task.is_here:
                return task

    def _took(self, task: _Task, answers: IO[bytes]) -> bool:
        """Hands an answer on; True if it was the last one to its stretch."""
        kind, told, notes = pickle.loads(_receive(answers))  # what our own process has made
        if kind == "batch":
            self._put(task, (told, _receive(answers)))
            return False
        if kind == "end":
            self._put(task, told)
            return True
        self._put(task, raised(kind, told, notes, task.stretch))
        raise _Stopped

    def _put(self, task: _Task, one: Any) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                task.answers.put(one, timeout=0.2)
                return
        raise _Stopped

    def _fail(self, task: _Task | None, error: BaseException) -> None:
        if task is None:
            self._order.put(error)
        else:
            with contextlib.suppress(_Stopped):
                self._put(task, error)


def _started() -> "subprocess.Popen[bytes]":
    """A process that waits for its pipeline. It runs nothing of the program that started it, whatever that is.

    It is in a group of its own: Ctrl-C is for us, and we end it.
    """
    begin = f"import sys; sys.path[:] = {sys.path!r}; from qwen_sft.running.workers import serve; serve()"
    return subprocess.Popen(
        [sys.executable, "-c", begin],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **THREADS},
        start_new_session=True,
    )


def _gone(process: "subprocess.Popen[bytes]", task: _Task | None) -> WorkerError:
    code = process.wait()
    how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
    if code == -9:
        how += ", as a system does that is out of memory"
    where = f" at {task.stretch.place}" if task is not None else " before it began"
    return WorkerError(f"a process that {how}{where} left its work undone; run again, with fewer --jobs if need be")


def raised(kind: str, says: str, notes: Sequence[str], stretch: Stretch) -> BaseException:
    """The exception that a process says has stopped it at a stretch (see `failure`)."""
    if kind in _ERRORS:
        return _ERRORS[kind](says)
    error = RuntimeError(f"a process crashed at {stretch.place}:\n{says}")
    for note in notes:
        error.add_note(note)
    return error


# -- in the other process ---------------------------------------------------------------------------------------------


def serve() -> None:
    """Works for the process that started this one, until it says no more."""
    told, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints does not get between the answers
    try:
        _serve(told, answers)
    except (EOFError, BrokenPipeError):
        os._exit(0)  # it has gone, or has what it wants
    except BaseException as error:  # a panic of a Rust library is no Exception
        _send(answers, pickle.dumps(failure(error)))


def failure(error: BaseException) -> tuple[str, str, list[str]]:
    """What stopped a process, in words, for `raised`: its kind, or "crash"; what it says; notes on it."""
    if isinstance(error, QwenSftError):
        return type(error).__name__, str(error), []
    return "crash", "".join(traceback.format_exception(error)), list(getattr(error, "__notes__", ()))


def _serve(told: IO[bytes], answers: IO[bytes]) -> None:
    pipeline, answer, thresholds = pickle.loads(_receive(told))  # what our own process has made
    gc.set_threshold(*thresholds)
    while True:
        stretch: Stretch = pickle.loads(_receive(told))  # the same
        batches = work(pipeline, stretch)
        while True:
            try:
                outcomes = next(batches)
            except StopIteration as stop:
                _send(answers, pickle.dumps(("end", stop.value, ()), protocol=5))
                break
            data = dumped(answer(pipeline, outcomes))
            _send(answers, pickle.dumps(("batch", len(outcomes), ()), protocol=5))
            _send(answers, data)


class _Reducers(dict[type, Callable[[Any], Any]]):
    """For each dataclass what tells pickle how to make one again: by its fields, at a third of the time."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        names = _names(kind)
        if not names:
            raise KeyError(kind)
        values: Callable[[Any], Any] = attrgetter(*names)
        several = len(names) > 1
        made: Callable[[Any], Any] = lambda one: (kind, values(one) if several else (values(one),))  # noqa: E731
        self[kind] = made
        return made


@cache
def _names(kind: type) -> list[str]:
    """The fields that make a dataclass; none for what is left to pickle."""
    made = fields(kind) if is_dataclass(kind) else ()
    return [one.name for one in made] if all(one.init for one in made) else []


_REDUCERS = _Reducers()


def dumped(value: Any) -> bytes:
    """A value as bytes that `pickle.loads` reads."""
    told = io.BytesIO()
    pickler = pickle.Pickler(told, protocol=5)
    pickler.dispatch_table = _REDUCERS
    numpy = sys.modules.get("numpy")
    if numpy is not None and numpy.ndarray not in _REDUCERS:
        _REDUCERS[numpy.ndarray] = _flat
    pickler.dump(value)
    return told.getvalue()


def _flat(array: Any) -> Any:
    """An array of one dimension by its bytes."""
    import numpy as np

    return np.frombuffer, (array.tobytes(), array.dtype.char)


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(8, "little"))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    """What was sent.

    Raises:
        EOFError: the other side has gone.
    """
    head = pipe.read(8)
    n_bytes = int.from_bytes(head, "little")
    data = pipe.read(n_bytes) if len(head) == 8 else b""
    if len(head) < 8 or len(data) < n_bytes:
        raise EOFError
    return data
