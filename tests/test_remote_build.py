"""A set that is built on another machine: the bytes of one that is built here, whatever stops it on the way."""

import dataclasses
import io
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from command import Ran
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from killing import BASE, ROOT, VARIANTS, content, corpus

import qwen_sft
import qwen_sft.building.build as building
import qwen_sft.building.remotefolder as remotefolder
import qwen_sft.ingesting.stretches as stretches
from qwen_sft.building.build import build
from qwen_sft.errors import InputError, OutputError
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.ingesting.remote import Prefix, masked
from qwen_sft.pipeline import Outcome
from qwen_sft.running.gate import Fold
from qwen_sft.settings import Settings
from qwen_sft.writer import writers

N_POINTS = int(os.environ.get("QWEN_SFT_KILLS", "0"))
KILLING = Path(__file__).with_name("killing.py")
SECRET = "neverToBeTold0123456789abcdefghijklmnop"
URL = "memory://sets/one"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stretches, "LENGTH", 3_000)
    monkeypatch.setattr(building, "_PENDING_ROWS", 4)
    on_machine(monkeypatch, tmp_path, "a")


def on_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    """From now on builds stage their files as those of another machine do: elsewhere."""
    monkeypatch.setattr(remotefolder, "cache_folders", lambda: [tmp_path / "caches" / name])


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    fs = MemoryFileSystem()
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    yield fs
    fs.store.clear()


def kept(fs: MemoryFileSystem, url: str = URL) -> dict[str, bytes]:
    """What stands below a URL in memory."""
    root = url.removeprefix("memory:/") + "/"
    return {name.removeprefix(root): fs.cat_file(name) for name in sorted(fs.store) if name.startswith(root)}


class Stop(Exception):
    pass


def stopped_after(n: int, error: BaseException) -> Callable[[Outcome], None]:
    left = iter(range(n))

    def each(_: Outcome) -> None:
        if next(left, None) is None:
            raise error

    return each


def run_build(paths: list[str], out: Path | str, settings: Settings = BASE, **more: Any) -> dict[str, Any]:
    return build(paths, settings, out, writers()[settings.writer], **more)[0]


@cache
def made_here(folder: Path, settings_of: str = "parquet") -> dict[str, bytes]:
    run_build([str(path) for path in sorted(folder.glob("*.json*"))], folder / settings_of, VARIANTS[settings_of])
    return content(folder / settings_of)


# -- a server that speaks S3 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A server on this machine, and a client of it that is not the one that we use."""
    import boto3
    from moto.server import ThreadedMotoServer
    from s3fs import S3FileSystem

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }
    with pytest.MonkeyPatch.context() as patched:
        for name, value in told.items():
            patched.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        yield boto3.client("s3")
        S3FileSystem.clear_instance_cache()
        running.stop()


@pytest.fixture
def bucket(server: Any, request: pytest.FixtureRequest) -> str:
    name = f"b{abs(hash(request.node.name))}"
    server.create_bucket(Bucket=name)
    return name


def stored(server: Any, bucket: str, below: str = "") -> dict[str, bytes]:
    listed = server.list_objects_v2(Bucket=bucket, Prefix=below).get("Contents", [])
    read = {one["Key"]: server.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed}
    return {key.removeprefix(below): data for key, data in sorted(read.items())}


def test_a_set_is_built_on_a_server_with_the_bytes_of_one_that_is_built_here(
    tmp_path: Path, server: Any, bucket: str, run: Callable[..., Ran]
):
    paths = [str(ROOT / "examples" / name) for name in ("clean.jsonl", "broken.jsonl")]
    told = ("--model", "qwen3", "--fail-on", "never", "--shard-size", "20KB")
    here = run("build", *paths, *told, "--out", "here")
    there = run("build", *paths, *told, "--out", f"s3://{bucket}/a/b")
    assert (there.code, there.out, there.err) == (0, f"s3://{bucket}/a/b\n", here.err)
    assert stored(server, bucket, "a/b/") == content(tmp_path / "here")
    assert len(content(tmp_path / "here")) > 6
    rows = pq.read_table(f"{bucket}/a/b/data", filesystem=fsspec.filesystem("s3"))
    assert rows.equals(pq.read_table(tmp_path / "here" / "data"))
    assert not [path for path in (tmp_path / "caches").rglob("*") if path.is_file()]
    again = run("build", *paths, *told, "--out", f"s3://{bucket}/a/b/")
    assert again.code == 2
    assert again.err.endswith(
        f"qwen-sft: 's3://{bucket}/a/b/' is not empty; name another folder, or replace an earlier build with --force\n"
    )


