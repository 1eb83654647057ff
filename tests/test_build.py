"""`build`: every record accounted for, rows that three readers agree on, and a folder that is whole or not there."""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qwen_sft.building.build as build_module
from qwen_sft.building.build import build
from qwen_sft.cli.options import size
from qwen_sft.errors import InputError, ModelError, OutputError, QwenSftError, UsageError
from qwen_sft.pipeline import Pipeline
from qwen_sft.reporter import Totals
from qwen_sft.settings import Settings
from qwen_sft.tokens import GENERATED, Kind
from qwen_sft.writer import writers

SCHEMAS = Path(__file__).parents[1] / "schemas"
PARQUET = writers()["parquet"]
read = PARQUET.read
QWEN3 = Settings(model="qwen3")


def chat(n: int, **more: Any) -> dict[str, Any]:
    asked = {"role": "user", "content": f"How much is {n} and {n}?"}
    return {"id": f"sum-{n}", "messages": [asked, {"role": "assistant", "content": f"It is {2 * n}."}], **more}


BAD_LINE = b'{"messages": [{"role": "user", "content": "half a line, \xff'
NUMBERS = '{"messages": [], "n": [1.0, 1e5, -0.0, 123456789012345678901234567890], "s": "\\u00e9\\/"}'


def corpus(folder: Path) -> list[str]:
    """Two files of seven records, three of them bad: one torn, one that is no trace, one without a message."""
    lines = [json.dumps(chat(n)).encode() for n in (1, 2)]
    (folder / "a.jsonl").write_bytes(b"\n".join([*lines, BAD_LINE, b'  {"task": 1}  ', lines[0]]) + b"\n")
    (folder / "b.json").write_text(f"[{json.dumps(chat(3), indent=2)},\n {NUMBERS[:-1]}\n}}\n]")
    return [str(folder / "a.jsonl"), str(folder / "b.json")]


def schema(name: str) -> Any:
    return jsonschema.Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text()))


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def run(paths: list[str], out: Path, settings: Settings = QWEN3, **options: Any) -> tuple[dict[str, Any], Totals]:
    return build(paths, settings, out, PARQUET, **options)


# -- the account ------------------------------------------------------------------------------------------------------


