"""Several processes give what one gives, byte for byte, and say what they were at when something stops them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from killing import BASE, VARIANTS, content, corpus
from real import TRACES

import qwen_sft
import qwen_sft.building.build as building
import qwen_sft.ingesting.stretches as stretches
import qwen_sft.running.workers as workers
from qwen_sft.building.build import build
from qwen_sft.errors import InputError, UsageError, WorkerError
from qwen_sft.ingesting.ingest import Input, expand, records
from qwen_sft.ingesting.stretches import Reading, closed, cut
from qwen_sft.pipeline import Pipeline
from qwen_sft.reporter import Totals, finding_json
from qwen_sft.running.gate import Gate, folded, judged
from qwen_sft.running.workers import Plan, jobs_of, worked
from qwen_sft.settings import Settings
from qwen_sft.writer import writers

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "LENGTH", 3_000)
    monkeypatch.setattr(building, "_PENDING_ROWS", 4)


# -- where inputs are cut ---------------------------------------------------------------------------------------------


def test_stretches_of_a_file_are_its_lines_in_order(tmp_path: Path):
    (path,) = corpus(tmp_path)[:1]
    data = Path(path).read_bytes()
    (source,) = expand([path], hashed=True)
    found = list(cut(source, 0))
    assert [one.start for one in found] == [0, *(one.end for one in found[:-1])]
    assert found[-1].end == len(data)
    assert [one.line for one in found] == [data.count(b"\n", 0, one.start) for one in found]
    assert [one.is_last for one in found] == [False] * (len(found) - 1) + [True]
    assert all(data[one.start - 1 : one.start] == b"\n" for one in found[1:])
    assert len(found) > 5
    (whole,) = expand([path], hashed=True)
    expected = list(records(whole))
    assert [record for one in found for record in Reading(one)] == expected
    assert source.sha256 == whole.sha256
    again = list(cut(source, 0, start=found[3].start, line=found[3].line))
    assert again == found[3:]


@pytest.mark.parametrize(
    ("data", "n"),
    [
        (b"", 1),
        (b"\n" * 9000, 3),
        (b'{"a": "' + b"x" * 9000 + b'"}\n{"b": 1}\n', 2),
        (b"\xef\xbb\xbf" + b'{"a": 1}\r\n' * 900 + b'{"torn": ', 4),
        (b'{"a": 1}\n' * 1000, 3),
        (b'{"a": "' + b"y" * 20_000, 1),
    ],
    ids=["empty", "blank", "long line", "mark and carriage returns", "even", "no line end"],
)
def test_any_bytes_are_read_as_without_a_cut(tmp_path: Path, data: bytes, n: int):
    path = tmp_path / "x.jsonl"
    path.write_bytes(data)
    source = Input(str(path), path, hashed=True)
    found = list(cut(source, 0))
    assert len(found) == n
    assert [record for one in found for record in Reading(one)] == list(records(Input(str(path), path)))


def test_a_record_that_goes_on_behind_its_stretch_is_left_to_who_reads_on(tmp_path: Path):
    session = (ROOT / "examples/formats/claude_code/raw.jsonl").read_bytes().rstrip() + b"\n"
    path = tmp_path / "s.jsonl"
    path.write_bytes(session * 3)
    pipeline = Pipeline(Settings())
    first, *_ = cut(Input(str(path), path), 0)
    reading = Reading(first)
    assert [one.where.line for one in closed(reading, pipeline.whole)] == []
    assert reading.is_open


def sessions(folder: Path, *numbers: int, between: bytes = b"") -> Path:
    """Claude Code's example, once for each number, as a session of its own."""
    one = (ROOT / "examples/formats/claude_code/raw.jsonl").read_bytes().rstrip() + b"\n"
    path = folder / "sessions.jsonl"
    path.write_bytes(between.join(one.replace(b"5b0c0f5e", b"%08x" % number) for number in numbers))
    return path


def test_files_are_cut_between_sessions(tmp_path: Path):
    path = sessions(tmp_path, 1, 2, 3, 4, between=b"\n")
    pipeline = Pipeline(Settings())
    found = [Reading(one) for one in cut(Input(str(path), path), 0, apart=pipeline.apart)]
    made = [list(closed(one, pipeline.whole)) for one in found]
    assert [len(records) for records in made] == [1, 1, 1, 1]
    assert [one.is_open for one in found] == [False] * 4
    assert [*chain.from_iterable(made)] == list(pipeline.whole(records(Input(str(path), path))))


def test_a_session_that_goes_on_behind_other_lines_is_found_by_looking_behind_the_cut(tmp_path: Path):
    talk = (ROOT / "examples/clean.jsonl").read_bytes().splitlines()[0] + b"\n"
    path = sessions(tmp_path, 1, 1, 2, between=talk * 3)
    pipeline = Pipeline(Settings())
    found = [Reading(one) for one in cut(Input(str(path), path), 0, apart=pipeline.apart)]
    made = [[one.where.line for one in closed(reading, pipeline.whole)] for reading in found]
    assert [one.is_open for one in found] == [True, True, False]
    assert made == [[], [41, 42, 43], [84, 85, 86, 87]]
    alone, several = (findings([str(path)], Settings(), jobs) for jobs in (1, 2))
    assert several == alone
    assert several[1].n_records == 8


