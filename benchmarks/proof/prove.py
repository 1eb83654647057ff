"""Proof that a model learns from what `qwen-sft build` writes, and does not from what it refuses: `make proof`.

    python benchmarks/proof/prove.py                     a tiny model on the CPU
    python benchmarks/proof/prove.py --model Qwen/Qwen3-0.6B --device cuda --rate 2e-5 --steps 300

Made-up traces are built and trained with TRL's SFTTrainer, then the model is driven through held-out tasks. The control
is the same work with calls, results and answer merged into one turn, built by ignoring the rules that refuse it, and
trained for as long. Exit code 0 if the model does every task and the control none; 1 if not.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from driving import Score, drive, score, told
from training import Recipe, Speaker, Trained, train
from workflows import Kind, Task, merged, tasks, trace

GATES = ("TOL014", "TOK004")
"""The rules that refuse the control's traces: where the first is ignored, the second sees them."""
FAMILY = "qwen3"
WORK: tuple[Kind, ...] = ("chain", "chain", "parallel")
PACKAGES = ("qwen-sft", "trl", "transformers", "datasets", "torch")
BEGIN, END = "<!-- measured: make proof writes what is between here -->", "<!-- and here -->"


@dataclass(frozen=True, slots=True)
class Set:
    """A training set.

    Attributes:
        n_rows: written.
        n_tokens: in them.
        n_trained_tokens: of these.
        refused: how many traces each rule refused.
    """

    n_rows: int
    n_tokens: int
    n_trained_tokens: int
    refused: dict[str, int]


@dataclass(frozen=True, slots=True)
class Result:
    """One of the two trainings, and what the model did then; times in seconds."""

    made: Set
    trained: Trained
    work: Score
    greetings: Score
    train_s: float
    drive_s: float


def build(traces: Path, out: Path, model: str, *flags: str) -> Set:
    """Runs `qwen-sft build` and returns what its manifest says; refused traces are no failure here."""
    command = [Path(sys.executable).parent / "qwen-sft", "build", traces, "--model", model, "--out", out, "--force"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(f"qwen-sft build ended with {done.returncode}\n{done.stderr}")
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    rows = manifest["rows"]
    return Set(rows["n_rows"], rows["n_tokens"], rows["n_trained_tokens"], manifest["rejected_by_code"])


def ignoring(codes: Sequence[str]) -> list[str]:
    """The flags that skip rules."""
    return ["--ignore", ",".join(codes)] if codes else []


def write_traces(folder: Path, made: Sequence[Task]) -> tuple[Path, Path]:
    """The traces of tasks in two files, as they should be and merged."""
    good, bad = folder / "traces.jsonl", folder / "merged.jsonl"
    good.write_text("".join(json.dumps(trace(task)) + "\n" for task in made), encoding="utf-8")
    bad.write_text("".join(json.dumps(merged(task)) + "\n" for task in made), encoding="utf-8")
    return good, bad


def learn(made: Set, rows: Path, folder: Path, recipe: Recipe, tests: Sequence[Task]) -> Result:
    """Trains on a set and drives what comes out; every run is written beside it, to read."""
    began = time.monotonic()
    trained = train(rows, folder, recipe)
    between = time.monotonic()
    runs = drive(tests, Speaker(folder, recipe))
    ended = time.monotonic()
    (folder / "runs.txt").write_text("\n\n".join(map(told, runs)) + "\n", encoding="utf-8")
    work = score([run for run in runs if run.task.kind != "greeting"])
    greetings = score([run for run in runs if run.task.kind == "greeting"])
    return Result(made, trained, work, greetings, between - began, ended - between)


# -- what is said -----------------------------------------------------------------------------------------------------


def report(
    proof: Result, control: Result, gate: Sequence[dict[str, int]], recipe: Recipe, n_traces: int, seconds: float
) -> str:
    """The two numbers and how they came about, as Markdown."""
    size = f"{proof.trained.n_parameters / 1e6:.1f} million parameters"
    what = f"a random Qwen3 of {recipe.layers} layers, {recipe.hidden} wide"
    if proof.trained.copies is not None:
        what += f", after {recipe.copying:,} steps of copying random tokens ({proof.trained.copies:.1%} right)"
    stopped = "; if that is ignored, ".join(", ".join(f"{n:,} by {code}" for code, n in one.items()) for one in gate)
    lines = [
        "| | built by `qwen-sft` | control: results merged into the turn |",
        "|---|---|---|",
        f"| **workflows done** | **{proof.work.n_right} of {proof.work.n}** | **{control.work.n_right} of "
        f"{control.work.n}** |",
        f"| **greetings without a call** | **{proof.greetings.n_right} of {proof.greetings.n}** | "
        f"**{control.greetings.n_right} of {control.greetings.n}** |",
        f"| what went wrong | {_faults(proof)} | {_faults(control)} |",
        f"| traces of {n_traces:,} that the gate stops | {sum(proof.made.refused.values()):,} | {stopped} |",
        f"| rows trained | {proof.made.n_rows:,} | {control.made.n_rows:,}, with `{' '.join(ignoring(GATES))}` |",
        f"| tokens, and trained of them | {proof.made.n_tokens:,}, {proof.made.n_trained_tokens:,} | "
        f"{control.made.n_tokens:,}, {control.made.n_trained_tokens:,} |",
        f"| loss and accuracy at the end | {proof.trained.loss:.4f}, {proof.trained.accuracy:.2%} | "
        f"{control.trained.loss:.4f}, {control.trained.accuracy:.2%} |",
        f"| seconds of training, and of driving | {proof.train_s:.0f}, {proof.drive_s:.0f} | {control.train_s:.0f}, "
        f"{control.drive_s:.0f} |",
        "",
        f"The model: {recipe.model or what}, {size}, {proof.trained.n_ids:,} tokens while it trains. "
        f"{recipe.steps:,} steps of {recipe.batch} rows, learning rate {recipe.rate:g}, seed {recipe.seed}. "
        f"All in all {seconds / 60:.1f} minutes on {_machine(recipe)}.",
    ]
    return "\n".join(lines)


def _faults(result: Result) -> str:
    both = [*result.work.faults.items(), *result.greetings.faults.items()]
    return "; ".join(f"{says} ({n} times)" for says, n in both) or "nothing"


def _machine(recipe: Recipe) -> str:
    if recipe.device == "cpu":
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.exists() else []
        named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        where = f"{recipe.threads} of {os.cpu_count()} cores of {next(named, platform.machine())}"
    else:
        import torch

        where = torch.cuda.get_device_name()
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return f"{where} ({time.strftime('%d %B %Y').lstrip('0')}, Python {platform.python_version()}, {packages})"


def kept(page: str, measured: str) -> str:
    """A page with its measured part replaced.

    Raises:
        SystemExit: the page has no place for it.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"the page has no place for the numbers: put it between {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}"


def parser() -> argparse.ArgumentParser:
    """The flags, and what they are without being given."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--out", type=Path, help="folder for traces, rows, models and what they said; default: one that goes away")
    add("--docs", type=Path, help="page to keep the numbers in")
    add("--json", type=Path, help="file for all numbers")
    add("--n-train", type=int, default=4000, help="traces to learn from")
    add("--n-test", type=int, default=20, help="held-out workflows, and as many greetings")
    add("--model", help="hub id or folder to start from; default: a tiny random one")
    add("--hidden", type=int, default=128, help="width of the tiny model")
    add("--layers", type=int, default=3, help="of the tiny model")
    add("--heads", type=int, default=4, help="of each layer of the tiny model")
    add("--copying", type=int, default=400, help="steps in which the tiny model learns to copy random tokens first")
    add("--steps", type=int, default=500, help="of the optimizer")
    add("--batch", type=int, default=8, help="rows in a step")
    add("--rate", type=float, default=2e-3, help="highest learning rate")
    add("--seed", type=int, default=0, help="of tasks, weights and order")
    add("--most", type=int, default=400, help="tokens of a turn after which it is cut")
    add("--device", choices=("cpu", "cuda"), default="cpu")
    add("--threads", type=int, default=os.cpu_count(), help="of the CPU")
    return made