def test_manifest_accounts_for_every_record_and_event(tmp_path: Path):
    paths = corpus(tmp_path)
    seen: list[tuple[str, int]] = []
    returned, totals = run(
        paths, tmp_path / "out", each=lambda o: seen.append((o.record.where.file, o.record.where.line))
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    schema("manifest").validate(manifest)
    assert json.loads(json.dumps(returned)) == manifest
    assert manifest["records"] == {"read": 7, "written": 4, "rejected": 3}
    assert manifest["rejected_by_code"] == {"SRC001": 1, "SRC003": 2}
    assert manifest["records_by_format"] == {"none": 3, "openai_chat": 4}
    events = {"read": 8, "kept": 8, "merged": 0, "dropped": 0}
    assert manifest["events"] == {**events, "by_format": {"openai_chat": events}, "dropped_reasons": {}}
    assert manifest["verified"] == {
        "policy": "sample",
        "against": "serializer, turn by turn",
        "n_samples": 4,
        "n_disagreements": 0,
    }
    assert manifest["inputs"] == [
        {
            "file": path,
            "n_bytes": len(Path(path).read_bytes()),
            "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
            "n_records": n,
        }
        for path, n in zip(paths, (5, 2), strict=True)
    ]
    (shard,) = manifest["files"]
    data = (tmp_path / "out" / shard["file"]).read_bytes()
    assert shard == {
        "file": "data/train-00000-of-00001.parquet",
        "split": "train",
        "n_rows": 4,
        "n_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    rows = read(tmp_path / "out" / "data")
    assert manifest["rows"]["n_rows"] == len(rows) == 4
    assert manifest["rows"]["n_tokens"] == sum(row["n_tokens"] for row in rows)
    assert manifest["rows"]["n_trained_tokens"] == sum(row["n_trained_tokens"] for row in rows)
    assert manifest["rows"]["n_trained_turns"] == sum(len(row["turns"]) for row in rows)
    assert sum(manifest["rows"]["n_tokens_by_kind"].values()) == manifest["rows"]["n_tokens"]
    assert seen == [(paths[0], n) for n in range(1, 6)] + [(paths[1], 1), (paths[1], seen[-1][1])]
    assert (totals.n_records, totals.n_clean, totals.n_rejected) == (7, 4, 3)


def test_events_are_told_by_the_format_that_read_them(tmp_path: Path):
    formats = SCHEMAS.parent / "examples" / "formats"
    paths = [str(formats / "responses" / "raw.jsonl"), str(formats / "claude_code" / "raw.jsonl")]
    (tmp_path / "broken.jsonl").write_text("{\n")
    manifest, _ = run([*paths, str(tmp_path / "broken.jsonl")], tmp_path / "out")
    schema("manifest").validate(manifest)
    assert manifest["records_by_format"] == {"claude_code": 1, "none": 1, "responses": 6}
    assert manifest["events"]["by_format"] == {
        "claude_code": {"read": 40, "kept": 23, "merged": 6, "dropped": 11},
        "responses": {"read": 35, "kept": 23, "merged": 8, "dropped": 4},
    }
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| claude_code | 1 | 40 | 23 | 6 | 11 |\n| responses | 6 | 35 | 23 | 8 | 4 |\n\n## Files" in card


def test_rejects_hold_the_records_as_they_stood(tmp_path: Path):
    paths = corpus(tmp_path)
    run(paths, tmp_path / "out")
    lines = (tmp_path / "out" / "rejects.jsonl").read_bytes().splitlines()
    rejects = [json.loads(line) for line in lines]
    for reject in rejects:
        schema("reject").validate(reject)
    assert [(r["file"], r["line"], r["item"], [f["code"] for f in r["findings"]]) for r in rejects] == [
        (paths[0], 3, None, ["SRC001"]),
        (paths[0], 4, None, ["SRC003"]),
        (paths[1], 14, 1, ["SRC003"]),
    ]
    assert rejects[0]["text"] == BAD_LINE.decode(errors="backslashreplace")
    assert lines[1].endswith(b'"record":{"task": 1}}')
    # On several lines it stood; on one it is kept, and its numbers and escapes stay as they were spelled.
    assert lines[2].endswith(b'"record":' + NUMBERS.replace(", ", ",").replace(": ", ":").encode() + b"}")
    raw = Path(paths[0]).read_bytes()
    assert raw[rejects[1]["byte"] :].startswith(b'{"task": 1}')
    assert Path(paths[1]).read_text()[rejects[2]["byte"] :].startswith(NUMBERS[:-1])


def test_books_that_do_not_balance_stop_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = corpus(tmp_path)
    count = build_module._count
    monkeypatch.setattr(build_module, "_count", lambda counts, outcome: outcome.rows and count(counts, outcome))
    with pytest.raises(OutputError, match=r"records do not add up: .*; this is a fault of qwen-sft"):
        run(paths, tmp_path / "out")
    assert content(tmp_path / "out") == {}


# -- the rows ---------------------------------------------------------------------------------------------------------


def test_row_is_exactly_what_the_server_sends_and_the_model_answers(tmp_path: Path):
    run(corpus(tmp_path), tmp_path / "out", Settings(model="qwen3", verify="all"))
    tokenizer = Pipeline(QWEN3).encoder.model.tokenizer
    rows = read(tmp_path / "out" / "data")
    first = rows[0]
    prompt = "<|im_start|>user\nHow much is 1 and 1?<|im_end|>\n<|im_start|>assistant\n"
    answer = "<think>\n\n</think>\n\nIt is 2.<|im_end|>"
    assert tokenizer.decode(first["input_ids"]) == f"{prompt}{answer}\n"
    assert tokenizer.decode([i for i in first["labels"] if i != -100]) == answer
    for row in rows:
        trained = [Kind(kind) in GENERATED for kind in row["kinds"]]
        assert row["labels"] == [i if t else -100 for i, t in zip(row["input_ids"], trained, strict=True)]
        assert (row["n_tokens"], row["n_trained_tokens"]) == (len(trained), sum(trained))
    assert [(row["sample_id"], row["sample"], row["source_line"], row["source_item"]) for row in rows] == [
        *(("sum-1", 0, 1, None), ("sum-2", 0, 2, None), ("sum-1", 0, 5, None), ("sum-3", 0, 1, 0))
    ]


LOADS = """
import sys
from datasets import load_dataset
rows = load_dataset(sys.argv[1], split="train", cache_dir=sys.argv[2])
features = {name: str(getattr(f, "feature", f).dtype) for name, f in rows.features.items()}
import json
print(json.dumps({"features": features, "rows": list(rows)}))
"""


def loaded_by_datasets(folder: Path, cache: Path) -> Any:
    environment = {"PATH": "", "HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    command = [sys.executable, "-c", LOADS, str(folder), str(cache)]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120).stdout)


@pytest.mark.parametrize("again", ["elsewhere", "in place"])
def test_datasets_does_not_take_the_rows_of_an_earlier_build_for_these(tmp_path: Path, again: str):
    """It keeps what it has loaded by the last name of the folder and by what the card says."""
    out = tmp_path / "one" / "rows"
    run(corpus(tmp_path), out, Settings(model="qwen3"))
    first = loaded_by_datasets(out, tmp_path / "cache")["rows"]
    after = out if again == "in place" else tmp_path / "two" / "rows"
    run(corpus(tmp_path), after, Settings(model="qwen3", train=("last-turn", "only:stop")), force=True)
    rows = loaded_by_datasets(after, tmp_path / "cache")["rows"]
    assert rows == read(after / "data")
    assert rows != first


def test_datasets_pyarrow_and_pandas_read_the_same_rows(tmp_path: Path):
    run(corpus(tmp_path), out := tmp_path / "out", Settings(model="qwen3", shard_size=200))
    shards = sorted((out / "data").iterdir())
    assert len(shards) > 1
    rows = read(out / "data")
    loaded = loaded_by_datasets(out, tmp_path / "cache")
    assert loaded["rows"] == rows
    assert loaded["features"] == {
        "input_ids": "int32",
        "labels": "int64",
        "kinds": "int8",
        "weights": "float32",
        "n_tokens": "int32",
        "n_trained_tokens": "int32",
        "n_calls": "int32",
        "depth": "int32",
        "turns": "int32",
        "boundary": "string",
        "sample_id": "string",
        "sample": "int32",
        "source_file": "string",
        "source_line": "int64",
        "source_item": "int64",
    }
    frame = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
    assert list(frame.columns) == list(rows[0])
    for column, dtype in (("input_ids", np.int32), ("labels", np.int64), ("kinds", np.int8)):
        assert [array.tolist() for array in frame[column]] == [row[column] for row in rows]
        assert {array.dtype for array in frame[column]} == {np.dtype(dtype)}


def test_trl_takes_the_rows_as_they_are(tmp_path: Path):
    # TRL 1.16: `input_ids` makes it skip its own tokenizing, `labels` is used as it is, `messages` would undo that.
    run(corpus(tmp_path), tmp_path / "out")
    (shard,) = (tmp_path / "out" / "data").iterdir()
    columns = set(pq.read_schema(shard).names)
    assert columns >= {"input_ids", "labels"}
    assert not columns & {"messages", "prompt", "completion", "text", "assistant_masks", "completion_mask"}


def test_shard_says_what_its_kinds_are(tmp_path: Path):
    run(corpus(tmp_path), tmp_path / "out")
    (shard,) = (tmp_path / "out" / "data").iterdir()
    legend = json.loads(pq.read_schema(shard).metadata[b"qwen_sft.kinds"])
    assert legend == {str(kind.value): kind.name.lower() for kind in Kind}


def test_shards_keep_the_order_whatever_their_size(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(chat(n)) + "\n" for n in range(1200)))
    whole, _ = run([str(tmp_path / "a.jsonl")], tmp_path / "whole")
    assert len(whole["files"]) == 1
    expected = read(tmp_path / "whole" / "data")
    assert [row["sample_id"] for row in expected] == [f"sum-{n}" for n in range(1200)]
    row_bytes = 17 * whole["rows"]["n_tokens"] // 1200
    for shard_size, n_shards in ((1, 1200), (100 * row_bytes, 12)):
        manifest, _ = run(
            [str(tmp_path / "a.jsonl")], out := tmp_path / str(n_shards), Settings(model="qwen3", shard_size=shard_size)
        )
        assert abs(len(manifest["files"]) - n_shards) <= n_shards // 12
        n = len(manifest["files"])
        assert [one["file"] for one in manifest["files"]] == [
            f"data/train-{i:05d}-of-{n:05d}.parquet" for i in range(n)
        ]
        assert sorted(p.name for p in (out / "data").iterdir()) == [Path(one["file"]).name for one in manifest["files"]]
        assert read(out / "data") == expected


def test_build_without_a_row_is_an_empty_shard_with_all_columns(tmp_path: Path):
    (tmp_path / "a.jsonl").write_text("null\n")
    manifest, totals = run([str(tmp_path / "a.jsonl")], out := tmp_path / "out")
    assert manifest["records"] == {"read": 1, "written": 0, "rejected": 1}
    assert totals.n_rejected == 1
    table = pq.read_table(out / "data" / "train-00000-of-00001.parquet")
    assert (table.num_rows, table.schema.field("labels").type) == (0, pa.list_(pa.int64()))
    # Not by `load_dataset`: datasets 5.2 refuses a split without rows: 'Instruction "train" corresponds to no data!'
    frame = pd.read_parquet(out / "data")
    assert (len(frame), list(frame.columns)[:3]) == (0, ["input_ids", "labels", "kinds"])
    assert read(out / "data") == []


def test_two_builds_are_the_same_bytes(tmp_path: Path):
    paths = corpus(tmp_path)
    built: list[dict[str, bytes]] = []
    for _ in range(2):
        run(paths, tmp_path / "out", force=True)
        built.append(content(tmp_path / "out"))
    assert built[0] == built[1]
    assert sorted(built[0]) == [
        *("README.md", "data/train-00000-of-00001.parquet", "manifest.json", "qwen-sft.lock.json", "rejects.jsonl"),
    ]
    card = built[0]["README.md"].decode()
    assert "path: data/train-*.parquet" in card
    plots = card.partition("## Lengths\n")[2].partition("## Sources")[0]
    assert (
        plots
        == """
Training rows by their number of tokens:

```text
17-32  4  ████████████████████████████████████████
```

Tokens by what they are; a model is trained on reasoning, content, call and stop:

```text
 scaffold  20  ███████████████████████
     user  36  ████████████████████████████████████████
   header  12  ██████████████
reasoning  16  ██████████████████
  content  20  ███████████████████████
     stop   4  █████
    after   4  █████
```

"""
    )
    assert "| records read | 7 |" in card
    assert "| SRC001 | 1 |" in card


def test_little_is_encoded_by_the_backend_that_loads_sooner_and_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    paths = corpus(tmp_path)
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.jsonl").read_bytes()))
    built: list[dict[str, bytes]] = []
    backends: list[str] = []

    def encoded(inputs: list[str], settings: Settings = QWEN3) -> str:
        manifest, _ = run(inputs, tmp_path / "out", settings, force=True)
        built.append(content(tmp_path / "out"))
        return manifest["model"]["tokenizer_backend"]

    backends.append(encoded(paths))
    monkeypatch.setattr("qwen_sft.pipeline._LITTLE_BYTES", sum(Path(path).stat().st_size for path in paths))
    backends.append(encoded(paths))  # as much as that is not little
    assert backends == ["tokenizers", "fastokens"]
    manifests = [one.pop("manifest.json") for one in built]
    assert built[0] == built[1]
    assert manifests[1] == manifests[0].replace(
        b'"tokenizer_backend": "tokenizers"', b'"tokenizer_backend": "fastokens"'
    )
    monkeypatch.undo()
    assert encoded([str(packed)]) == "fastokens"  # there is no telling how much it is
    assert encoded(paths, Settings(model="qwen3", tokenizer_backend="fastokens")) == "fastokens"


WITHOUT_PANDAS = """
import sys
from pathlib import Path
from qwen_sft.building.build import build
from qwen_sft.settings import Settings
from qwen_sft.writer import writers
build([sys.argv[1]], Settings(model="qwen3"), Path(sys.argv[2]), writers()["parquet"])
print(sorted({"pandas", "pyarrow"} & set(sys.modules)))
"""


def test_build_of_tokens_loads_no_pandas(tmp_path: Path):
    command = [sys.executable, "-c", WITHOUT_PANDAS, corpus(tmp_path)[0], str(tmp_path / "out")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "['pyarrow']\n"


def test_places_in_lists_are_null_where_there_is_none(tmp_path: Path):
    run(corpus(tmp_path), tmp_path / "out")
    told = [
        (Path(row["source_file"]).name, row["source_line"], row["source_item"]) for row in read(tmp_path / "out/data")
    ]
    assert told == [("a.jsonl", 1, None), ("a.jsonl", 2, None), ("a.jsonl", 5, None), ("b.json", 1, 0)]


def test_card_keeps_a_hostile_file_name_in_its_cell(tmp_path: Path):
    (tmp_path / "a|b`\n# c\x1b.jsonl").write_text(json.dumps(chat(1)) + "\n")
    run([str(tmp_path)], tmp_path / "out")
    lines = (tmp_path / "out" / "README.md").read_text().splitlines()
    assert next(line for line in lines if "# c" in line).startswith(f"| `{tmp_path}/a\\|b'\\n# c\\x1b.jsonl` | 1 | `")


# -- rows that are too long -------------------------------------------------------------------------------------------


def long_chat() -> dict[str, Any]:
    turns = [
        ({"role": "user", "content": f"And {n}?"}, {"role": "assistant", "content": f"It is {n}."}) for n in range(6)
    ]
    return {"messages": [message for pair in turns for message in pair]}


@pytest.mark.parametrize(
    ("on_too_long", "limit", "written", "turns", "severity"),
    [
        ("reject", 10_000, 1, [[1, 3, 5, 7, 9, 11]], None),
        ("reject", 60, 0, [], "error"),
        ("drop-turns", 60, 1, [[1, 3]], "warning"),
        ("drop-turns", 3, 0, [], "error"),
    ],
)
def test_row_over_the_limit_is_rejected_or_loses_its_last_turns(
    tmp_path: Path, on_too_long: Any, limit: int, written: int, turns: list[list[int]], severity: str | None
):
    (tmp_path / "a.jsonl").write_text(json.dumps(long_chat()) + "\n")
    settings = Settings(model="qwen3", max_length=limit, on_too_long=on_too_long, verify="all")
    manifest, totals = run([str(tmp_path / "a.jsonl")], tmp_path / "out", settings)
    rows = read(tmp_path / "out" / "data")
    assert manifest["records"] == {"read": 1, "written": written, "rejected": 1 - written}
    assert [row["turns"] for row in rows] == turns
    assert all(row["n_tokens"] <= limit for row in rows)
    assert totals.by_severity == ({severity: 1} if severity else {})
    assert manifest["rejected_by_code"] == ({"TOK006": 1} if severity == "error" else {})


# -- the folder -------------------------------------------------------------------------------------------------------


def test_earlier_build_is_replaced_only_when_asked(tmp_path: Path):
    paths = corpus(tmp_path)
    run(paths, out := tmp_path / "out")
    before = content(out)
    with pytest.raises(OutputError, match=r"out' is not empty; name another folder, or replace .* with --force"):
        run(paths, out)
    assert content(out) == before
    run(paths[:1], out, force=True)
    assert json.loads((out / "manifest.json").read_text())["records"]["read"] == 5
    (out / "manifest.json").unlink()  # what is left of a build that was killed
    (out / "README.md").unlink()
    (out / "data" / ".train-00001.part").write_bytes(b"")
    files = ["data/train-00000-of-00001.parquet", "data/train-00001-of-00002.parquet"]
    left = {"qwen_sft": "0.1.0", "files": [{"file": name} for name in files]}
    (out / "unfinished.json").write_text(json.dumps(left))
    run(paths, out, force=True)
    assert content(out) == before


FOREIGN = {
    "a file beside": ("notes.txt", "holds 'notes.txt'"),
    "a folder beside": ("sub/x.json", "holds 'sub'"),
    "a file in data": ("data/precious.parquet", "holds 'data/precious.parquet'"),
    "a folder in data": ("data/raw/x.jsonl", "holds 'data/raw'"),
}


@pytest.mark.parametrize(("name", "says"), FOREIGN.values(), ids=list(FOREIGN))
def test_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, name: str, says: str):
    paths = corpus(tmp_path)
    run(paths, out := tmp_path / "out")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    before = content(out)
    with pytest.raises(OutputError, match=f"{says}, so it is no earlier build; --force does not touch it"):
        run(paths, out, force=True)
    assert content(out) == before


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"manifest.json": '{"name": "app"}'}, "holds a manifest.json of another program"),
        ({"manifest.json": "no json"}, "holds a manifest.json of another program"),
        ({"README.md": "# Mine"}, "has no manifest.json"),
        ({"README.md": "# Mine", "data/train-00000-of-00001.parquet": ""}, "has no manifest.json"),
    ],
)
def test_folder_of_another_program_is_left_alone(tmp_path: Path, files: dict[str, str], says: str):
    paths, out = corpus(tmp_path), tmp_path / "out"
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    before = content(out)
    with pytest.raises(OutputError, match=says):
        run(paths, out, force=True)
    assert content(out) == before


