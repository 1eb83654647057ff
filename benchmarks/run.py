"""Times qwen-sft beside its peers, prints ratios, and never fails on a time: `python benchmarks/run.py`."""

import argparse
import functools
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import data
import numpy as np
import orjson
import ours
import trl_peer
from timing import Timed, alternate, paired_cpu_ratio, paired_ratio

HERE = Path(__file__).resolve().parent
PACKAGES = ("qwen-sft", "fastokens", "tokenizers", "orjson", "msgspec", "trl", "transformers", "datasets", "torch")


@dataclass
class Section:
    """One table: what was measured, its lines, and remarks below them. `numbers` goes to the JSON file."""

    title: str
    columns: tuple[str, ...]
    lines: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    remarks: list[str] = field(default_factory=list[str])
    numbers: dict[str, Any] = field(default_factory=dict[str, Any])

    def __str__(self) -> str:
        first = max(34, *(len(line[0]) for line in self.lines)) if self.lines else 34
        table = [(self.title, *self.columns), *(("  " + line[0], *line[1:]) for line in self.lines)]
        drawn = [f"{line[0]:<{first + 2}}" + "".join(f"{cell:>11}" for cell in line[1:]) for line in table]
        return "\n".join([*drawn, *(f"  {remark}" for remark in self.remarks)])


@dataclass(frozen=True)
class Bench:
    """What every section needs.

    Attributes:
        folder: for files that go away.
        rows: the conversations, and `file` with all of them.
        sizes: how many rows the growth of cost is measured at.
        rounds: how often each step runs, warm-up not counted.
    """

    folder: Path
    rows: data.Rows
    file: Path
    sizes: tuple[int, ...]
    rounds: int

    @property
    def n_mb(self) -> float:
        """Size of the file, in MB (10^6 bytes)."""
        return self.file.stat().st_size / 1e6

    def first(self, n_rows: int) -> Path:
        """A file with the first rows only."""
        return self.rows.write(self.folder / f"rows-{n_rows}.jsonl", n_rows)


# -- sections ---------------------------------------------------------------------------------------------------------


def build(bench: Bench) -> Section:
    """The whole build beside TRL's own preparation of the same rows."""
    n_rows = len(bench.rows.rows)
    section = Section(f"build, {n_rows:,} rows", ("median s", "min s", "max s", "CPU s", "rows/s", "tokens/s"))
    out, manifest = bench.folder / "out", {}
    checked, unchecked, loading, ready = (
        "qwen-sft, verify=sample (default)",
        "qwen-sft, verify=none",
        "  of it loading the model",
        "qwen-sft, model loaded before",
    )
    single, pooled = "TRL, its default", f"TRL, dataset_num_proc={os.cpu_count()}"
    steps: dict[str, Callable[[], object]] = {
        checked: lambda: manifest.update(ours.build(bench.file, out)),
        unchecked: lambda: ours.build(bench.file, out, "none"),
        loading: ours.load,
        ready: lambda: ours.build(bench.file, out, loaded=True),  # stands behind `loading`, which loads it
    }
    n_tokens: dict[str, int] = {}
    try:
        peer = trl_peer.Peer(bench.folder / "trl")
    except trl_peer.Missing as missing:
        section.remarks.append(f"TRL: NOT MEASURED, {missing}: pip install 'qwen-sft[bench]'")
    else:
        dataset = peer.read(bench.file)
        for name, processes in (single, None), (pooled, os.cpu_count()):
            steps[name] = functools.partial(peer.prepare, dataset, processes)
        prepared = peer.prepare(dataset)
        n_tokens[single] = n_tokens[pooled] = sum(map(len, prepared["input_ids"]))
        trained = sum(label != -100 for labels in prepared["labels"] for label in labels)
        section.numbers["trl"] = {"n_tokens": n_tokens[single], "n_trained_tokens": trained, "template": peer.template}
    timed = alternate(steps, bench.rounds)
    n_tokens[checked] = n_tokens[unchecked] = n_tokens[ready] = manifest["rows"]["n_tokens"]
    if n_rejected := manifest["records"]["rejected"]:
        section.remarks.append(f"qwen-sft: {n_rejected:,} ROWS REJECTED, {manifest['rejected_by_code']}")
    section.numbers["qwen-sft"] = {key: manifest[key] for key in ("records", "rows", "verified")}
    for name, times in timed.items():
        rates = [f"{n / times.median:,.0f}" for n in (n_rows, n_tokens[name])] if name in n_tokens else ["", ""]
        section.lines.append((name, *_seconds(times), f"{times.median_cpu:.3f}", *rates))
        section.numbers[name] = _rounds(times)
    for peer_name in (single, pooled):
        if peer_name not in timed:
            continue
        for name in (checked, unchecked, ready):
            wall, cpu = paired_ratio(timed[peer_name], timed[name]), paired_cpu_ratio(timed[peer_name], timed[name])
            share = n_tokens[name] / n_tokens[peer_name]
            section.remarks.append(
                f"{name} makes {wall:.1f} times the rows/s of {peer_name} "
                f"({wall * share:.1f} times the tokens/s; {cpu:.1f} times less CPU)"
            )
            section.numbers[f"{peer_name} / {name}"] = {"wall": wall, "cpu": cpu}
    if single in timed:
        theirs, mine = section.numbers["trl"], manifest["rows"]
        section.remarks.append(
            f"tokens, and trained ones: qwen-sft {mine['n_tokens']:,}, {mine['n_trained_tokens']:,}; "
            f"TRL {theirs['n_tokens']:,}, {theirs['n_trained_tokens']:,} (why they differ: benchmarks/README.md)"
        )
    return section


