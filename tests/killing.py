"""Builds in processes that are killed, again and again: what `test_resume.py` runs, in a Python without threads.

    python tests/killing.py FOLDER VARIANT SEED POINTS JOBS [BUCKET]

It builds once undisturbed; then for each point once more, where the process is killed by SIGKILL before its n-th step,
is started again, now and then killed once more, and runs to its end. Steps are files that are opened, written to the
disk, renamed and removed, requests to a server, and records that are done. With a bucket, of the S3 server that the
environment names, that is where all but the undisturbed one build. It prints what differed, as JSON.
"""

import gzip
import json
import os
import random
import re
import shutil
import signal
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import qwen_sft.building.build as building
import qwen_sft.building.remotefolder as remotefolder
import qwen_sft.encoding.model
import qwen_sft.ingesting.stretches as stretches
from qwen_sft.curating.pack import Packer
from qwen_sft.pipeline import Pipeline
from qwen_sft.settings import Settings
from qwen_sft.writer import writers

ROOT = Path(__file__).parents[1]
BASE = Settings(model="qwen3", fail_on="never", shard_size=6_000)
VARIANTS = {
    "parquet": BASE,
    "hf in splits": replace(BASE, writer="hf", split={"train": 0.7, "eval": 0.3}, dedup="near"),
    "packed and drawn": replace(
        BASE, pack=1024, sample=60, max_length=1024, on_too_long="drop-turns", shard_size=12_000
    ),
    "json lines": replace(BASE, writer="ms_swift", rewritten_history="last", shard_size=3_000, redact=True),
    "one file": replace(BASE, writer="llama_factory", rewritten_history="last"),
    "gathered": replace(BASE, near_duplicates=True, verify="all"),
}


def corpus(folder: Path) -> list[str]:
    """Files that are cut, that are not, one that is packed, one with sessions of several lines, one that is torn."""
    examples = ROOT / "examples"
    clean, broken = ((examples / f"{name}.jsonl").read_bytes() for name in ("clean", "broken"))
    told = [json.dumps(_chat(n)).encode() + b"\n" for n in range(40)]
    session = (examples / "formats" / "claude_code" / "raw.jsonl").read_bytes().rstrip() + b"\n"
    made = {
        "a.jsonl": b"".join(told[:20]) + clean + broken + b"".join(told[15:]),
        "b.json": json.dumps([_chat(n) for n in range(30, 36)], indent=1).encode(),
        "c.jsonl.gz": gzip.compress(clean + b"".join(told[3:6]), mtime=0),
        "d.jsonl": b"".join(told[5:12]) + session + b"".join(told[12:14]) + session + session,
        "e.jsonl": clean + told[0][:40],
    }
    for name, data in made.items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in made]


def _chat(n: int) -> dict[str, Any]:
    asked = {"role": "user", "content": f"How much is {n} and {n}? " + "Think of it. " * (n % 7)}
    return {"id": f"sum-{n}", "messages": [asked, {"role": "assistant", "content": f"It is {2 * n}."}]}


