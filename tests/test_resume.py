"""A build that is stopped goes on to the same bytes; what differs is refused, with the difference named."""

import errno
import gzip
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from killing import BASE, VARIANTS, content, corpus

import qwen_sft.building.build as building
import qwen_sft.ingesting.stretches as stretches
from qwen_sft.building.build import build
from qwen_sft.building.journal import JOURNAL, alone_in, left_in, packed, unpacked
from qwen_sft.errors import OutputError
from qwen_sft.ingesting.ingest import expand
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.running.gate import Fold, Gate
from qwen_sft.settings import Settings
from qwen_sft.writer import writers

N_POINTS = int(os.environ.get("QWEN_SFT_KILLS", "0"))
KILLING = Path(__file__).with_name("killing.py")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "LENGTH", 3_000)
    monkeypatch.setattr(building, "_PENDING_ROWS", 4)


def killed(folder: Path, variant: str, *, seed: int, points: int, jobs: int = 1) -> dict[str, Any]:
    command = [sys.executable, str(KILLING), str(folder), variant, str(seed), str(points), str(jobs)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_build_that_is_killed_and_goes_on_gives_the_bytes_of_one_that_was_not(tmp_path: Path):
    found = killed(tmp_path, "parquet", seed=7, points=8)
    assert found["wrong"] == []
    assert found["n_gone_on"] >= 5
    assert found["n_shards"] > 10


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("variant", VARIANTS)
def test_it_does_so_with_every_writer_and_way_to_curate(tmp_path: Path, variant: str, jobs: int):
    found = killed(tmp_path, variant, seed=jobs, points=N_POINTS or (8 if jobs == 1 else 3), jobs=jobs)
    assert found["wrong"] == []
    if jobs == 1 and variant != "one file":  # with several processes chance decides how far one was when it was killed
        assert found["n_gone_on"] > 0


# -- stopped in this process ------------------------------------------------------------------------------------------


class Stop(Exception):
    pass


def stopped_after(n: int, error: BaseException) -> Any:
    left = iter(range(n))

    def each(_: Outcome) -> None:
        if next(left, None) is None:
            raise error

    return each


def run(paths: list[str], out: Path, settings: Settings = BASE, **more: Any) -> dict[str, Any]:
    return build(paths, settings, out, writers()[settings.writer], **more)[0]


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[tuple[list[str], Path]]:
    """The inputs of a build that was stopped by Ctrl-C after fifty records, and its folder."""
    paths, said = corpus(tmp_path), list[str]()
    with pytest.raises(KeyboardInterrupt):
        run(paths, tmp_path / "out", each=stopped_after(50, KeyboardInterrupt()), left=said.append)
    (says,) = said
    assert says.startswith("stopped; ")
    assert says.endswith("the same command goes on there, with --force it starts anew")
    yield paths, tmp_path / "out"


def test_ctrl_c_leaves_shards_from_which_the_same_build_goes_on(begun: tuple[list[str], Path], tmp_path: Path):
    paths, out = begun
    left = left_in(out)
    assert left is not None
    assert not (out / "manifest.json").exists()
    before = {name: data for name, data in content(out).items() if name.startswith("data/")}
    whole = {one["file"]: one["n_bytes"] for one in left.last["files"]}
    assert {name: len(before[name]) for name in whole} == whole
    seen: list[int] = []
    again: list[int] = []

    def each(outcome: Outcome) -> None:
        seen.append(outcome.record.where.line)

    def told(fold: Fold) -> None:
        again.append(fold.totals.n_records)

    run(paths, out, each=each, again=told)
    manifest = run(paths, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")
    assert sum(again) == left.last["n_records"] > 20
    assert sum(again) + len(seen) == manifest["records"]["read"]


def test_a_gate_judges_what_an_earlier_run_has_seen(begun: tuple[list[str], Path]):
    paths, out = begun
    settings = replace(BASE, fail_on="error")
    pipeline = Pipeline(settings)
    codes: list[int] = []
    for folder in (out, out.parent / "other"):
        gate = Gate(pipeline, expand(paths))
        folds: list[Fold] = []

        def again(fold: Fold, gate: Gate = gate, folds: list[Fold] = folds) -> None:
            folds.append(fold)
            gate.judge_all(fold)

        told = {"each": lambda o, gate=gate: gate.judge(o), "again": again}  # pyright: ignore
        _, totals = build(paths, BASE, folder, writers()["parquet"], **told)  # pyright: ignore
        codes.append(gate.close(totals))
        assert bool(folds) is (folder == out)
    assert codes == [1, 1]


def test_force_starts_anew(begun: tuple[list[str], Path], tmp_path: Path):
    paths, out = begun
    again: list[Fold] = []
    run(paths, out, force=True, again=again.append)
    run(paths, tmp_path / "other")
    assert again == []
    assert content(out) == content(tmp_path / "other")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (replace(BASE, max_length=4096), "settings max_length was null and is 4096"),
        (replace(BASE, writer="hf"), 'settings writer was "parquet" and is "hf"'),
        (replace(BASE, split={"a": 0.5, "b": 0.5}), "settings split a was null and is 0.5; settings split b was null"),
    ],
)
def test_other_settings_are_refused(begun: tuple[list[str], Path], settings: Settings, says: str):
    paths, out = begun
    before = content(out)
    with pytest.raises(OutputError, match=f"out' holds the beginning of another build: {says}.* anew with --force"):
        run(paths, out, settings)
    assert content(out) == before