def render(bench: Bench) -> Section:
    """Rows by a family, by tracing a template that no family knows, and by TRL; each has its model loaded before."""
    n_rows = len(bench.rows.rows)
    section = Section(f"render, {n_rows:,} rows", ("median s", "min s", "max s", "CPU s", "rows/s", "tokens/s"))
    folder = bench.folder / "edited"
    template = ours.edited(folder)
    family, traced = f"family {ours.FAMILY}", "traced template"
    models = {family: ours.FAMILY, traced: folder}
    verified: tuple[Literal["sample", "none"], ...] = ("sample", "none")
    pipelines = {
        f"{name}, verify={verify}": ours.pipeline(model, verify)
        for name, model in models.items()
        for verify in verified
    }
    if pipelines[f"{traced}, verify=none"].encoder.model.family.name != "traced":
        raise SystemExit(f"a family knows {template} by now, so it is not traced")
    made = {name: ours.render(bench.file, ready) for name, ready in pipelines.items()}
    steps: dict[str, Callable[[], object]] = {
        name: functools.partial(ours.render, bench.file, ready) for name, ready in pipelines.items()
    }
    n_tokens = {name: sum(len(row.tokens.input_ids) for row in rows) for name, rows in made.items()}
    ratios = [(f"{traced}, verify={verify}", f"{family}, verify={verify}") for verify in verified]
    same = [
        a.where == b.where
        and np.array_equal(a.tokens.input_ids, b.tokens.input_ids)
        and np.array_equal(a.tokens.labels, b.tokens.labels)
        for a, b in zip(made[f"{family}, verify=none"], made[f"{traced}, verify=none"], strict=False)
    ]
    section.remarks.append(f"traced: {template}; {sum(same):,} rows have the same ids and labels as the family's")
    for name, rows in made.items():
        if n_lost := n_rows - len({row.where for row in rows}):
            section.remarks.append(f"{name}: {n_lost:,} ROWS REJECTED")
    section.numbers = {"template": template, "n_same": sum(same)}
    single = "TRL, its default"
    try:
        peer = trl_peer.Peer(bench.folder / "trl-render")
    except trl_peer.Missing as missing:
        section.remarks.append(f"TRL: NOT MEASURED, {missing}: pip install 'qwen-sft[bench]'")
    else:
        dataset = peer.read(bench.file)
        steps[single] = functools.partial(peer.prepare, dataset)
        n_tokens[single] = sum(map(len, peer.prepare(dataset)["input_ids"]))
        ratios += [(single, name) for name in pipelines]
    del made
    timed = alternate(steps, bench.rounds)
    for name, times in timed.items():
        rates = [f"{n / times.median:,.0f}" for n in (n_rows, n_tokens[name])]
        section.lines.append((name, *_seconds(times), f"{times.median_cpu:.3f}", *rates))
        section.numbers[name] = {**_rounds(times), "n_tokens": n_tokens[name]}
    for slower, faster in ratios:
        wall, cpu = paired_ratio(timed[slower], timed[faster]), paired_cpu_ratio(timed[slower], timed[faster])
        section.remarks.append(f"{slower} / {faster}: {wall:.2f} times the time, {cpu:.2f} times the CPU")
        section.numbers[f"{slower} / {faster}"] = {"wall": wall, "cpu": cpu}
    return section


