"""Times qwen-sft beside its peers, prints tables and ratios, and never fails on a time: `python benchmarks/run.py`."""

import argparse
import contextlib
import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import data
import floor
import numpy as np
import orjson
import ours
from peer import Missing, Peer
from timing import Timed, alternate, paired_cpu_ratio, paired_ratio

HERE = Path(__file__).resolve().parent
PACKAGES = ("qwen-sft", "fastokens", "tokenizers", "orjson", "msgspec", "pyarrow")


@dataclass
class Section:
    """One table: what was measured, its lines, and remarks below them. `numbers` goes to the JSON file."""

    title: str
    columns: tuple[str, ...]
    lines: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    remarks: list[str] = field(default_factory=list[str])
    numbers: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        """As Markdown."""
        rule = ("---", *("---:" for _ in self.columns[1:]))
        table = [f"| {' | '.join(line)} |" for line in (self.columns, rule, *self.lines)]
        return "\n".join([f"**{self.title}**", "", *table, "", *(f"- {remark}" for remark in self.remarks)])


@dataclass(frozen=True)
class Bench:
    """What every section needs.

    Attributes:
        folder: for files that go away.
        rows: the conversations, and `file` with all of them.
        is_quick: does it run, not how fast.
        rounds: how often each step runs, warm-up not counted.
    """

    folder: Path
    rows: data.Rows
    file: Path
    is_quick: bool
    rounds: int

    @property
    def n_mb(self) -> float:
        """Size of the file, in MB (10^6 bytes)."""
        return self.file.stat().st_size / 1e6

    def some(self, n_rows: int) -> Path:
        """A file with so many rows."""
        return self.rows.write(self.folder / f"rows-{n_rows}.jsonl", n_rows)

    def varied(self, n_mb: int) -> Path:
        """A file of so many MB of records of many formats; it takes the place of an earlier one."""
        return data.varied(ours.originals(), self.folder / "varied.jsonl", n_mb * 1_000_000)


# -- sections ---------------------------------------------------------------------------------------------------------

TIMES = ("wall, s (median, min to max)", "CPU s")
WHOLE = "qwen-sft build"
READY = "qwen-sft build, model loaded before"


def build(bench: Bench) -> Section:
    """The whole build beside its floor and its peers' preparation of the same rows."""
    section = Section(
        f"build of {bench.rows.n_rows:,} rows, {bench.n_mb:.1f} MB",
        ("step", *TIMES, "rows/s", "tokens", "trained", "times as long as the build: wall, CPU", "model loaded before"),
    )
    out, tokenizer = bench.folder / "out", bench.folder / "peers/tokenizer"
    manifest = ours.build(bench.file, out)
    if n_rejected := manifest["records"]["rejected"]:
        section.remarks.append(f"qwen-sft: {n_rejected:,} ROWS REJECTED, {manifest['rejected_by_code']}")
    texts = ours.texts(bench.file)
    steps: dict[str, Callable[[], object]] = {
        WHOLE: lambda: ours.build(bench.file, out),
        READY: lambda: ours.ready(bench.file, out),
        "qwen-sft build, verify=none": lambda: ours.build(bench.file, out, "none"),
        "of it loading the model": ours.load,
        "floor: orjson.loads, flat encoding, Parquet": lambda: floor.floor(bench.file, texts, bench.folder / "floor"),
    }
    template = ours.tokenizer_folder(tokenizer)
    for name in ("llama_factory", "axolotl"):
        ours.build(bench.file, tokenizer.parent / name, "none", writer=name)
    with contextlib.ExitStack() as running:
        peers: dict[str, Peer] = {}
        for name in ("trl", "renderers", "tinker_cookbook", "teich", "llama_factory", "axolotl"):
            peer = _started(name, bench.file, tokenizer, section, running)
            if peer is not None:
                peers[_named(peer)] = peer
                steps[_named(peer)] = peer.run
        trl = next((peer for peer in peers.values() if peer.name == "trl"), None)
        if trl is not None:
            pooled = f"{_named(trl)}, dataset_num_proc={os.cpu_count()}"
            peers[pooled], steps[pooled] = trl, functools.partial(trl.run, str(os.cpu_count()))
        timed = alternate(steps, bench.rounds, warm_ups=0)
    for name, peer in [item for item in peers.items() if item[1].fault]:
        section.remarks.append(f"{name}: NOT MEASURED, {peer.fault}")
        del timed[name], peers[name]
    counted = {name: (peer.told["n_tokens"], peer.told["n_trained"]) for name, peer in peers.items()}
    mine = (manifest["rows"]["n_tokens"], manifest["rows"]["n_trained_tokens"])
    counted |= dict.fromkeys((WHOLE, READY, "qwen-sft build, verify=none"), mine)
    for name, times in timed.items():
        told = [f"{n:,}" for n in counted.get(name, ())] or ["", ""]
        rate = f"{bench.rows.n_rows / times.median:,.0f}" if name in counted else ""
        against = [_times(times, timed[base]) for base in (WHOLE, READY)]
        section.lines.append((name, *_seconds(times), rate, *told, *against))
        section.numbers[name] = _rounds(times)
    if peers:
        section.remarks.append(f"peers render {template}; what each does and leaves out: benchmarks/peers/")
    section.remarks.append("why the tokens of TRL, and those that it trains, are others: benchmarks/README.md")
    return section