def main() -> int:
    """Runs the proof and returns the exit code."""
    given = parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # A cache of its own: for a folder with a card `datasets` knows what it has read before by the folder's name.
        os.environ["HF_DATASETS_CACHE"] = str(Path(folder) / "cache")
        return prove(given, given.out or Path(folder))


def prove(given: argparse.Namespace, out: Path) -> int:
    """Both trainings, both numbers."""
    recipe = Recipe(**{field.name: getattr(given, field.name) for field in fields(Recipe)})
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    good, bad = write_traces(out, tasks(given.n_train, given.seed, held_out=False))
    tests = [
        *tasks(given.n_test, given.seed, held_out=True, kinds=WORK),
        *tasks(given.n_test, given.seed, held_out=True, kinds=("greeting",)),
    ]
    model = given.model or FAMILY
    made = build(good, out / "rows", model)
    stopped = [build(bad, out / "gate", model, *ignoring(GATES[:n])).refused for n in range(len(GATES))]
    skipped = build(bad, out / "merged-rows", model, *ignoring(GATES))
    print(f"the gate stops {stopped} of {given.n_train:,} merged traces", flush=True)
    proof = learn(made, out / "rows", out / "model", recipe, tests)
    print(f"proof: {proof.work} workflows, {proof.greetings} greetings", flush=True)
    control = learn(skipped, out / "merged-rows", out / "merged-model", recipe, tests)
    print(f"control: {control.work} workflows, {control.greetings} greetings", flush=True)
    measured = report(proof, control, stopped, recipe, given.n_train, time.monotonic() - began)
    print(measured)
    if given.docs:
        given.docs.write_text(kept(given.docs.read_text(encoding="utf-8"), measured), encoding="utf-8")
    if given.json:
        numbers = {"recipe": asdict(recipe), "proof": asdict(proof), "control": asdict(control), "gate": stopped}
        given.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    holds = proof.work.all_right and proof.greetings.all_right and control.work.n_right == 0
    print("It holds." if holds else "It does not hold.")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