def test_the_number_of_processes_may_change(begun: tuple[list[str], Path], tmp_path: Path):
    paths, out = begun
    run(paths, out, replace(BASE, jobs=2))
    run(paths, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")


def test_another_version_is_refused(begun: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch):
    paths, out = begun
    monkeypatch.setattr(building, "__version__", "9.9")
    with pytest.raises(OutputError, match=r'another build: qwen_sft was ".*" and is "9.9"; ask for the same'):
        run(paths, out)


def test_other_inputs_are_refused(begun: tuple[list[str], Path]):
    paths, out = begun
    with pytest.raises(OutputError, match=r"another build: inputs .*e.jsonl was \{.*\} and is null"):
        run(paths[:-1], out)
    with pytest.raises(OutputError, match=r"another order, '.*b.json' where '.*a.jsonl' was; ask for"):
        run([*paths[1:], paths[0]], out)
    last = Path(paths[-1])
    last.write_bytes(last.read_bytes() + b"\n")
    with pytest.raises(OutputError, match=r"inputs .*e.jsonl n_bytes was \d+ and is \d+; ask for the same"):
        run(paths, out)


def test_an_input_that_was_read_and_is_not_the_same_any_more_is_refused(begun: tuple[list[str], Path]):
    paths, out = begun
    first = Path(paths[0])
    data = first.read_bytes()
    first.write_bytes(data.replace(b"How much", b"How many"))
    with pytest.raises(OutputError, match=r"a.jsonl' has changed since '.*out' was begun with it; start anew"):
        run(paths, out)


def test_a_shard_that_was_touched_is_refused(begun: tuple[list[str], Path]):
    paths, out = begun
    shard = next((out / "data").glob(".train-00000.part"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(OutputError, match=r"train-00000.part' is not what was written there; start anew with --force"):
        run(paths, out)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.95, 0.999])
def test_a_journal_that_is_cut_off_counts_up_to_its_last_whole_line(
    begun: tuple[list[str], Path], tmp_path: Path, share: float
):
    paths, out = begun
    journal = (out / JOURNAL).read_bytes()
    (out / JOURNAL).write_bytes(journal[: int(len(journal) * share)])
    run(paths, out)
    run(paths, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")


def test_nothing_in_a_journal_is_run(tmp_path: Path):
    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "evil"),)

    for value in (Evil(), [Evil()], {"a": Settings, "b": build}):
        with pytest.raises(OutputError, match=r"holds what no build writes \(.* is no value of ours\); start anew"):
            unpacked(packed(value))
    with pytest.raises(OutputError, match="holds what no build writes"):
        unpacked("no pickle")
    assert not (tmp_path / "evil").exists()
    assert unpacked(packed(pickle.PROTO)) == pickle.PROTO


