"""`qwen_sft.build` writes what `qwen-sft build` writes, of files and of records in memory."""

import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest

import qwen_sft
from qwen_sft.cli import main
from qwen_sft.errors import OutputError, UsageError

ROOT = Path(__file__).parents[1]
CLEAN = ROOT / "examples" / "clean.jsonl"
BROKEN = ROOT / "examples" / "broken.jsonl"
RECORDS = [json.loads(line) for line in CLEAN.read_text().splitlines()]
ORPHAN = {
    "messages": [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "tool", "tool_call_id": "c9", "content": "4 degrees, rain"},
        {"role": "assistant", "content": "It is 4 degrees and raining."},
    ]
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no settings file is."""
    monkeypatch.chdir(tmp_path)


def without_files(manifest: Any) -> dict[str, Any]:
    return {key: value for key, value in manifest.items() if key not in ("inputs", "settings", "files")}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    (shard,) = (folder / "data").glob("*.parquet")
    columns = ["input_ids", "labels", "kinds", "sample_id", "sample", "source_line"]
    return pq.read_table(shard, columns=columns).to_pylist()


def test_a_file_gives_the_folder_that_the_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(CLEAN), str(BROKEN)]
    monkeypatch.setattr("sys.argv", ["qwen-sft", "build", *paths, "--model", "qwen3", "--out", "theirs"])
    with pytest.raises(SystemExit) as stop:
        main()
    built = qwen_sft.build(paths, "ours", model="qwen3")
    assert (built.exit_code, built.ok, bool(built)) == (stop.value.code, False, False) == (1, False, False)
    theirs, ours = ({p.name: p.read_bytes() for p in Path(n).rglob("*") if p.is_file()} for n in ("theirs", "ours"))
    assert ours == theirs
    assert json.loads(json.dumps(built.manifest)) == json.loads(ours["manifest.json"])
    assert built.totals.n_records == built.manifest["records"]["read"]
    assert built.out == Path("ours")


@pytest.mark.parametrize("kind", ["records", "dataset"])
def test_records_in_memory_give_the_rows_of_their_file(kind: str) -> None:
    data = RECORDS if kind == "records" else datasets.Dataset.from_dict(
        {name: [one.get(name) for one in RECORDS] for name in ("id", "messages", "tools")}
    )  # fmt: skip
    encodes = {"model": "qwen3", "tokenizer_backend": "fastokens"}  # else the size decides, which is that of a file
    from_file = qwen_sft.build(CLEAN, "file", **encodes)
    built = qwen_sft.build(data, "held", **encodes)
    assert rows_of(built.out) == rows_of(from_file.out)
    assert built.exit_code == 0
    (source,) = built.manifest["inputs"]
    assert (source["file"], source["n_records"]) == ("<records>", 5)
    if kind == "records":
        text = b"".join(json.dumps(one, ensure_ascii=False).encode() + b"\n" for one in RECORDS)
        assert source["sha256"] == hashlib.sha256(text).hexdigest()
        assert without_files(built.manifest) == without_files(from_file.manifest)


def test_a_bad_record_stands_among_the_rejects_and_decides_the_exit_code() -> None:
    built = qwen_sft.build([RECORDS[0], ORPHAN], "out", model="qwen3")
    assert built.manifest["records"] == {"read": 2, "written": 1, "rejected": 1}
    assert built.exit_code == 1
    (rejected,) = [json.loads(line) for line in (built.out / "rejects.jsonl").read_text().splitlines()]
    assert [one["code"] for one in rejected["findings"]] == ["TOL003"]
    assert qwen_sft.build([RECORDS[0], ORPHAN], "out", model="qwen3", force=True, fail_on="never").ok
    assert qwen_sft.build([ORPHAN], "none", model="qwen3", fail_on="never").exit_code == 3


def test_what_cannot_be_built_says_why() -> None:
    qwen_sft.build(CLEAN, "out", model="qwen3")
    with pytest.raises(OutputError, match="is not empty; name another folder, or replace an earlier build with"):
        qwen_sft.build(CLEAN, "out", model="qwen3")
    with pytest.raises(UsageError, match=r"build\(\) sets 'max-len', which is no setting"):
        qwen_sft.build(CLEAN, "other", model="qwen3", max_len=10)
    with pytest.raises(TypeError, match="model"):
        qwen_sft.build(CLEAN, "other")  # type: ignore[call-arg]
    assert not Path("other").exists()


def test_the_function_is_not_hidden_by_a_module_of_its_name() -> None:
    import qwen_sft.building.build
    import qwen_sft.library.built

    assert all(callable(getattr(qwen_sft, name)) for name in ("build", "validate", "Encoder", "Report", "Built"))