def test_traces_on_a_server_are_read_and_their_set_stands_beside_them(
    server: Any, bucket: str, run: Callable[..., Ran]
):
    for name in ("clean", "thinking"):
        server.put_object(
            Bucket=bucket, Key=f"in/{name}.jsonl", Body=(ROOT / "examples" / f"{name}.jsonl").read_bytes()
        )
    server.put_object(Bucket=bucket, Key="in/", Body=b"")  # what a console makes for a folder
    for path in (f"s3://{bucket}/in", f"s3://{bucket}/in/*.jsonl", f"s3://{bucket}/in/"):
        assert run("validate", path).out.startswith("6 records in 2 files: ")
    assert run("validate", f"s3://{bucket}/in/clean.jsonl").out.startswith("5 records in 1 file: 5 clean, 0 rejected\n")
    assert run("show", f"s3://{bucket}/in/clean.jsonl", "--model", "qwen3").code == 0
    out = f"s3://{bucket}/out"
    built = qwen_sft.build(f"s3://{bucket}/in", out, model="qwen3")
    assert (built.out, built.exit_code) == (out, 0)
    assert [one["file"] for one in built.manifest["inputs"]] == [
        f"s3://{bucket}/in/clean.jsonl",
        f"s3://{bucket}/in/thinking.jsonl",
    ]
    assert json.loads(stored(server, bucket, "out/")["manifest.json"]) == json.loads(json.dumps(built.manifest))
    audited = run("audit", f"{out}/data", "--model", "qwen3")
    assert (audited.code, audited.out.splitlines()[0]) == (
        0,
        "7 rows in 1 file, judged by labels: 3,474 tokens, 865 trained, 865 of them rightly",
    )
    for command in (("report",), ("stats",), ("verify", "--trainer", "trl")):
        said = run(command[0], out, *command[1:])
        assert (said.code, said.out) == (2, "")
        assert said.err.endswith("on another machine; copy it to this one, and name that folder\n")
    with pytest.raises(OutputError, match=r"in/clean.jsonl' lies in 's3://.*/in/', where the build would replace it"):
        run_build([f"s3://{bucket}/in/clean.jsonl"], f"s3://{bucket}/in/")


def test_what_the_server_refuses_is_told_without_the_key(bucket: str, run: Callable[..., Ran]):
    clean = str(ROOT / "examples" / "clean.jsonl")
    told = run("build", clean, "--model", "qwen3", "--out", f"s3://no-{bucket}/a")
    assert told.code == 2
    assert told.err.endswith(f"cannot write to 's3://no-{bucket}/a': The specified bucket does not exist\n")
    told = run("build", clean, "--model", "qwen3", "--out", "s3://")
    assert (told.code, told.err.splitlines()[-1]) == (
        2,
        "qwen-sft: 's3://' names no folder; name one below it",
    )


def test_no_key_stands_in_a_set_or_in_what_is_said_of_it(server: Any, bucket: str, run: Callable[..., Ran]):
    server.put_object(Bucket=bucket, Key="in.jsonl", Body=(ROOT / "examples" / "broken.jsonl").read_bytes())
    said = run("build", f"s3://{bucket}/in.jsonl", "--model", "qwen3", "--out", f"s3://{bucket}/out")
    assert said.code == 1
    written = stored(server, bucket, "out/")
    assert set(written) == {
        "README.md",
        "data/train-00000-of-00001.parquet",
        "manifest.json",
        "qwen-sft.lock.json",
        "rejects.jsonl",
    }
    for text in (said.out.encode(), said.err.encode(), *written.values()):
        assert SECRET.encode() not in text
        assert b"AKIAIOSFODNN7EXAMPLE" not in text