def _started(name: str, rows: Path, tokenizer: Path, section: Section, running: contextlib.ExitStack) -> Peer | None:
    """A peer that has loaded all it needs; None where it cannot be measured, with a remark why."""
    try:
        if name != "tracelint" and not (tokenizer / "tokenizer_config.json").exists():
            raise Missing("there is no chat template for it: install TRL, which ships one")
        peer = Peer.start(name, rows, tokenizer)
        running.callback(peer.close)
    except Missing as missing:
        section.remarks.append(f"{name}: NOT MEASURED, {missing}")
        return None
    section.remarks.append(f"{name}: " + ", ".join(f"{package} {it}" for package, it in peer.versions.items()))
    return peer


def _named(peer: Peer) -> str:
    package, version = next(iter(peer.versions.items()))
    return f"{package} {version}"


def validate(bench: Bench) -> Section:
    """Structure-only validation beside nothing but parsing the same lines: of the rows, and of many formats at once."""
    section = Section("validate", ("step", "MB", *TIMES, "MB per CPU s", "times as long as parsing: wall, CPU"))
    for kind, file in {"chat rows": bench.file, "many formats": bench.varied(2 if bench.is_quick else 25)}.items():
        mine, parsing = f"{kind}: qwen-sft validate", f"{kind}: orjson.loads of each line"
        steps: dict[str, Callable[[], object]] = {
            mine: functools.partial(ours.validate, file),
            parsing: functools.partial(_parse, file),
        }
        peer = None
        with contextlib.ExitStack() as running:
            if kind == "chat rows":
                (bench.folder / "lint").mkdir()
                peer = _started("tracelint", file, bench.folder / "lint/none", section, running)
                if peer is not None:
                    steps[f"{kind}: {_named(peer)}"] = peer.run
            timed = alternate(steps, bench.rounds)
        if peer is not None and peer.fault:
            section.remarks.append(f"tracelint: NOT MEASURED, {peer.fault}")
            del timed[f"{kind}: {_named(peer)}"]
        n_mb = file.stat().st_size / 1e6
        for name, times in timed.items():
            rate = f"{n_mb / times.median_cpu:,.1f}"
            section.lines.append((name, f"{n_mb:.1f}", *_seconds(times), rate, _times(times, timed[parsing])))
            section.numbers[name] = {**_rounds(times), "n_mb": n_mb}
    return section


def _parse(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)