def test_a_second_build_in_the_folder_is_refused_and_a_dead_one_is_not_in_the_way(tmp_path: Path):
    paths, out = corpus(tmp_path), tmp_path / "out"

    def second(_: Outcome) -> None:
        with pytest.raises(OutputError, match=r"another build is at work in '.*out'; wait for it, or name another"):
            run(paths, out, force=True)
        raise Stop

    with pytest.raises(Stop):
        run(paths, out, each=second)
    held = "; ".join(
        [
            "import sys, time, pathlib, contextlib, qwen_sft.building.journal as journal",
            "stack = contextlib.ExitStack()",
            f"stack.enter_context(journal.alone_in(pathlib.Path({str(out)!r})))",
            "print('in', flush=True)",
            "time.sleep(60)",
        ]
    )
    with subprocess.Popen([sys.executable, "-c", held], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(OutputError, match="another build is at work"), alone_in(out):
            pass
        other.kill()
        other.wait()
    with alone_in(out):
        pass


def test_a_disk_that_is_full_stops_a_build_that_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths, said = corpus(tmp_path), list[str]()
    synced, left = os.fsync, iter(range(30))

    def full(file: int) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(file)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"cannot write to '.*out': No space left on device"):
            run(paths, tmp_path / "out", left=said.append)
    assert len(said) == 1
    run(paths, tmp_path / "out")
    run(paths, tmp_path / "other")
    assert content(tmp_path / "out") == content(tmp_path / "other")


LIMITED = """
import resource, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from killing import BASE, small
from dataclasses import replace
from qwen_sft.building.build import build
from qwen_sft.errors import OutputError
from qwen_sft.writer import writers
small()
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    build({paths!r}, BASE, Path({out!r}), writers()["parquet"], left=print)
except OutputError as error:
    print(error)
"""


def test_a_file_that_may_not_grow_stops_a_build_that_goes_on_when_it_may(tmp_path: Path):
    """The journal is the file that grows beyond the limit here: its last line is cut off."""
    paths, out = corpus(tmp_path), tmp_path / "out"
    code = LIMITED.format(root=str(KILLING.parent), paths=paths, out=str(out), limit=30_000)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = ran.stdout.splitlines()
    assert first.startswith("stopped; ")
    assert second == f"cannot write to {str(out)!r}: File too large"
    run(paths, out)
    run(paths, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")


def test_torn_inputs_are_gone_on_with_like_whole_ones(tmp_path: Path):
    """Lines and gzip streams that end half way: findings before and behind the place where it stopped."""
    paths, out = corpus(tmp_path), tmp_path / "out"
    whole = (tmp_path / "a.jsonl").read_bytes()
    told = gzip.compress(whole, mtime=0)
    for name, data in (("0.jsonl", whole[:-30]), ("0.jsonl.gz", told[: len(told) // 2]), ("z.jsonl.gz", told[:-9])):
        (tmp_path / name).write_bytes(data)
    paths = [str(tmp_path / "0.jsonl"), str(tmp_path / "0.jsonl.gz"), *paths, str(tmp_path / "z.jsonl.gz")]
    for n in (60, 90):
        with pytest.raises(Stop):
            run(paths, out, each=stopped_after(n, Stop()))
    manifest = run(paths, out)
    assert manifest == run(paths, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")
    torn = [json.loads(line)["file"] for line in (out / "rejects.jsonl").read_bytes().splitlines()]
    assert {str(tmp_path / "0.jsonl"), str(tmp_path / "0.jsonl.gz"), str(tmp_path / "z.jsonl.gz")} <= set(torn)


def test_a_finished_build_that_was_killed_while_it_tidied_up_is_finished(tmp_path: Path):
    paths, out = corpus(tmp_path)[:1], tmp_path / "out"
    run(paths, out)
    before = content(out)
    (out / "unfinished.json").write_text(json.dumps({"qwen_sft": "1", "files": []}))
    with pytest.raises(OutputError, match="is not empty"):
        run(paths, out)
    assert content(out) == before


@pytest.mark.parametrize("left", [["data"], [".unfinished.json.part"], ["data", "data/train"]])
def test_a_folder_that_was_being_cleared_is_as_good_as_empty(tmp_path: Path, left: list[str]):
    paths, out = corpus(tmp_path)[:1], tmp_path / "out"
    out.mkdir()
    for name in left:
        if name.startswith("data"):
            (out / name).mkdir()
        else:
            (out / name).write_text("")
    run(paths, out)
    run(paths, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")


def test_what_stands_in_the_folder_by_chance_is_left_alone(begun: tuple[list[str], Path]):
    paths, out = begun
    (out / "data" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds 'data/mine.txt', so no build goes on there; name another --out"):
        run(paths, out)
    assert (out / "data" / "mine.txt").read_text() == "mine"