def test_input_inside_the_folder_is_not_eaten(tmp_path: Path):
    run(corpus(tmp_path), out := tmp_path / "out")
    before = content(out)
    with pytest.raises(OutputError, match=r"rejects\.jsonl' lies in '.*out', where the build would replace it"):
        run([str(out / "rejects.jsonl")], out, force=True)
    assert content(out) == before


def test_file_or_unwritable_place_is_no_folder(tmp_path: Path):
    paths = corpus(tmp_path)
    with pytest.raises(OutputError, match=r"a\.jsonl' is a file; name a folder with --out"):
        run(paths, tmp_path / "a.jsonl")
    with pytest.raises(OutputError, match=r"cannot make the folder '.*a\.jsonl/out': Not a directory"):
        run(paths, tmp_path / "a.jsonl" / "out")


def unreadable(folder: Path) -> list[str]:
    (folder / "c.parquet").write_bytes(b"no Parquet")
    return [*corpus(folder), str(folder / "c.parquet")]


def interrupted(_: Any) -> None:
    raise KeyboardInterrupt


FAILURES: dict[str, tuple[Callable[[Path], list[str]], Settings, Any, type[BaseException]]] = {
    "no model": (corpus, Settings(), None, UsageError),
    "unknown model": (corpus, Settings(model="qwen9"), None, ModelError),
    "unreadable input behind a good one": (unreadable, Settings(model="qwen3", shard_size=1), None, InputError),
    "Ctrl-C": (corpus, Settings(model="qwen3", shard_size=1), interrupted, KeyboardInterrupt),
}


