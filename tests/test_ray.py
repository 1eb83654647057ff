"""A Ray cluster gives what one process gives, byte for byte, whatever becomes of its processes and machines.

The tests that start a Ray are slow. They need the extra `ray`, which `make test-slow` installs.
"""

import json
import os
import pickle
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command import Ran
from killing import BASE, VARIANTS, content, corpus
from test_jobs import crashes, fails, findings

import qwen_sft
import qwen_sft.building.build as building
import qwen_sft.ingesting.stretches as stretches
import qwen_sft.running.cluster as cluster
from qwen_sft.building.build import build
from qwen_sft.errors import InputError, UsageError, WorkerError
from qwen_sft.ingesting.ingest import expand
from qwen_sft.ingesting.stretches import Stretch
from qwen_sft.pipeline import Outcome, Pipeline
from qwen_sft.running.gate import folded
from qwen_sft.running.workers import Plan, worked
from qwen_sft.settings import Settings
from qwen_sft.writer import writers

ROOT = Path(__file__).parents[1]
MAIN = [sys.executable, "-c", "from qwen_sft.cli import main; main()"]
RAY = replace(BASE, engine="ray")
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="no ray (pip install 'qwen-sft[ray]')")


# -- what needs no Ray ------------------------------------------------------------------------------------------------


def test_without_the_extra_a_run_stops_and_says_how_to_install_it(
    run: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "ray", None)
    ran = run("validate", str(ROOT / "examples/clean.jsonl"), "--engine", "ray")
    assert ran == (
        2,
        "",
        "qwen-sft: engine 'ray' needs a package that is not installed: pip install 'qwen-sft[ray]'\n",
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"engine": "spark"}, "engine is 'spark'; it can be local, ray"),
        ({"engine": "ray", "address": ""}, "address is ''; name HOST:PORT of a Ray cluster, or 'auto'"),
    ],
)
def test_an_engine_or_address_that_is_none_is_refused(settings: Any, says: str):
    with pytest.raises(UsageError, match=says):
        Settings(**settings)


def test_an_address_is_for_ray_alone():
    command = [*MAIN, "validate", str(ROOT / "examples/clean.jsonl"), "--address", "auto"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    says = "qwen-sft: --address auto names a Ray cluster; join it with --engine ray\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", says)


def told(**other: Any) -> bytes:
    """What a process of Ray's is told, but for something."""
    given = {"pipeline": Pipeline(Settings()), "answer": folded, "thresholds": (700, 10, 10), "folder": str(Path.cwd())}
    versions = {"qwen_sft": qwen_sft.__version__, **cluster.versions()}
    return pickle.dumps(cluster._Told(**{**given, "node": platform.node(), "versions": versions, **other}))


def said(data: bytes, path: Path, n_bytes: int) -> tuple[str, Any, Any]:
    """What a process of Ray's says last of a file."""
    stretch = Stretch(0, path.name, path, end=path.stat().st_size if path.exists() else n_bytes)
    return list(cluster._serve(data, stretch, n_bytes))[-1]


def test_a_machine_with_other_versions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_bytes(b"{}\n")
    mine = cluster.versions()["numpy"]
    other = told(versions={"qwen_sft": qwen_sft.__version__, **cluster.versions(), "numpy": "1.0"})
    assert said(told(), tmp_path / "x.jsonl", 3)[0] == "end"
    assert said(other, tmp_path / "x.jsonl", 3) == (
        "UsageError",
        f"the machine {platform.node()!r} has numpy {mine} and not 1.0, so its rows could differ; install the same on "
        "all machines",
        [],
    )


def test_a_machine_that_does_not_see_the_same_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path, here = tmp_path / "x.jsonl", platform.node()
    path.write_bytes(b"{}\n")
    same = "; all machines of the cluster must see the same files under the same names"
    far = told(node="far")
    assert said(far, path, 3)[0] == "end"
    says = f"the machine {here!r} has 3 bytes of it where 'far' has 1,000 bytes of 'x.jsonl'{same}"
    assert said(far, path, 1000) == ("InputError", says, [])
    says = f"the machine {here!r} has no such file where 'far' has 3 bytes of 'y.jsonl'{same}"
    assert said(far, tmp_path / "y.jsonl", 3) == ("InputError", says, [])
    says = f"the machine {here!r} has no folder '/no/such', where the build was started{same}"
    assert said(told(folder="/no/such"), path, 3) == ("InputError", says, [])