def jobs(bench: Bench) -> Section:
    """Two processes beside one, their start and end counted, and what the machine's cores could gain at best."""
    section = Section("--jobs 2 beside --jobs 1", ("step", "MB", *TIMES, "one / two: wall", "two / one: CPU"))
    rows = bench.file if bench.is_quick else bench.some(8000)
    varied = bench.varied(5 if bench.is_quick else 200)
    work: dict[str, tuple[Path, Callable[[int], object]]] = {
        "build, chat rows": (rows, lambda n: ours.build(rows, bench.folder / "out", jobs=n)),
        "validate, chat rows": (rows, lambda n: ours.validate(rows, n)),
        "validate, many formats": (varied, lambda n: ours.validate(varied, n)),
    }
    for what, (file, step) in work.items():
        steps = {f"{what}, --jobs {n}": functools.partial(step, n) for n in (1, 2)}
        _gained(section, file, alternate(steps, max(2, bench.rounds - 1), warm_ups=0))
    command = [Path(sysconfig.get_path("scripts")) / "qwen-sft", "validate", "--jobs", "1", str(rows)]
    apart = {
        "one validate behind the other": lambda: [_run(command) for _ in range(2)],
        "two separate validates at once": lambda: _at_once(command, 2),
    }
    _gained(section, rows, alternate(apart, max(2, bench.rounds - 1), warm_ups=0))
    section.remarks.append("the last two lines are runs that share nothing: no number of jobs gains more than they do")
    return section


def _gained(section: Section, file: Path, timed: dict[str, Timed]) -> None:
    """A line for each of two ways to do the same, with what the second one gains."""
    one, two = timed.values()
    for name, times in timed.items():
        gains = (f"{paired_ratio(one, two):.2f}", f"{paired_cpu_ratio(two, one):.2f}") if times is two else ("", "")
        section.lines.append((name, f"{file.stat().st_size / 1e6:.0f}", *_seconds(times), *gains))
        section.numbers[name] = _rounds(times)


def growth(bench: Bench) -> Section:
    """What a row costs as the input grows, and the memory of a build in a process of its own."""
    section = Section(
        "build as it grows, model loaded before",
        ("rows", "MB", *TIMES, "ms a row: wall", "CPU", "peak MB of the whole process"),
    )
    for n_rows in (30, 60, 120) if bench.is_quick else (100, 1000, 10_000):
        file = bench.some(n_rows)
        rounds = bench.rounds if n_rows <= bench.rows.n_rows else 1
        times = alternate({"": lambda file=file: ours.ready(file, bench.folder / "out")}, rounds, warm_ups=0)[""]
        peak, _ = _peak("build", file, bench.folder)
        each = [f"{1e3 * took / n_rows:.2f}" for took in (times.median, times.median_cpu)]
        section.lines.append(
            (f"{n_rows:,}", f"{file.stat().st_size / 1e6:.1f}", *_seconds(times), *each, f"{peak:.0f}")
        )
        section.numbers[str(n_rows)] = {**_rounds(times), "peak_mb": peak}
        file.unlink()
    return section


def memory(bench: Bench) -> Section:
    """Peak memory of validating records of many formats, each file in a process of its own."""
    return _peaks(bench, "validate as it grows, many formats", ("validate",), (2, 5) if bench.is_quick else (25, 250))


def scale(bench: Bench) -> Section:
    """The same for `build` too, up to 10 GB: hours."""
    sizes = (2, 5) if bench.is_quick else (100, 1000, 10_000)
    return _peaks(bench, "large inputs, many formats", ("validate", "build"), sizes)


def _peaks(bench: Bench, title: str, commands: Sequence[str], sizes: Sequence[int]) -> Section:
    section = Section(title, ("command", "MB", "CPU s", "MB per CPU s", "peak MB"))
    for n_mb in sizes:
        file = bench.varied(n_mb)
        for command in commands:
            peak, cpu = _peak(command, file, bench.folder)
            section.lines.append((command, f"{n_mb:,}", f"{cpu:,.0f}", f"{n_mb / cpu:.1f}", f"{peak:.0f}"))
            section.numbers[f"{command}, {n_mb} MB"] = {"peak_mb": peak, "cpu": cpu}
        file.unlink()
    return section