def validate(bench: Bench) -> Section:
    """Structure-only validation beside nothing but parsing the same lines: of the rows, and of many formats at once."""
    section = Section("validate", ("MB", "median s", "min s", "max s", "CPU s", "MB/CPU s"))
    n_varied = 2_000_000 if len(bench.rows.rows) < 1000 else 25_000_000
    varied = data.varied(ours.originals(), bench.folder / "varied.jsonl", n_varied)
    for name, file in {"chat rows": bench.file, "many formats": varied}.items():
        n_mb = file.stat().st_size / 1e6
        ours_name, floor = f"{name}: every structural rule", f"{name}: orjson.loads of each line"
        steps = {ours_name: functools.partial(ours.validate, file), floor: functools.partial(_parse, file)}
        timed = alternate(steps, bench.rounds * 2)
        for step, times in timed.items():
            rate = n_mb / times.median_cpu
            section.lines.append((step, f"{n_mb:.1f}", *_seconds(times), f"{times.median_cpu:.3f}", f"{rate:,.1f}"))
            section.numbers[step] = {**_rounds(times), "mb_per_cpu_s": rate}
        wall, cpu = paired_ratio(timed[ours_name], timed[floor]), paired_cpu_ratio(timed[ours_name], timed[floor])
        section.remarks.append(f"{name}: {wall:.1f} times as long as parsing alone ({cpu:.1f} times the CPU)")
        section.numbers[f"{name}: ratio"] = {"wall": wall, "cpu": cpu}
    return section


