"""Builds in processes that are killed, again and again: what `test_resume.py` runs, in a Python without threads.

    python tests/killing.py FOLDER VARIANT SEED POINTS JOBS

It builds once undisturbed; then for each point once more, where the process is killed by SIGKILL before its n-th step,
is started again, now and then killed once more, and runs to its end. Steps are files that are opened, written to the
disk, renamed and removed, and records that are done. It prints what differed, as JSON.
"""

import gzip
import json
import os
import random
import shutil
import signal
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import qwen_sft.building as building
import qwen_sft.model
import qwen_sft.stretches as stretches
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


def built(paths: list[str], settings: Settings, out: Path, point: int) -> int:
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
        writer = writers()[settings.writer]
        building.build(paths, settings, out, writer, each=lambda _: step())
        os.write(tell, str(n_steps).encode())
    except BaseException as error:
        os.write(tell, f"{type(error).__name__}: {error}".encode())
        os._exit(1)
    os._exit(0)


EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}


def main() -> None:
    folder, variant, seed, n_points, jobs = Path(sys.argv[1]), *sys.argv[2:]
    small()
    os.environ["RAYON_NUM_THREADS"] = "1"
    qwen_sft.model.load_tokenizer = cache(qwen_sft.model.load_tokenizer)
    Pipeline(BASE)  # what is loaded here, no child has to load
    paths = corpus(folder)
    settings = replace(VARIANTS[variant], jobs=1)
    n_steps = built(paths, settings, folder / "whole", 0)
    whole = content(folder / "whole")
    draw = random.Random(int(seed))
    wrong: list[str] = []
    n_gone_on = 0
    for point in draw.sample(range(1, n_steps + 1), min(int(n_points), n_steps)):
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        killed = built(paths, replace(settings, jobs=int(jobs)), out, point)
        journal = out / "journal.jsonl"
        n_gone_on += journal.is_file() and journal.read_bytes().count(b"\n") > 1
        if draw.random() < 0.3 and not (out / "manifest.json").is_file():
            built(paths, settings, out, draw.randrange(1, n_steps))
        if not (out / "manifest.json").is_file():
            built(paths, settings, out, 0)
        left = content(out)
        for name in ("journal.jsonl", "unfinished.json"):  # killed behind the manifest, which is the last thing written
            if killed == -1:
                left.pop(name, None)
        if left != whole:
            wrong.append(
                f"step {point}: {sorted(name for name in left.keys() | whole if left.get(name) != whole.get(name))}"
            )
    n_shards = len(json.loads(whole["manifest.json"])["files"])
    print(json.dumps({"wrong": wrong, "n_steps": n_steps, "n_gone_on": n_gone_on, "n_shards": n_shards}))


if __name__ == "__main__":
    main()