# -- the same as one --------------------------------------------------------------------------------------------------


def findings(paths: list[str], settings: Settings, jobs: int) -> tuple[list[Any], Totals, int]:
    pipeline = Pipeline(settings)
    inputs = expand(paths)
    gate, totals = Gate(pipeline, inputs), Totals(n_files=len(inputs))
    found = [finding_json(one) for one in judged(inputs, pipeline, gate, totals, jobs=jobs)]
    return found, totals, gate.close(totals)


REAL = [TRACES] if TRACES.is_dir() else []
GATES = {
    "structure": Settings(near_duplicates=True),
    "model": Settings(model="qwen3"),
    "prefixes": Settings(dedup_prefixes=True, limit=("TOL=3",)),
}


def of_some(names: Iterable[str], *always: tuple[str, int]) -> list[Any]:
    """Each name with two and with three processes: those always, the others where there is time."""
    return [
        pytest.param(name, jobs, marks=() if (name, jobs) in always else pytest.mark.slow)
        for name in names
        for jobs in (2, 3)
    ]


@pytest.mark.parametrize(("gate", "jobs"), of_some(GATES, ("structure", 3), ("model", 2)))
def test_findings_and_counts_are_those_of_one_process(tmp_path: Path, gate: str, jobs: int):
    paths = corpus(tmp_path)
    assert findings(paths, GATES[gate], jobs) == findings(paths, GATES[gate], 1)


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="no ../shared/data")
def test_findings_of_real_traces_are_those_of_one_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stretches, "LENGTH", 100_000)
    paths = [str(TRACES)]
    assert findings(paths, Settings(near_duplicates=True), 2) == findings(paths, Settings(near_duplicates=True), 1)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], tuple[list[str], dict[str, bytes]]]]:
    folder = tmp_path_factory.mktemp("alone")
    paths = corpus(folder)

    @cache
    def made(variant: str) -> tuple[list[str], dict[str, bytes]]:
        settings = replace(VARIANTS[variant], jobs=1)
        out = folder / variant
        build(paths, settings, out, writers()[settings.writer])
        return paths, content(out)

    yield made


@pytest.mark.parametrize(("variant", "jobs"), of_some(VARIANTS, ("parquet", 3), ("packed and drawn", 2)))
def test_a_set_is_built_to_the_bytes_of_one_process(tmp_path: Path, alone: Any, variant: str, jobs: int):
    paths, expected = alone(variant)
    settings = replace(VARIANTS[variant], jobs=jobs)
    build(paths, settings, tmp_path / "out", writers()[settings.writer])
    assert content(tmp_path / "out") == expected
    assert b'"jobs"' not in expected["manifest.json"]


@pytest.mark.slow
@pytest.mark.parametrize("writer", writers())
def test_every_writer_gives_the_bytes_of_one_process(tmp_path: Path, writer: str):
    paths = corpus(tmp_path)
    made: list[dict[str, bytes]] = []
    for jobs in (1, 2):
        settings = replace(BASE, writer=writer, rewritten_history="last", jobs=jobs)
        build(paths, settings, tmp_path / str(jobs), writers()[writer])
        made.append(content(tmp_path / str(jobs)))
    assert made[0] == made[1]


@pytest.mark.slow
def test_real_traces_are_built_to_the_bytes_of_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if not REAL:
        pytest.skip("no ../shared/data")
    monkeypatch.setattr(stretches, "LENGTH", 100_000)
    paths = [str(TRACES / "tau-bench"), str(TRACES / "claude-code-spotter"), str(TRACES / "pydantic-ai")]
    made: list[dict[str, bytes]] = []
    for jobs in (1, 2):
        settings = replace(BASE, jobs=jobs, shard_size=500_000)
        build(paths, settings, tmp_path / str(jobs), writers()["parquet"])
        made.append(content(tmp_path / str(jobs)))
    assert made[0] == made[1]
    assert len(made[0]) > 8


def test_records_in_memory_are_worked_on_here(tmp_path: Path):
    rows = [json.loads(line) for line in (ROOT / "examples/clean.jsonl").read_text().splitlines()]
    assert qwen_sft.validate(rows, jobs=2).totals == qwen_sft.validate(rows, jobs=1).totals
    built = qwen_sft.build(rows, tmp_path / "out", model="qwen3", jobs=2)
    assert built.manifest["records"] == {"read": len(rows), "written": len(rows), "rejected": 0}


# -- what stops them --------------------------------------------------------------------------------------------------


def fails(_: Pipeline, __: Any) -> Any:
    """An answer that a worker dies of, by its own hand."""
    os.kill(os.getpid(), signal.SIGKILL)