def _parse(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            orjson.loads(line)


def memory(bench: Bench) -> Section:
    """Peak memory of validating records of many formats, each file in a process of its own."""
    section = Section("validate as it grows", ("MB", "peak MB"))
    originals = ours.originals()
    for n_mb in (1, 10) if len(bench.rows.rows) < 1000 else (25, 250):
        file = data.varied(originals, bench.folder / "grows.jsonl", n_mb * 1_000_000)
        peak = float(_run([sys.executable, HERE / "peak.py", file]))
        section.lines.append((f"{n_mb} MB of many formats", str(n_mb), f"{peak:.0f}"))
        section.numbers[str(n_mb)] = {"peak_mb": peak}
    return section


def formats(bench: Bench) -> Section:
    """Every format beside plain chat messages with the same content: its own samples, read as messages."""
    section = Section("formats, on their examples", ("raw MB/s", "content MB/s", "as chat MB/s", "share"))
    for name, (raw, chat) in ours.examples().items():
        copies = max(1, 400_000 // sum(map(len, raw)))
        steps = {
            "raw": lambda raw=raw, n=copies: ours.read(raw, n),
            "chat": lambda chat=chat, n=copies: ours.read(chat, n),
        }
        timed = alternate(steps, bench.rounds)
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


def whole_process(bench: Bench) -> Section:
    """What a user waits for at the prompt: interpreter, imports, vocabulary and all."""
    section = Section("whole process", ("median s", "min s", "max s", "CPU s"))
    command = Path(sysconfig.get_path("scripts")) / "qwen-sft"
    ten, out = str(bench.first(10)), str(bench.folder / "out-ten")
    arguments = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "qwen-sft --help": [command, "--help"],
        "qwen-sft validate, ten rows": [command, "validate", ten],
        "qwen-sft build, ten rows": [command, "build", ten, "--model", ours.FAMILY, "--out", out, "--force"],
    }
    # an installed package has its bytecode: without it, compiling our modules takes longer than all else of a start
    compiled = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    compiled["PYTHONPYCACHEPREFIX"] = str(bench.folder / "bytecode")
    steps = {name: functools.partial(_run, words, compiled) for name, words in arguments.items()}
    for name, times in alternate(steps, 5).items():
        section.lines.append((name, *_seconds(times), f"{times.median_cpu:.3f}"))
        section.numbers[name] = _rounds(times)
    return section


def growth(bench: Bench) -> Section:
    """Time and peak memory of a build as the input grows, each build in a process of its own."""
    section = Section("build as it grows", ("median s", "ms/row", "peak MB", "input MB"))
    loading = statistics.median(_timed(ours.load) for _ in range(3))
    for n_rows in bench.sizes:
        file = bench.first(n_rows)
        seconds = [_timed(lambda file=file: ours.build(file, bench.folder / "out")) for _ in range(bench.rounds)]
        peak = float(_run([sys.executable, HERE / "peak.py", file, bench.folder / "out-peak"]))
        median, n_mb = statistics.median(seconds), file.stat().st_size / 1e6
        per_row = 1e3 * (median - loading) / n_rows
        section.lines.append((f"{n_rows:,} rows", f"{median:.2f}", f"{per_row:.2f}", f"{peak:.0f}", f"{n_mb:.1f}"))
        section.numbers[str(n_rows)] = {"wall": seconds, "ms_per_row": per_row, "peak_mb": peak, "input_mb": n_mb}
    section.remarks.append(f"ms/row leaves out the {loading:.2f} s of loading the model; peak is of the whole process")
    section.numbers["loading_s"] = loading
    return section


# -- helpers ----------------------------------------------------------------------------------------------------------


def _seconds(times: Timed) -> list[str]:
    return [f"{seconds:.3f}" for seconds in (times.median, min(times.wall), max(times.wall))]


def _rounds(times: Timed) -> dict[str, Any]:
    return {"wall": times.wall, "cpu": times.cpu, "median": times.median, "median_cpu": times.median_cpu}


def _timed(step: Callable[[], object]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _run(command: list[str | Path], environment: dict[str, str] | None = None) -> str:
    """Runs a command to its end and returns its stdout; findings in the data (exit 1) are no failure."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode > 1:
        raise SystemExit(f"{command} exited with {done.returncode}:\n{done.stderr}")
    return done.stdout


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
    "render": render,
    "validate": validate,
    "memory": memory,
    "formats": formats,
    "process": whole_process,
    "growth": growth,
}


def main() -> None:
    """Measures, prints each table as soon as it is there, and writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="120 rows and two rounds: does it run, not how fast")
    parser.add_argument("--rows", type=int, metavar="N", help="so many rows instead of 1,000 (120 with --quick)")
    parser.add_argument("--only", choices=SECTIONS, action="append", help="one section; can be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every round's numbers to FILE")
    arguments = parser.parse_args()
    n_rows = arguments.rows or (120 if arguments.quick else 1000)
    sizes, rounds = (n_rows // 4, n_rows // 2, n_rows), 2 if arguments.quick else 4
    with tempfile.TemporaryDirectory(prefix="qwen-sft-bench-") as temporary:
        rows = data.rows(n_rows)
        bench = Bench(Path(temporary), rows, rows.write(Path(temporary) / "rows.jsonl"), sizes, rounds)
        machine = _machine()
        packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
        sys.stdout.write(
            f"data     {n_rows:,} rows, {bench.n_mb:.1f} MB; {rows.source}\n"
            f"machine  {machine['cpu']}, {machine['n_cores']} cores, load {machine['load_before']:.1f} before the "
            f"start; {machine['system']}, Python {machine['python']}\nversions {packages}\n"
        )
        measured: dict[str, Any] = {}
        for name in arguments.only or SECTIONS:
            section = SECTIONS[name](bench)
            measured[name] = section.numbers
            sys.stdout.write(f"\n{section}\n")
            sys.stdout.flush()
        if arguments.json:
            document = {"data": rows.source, "n_rows": n_rows, "n_mb": bench.n_mb, "machine": machine, **measured}
            arguments.json.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    main()