def small() -> None:
    """Makes stretches and groups of rows small, so that little data has many of them."""
    stretches.LENGTH = 3_000
    building._PENDING_ROWS = 4  # pyright: ignore[reportPrivateUsage]
    building.Packer = partial(Packer, most_open=3)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class Folder:
    """Where it is built: a folder."""

    def __init__(self, out: Path) -> None:
        self.out: Path | str = out
        self.path = out

    def clear(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    def content(self) -> dict[str, bytes]:
        return content(self.path)

    def is_leftover(self, name: str) -> bool:
        """True for what is left of a build that was killed behind its manifest, which is the last thing written."""
        return name in ("journal.jsonl", "unfinished.json")


class Bucket:
    """Where it is built: what an S3 server keeps, told by another client than the one that writes."""

    def __init__(self, name: str) -> None:
        import boto3

        self.out: Path | str = f"s3://{name}/a/set"
        self.name = name
        self.client = boto3.client("s3")

    def _keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def clear(self) -> None:
        for key in self._keys():
            self.client.delete_object(Bucket=self.name, Key=key)

    def content(self) -> dict[str, bytes]:
        read = {key: self.client.get_object(Bucket=self.name, Key=key)["Body"].read() for key in self._keys()}
        return {key.removeprefix("a/set/"): data for key, data in sorted(read.items())}

    def is_leftover(self, name: str) -> bool:
        """The same here, where names are given by copying, and growing files come in pieces."""
        is_piece = re.fullmatch(r"(journal|rejects)\.jsonl\.\d{8}|data/\.[^/]+\.part", name) is not None
        return is_piece or name in ("unfinished.json", "at-work.json")


def n_commits(left: dict[str, bytes]) -> int:
    """How often what is left of a build says that shards are whole."""
    journal = b"".join(data for name, data in left.items() if name.startswith("journal.jsonl"))
    return journal.count(b"\n") - 1


def built(paths: list[str], settings: Settings, out: Path | str, point: int) -> int:
    """Builds in a process of its own, which is killed before that step.

    Returns:
        the steps that it took; -1 where it was killed.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        with os.fdopen(told, "rb") as pipe:
            says = pipe.read()
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return -1
        if os.WEXITSTATUS(status):
            raise SystemExit(f"{out}, before step {point}: {says.decode()}")
        return int(says)
    n_steps = 0

    def step(event: str = "", args: Any = ()) -> None:
        nonlocal n_steps
        if event and (event not in EVENTS or str(out) not in str(args[0])):
            return
        n_steps += 1
        if n_steps == point:
            os.kill(os.getpid(), signal.SIGKILL)

    synced = os.fsync

    def fsync(file: int) -> None:
        step()
        synced(file)

    try:
        os.fsync = fsync
        sys.addaudithook(step)
        if isinstance(out, str):
            _step_by_request(step)
        writer = writers()[settings.writer]
        building.build(paths, settings, out, writer, each=lambda _: step())
        os.write(tell, str(n_steps).encode())
    except BaseException as error:
        os.write(tell, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)


def _step_by_request(step: Any) -> None:
    from s3fs import S3FileSystem

    asked = S3FileSystem._call_s3

    async def call(self: Any, *args: Any, **more: Any) -> Any:
        step()
        return await asked(self, *args, **more)

    S3FileSystem._call_s3 = call


EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


def main() -> None:
    folder, variant, seed, n_points, jobs = Path(sys.argv[1]), *sys.argv[2:6]
    place = Bucket(sys.argv[6]) if sys.argv[6:] else Folder(folder / "out")
    small()
    remotefolder.cache_folders = lambda: [folder / "cache"]
    os.environ["RAYON_NUM_THREADS"] = "1"
    qwen_sft.encoding.model.load_tokenizer = cache(qwen_sft.encoding.model.load_tokenizer)
    Pipeline(BASE)  # what is loaded here, no child has to load
    paths = corpus(folder)
    settings = replace(VARIANTS[variant], jobs=1)
    n_steps = built(paths, settings, folder / "whole", 0)
    whole = content(folder / "whole")
    if sys.argv[6:]:
        n_steps = built(paths, settings, place.out, 0)
    wrong = differing("undisturbed", place.content(), whole) if sys.argv[6:] else []
    draw = random.Random(int(seed))
    n_gone_on = 0
    for point in draw.sample(range(1, n_steps + 1), min(int(n_points), n_steps)):
        place.clear()
        killed = built(paths, replace(settings, jobs=int(jobs)), place.out, point)
        n_gone_on += n_commits(place.content()) > 0
        if draw.random() < 0.3 and "manifest.json" not in place.content():
            built(paths, settings, place.out, draw.randrange(1, n_steps))
        if "manifest.json" not in place.content():
            built(paths, settings, place.out, 0)
        left = place.content()
        if killed == -1:
            left = {name: data for name, data in left.items() if not place.is_leftover(name)}
        wrong += differing(f"step {point}", left, whole)
    n_shards = len(json.loads(whole["manifest.json"])["files"])
    print(json.dumps({"wrong": wrong, "n_steps": n_steps, "n_gone_on": n_gone_on, "n_shards": n_shards}))


def differing(when: str, left: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    names = sorted(name for name in left.keys() | whole if left.get(name) != whole.get(name))
    return [f"{when}: {names}"] if names else []


if __name__ == "__main__":
    main()
