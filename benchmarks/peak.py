"""Builds once in a process of its own and prints its peak memory in MB and its CPU seconds: `peak.py FILE FOLDER`.

Without FOLDER it validates.
"""

import resource
import sys
import time
from pathlib import Path

import ours


def peak_mb() -> float:
    """The most memory that this process has held, in MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # not ru_maxrss: on Linux a child inherits its parent's
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


if __name__ == "__main__":
    if len(sys.argv) > 2:
        ours.build(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        ours.validate(Path(sys.argv[1]))
    sys.stdout.write(f"{peak_mb()} {time.process_time()}\n")
