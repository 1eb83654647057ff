"""Our side of a peer: it works in a process of its own, and is asked for one round at a time.

`peers/with_NAME.py` runs on the Python of `$QWEN_SFT_PEERS/NAME`, a virtual environment, or on ours where there is
none.
"""

import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from timing import Spent

HERE = Path(__file__).resolve().parent / "peers"

PACKAGES = {
    "trl": "trl==1.16.0 torch==2.13.0",
    "renderers": "'renderers[transformers]==0.1.12'",
    "tinker_cookbook": "tinker-cookbook==0.5.8 torch==2.13.0",
    "teich": "teich==0.3.6 transformers==5.23.0 jinja2",
    "llama_factory": "llamafactory torch==2.13.0",
    "axolotl": "axolotl torch==2.13.0",
    "tracelint": "tracelint==0.14.0",
}
"""What to install for each peer: the versions that were measured, for those whose releases pin nothing else."""


class Missing(Exception):
    """A peer cannot be measured; says why, and what to do."""


@dataclass
class Peer:
    """A peer that has loaded what it needs.

    Attributes:
        versions: of its packages.
        told: what its last round came to: `n_rows`, `n_tokens`, `n_trained`.
        fault: why it failed; "" if it did not.
    """

    name: str
    process: "subprocess.Popen[str]"
    log: Path
    versions: dict[str, str]
    told: dict[str, Any]
    fault: str = ""

    @classmethod
    def start(cls, name: str, rows: Path, tokenizer: Path) -> "Peer":
        """Starts a peer and waits until it has loaded everything.

        Raises:
            Missing: it, or what it needs, is not installed; or it fails.
        """
        environments = os.environ.get("QWEN_SFT_PEERS", "")
        own = Path(environments) / name / "bin/python"
        python = own if environments and own.exists() else Path(sys.executable)
        log = tokenizer.parent / f"{name}.log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [python, HERE / f"with_{name}.py", rows, tokenizer],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=_environment(),
            )  # fmt: skip
        made = cls(name, process, log, {}, {})
        told = made._answer()
        if "missing" in told:
            made.close()
            install = f"python -m venv peers/{name} && peers/{name}/bin/pip install {PACKAGES[name]}"
            raise Missing(f"{told['missing']}: {install}; then QWEN_SFT_PEERS=peers make bench")
        made.versions = told["versions"]
        return made

    def run(self, variant: str = "") -> Spent:
        """One round; the seconds are those that the peer took itself, or no number where it failed (`fault`)."""
        if not self.fault:
            try:
                assert self.process.stdin is not None
                self.process.stdin.write(f"{variant}\n")
                self.process.stdin.flush()
                self.told = self._answer()
                return Spent(self.told["wall"], self.told["cpu"])
            except (Missing, OSError) as error:
                self.fault = str(error)
        return Spent(math.nan, math.nan)

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.close()
            last = self.log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
            raise Missing(f"it failed: {last[0]}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait()


def _environment() -> dict[str, str]:
    """Ours without what leads a peer to our modules."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