# -- on a Ray of this machine -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here() -> Iterator[Any]:
    """A Ray of two processes, as a program has one that uses Ray for other things too."""
    import ray

    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join((str(ROOT), str(ROOT / "tests"))))
        patched.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield ray
        assert ray.is_initialized()  # a build does not end what it has not begun
        ray.shutdown()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "LENGTH", 3_000)
    monkeypatch.setattr(building, "_PENDING_ROWS", 4)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[list[str], dict[str, bytes]]]:
    """What one process makes of a variant, and of what; asked for where stretches are small."""
    folder = tmp_path_factory.mktemp("alone")
    paths = corpus(folder)

    @cache
    def made(variant: str) -> tuple[list[str], dict[str, bytes]]:
        settings = replace(VARIANTS[variant], jobs=1)
        build(paths, settings, folder / variant, writers()[settings.writer])
        return paths, content(folder / variant)

    return made


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("here", "small")
@pytest.mark.parametrize("variant", ["parquet", "packed and drawn", "json lines"])
def test_a_set_is_built_to_the_bytes_of_one_process(tmp_path: Path, alone: Any, variant: str):
    paths, expected = alone(variant)
    settings = replace(VARIANTS[variant], engine="ray")
    build(paths, settings, tmp_path / "out", writers()[settings.writer])
    assert content(tmp_path / "out") == expected
    assert b'"engine"' not in expected["manifest.json"]


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("here", "small")
def test_findings_and_counts_are_those_of_one_process(tmp_path: Path):
    paths = corpus(tmp_path)
    settings = Settings(near_duplicates=True)
    assert findings(paths, replace(settings, engine="ray"), 1) == findings(paths, settings, 1)


class Enough(Exception):
    """What stops a build in these tests."""


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("here", "small")
@pytest.mark.parametrize("begun_with", ["ray", "local"])
def test_what_one_engine_has_begun_the_other_goes_on_with(tmp_path: Path, alone: Any, begun_with: Any):
    paths, expected = alone("parquet")
    goes_on_with = "local" if begun_with == "ray" else "ray"
    n_seen = [0, 0]
    said: list[str] = []

    def stops(_: Outcome) -> None:
        n_seen[0] += 1
        if n_seen[0] == 60:
            raise Enough

    def counts(_: Outcome) -> None:
        n_seen[1] += 1

    out, writer = tmp_path / "out", writers()["parquet"]
    with pytest.raises(Enough):
        build(paths, replace(BASE, engine=begun_with), out, writer, each=stops, left=said.append)
    assert said[0].startswith("stopped; ")
    build(paths, replace(BASE, engine=goes_on_with), out, writer, each=counts)
    assert content(out) == expected
    n_records = json.loads(expected["manifest.json"])["records"]["read"]
    assert n_records - 60 <= n_seen[1] < n_records


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("here", "small")
def test_only_so_many_stretches_are_given_to_ray_at_once(tmp_path: Path):
    path = tmp_path / "many.jsonl"
    path.write_bytes((ROOT / "examples/clean.jsonl").read_bytes() * 50)
    pipeline = Pipeline(Settings(engine="ray"))
    plan = Plan(expand([str(path)]), pipeline)
    n_given = 0
    every = plan.stretches()

    def counted() -> Iterator[Stretch]:
        nonlocal n_given
        for stretch in every:
            n_given += 1
            yield stretch

    plan.stretches = counted
    n_given_at_end: list[int] = []
    for _, _, end in worked(plan, pipeline, 1, folded):
        if end is not None:
            n_given_at_end.append(n_given)
    assert len(n_given_at_end) > 20
    assert n_given_at_end == [min(n + 5, len(n_given_at_end)) for n in range(len(n_given_at_end))]


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("here", "small")
def test_what_goes_wrong_in_a_process_is_told_with_its_place(tmp_path: Path):
    pipeline, inputs = Pipeline(Settings(engine="ray")), expand(corpus(tmp_path)[:1])
    with pytest.raises(
        RuntimeError, match=r"(?s)a process crashed at .*a.jsonl:1, bytes .*KeyError: 'of ours'"
    ) as caught:
        list(worked(Plan(inputs, pipeline), pipeline, 1, crashes))
    assert caught.value.__notes__ == [f"at {inputs[0].name}:1"]
    one = tmp_path / "one.jsonl"
    one.write_bytes((ROOT / "examples/clean.jsonl").read_bytes().splitlines(keepends=True)[0])
    says = (
        r"Ray gave up .*one.jsonl: .* \(a piece is tried 4 times\); run again, where there is more memory if that was"
    )
    with pytest.raises(WorkerError, match=says):
        list(worked(Plan(expand([str(one)]), pipeline), pipeline, 1, fails))
    torn = tmp_path / "no.parquet"
    torn.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"no\.parquet"):
        list(worked(Plan(expand([str(torn)]), pipeline), pipeline, 1, folded))


