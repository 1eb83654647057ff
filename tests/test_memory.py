"""Memory does not grow with the input: what a process of its own has held at most, in MB."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Not getrusage: its ru_maxrss is that of the process that started this one, if that was larger.
PEAK = r"""
import atexit, re, sys
from pathlib import Path
def told():
    kilobytes = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    print(int(kilobytes) * 1024 // 1_000_000, file=sys.stderr)
atexit.register(told)
"""
COMMAND = "from qwen_sft.cli import main\nmain()"
CENSUS = """
from qwen_sft.inspecting.census import Census, Facts
from qwen_sft.record import Where
census = Census()
for k in range(1, int(sys.argv[1]) + 1):
    split = ("train", "test")[k % 2]
    census.see(Facts(k, k, k, split, ("t",), ("t",), 0, 1, k, k, longest=k, n_tokens=k), Where("a.jsonl", k))
assert census.repeats().n == census.leaks("task").n == census.overlaps().n == 0
assert census.total("n_tokens") == sum(range(int(sys.argv[1]) + 1))
"""


def peak(code: str, *arguments: str) -> int:
    """The most that a process held which has run some code to its end."""
    command = [sys.executable, "-c", PEAK + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.splitlines()[-1])


def runs(path: Path, n_rows: int) -> str:
    """A file of runs of an agent, 20 KB each, no two of them alike."""
    words = [
        f"{left}{right}" for left in ("al", "be", "cor", "dun", "el") for right in ("ba", "cy", "den", "fo", "gar")
    ]
    text = " ".join(words * 20)
    parameters = {"type": "object", "properties": {"place": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look", "description": text[:900], "parameters": parameters}}]
    with path.open("w") as file:
        for k in range(n_rows):
            chance = random.Random(k)
            messages = [{"role": "system", "content": text}]
            for turn in range(12):
                place = " ".join(chance.choices(words, k=12))
                function = {"name": "look", "arguments": {"place": place}}
                call = {"id": f"c{turn}", "type": "function", "function": function}
                messages += [
                    {"role": "user", "content": f"What is at {place}?"},
                    {"role": "assistant", "content": "", "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": f"c{turn}", "content": " ".join(chance.choices(words, k=160))},
                    {"role": "assistant", "content": " ".join(chance.choices(words, k=25))},
                ]
            file.write(json.dumps({"messages": messages, "tools": tools}) + "\n")
    return str(path)


@pytest.mark.slow
def test_build_of_five_times_as_many_rows_holds_no_more_and_less_than_five_hundred_megabytes(tmp_path: Path):
    """The smaller one has a row group of 512 rows, which takes the most memory."""

    def built(n_rows: int) -> int:
        out = tmp_path / str(n_rows)
        file = runs(tmp_path / "runs.jsonl", n_rows)
        held = peak(COMMAND, "build", file, "--model", "qwen3", "--jobs", "1", "--out", str(out))
        assert json.loads((out / "manifest.json").read_text())["rows"]["n_rows"] == n_rows
        return held

    few, many = built(600), built(3000)
    assert max(few, many) < 500
    assert many - few < 20


def test_facts_of_ten_times_as_many_samples_take_no_more_memory():
    assert peak(CENSUS, "250000") - peak(CENSUS, "25000") < 15