def _peak(command: str, file: Path, folder: Path) -> tuple[float, float]:
    """The most memory that a command holds, in MB, and its CPU seconds, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        more = ["--model", ours.FAMILY, "--out", Path(out) / "set"] if command == "build" else []
        told = _run([sys.executable, HERE / "peak.py", command, file, "--jobs", "1", *more])
    peak, cpu = map(float, told.split())
    return peak, cpu


def whole_process(bench: Bench) -> Section:
    """What a user waits for at the prompt: interpreter, imports, vocabulary and all."""
    section = Section("whole process", ("command", *TIMES))
    command = Path(sysconfig.get_path("scripts")) / "qwen-sft"
    ten, out = str(bench.some(10)), str(bench.folder / "out-ten")
    arguments = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "qwen-sft --help": [command, "--help"],
        "qwen-sft validate, ten rows": [command, "validate", ten],
        "qwen-sft build, ten rows": [command, "build", ten, "--model", ours.FAMILY, "--out", out, "--force"],
    }
    steps = {name: functools.partial(_run, words) for name, words in arguments.items()}
    for name, times in alternate(steps, 2 if bench.is_quick else 7).items():
        section.lines.append((name, *_seconds(times)))
        section.numbers[name] = _rounds(times)
    return section


def formats(bench: Bench) -> Section:
    """Every format beside plain chat messages with the same content: its own samples, read as messages."""
    section = Section("formats, on their examples", ("format", "raw MB/s", "content MB/s", "as chat MB/s", "share"))
    for name, (raw, chat) in ours.examples().items():
        copies = max(1, (40_000 if bench.is_quick else 400_000) // sum(map(len, raw)))
        steps = {
            "raw": lambda raw=raw, n=copies: ours.read(raw, n),
            "chat": lambda chat=chat, n=copies: ours.read(chat, n),
        }
        timed = alternate(steps, 2)
        n_raw, n_chat = (copies * sum(map(len, texts)) / 1e6 for texts in (raw, chat))
        share = 1 / paired_cpu_ratio(timed["raw"], timed["chat"])
        rates = (n_raw / timed["raw"].median_cpu, n_chat / timed["raw"].median_cpu, n_chat / timed["chat"].median_cpu)
        section.lines.append((name, *(f"{rate:.0f}" for rate in rates), f"{share:.2f}"))
        section.numbers[name] = {"raw": _rounds(timed["raw"]), "chat": _rounds(timed["chat"]), "share": share}
    lowest = min(section.numbers, key=lambda one: section.numbers[one]["share"])
    section.remarks.append("one core, by CPU seconds: parsed, recognised among all formats, read, its events balanced")
    section.remarks.append("share: how fast next to the same content as plain chat messages (1 is as fast)")
    section.remarks.append(f"the slowest is {lowest} with {section.numbers[lowest]['share']:.2f}")
    return section


def render(bench: Bench) -> Section:
    """Rows by a family, and by tracing a template that no family knows; each has its model loaded before."""
    n_rows = 20 if bench.is_quick else 100
    section = Section(f"render, {n_rows:,} rows", ("step", *TIMES, "rows/s", "times as long as the family: wall, CPU"))
    folder, file = bench.folder / "edited", bench.some(n_rows)
    template = ours.edited(folder)
    verified: tuple[Literal["sample", "none"], ...] = ("sample", "none")
    models: dict[str, Any] = {f"family {ours.FAMILY}": ours.FAMILY, "traced template": folder}
    ready = {(name, verify): ours.pipeline(models[name], verify) for verify in verified for name in models}
    family, traced = models
    if ready[traced, "none"].encoder.model.family.name != "traced":
        raise SystemExit(f"a family knows {template} by now, so it is not traced")
    made = {key: ours.render(file, one) for key, one in ready.items()}
    for (name, _), rows in made.items():
        if n_lost := n_rows - len({row.where for row in rows}):
            section.remarks.append(f"{name}: {n_lost:,} ROWS REJECTED")
    same = [
        a.where == b.where
        and np.array_equal(a.tokens.input_ids, b.tokens.input_ids)
        and np.array_equal(a.tokens.labels, b.tokens.labels)
        for a, b in zip(made[family, "none"], made[traced, "none"], strict=False)
    ]
    section.remarks.append(f"traced: {template}; {sum(same):,} rows have the same ids and labels as the family's")
    steps = {f"{name}, verify={v}": functools.partial(ours.render, file, one) for (name, v), one in ready.items()}
    timed = alternate(steps, 2, warm_ups=0)
    for (_, verify), (name, times) in zip(ready, timed.items(), strict=True):
        against = _times(times, timed[f"{family}, verify={verify}"])
        section.lines.append((name, *_seconds(times), f"{n_rows / times.median:,.0f}", against))
        section.numbers[name] = _rounds(times)
    return section


# -- helpers ----------------------------------------------------------------------------------------------------------


def _seconds(times: Timed) -> tuple[str, str]:
    return f"{times.median:.3f} ({min(times.wall):.3f} to {max(times.wall):.3f})", f"{times.median_cpu:.3f}"


def _times(times: Timed, base: Timed) -> str:
    return f"{paired_ratio(times, base):.3g}, {paired_cpu_ratio(times, base):.3g}"


def _rounds(times: Timed) -> dict[str, Any]:
    return {"wall": times.wall, "cpu": times.cpu, "median": times.median, "median_cpu": times.median_cpu}


def _at_once(command: list[str | Path], n: int) -> None:
    """Runs a command several times at the same time, to the end of all."""
    for one in [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(n)]:
        if one.wait() > 1:
            raise SystemExit(f"{command} exited with {one.returncode}")


def _run(command: list[str | Path]) -> str:
    """Runs a command to its end and returns its stdout; findings in the data (exit 1) are no failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode > 1:
        raise SystemExit(f"{command} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout


def _keep_bytecode(folder: Path) -> None:
    """An installed package has its bytecode: without it, compiling modules takes longer than all else of a start."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(folder)


def _machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
    load = os.getloadavg()[0]
    return {
        "cpu": cpu or platform.processor(),
        "n_cores": os.cpu_count(),
        "load_before": load,
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(_versions()),
    }


def _versions() -> Iterator[tuple[str, str]]:
    for package in PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue


SECTIONS = {
    "build": build,
    "validate": validate,
    "jobs": jobs,
    "process": whole_process,
    "growth": growth,
    "memory": memory,
    "formats": formats,
    "render": render,
    "scale": scale,
}


def main() -> None:
    """Measures, prints each table as soon as it is there, and writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="120 rows and two rounds: does it run, not how fast")
    parser.add_argument("--rows", type=int, metavar="N", help="so many rows instead of 1,000 (120 with --quick)")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; scale runs only so")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's numbers to FILE")
    arguments = parser.parse_args()
    rows = data.rows(arguments.rows or (120 if arguments.quick else 1000))
    with tempfile.TemporaryDirectory(prefix="qwen-sft-bench-") as temporary:
        folder = Path(temporary)
        _keep_bytecode(folder / "bytecode")
        bench = Bench(folder, rows, rows.write(folder / "rows.jsonl"), arguments.quick, 2 if arguments.quick else 3)
        machine = _machine()
        packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
        sys.stdout.write(
            f"- data: {rows.source}; {rows.n_rows:,} rows, {bench.n_mb:.1f} MB\n"
            f"- machine: {machine['cpu']}, {machine['n_cores']} cores, load {machine['load_before']:.1f} before the "
            f"start; {machine['system']}, Python {machine['python']}\n- versions: {packages}\n"
        )
        measured: dict[str, Any] = {}
        for name in arguments.only or [name for name in SECTIONS if name != "scale"]:
            section = SECTIONS[name](bench)
            measured[name] = section.numbers
            sys.stdout.write(f"\n{section}\n")
            sys.stdout.flush()
        if arguments.json:
            document = {"data": rows.source, "n_rows": rows.n_rows, "n_mb": bench.n_mb, "machine": machine, **measured}
            arguments.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