def killed(folder: Path, variant: str, bucket: str, *, seed: int, points: int, jobs: int = 1) -> dict[str, Any]:
    command = [sys.executable, str(KILLING), str(folder), variant, str(seed), str(points), str(jobs), bucket]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(("variant", "jobs"), [("parquet", 1), ("parquet", 2), ("hf in splits", 1), ("json lines", 1)])
def test_a_build_that_is_killed_and_goes_on_gives_the_bytes_of_one_that_is_built_here(
    tmp_path: Path, bucket: str, variant: str, jobs: int
):
    found = killed(
        tmp_path, variant, bucket, seed=jobs, points=N_POINTS or (4 if variant == "parquet" else 3), jobs=jobs
    )
    assert found["wrong"] == []
    assert found["n_shards"] > 5
    if jobs == 1:  # with several processes chance decides how far one was when it was killed
        assert found["n_gone_on"] > 0


# -- stopped in this process ------------------------------------------------------------------------------------------


@pytest.fixture
def begun(tmp_path: Path, memory: MemoryFileSystem) -> list[str]:  # noqa: ARG001  # it is emptied first
    """The inputs of a build that was stopped by Ctrl-C after fifty records."""
    paths, said = corpus(tmp_path), list[str]()
    with pytest.raises(KeyboardInterrupt):
        run_build(paths, URL, each=stopped_after(50, KeyboardInterrupt()), left=said.append)
    (says,) = said
    assert says.startswith("stopped; ")
    assert says.endswith(
        f"records are done and stay in {URL!r}: the same command goes on there, with --force it starts anew"
    )
    return paths


def test_what_is_whole_is_sent_and_the_same_build_goes_on_from_there(
    begun: list[str], tmp_path: Path, memory: MemoryFileSystem
):
    left = kept(memory)
    n_lines = sum(name.startswith("journal.jsonl.") for name in left)
    n_shards = sum(name.startswith("data/.train-") for name in left)
    assert 1 < n_lines <= n_shards + 1
    assert {name.rpartition("/")[2][:8] for name in left} == {"journal.", "rejects.", ".train-0", "unfinish"}
    assert not [path for path in (tmp_path / "caches").rglob("*") if path.is_file()]
    again: list[Fold] = []
    seen: list[Outcome] = []
    manifest = run_build(begun, URL, each=seen.append, again=again.append)
    assert kept(memory) == made_here(tmp_path)
    assert len(again) == n_lines - 1
    assert sum(one.totals.n_records for one in again) + len(seen) == manifest["records"]["read"]


def test_another_machine_goes_on_where_one_has_stopped(
    begun: list[str], tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
):
    on_machine(monkeypatch, tmp_path, "b")
    again: list[Fold] = []
    run_build(begun, URL, again=again.append)
    assert again
    assert kept(memory) == made_here(tmp_path)


def test_force_starts_anew(begun: list[str], tmp_path: Path, memory: MemoryFileSystem):
    again: list[Fold] = []
    run_build(begun, URL, force=True, again=again.append)
    assert again == []
    assert kept(memory) == made_here(tmp_path)
    run_build(begun, URL, force=True)
    assert kept(memory) == made_here(tmp_path)


def test_other_settings_and_other_inputs_are_refused_with_the_difference(begun: list[str], memory: MemoryFileSystem):
    before = kept(memory)
    how = rf"'{URL}' holds the beginning of another build: "
    with pytest.raises(OutputError, match=how + "settings max_length was null and is 4096; ask for the same to go on"):
        run_build(begun, URL, replace(BASE, max_length=4096))
    with pytest.raises(OutputError, match=how + r"inputs .*e.jsonl was \{.*\} and is null"):
        run_build(begun[:-1], URL)
    first = Path(begun[0])
    first.write_bytes(first.read_bytes().replace(b"How much", b"How many"))
    with pytest.raises(OutputError, match=rf"a.jsonl' has changed since '{URL}' was begun with it; start anew"):
        run_build(begun, URL)
    assert kept(memory) == before


