"""Runs a command line of qwen-sft in this process and prints its peak memory in MB and its CPU seconds.

`peak.py validate runs.jsonl --jobs 1`; what the command says is not shown, but for what it says where it cannot run.
"""

import os
import resource
import sys
import time
from pathlib import Path

from qwen_sft.cli import main


def peak_mb() -> float:
    """The most memory that this process has held, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # not ru_maxrss: on Linux a child inherits its parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    told = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        main()
    except SystemExit as stop:
        if stop.code == 2:
            raise
    told.write(f"{peak_mb()} {time.process_time()}\n")