@pytest.mark.parametrize(("paths", "settings", "each", "error"), FAILURES.values(), ids=list(FAILURES))
def test_build_that_fails_leaves_nothing_that_looks_like_one(
    tmp_path: Path, paths: Any, settings: Settings, each: Any, error: type[BaseException]
):
    with pytest.raises(error):
        run(paths(tmp_path), tmp_path / "out", settings, each=each or (lambda _: None))
    assert content(tmp_path / "out") == {}
    run(corpus(tmp_path), tmp_path / "out")


def test_build_that_fails_while_naming_its_shards_takes_them_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(build_module, "card", full)
    with pytest.raises(OutputError, match=r"cannot write to '.*out': No space left on device"):
        run(corpus(tmp_path), tmp_path / "out")
    assert content(tmp_path / "out") == {}


# -- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [("500MB", 5 * 10**8), ("2GiB", 2 << 30), ("1000000", 10**6), ("1.5 kB", 1500), ("3b", 3), ("1MiB", 1 << 20)],
)
def test_size_is_read_as_people_write_it(text: str, n_bytes: int):
    assert size(text) == n_bytes


@pytest.mark.parametrize("text", ["", "MB", "many", "5TB", "infGB", "nan", "1e999"])
def test_text_that_is_no_size_stops_us(text: str):
    with pytest.raises(QwenSftError, match="is no size; write for example 500MB, 2GiB or 1000000"):
        size(text)