def crashes(_: Pipeline, batch: Any) -> Any:
    error = KeyError("of ours")
    error.add_note(f"at {batch[0].record.where.file}:{batch[0].record.where.line}")
    raise error


def started_by(parent: int) -> list[int]:
    """The processes that another one has started to work for it, and that are still there."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            is_ours = path.read_text().rpartition(")")[2].split()[1] == str(parent)
            if is_ours and "qwen_sft.running.workers" in (path.parent / "cmdline").read_text():
                found.append(int(path.parent.name))
    return found


def left_alive() -> list[int]:
    return started_by(os.getpid())


def test_a_process_that_is_killed_is_told_with_the_place_where_it_was(tmp_path: Path):
    pipeline, inputs = Pipeline(Settings()), expand(corpus(tmp_path)[:1])
    says = (
        r"was killed by signal 9, as a system does that is out of memory at .*a.jsonl:1, bytes 0 to 3,\d+ left its work"
    )
    with pytest.raises(WorkerError, match=says):
        list(worked(Plan(inputs, pipeline), pipeline, 2, fails))
    assert left_alive() == []


def test_a_crash_in_a_process_is_told_with_its_record(tmp_path: Path):
    pipeline, inputs = Pipeline(Settings()), expand(corpus(tmp_path)[:1])
    with pytest.raises(
        RuntimeError, match=r"(?s)a process crashed at .*a.jsonl:1, bytes .*KeyError: 'of ours'"
    ) as caught:
        list(worked(Plan(inputs, pipeline), pipeline, 2, crashes))
    assert caught.value.__notes__ == [f"at {inputs[0].name}:1"]
    assert left_alive() == []


def test_an_input_that_cannot_be_read_stops_all(tmp_path: Path):
    paths = corpus(tmp_path)
    torn = tmp_path / "no.parquet"
    torn.write_bytes(b"nothing")
    pipeline = Pipeline(Settings())
    with pytest.raises(InputError, match=r"no\.parquet"):
        list(worked(Plan(expand([str(torn), *paths[1:]]), pipeline), pipeline, 2, folded))
    assert left_alive() == []


def test_what_is_asked_for_no_more_does_not_go_on(tmp_path: Path):
    pipeline, inputs = Pipeline(Settings()), expand(corpus(tmp_path))
    some = worked(Plan(inputs, pipeline), pipeline, 2, folded)
    next(some)
    some.close()
    assert left_alive() == []


def test_ctrl_c_ends_all_processes_and_leaves_what_can_be_gone_on_with(tmp_path: Path):
    path, out = tmp_path / "many.jsonl", tmp_path / "out"
    line = (ROOT / "examples/clean.jsonl").read_bytes()
    path.write_bytes(line * 4000)
    command = [
        sys.executable,
        "-c",
        "from qwen_sft.cli import main; main()",
        "build",
        str(path),
        "--model",
        "qwen3",
        "--jobs",
        "2",
    ]
    command += ["--out", str(out), "--shard-size", "1MB"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as ran:
        for _ in range(3000):
            if (out / "journal.jsonl").is_file() and (out / "journal.jsonl").read_bytes().count(b"\n") > 1:
                break
            time.sleep(0.1)
        workers = started_by(ran.pid)
        ran.send_signal(signal.SIGINT)
        _, says = ran.communicate()
    assert ran.returncode == 130
    assert len(workers) == 2
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert "records are done and stay in" in says
    assert not (out / "manifest.json").exists()


# -- how many ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", [0, -1, "many", True, 1.5])
def test_a_number_that_is_none_is_refused(jobs: Any):
    with pytest.raises(UsageError, match="jobs"):
        qwen_sft.validate([], jobs=jobs)


def test_auto_is_one_for_little_and_the_cores_for_much(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(workers, "n_cores", lambda: 4)
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"\n" * 10_000)
    big = Input(str(path), path, n_bytes=1 << 30)
    few = [Input("a.json.gz", tmp_path / "a.json.gz", n_bytes=1 << 30)]
    assert jobs_of(Settings(), [Input(str(path), path, n_bytes=10_000)]) == 1
    assert jobs_of(Settings(), [big]) == 4
    assert jobs_of(Settings(), few) == 1
    assert jobs_of(Settings(), few * 3) == 3
    assert jobs_of(Settings(jobs=7), few) == 7
    monkeypatch.setattr(workers, "n_cores", lambda: 64)
    assert jobs_of(Settings(), [big]) == workers.MOST_JOBS


def test_a_program_without_a_guard_is_not_run_again(tmp_path: Path):
    """Each process is a Python of its own that imports nothing of the program that started it."""
    (tmp_path / "x.jsonl").write_bytes((ROOT / "examples/clean.jsonl").read_bytes())
    program = tmp_path / "program.py"
    program.write_text("print('once')\nimport qwen_sft\nprint(qwen_sft.validate('x.jsonl', jobs=2).totals.n_records)\n")
    ran = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == ["once", str((tmp_path / "x.jsonl").read_bytes().count(b"\n"))]