def test_an_input_on_a_server_that_is_not_the_same_any_more_is_refused(
    tmp_path: Path, server: Any, bucket: str, memory: MemoryFileSystem
):
    (path, *_) = corpus(tmp_path)
    data = Path(path).read_bytes()
    server.put_object(Bucket=bucket, Key="a.jsonl", Body=data)
    url = f"s3://{bucket}/a.jsonl"
    with pytest.raises(Stop):
        run_build([url], URL, each=stopped_after(50, Stop()))
    again: list[Fold] = []
    with pytest.raises(Stop):
        run_build([url], URL, each=stopped_after(5, Stop()), again=again.append)
    assert again
    server.put_object(Bucket=bucket, Key="a.jsonl", Body=data.replace(b"How much", b"How many"))
    with pytest.raises(OutputError, match=rf"'{url}' has changed since '{URL}' was begun with it; start anew"):
        run_build([url], URL)
    assert [name for name in kept(memory) if name.startswith("data/")]


@pytest.mark.parametrize(
    ("piece", "wrong"), [("data/.train-00000.part", "data/.train-00000.part"), ("rejects.jsonl.", "rejects.jsonl")]
)
@pytest.mark.parametrize("is_lost", [True, False])
def test_what_was_lost_or_touched_is_refused(
    begun: list[str], memory: MemoryFileSystem, piece: str, wrong: str, is_lost: bool
):
    name = next(name for name in kept(memory) if name.startswith(piece))
    data = kept(memory)[name]
    if is_lost:
        memory.rm_file(f"/sets/one/{name}")
    else:
        memory.pipe_file(f"/sets/one/{name}", data[:-1] + (b"" if piece[-1] == "." else bytes([data[-1] ^ 1])))
    with pytest.raises(OutputError, match=rf"'{URL}/{wrong}' is not what was written there; start anew with --force"):
        run_build(begun, URL)


@pytest.mark.parametrize("damage", [None, b"torn"])
def test_a_journal_counts_up_to_its_last_whole_line(
    begun: list[str], tmp_path: Path, memory: MemoryFileSystem, damage: bytes | None
):
    n_lines = sum(name.startswith("journal.jsonl.") for name in kept(memory))
    assert n_lines > 3
    if damage is None:
        memory.rm_file("/sets/one/journal.jsonl.00000002")
    else:
        memory.pipe_file("/sets/one/journal.jsonl.00000002", damage)
    again: list[Fold] = []
    run_build(begun, URL, again=again.append)
    assert len(again) == 1
    assert kept(memory) == made_here(tmp_path)


def test_what_stands_there_by_chance_is_left_alone(begun: list[str], memory: MemoryFileSystem):
    memory.pipe_file("/sets/one/data/mine.txt", b"mine")
    with pytest.raises(OutputError, match=r"holds 'data/mine.txt', so no build goes on there; name another --out"):
        run_build(begun, URL)
    with pytest.raises(OutputError, match=r"holds 'data/mine.txt', so it is no earlier build; --force does not touch"):
        run_build(begun, URL, force=True)
    assert kept(memory)["data/mine.txt"] == b"mine"
    memory.pipe_file("/other/notes/a.txt", b"mine")
    with pytest.raises(OutputError, match=r"'memory://other' is not empty; name another folder"):
        run_build(begun, "memory://other")
    with pytest.raises(OutputError, match=r"holds 'notes', so it is no earlier build; --force does not touch it"):
        run_build(begun, "memory://other", force=True)
    with pytest.raises(OutputError, match=r"'memory://other/notes/a.txt' is a file; name a folder with --out"):
        run_build(begun, "memory://other/notes/a.txt", force=True)


def test_a_build_that_has_nothing_whole_leaves_nothing(tmp_path: Path, memory: MemoryFileSystem):
    with pytest.raises(Stop):
        run_build(corpus(tmp_path), URL, each=stopped_after(1, Stop()))
    assert kept(memory) == {}


def test_records_in_memory_are_built_there_too(memory: MemoryFileSystem):
    rows = [json.loads(line) for line in (ROOT / "examples" / "clean.jsonl").read_text().splitlines()]
    built = qwen_sft.build(rows, URL, model="qwen3")
    assert built.ok
    assert sorted(kept(memory)) == [
        "README.md",
        "data/train-00000-of-00001.parquet",
        "manifest.json",
        "qwen-sft.lock.json",
        "rejects.jsonl",
    ]


