"""How fast `qwen-sft view` answers on a large set: start, first page, a page in the middle, filters, a sample, memory.

The set is one that `build` wrote, its rows repeated through the same writer: 1,000,000 rows by default, as row groups
and columns have them. Run with `python benchmarks/view.py`; `--rows` takes fewer, `--keep DIR` keeps the set.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import qwen_sft
from qwen_sft.writing.arrow import SCHEMA, ParquetSink

_GROUP = 512
_SHARD = 250_000  # rows


def large_set(folder: Path, n_rows: int) -> None:
    """Writes a set of so many rows, which are those of a small one again and again, each with a line of its own."""
    seeds = folder.parent / "seeds.jsonl"
    with seeds.open("w") as stream:
        for k in range(_GROUP):
            call = {
                "type": "function",
                "function": {"name": f"tool_{k % 20}", "arguments": {"n": k, "text": "x" * (k % 97)}},
            }
            talk = [
                {"role": "user", "content": f"Question {k}: " + "how many parcels are in the harbour? " * (k % 9 + 1)},
                {"role": "assistant", "content": "", "tool_calls": [call]},
                {"role": "tool", "content": json.dumps({"parcels": list(range(k % 60))})},
                {"role": "assistant", "content": f"There are {k % 60}."},
            ]
            stream.write(json.dumps({"messages": talk}) + "\n")
    built = qwen_sft.build(str(seeds), str(folder), model="qwen3", verify="none")
    assert built.ok
    (path,) = folder.glob("data/*.parquet")
    table = pq.read_table(path)
    path.unlink()
    files: list[dict[str, Any]] = []
    written = 0
    n_shards = -(-n_rows // _SHARD)
    for shard in range(n_shards):
        name = f"data/train-{shard:05}-of-{n_shards:05}.parquet"
        sink = ParquetSink(folder / name, SCHEMA, lambda batch: batch)
        n = min(_SHARD, n_rows - written)
        for start in range(0, n, table.num_rows):
            part = table.slice(0, min(table.num_rows, n - start)).combine_chunks().to_batches()[0]
            lines = pa.array(range(written + start + 1, written + start + 1 + part.num_rows), pa.int64())
            sink.write(part.set_column(part.schema.get_field_index("source_line"), "source_line", lines))
        sink.close()
        written += n
        files.append({"file": name, "split": "train", "n_rows": n})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = files
    manifest["writer"]["n_rows"] = manifest["rows"]["n_rows"] = n_rows
    (folder / "manifest.json").write_text(json.dumps(manifest))


def timed(url: str) -> tuple[float, str]:
    """Seconds that an answer takes, and its text."""
    begun = time.perf_counter()
    with urllib.request.urlopen(url, timeout=300) as answer:
        text = answer.read().decode()
    return time.perf_counter() - begun, text


def used(process: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(folder: Path, n_rows: int) -> None:
    """Prints what each page takes."""
    begun = time.perf_counter()
    command = [
        sys.executable,
        "-c",
        "from qwen_sft.cli import main; main()",
        "view",
        str(folder),
        "--no-open",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        print(f"{'':<44} {'wall':>9} {'processor':>11}")
        print(f"{'start, with the tokenizer':<44} {time.perf_counter() - begun:7.2f} s {used(server.pid):9.2f} s")
        pages = [
            ("first page", ""),
            ("a page in the middle", f"rows?start={n_rows // 2}"),
            ("the last page", f"rows?back={n_rows}"),
            ("a sample", f"rows/{n_rows // 3}"),
            ("filter by length, the first time", "rows?least=500"),
            ("filter by length, again", f"rows?least=500&start={n_rows // 2}"),
            ("filter by a tool", "rows?tool=tool_7"),
            ("a text that nothing holds, for its second", "rows?q=nowhere"),
        ]
        for name, path in pages:
            before = used(server.pid)
            seconds, text = timed(url + path)
            print(f"{name:<44} {seconds:7.2f} s {used(server.pid) - before:9.2f} s  {len(text):,} bytes")
        peak = re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())
        if peak:
            print(f"{'memory at most':<44} {int(peak[1]) // 1024:7,} MB")
        server.terminate()


def main() -> None:
    """Makes the set and measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="where the set is, or will be kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary) / "set"
        if not (folder / "manifest.json").is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            begun = time.perf_counter()
            large_set(folder, given.rows)
            print(f"{given.rows:,} rows written in {time.perf_counter() - begun:.0f} s")
        n_rows: int = json.loads((folder / "manifest.json").read_text())["rows"]["n_rows"]
        size = sum(one.stat().st_size for one in folder.rglob("*.parquet"))
        print(f"{n_rows:,} rows, {size / 1e6:,.0f} MB of Parquet")
        measured(folder, n_rows)


if __name__ == "__main__":
    main()
