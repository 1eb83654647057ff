"""The peer's side of a benchmark, in a process and usually an environment of its own: it prepares once, then each time
that it is asked, and says how long that took. `peer.py` beside this folder is the other side.

A peer's script calls `serve` with a function that loads everything and gives a `Ready`. Nothing of qwen-sft is there.
"""

import gc
import importlib.metadata
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ready:
    """A peer that has loaded all it needs.

    Attributes:
        run: prepares all rows; is given a variant, "" for its default. Only this is timed.
        count: of what `run` gave, rows, tokens and trained tokens.
        packages: whose versions are told.
    """

    run: Callable[[str], Any]
    count: Callable[[Any], tuple[int, int, int]]
    packages: Sequence[str]


def serve(load: Callable[[Path, Path], Ready]) -> None:
    """Loads with the file of rows and the folder of the tokenizer, then runs once for each line of stdin."""
    os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", TOKENIZERS_PARALLELISM="true")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else is printed

    def say(**told: Any) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    try:
        ready = load(Path(sys.argv[1]), Path(sys.argv[2]))
    except ImportError as error:
        say(missing=f"{error.name} is not installed" if error.name else str(error))
        return
    say(versions={name: importlib.metadata.version(name) for name in ready.packages})
    for line in sys.stdin:
        gc.collect()
        wall, cpu = time.perf_counter(), _cpu()
        made = ready.run(line.strip())
        wall, cpu = time.perf_counter() - wall, _cpu() - cpu
        n_rows, n_tokens, n_trained = ready.count(made)
        say(wall=wall, cpu=cpu, n_rows=n_rows, n_tokens=n_tokens, n_trained=n_trained)


def rows(path: Path) -> list[Any]:
    """The rows: `messages` with arguments as objects, and `tools`."""
    return list(map(json.loads, path.read_bytes().splitlines()))


def counted(ids: Sequence[Sequence[int]], labels: Sequence[Sequence[int]]) -> tuple[int, int, int]:
    """Rows, tokens and trained tokens of ids and labels, in which -100 is not trained."""
    return len(ids), sum(map(len, ids)), sum(label != -100 for row in labels for label in row)


def _cpu() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