@pytest.mark.parametrize(
    "variant",
    [
        "hf in splits",
        "one file",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("packed and drawn", "json lines", "gathered")),
    ],
)
def test_every_way_to_write_gives_the_bytes_of_one_that_is_built_here(
    tmp_path: Path, memory: MemoryFileSystem, variant: str
):
    run_build(corpus(tmp_path), URL, VARIANTS[variant])
    assert kept(memory) == made_here(tmp_path, variant)


class Folders(LocalFileSystem):
    """A file system that has folders, as those of other machines do that are no object stores."""

    protocol = "folders"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("folders://"))


def test_folders_are_made_on_a_file_system_that_has_them(tmp_path: Path):
    fsspec.register_implementation("folders", Folders, clobber=True)
    paths = corpus(tmp_path)
    out = tmp_path / "far" / "set"
    with pytest.raises(Stop):
        run_build(paths, f"folders://{out}", VARIANTS["hf in splits"], each=stopped_after(50, Stop()))
    run_build(paths, f"folders://{out}", VARIANTS["hf in splits"])
    assert content(out) == made_here(tmp_path, "hf in splits")


def test_a_file_url_is_a_folder_of_this_machine(tmp_path: Path):
    paths = corpus(tmp_path)
    run_build(paths, f"file://{tmp_path}/out")
    assert content(tmp_path / "out") == made_here(tmp_path)
    assert not (tmp_path / "caches").exists()


def raising(error: BaseException) -> Callable[..., Any]:
    def raised(*_: Any, **__: Any) -> Any:
        raise error

    return raised


# -- two builds -------------------------------------------------------------------------------------------------------


def mark(memory: MemoryFileSystem) -> dict[str, Any]:
    return json.loads(memory.cat_file("/sets/one/at-work.json"))


def test_a_second_build_is_refused_from_this_machine_and_from_another(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
):
    paths = corpus(tmp_path)

    def second(_: Outcome) -> None:
        with pytest.raises(OutputError, match=rf"another build is at work in '{URL}'; wait for it, or name another"):
            run_build(paths, URL, force=True)
        with monkeypatch.context() as patched:
            on_machine(patched, tmp_path, "b")
            with pytest.raises(OutputError) as refused:
                run_build(paths, URL, force=True)
        told = mark(memory)
        assert str(refused.value) == (
            f"another build is at work in '{URL}': process {os.getpid()} on {socket.gethostname()!r}, begun "
            f"{told['since']!r}, last heard of 0 s ago; wait for it, or name another folder with --out. If it was "
            "killed, its mark at-work.json counts no more after 600 s"
        )
        raise Stop

    with pytest.raises(Stop):
        run_build(paths, URL, each=second)
    assert kept(memory) == {}


def test_a_build_that_was_killed_is_in_nobody_s_way_on_its_machine_and_after_a_while_elsewhere(
    begun: list[str], tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
):
    (stage,) = (tmp_path / "caches" / "a" / "builds").iterdir()
    dead = {"owner": "dead", "host": "h", "process": 7, "since": "then", "seen": time.time() - 500}
    memory.pipe_file("/sets/one/at-work.json", json.dumps(dead).encode())
    with pytest.raises(OutputError, match=r"process 7 on 'h', begun 'then', last heard of 500 s ago; wait for it"):
        run_build(begun, URL)
    (stage / "owner").write_text("dead")
    with monkeypatch.context() as patched, pytest.raises(Stop):
        patched.setattr(remotefolder.Prefix, "write", raising(Stop()))
        run_build(begun, URL)
    with pytest.raises(Stop):
        run_build(begun, URL, each=stopped_after(0, Stop()))
    assert "at-work.json" not in kept(memory)
    memory.pipe_file("/sets/one/at-work.json", json.dumps({**dead, "seen": time.time() - 601}).encode())
    on_machine(monkeypatch, tmp_path, "b")
    run_build(begun, URL)
    assert kept(memory) == made_here(tmp_path)