# -- processes and machines that are lost -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Some stretches of real length, each of several batches, and what one process makes of them."""
    folder = tmp_path_factory.mktemp("many")
    line = (ROOT / "examples/clean.jsonl").read_bytes()
    path = folder / "many.jsonl"
    path.write_bytes(line * (12_000_000 // len(line)))
    build([str(path)], replace(BASE, jobs=1, shard_size=1_000_000), folder / "out", writers()["parquet"])
    return path, content(folder / "out")


def below(parent: int, named: str) -> list[int]:
    """The processes that another one has started, or one that it has started, and that have such a name."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            told = path.read_text().rpartition(")")[2].split()
            if told[0] != "Z":
                parents[int(path.parent.name)] = int(told[1])
                names[int(path.parent.name)] = (path.parent / "cmdline").read_text()
    found: list[int] = []
    for one, name in names.items():
        above = one
        while above in parents and above != parent:
            above = parents[above]
        if above == parent != one and named in name:
            found.append(one)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process works; one that has ended may wait for somebody to ask how."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waited_for(what: Callable[[], Any]) -> Any:
    """What something comes to, as soon as it is true."""
    for _ in range(1200):
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("waited for a minute")


@pytest.mark.slow
@needs_ray
@pytest.mark.usefixtures("here")
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_process_that_is_killed_changes_nothing(tmp_path: Path, many: Any):
    path, expected = many
    killed: list[int] = []

    def kills(_: Outcome) -> None:
        if not killed:
            killed.extend(waited_for(lambda: below(os.getpid(), "ray::qwen-sft")))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    build([str(path)], replace(RAY, shard_size=1_000_000), tmp_path / "out", writers()["parquet"], each=kills)
    assert killed
    assert content(tmp_path / "out") == expected


@pytest.mark.slow
@needs_ray
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_a_build_that_is_stopped_takes_its_ray_with_it_and_can_be_gone_on_with(
    tmp_path: Path, many: Any, by: signal.Signals
):
    path, expected = many
    out = tmp_path / "out"
    command = [*MAIN, "build", str(path), "--model", "qwen3", "--out", str(out), "--shard-size", "1MB"]
    told = [*command, "--engine", "ray", "--jobs", "2"]
    with subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
        waited_for(
            lambda: (out / "journal.jsonl").is_file() and len((out / "journal.jsonl").read_bytes().splitlines()) > 1
        )
        started = [pid for kind in ("/raylet", "/gcs_server", "ray::qwen-sft") for pid in below(ran.pid, kind)]
        ran.send_signal(by)
        printed, says = ran.communicate()
    assert (ran.returncode, printed) == (130 if by == signal.SIGINT else -signal.SIGKILL, "")
    assert ("records are done and stay in" in says) == (by == signal.SIGINT)
    assert len(started) > 2
    waited_for(lambda: not any(is_alive(pid) for pid in started))
    settings = replace(BASE, fail_on="error", shard_size=1_000_000)
    build([str(path)], settings, out, writers()["parquet"])
    left = content(out)
    for one in (left, expected):  # the settings in the manifest are those of the command
        assert json.loads(one["manifest.json"])["files"] == json.loads(expected["manifest.json"])["files"]
    assert {name: data for name, data in left.items() if name.startswith("data/")} == {
        name: data for name, data in expected.items() if name.startswith("data/")
    }


@pytest.mark.slow
@needs_ray
def test_a_machine_that_is_lost_changes_nothing(tmp_path: Path, many: Any):
    """Three machines of a cluster, all of them here: one is lost with all that it held."""
    import ray.cluster_utils

    path, expected = many
    out = tmp_path / "out"
    machines = ray.cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        machines.add_node(num_cpus=1)
        lost = machines.add_node(num_cpus=1)
        told = [*MAIN, "build", str(path), "--model", "qwen3", "--out", str(out), "--shard-size", "1MB"]
        told += ["--fail-on", "never", "--engine", "ray", "--address", machines.address]
        with subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ran:
            waited_for(lambda: (out / "journal.jsonl").is_file())
            machines.remove_node(lost, allow_graceful=False)
            printed, says = ran.communicate()
    finally:
        machines.shutdown()
    assert (ran.returncode, printed) == (0, f"{out}\n"), says
    assert content(out) == expected


@pytest.mark.slow
@needs_ray
@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("127.0.0.1:1", "cannot join a Ray cluster at '127.0.0.1:1': "),
        ("ray://127.0.0.1:10001", "address 'ray://127.0.0.1:10001' is that of Ray's client, which has no such tasks; "),
    ],
)
def test_a_cluster_that_is_not_there_stops_a_run(tmp_path: Path, address: str, says: str):
    command = [*MAIN, "validate", str(ROOT / "examples/clean.jsonl"), "--engine", "ray", "--address", address]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"qwen-sft: {says}" in ran.stderr