def test_a_build_whose_place_was_taken_stops_and_touches_nothing(tmp_path: Path, memory: MemoryFileSystem):
    paths = corpus(tmp_path)
    other = {"owner": "another", "host": "h", "process": 7, "since": "now", "seen": time.time()}
    before: dict[str, bytes] = {}
    left = iter(range(40))

    def taken(_: Outcome) -> None:
        if next(left, None) is None and not before:
            memory.pipe_file("/sets/one/at-work.json", json.dumps(other).encode())
            before.update(kept(memory))

    with pytest.raises(OutputError, match=rf"another build has taken '{URL}' over, so this one stops"):
        run_build(paths, URL, each=taken)
    assert before
    assert kept(memory) == before


def test_the_mark_is_renewed(tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(remotefolder, "SIGN", 0.01)
    seen = set[float]()

    def each(_: Outcome) -> None:
        for _ in range(200):
            seen.add(mark(memory)["seen"])
            if len(seen) > 2:
                raise Stop
            time.sleep(0.02)

    with pytest.raises(Stop):
        run_build(corpus(tmp_path), URL, each=each)
    assert kept(memory) == {}


def test_of_two_that_put_their_mark_at_once_one_is_refused(
    tmp_path: Path, server: Any, bucket: str, monkeypatch: pytest.MonkeyPatch
):
    other = {"owner": "another", "host": "h", "process": 7, "since": "now", "seen": time.time()}
    created = Prefix.create
    answers: list[bool] = []

    def create(self: Prefix, name: str, data: bytes) -> bool:
        server.put_object(Bucket=bucket, Key=f"a/{name}", Body=json.dumps(other).encode())
        answers.append(created(self, name, data))
        return answers[-1]

    monkeypatch.setattr(Prefix, "create", create)
    with pytest.raises(OutputError, match=rf"another build is at work in 's3://{bucket}/a': process 7 on 'h', begun"):
        run_build(corpus(tmp_path), f"s3://{bucket}/a")
    assert answers == [False]
    assert {name: json.loads(data) for name, data in stored(server, bucket).items()} == {"a/at-work.json": other}


def test_a_mark_that_is_none_of_ours_is_left_alone(tmp_path: Path, memory: MemoryFileSystem):
    memory.pipe_file("/sets/one/at-work.json", b"mine")
    with pytest.raises(OutputError, match=r"holds an at-work.json that no build writes; name another --out"):
        run_build(corpus(tmp_path), URL, force=True)
    assert kept(memory) == {"at-work.json": b"mine"}


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_server_that_fails_leaves_what_was_done(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
):
    paths, said, left = corpus(tmp_path), list[str](), iter(range(9))
    sent = MemoryFileSystem.put_file

    def put(self: Any, *told: Any, **more: Any) -> Any:
        if next(left, None) is None:
            raise RuntimeError("the line is dead, for user:word@host and https://u:p@h/?sig=abc&x=1")
        return sent(self, *told, **more)

    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "put_file", put)
        with pytest.raises(OutputError) as failed:
            run_build(paths, URL, left=said.append)
    assert str(failed.value) == (
        f"cannot write to '{URL}': the line is dead, for user:word@host and https://***@h/?sig=***&x=1"
    )
    assert len(said) == 1
    run_build(paths, URL)
    assert kept(memory) == made_here(tmp_path)


def test_a_stage_that_is_full_is_named(tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch):
    synced, left = os.fsync, iter(range(20))

    def full(file: int) -> None:
        if next(left, None) is None:
            raise OSError(28, "No space left on device")
        synced(file)

    paths = corpus(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"cannot write to '.*/caches/a/builds/.*': No space left on device"):
            run_build(paths, URL)
    run_build(paths, URL)
    assert kept(memory) == made_here(tmp_path)


def test_a_file_that_came_shorter_than_it_was_sent_stops_the_build(
    tmp_path: Path, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
):
    def copy(self: Any, _: list[str], targets: list[str], **__: Any) -> None:
        for target in targets:
            self.pipe_file(target, b"")

    paths = corpus(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "copy", copy)
        with pytest.raises(
            OutputError, match=r"train-00000-of-.*parquet' was sent with [\d,]+ bytes and has 0; give the"
        ):
            run_build(paths, URL)
    run_build(paths, URL)
    assert kept(memory) == made_here(tmp_path)


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("memory://sets/*", r"'memory://sets/\*' is a pattern; name one folder, without any of"),
        ("memory://", "'memory://' names no folder; name one below it"),
        ("hf://datasets/me/set", "'hf://datasets/me/set' is a repository, .* the repository with --push-to-hub"),
        ("nosuch://a/b", "cannot open 'nosuch://a/b': Protocol not known: nosuch"),
        (Path("s3://a/b"), "'s3:/a/b' is a URL that has become a path; give it as text"),
    ],
)
def test_where_nothing_can_be_built_is_told(tmp_path: Path, out: Any, says: str):
    with pytest.raises((OutputError, InputError), match=says):
        run_build(corpus(tmp_path), out)


@pytest.mark.usefixtures("memory")
def test_a_server_that_is_only_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(MemoryFileSystem, "pipe_file", raising(NotImplementedError()))
    with pytest.raises(OutputError, match=rf"cannot write to '{URL}': this kind of server is read here, not written"):
        run_build(corpus(tmp_path), URL)


def test_a_set_on_another_machine_is_not_pushed(run: Callable[..., Ran]):
    said = run("build", "a.jsonl", "--model", "qwen3", "--out", URL, "--push-to-hub", "me/set")
    assert (said.code, said.err) == (
        2,
        "qwen-sft: --push-to-hub sends a folder of this machine; name one with --out, or leave it out\n",
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ftp://me:word@host/a?b=1", "ftp://***@host/a?b=1"),
        ("abfs://box@account.dfs.core.windows.net/a", "abfs://box@account.dfs.core.windows.net/a"),
        ("s3://bucket/a:b@c.jsonl", "s3://bucket/a:b@c.jsonl"),
        ("https://h/a?X-Amz-Signature=ab&X-Amz-Date=1", "https://h/a?X-Amz-Signature=***&X-Amz-Date=1"),
        ("403 at 'https://h/a?sv=1&sig=a%2Fb', twice", "403 at 'https://h/a?sv=1&sig=***', twice"),
        ("https://h/a?access_token=x#top", "https://h/a?access_token=***#top"),
        ("https://h/a?design=new", "https://h/a?design=new"),
    ],
)
def test_passwords_and_signatures_of_urls_are_not_told(text: str, told: str):
    assert masked(text) == told


@pytest.mark.usefixtures("memory")
def test_a_failure_to_read_is_told_without_what_signs_the_url(monkeypatch: pytest.MonkeyPatch):
    class Gone(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise FileNotFoundError("https://h/a.jsonl?sig=abc")

    MemoryFileSystem().pipe_file("/in/a.jsonl", b"{}")
    (source,) = expand(["memory://in/a.jsonl"])
    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_, **__: Gone())
    with pytest.raises(InputError) as failed:
        list(records(source))
    assert str(failed.value) == "cannot read 'memory://in/a.jsonl': https://h/a.jsonl?sig=***"


def test_a_password_in_a_url_stands_neither_in_the_name_of_an_input_nor_in_that_of_a_folder(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
):
    def strip(path: str) -> str:
        return "/" + path.removeprefix("memory://").rpartition("@")[2].lstrip("/")

    monkeypatch.setattr(MemoryFileSystem, "_strip_protocol", staticmethod(strip))
    memory.pipe_file("/in/a.jsonl", (ROOT / "examples" / "clean.jsonl").read_bytes())
    (source,) = expand(["memory://me:word@in/a.jsonl"])
    assert (source.name, source.url) == ("memory://***@in/a.jsonl", "memory://me:word@in/a.jsonl")
    assert Prefix("memory://me:word@out").name == "memory://***@out"
    built = qwen_sft.build("memory://me:word@in/a.jsonl", "memory://me:word@out", model="qwen3")
    assert built.ok
    assert kept(memory, "memory://out")
    assert b"word@" not in b"".join(kept(memory, "memory://out").values())
    assert [dataclasses.asdict(one)["name"] for one in expand(["memory://me:word@in"])] == ["memory:///in/a.jsonl"]
