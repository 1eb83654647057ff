"""Containers: archives, tables, event streams, datasets' folders and URLs give what the files in them would."""

import gzip
import hashlib
import io
import json
import os
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem

import qwen_sft.containers
from qwen_sft.container import MOST_MEMBER_BYTES, containers
from qwen_sft.decoding import jsontext
from qwen_sft.errors import InputError
from qwen_sft.ingesting.ingest import STDIN, Input, expand, records, told_skipped
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.record import Record
from qwen_sft.settings import Settings

CHAT = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
LINES = json.dumps({"n": 1}).encode() + b"\n" + json.dumps({"n": 2}).encode() + b"\n"


def read(*paths: Path | str) -> list[Record]:
    return [record for source in expand([str(path) for path in paths]) for record in records(source)]


def at(found: list[Record], folder: Path) -> list[tuple[str, int, Any]]:
    """File below a folder, line and value of each record; its fault where it has one."""
    return [(r.where.file.removeprefix(f"{folder}/"), r.where.line, r.fault or r.data) for r in found]


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def skipped_in(path: Path) -> tuple[list[Record], Counter[str]]:
    (source,) = expand([str(path)])
    return list(records(source)), source.skipped


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[Record]:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return read("-")


def test_shelf_holds_every_file_of_its_folder_and_no_suffix_twice():
    files = {path.stem for path in Path(qwen_sft.containers.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == set(containers())
    assert files >= {"json", "sse", "zip", "tar", "parquet", "arrow"}
    suffixes = [suffix for one in containers().values() for suffix in one.suffixes]
    assert len(suffixes) == len(set(suffixes))


def test_reading_text_imports_no_table_archive_or_network_library(tmp_path: Path):
    script = (
        "import sys; from qwen_sft.ingesting.ingest import expand, records\n"
        "n = sum(1 for one in expand(sys.argv[1:]) for _ in records(one))\n"
        "print(n, [m for m in ('pyarrow', 'fsspec', 'huggingface_hub', 'zipfile', 'zstandard') if m in sys.modules])"
    )
    path = written(tmp_path / "a.jsonl", LINES)
    assert subprocess.check_output([sys.executable, "-c", script, str(path)], text=True) == "2 []\n"


# -- zip --------------------------------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return held.getvalue()


def zstd_zipped(files: dict[str, bytes]) -> bytes:
    """A zip with method 93, which Python before 3.14 cannot write."""
    content = bytearray(zipped({name: zstandard.compress(text) for name, text in files.items()}, zipfile.ZIP_STORED))
    for mark, at_byte in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        found = content.find(mark)
        while found >= 0:
            struct.pack_into("<H", content, found + at_byte, 93)
            found = content.find(mark, found + 4)
    return bytes(content)


def test_zip_gives_each_file_in_it_as_if_it_stood_alone(tmp_path: Path):
    table = io.BytesIO()
    pq.write_table(pa.table({"n": [4]}), table)
    files = {
        "runs/": b"",
        "runs/a.jsonl": LINES,
        "b.json": b'[{"n": 3}]',
        "README.md": b"# no data",
        "t.parquet": table.getvalue(),
        "c.jsonl.gz": gzip.compress(LINES),
        "chunks.txt": b'{"n": 5}\n{"n": 6}\n',
        "notes.txt": b"nothing here",
        "image.png": b"\x89PNG",
        "__MACOSX/._b.json": b"\0\5\x16\7",
        "inner.zip": zipped({"d.json": b'{"n": 7}'}),
        "../../etc/e.json": b'{"n": 8}',
    }
    found, skipped = skipped_in(written(tmp_path / "a.zip", zipped(files)))
    assert at(found, tmp_path) == [
        *(("a.zip!runs/a.jsonl", 1, {"n": 1}), ("a.zip!runs/a.jsonl", 2, {"n": 2}), ("a.zip!b.json", 1, {"n": 3})),
        *(("a.zip!t.parquet", 1, {"n": 4}), ("a.zip!c.jsonl.gz", 1, {"n": 1}), ("a.zip!c.jsonl.gz", 2, {"n": 2})),
        *(("a.zip!chunks.txt", 1, {"n": 5}), ("a.zip!chunks.txt", 2, {"n": 6})),
        *(("a.zip!inner.zip!d.json", 1, {"n": 7}), ("a.zip!../../etc/e.json", 1, {"n": 8})),
    ]
    assert skipped == {".md": 1, ".txt": 1, ".png": 1, ".json": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip"]


@pytest.mark.parametrize("pack", [zipped, zstd_zipped])
def test_eval_log_gives_its_samples_and_counts_the_rest(tmp_path: Path, pack: Any):
    files = {
        "_journal/start.json": b"{}",
        "_journal/summaries/1.json": b"[{}]",
        "samples/b_epoch_1.json": b'{"id": "b"}',
        "samples/a_epoch_1.json": b'{"id": "a"}',
        "summaries.json": b"[{}]",
        "header.json": b"{}",
    }
    found, skipped = skipped_in(written(tmp_path / "x.eval", pack(files)))
    assert at(found, tmp_path) == [
        ("x.eval!samples/b_epoch_1.json", 1, {"id": "b"}),
        ("x.eval!samples/a_epoch_1.json", 1, {"id": "a"}),
    ]
    assert skipped == {".json": 4}


def test_eval_log_without_samples_gives_what_it_has(tmp_path: Path):
    found, skipped = skipped_in(written(tmp_path / "x.eval", zipped({"header.json": b'{"status": "started"}'})))
    assert (at(found, tmp_path), skipped) == ([("x.eval!header.json", 1, {"status": "started"})], {})


def test_damaged_zip_is_a_fault_and_what_can_be_read_is_read(tmp_path: Path):
    whole = zipped({"a.jsonl": LINES, "b.json": b'{"b": 1}'}, zipfile.ZIP_STORED)
    wrong = whole.replace(b'"n": 2', b'"n": 3', 1)
    says = "the file in the zip archive cannot be unpacked: Bad CRC-32 for file 'a.jsonl'"
    *_, fault, last = at(read(written(tmp_path / "crc.zip", wrong)), tmp_path)
    assert fault[::2] == ("crc.zip!a.jsonl", f"{says}; what stands behind this is lost")
    assert last == ("crc.zip!b.json", 1, {"b": 1})
    encrypted = bytearray(whole)
    encrypted[whole.index(b"PK\x01\x02") + 8] |= 1
    assert at(read(written(tmp_path / "locked.zip", bytes(encrypted))), tmp_path) == [
        ("locked.zip!a.jsonl", 1, "the file is encrypted; unpack it"),
        ("locked.zip!b.json", 1, {"b": 1}),
    ]
    ((name, line, torn),) = at(read(written(tmp_path / "torn.zip", whole[:-30])), tmp_path)
    assert (name, line, torn) == ("torn.zip", 1, "the zip archive is damaged or cut off: File is not a zip file")


def test_file_with_another_header_than_the_archive_says_is_a_fault(tmp_path: Path):
    content = zstd_zipped({"a.json": b'{"n": 1}'}).replace(b"PK\x03\x04", b"PK\x00\x00", 1)
    ((_, _, says),) = at(read(written(tmp_path / "a.zip", content)), tmp_path)
    assert says == "the zip archive has no file at byte 0; what stands behind this is lost"


def test_table_in_an_archive_is_held_up_to_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = io.BytesIO()
    pq.write_table(pa.table({"n": list(range(100))}), table)
    path = written(tmp_path / "a.zip", zipped({"t.parquet": table.getvalue(), "b.json": b"{}"}))
    monkeypatch.setattr("qwen_sft.container.MOST_MEMBER_BYTES", 100)
    fault, last = at(read(path), tmp_path)
    says = "it is read from its end, and has more than 100 bytes; unpack it; what stands behind this is lost"
    assert (fault, last) == (("a.zip!t.parquet", 1, says), ("a.zip!b.json", 1, {}))
    assert MOST_MEMBER_BYTES == 256_000_000


# -- tar --------------------------------------------------------------------------------------------------------------


def tarred(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        folder = tarfile.TarInfo("runs")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return held.getvalue()


TAR = tarred({"runs/a.jsonl": LINES, "b.md": b"#", "c.sse": b'data: {"n": 3}\n\n', "d.zip": zipped({"e.json": b"{}"})})


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.zst", ""])
def test_tar_gives_each_file_in_it_as_if_it_stood_alone(tmp_path: Path, suffix: str):
    packed = {".tar": TAR, ".tar.zst": zstandard.compress(TAR), "": gzip.compress(TAR)}.get(suffix, gzip.compress(TAR))
    name = f"a{suffix}"
    found, skipped = skipped_in(written(tmp_path / name, packed))
    assert at(found, tmp_path) == [
        *((f"{name}!runs/a.jsonl", 1, {"n": 1}), (f"{name}!runs/a.jsonl", 2, {"n": 2})),
        *((f"{name}!c.sse", 1, {"n": 3}), (f"{name}!d.zip!e.json", 1, {})),
    ]
    assert skipped == {".md": 1, "a link": 1}


def test_torn_tar_gives_what_stood_before_and_a_fault(tmp_path: Path):
    content = tarred({f"{n}.json": json.dumps({"n": n, "x": "y" * 5000}).encode() for n in range(100)})
    *whole, last = read(written(tmp_path / "a.tar", content[: len(content) // 2]))
    before = [r for r in whole if not r.fault]
    assert [r.data["n"] for r in before] == list(range(len(before)))
    assert len(before) > 40
    assert str(last.fault).startswith("the tar archive is damaged or cut off: ")


def test_torn_compressed_tar_gives_what_stood_before_and_a_fault(tmp_path: Path):
    content = gzip.compress(
        tarred({f"{n}.json": json.dumps({"n": n, "x": os.urandom(2000).hex()}).encode() for n in range(100)})
    )
    found = read(written(tmp_path / "a.tgz", content[: len(content) // 2]))
    before = [r for r in found if not r.fault]
    assert [r.data["n"] for r in before] == list(range(len(before)))
    assert len(before) > 40
    assert "the gzip stream is damaged or cut off" in str(found[-1].fault)


def test_file_in_an_archive_whose_name_is_not_utf8_is_spelled_with_escapes(tmp_path: Path):
    found = read(written(tmp_path / "a.tar", tarred({"bad\udcff.json": b"[1]"})))
    assert at(found, tmp_path) == [("a.tar!bad\\xff.json", 1, 1)]


def test_file_that_is_no_tar_is_a_fault(tmp_path: Path):
    ((_, _, says),) = at(read(written(tmp_path / "a.tar", b"no tar at all" * 100)), tmp_path)
    assert says == "the tar archive is damaged or cut off: invalid header; what stands behind this is lost"


def test_archive_from_stdin_is_known_by_its_first_bytes(monkeypatch: pytest.MonkeyPatch):
    for content in (TAR, gzip.compress(TAR), zipped({"runs/a.jsonl": LINES})):
        found = piped(monkeypatch, content)
        assert [(r.where.file, r.data) for r in found][:2] == [
            (f"{STDIN}!runs/a.jsonl", {"n": 1}),
            (f"{STDIN}!runs/a.jsonl", {"n": 2}),
        ]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.arrow", "a.parquet"])
def test_sha256_of_what_is_not_read_in_order_is_that_of_the_file(tmp_path: Path, name: str):
    table = pa.table({"n": list(range(1000))})
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(table, path)
    elif name == "a.arrow":
        feather.write_feather(table, path)
    else:
        path.write_bytes({"a.zip": zipped({"a.jsonl": LINES}), "a.tar": TAR}.get(name, gzip.compress(TAR)))
    (source,) = expand([str(path)], hashed=True)
    assert sum(1 for _ in records(source)) == source.n_records > 0
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_lines_of_two_files_of_an_archive_are_never_one_record(tmp_path: Path):
    chunk = {"id": "x", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    line = json.dumps(chunk).encode() + b"\n"
    path = written(tmp_path / "a.zip", zipped({"a.jsonl": line * 2, "b.jsonl": line}))
    found = list(outcomes(expand([str(path)]), Pipeline(Settings())))
    assert [(one.record.where.file, len(one.record.parts)) for one in found] == [
        (f"{path}!a.jsonl", 2),
        (f"{path}!b.jsonl", 0),
    ]


# -- Arrow and datasets ------------------------------------------------------------------------------------------------


def test_arrow_file_stream_and_feather_give_their_rows(tmp_path: Path):
    table = pa.Table.from_pylist([{"n": n, **CHAT} for n in range(600)])
    feather.write_feather(table, tmp_path / "a.feather", compression="lz4")
    with pa.OSFile(str(tmp_path / "b.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=250)
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=250)
    (tmp_path / "d.arrow.gz").write_bytes(gzip.compress((tmp_path / "c.arrow").read_bytes()))
    (tmp_path / "e.bin").write_bytes((tmp_path / "c.arrow").read_bytes())
    for name in ("a.feather", "b.arrow", "c.arrow", "d.arrow.gz", "e.bin"):
        found = read(tmp_path / name)
        assert [(r.where.line, r.data) for r in found] == [(n + 1, {"n": n, **CHAT}) for n in range(600)], name


def test_arrow_file_that_is_none_or_is_damaged_stops_us(tmp_path: Path):
    with pytest.raises(InputError, match=r"a\.arrow' is no Arrow file"):
        read(written(tmp_path / "a.arrow", b'{"a": 1}\n' * 100))
    table = pa.table({"n": list(range(10_000))})
    with pa.OSFile(str(tmp_path / "c.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    content = (tmp_path / "c.arrow").read_bytes()
    with pytest.raises(InputError, match=r"b\.arrow' is damaged behind row \d000"):
        read(written(tmp_path / "b.arrow", content[: len(content) // 2]))


def saved(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    train = datasets.Dataset.from_list([{"n": n, **CHAT} for n in range(5)])
    datasets.DatasetDict({"train": train, "test": train.select([0])}).save_to_disk(str(folder))


def test_saved_dataset_gives_its_rows_and_counts_its_other_files(tmp_path: Path):
    saved(tmp_path / "d")
    (table,) = (tmp_path / "d" / "train").glob("data-*.arrow")
    (tmp_path / "d" / "train" / "cache-1f.arrow").write_bytes(table.read_bytes())
    skipped = Counter[str]()
    inputs = expand([str(tmp_path / "d")], skipped=skipped)
    assert [r.data for source in inputs for r in records(source)] == [
        {"n": 0, **CHAT},
        *({"n": n, **CHAT} for n in range(5)),
    ]
    assert skipped == {".json": 5, ".arrow": 1}
    assert told_skipped(skipped) == "5 .json, 1 .arrow"


def test_folder_of_tables_leaves_out_what_is_told_of_them_and_a_folder_of_traces_does_not(tmp_path: Path):
    about = {"dataset_infos.json": b"{}", "README.md": b"#", "cache-1f.arrow": b""}
    for name, content in about.items():
        written(tmp_path / "hub" / name, content)
    (tmp_path / "hub" / "data").mkdir()
    pq.write_table(pa.table({"n": [1]}), tmp_path / "hub" / "data" / "train-0.parquet")
    assert [r.data for r in read(tmp_path / "hub")] == [{"n": 1}]
    written(tmp_path / "traces" / "state.json", b'{"n": 2}')
    written(tmp_path / "traces" / "dataset_info.json", b'{"n": 3}')
    assert [r.data for r in read(tmp_path / "traces")] == [{"n": 3}, {"n": 2}]


def test_json_features_of_datasets_become_their_values(tmp_path: Path):
    datasets = pytest.importorskip("datasets", minversion="4.7")
    call = {"function": {"name": "f", "arguments": {"n": None}}}
    rows = [{"one": {"a": [1, None]}, "many": [{"b": "[1]"}, {"c": 2}], "in": {"call": call}}, {"one": None}]
    rows = [{"one": None, "many": None, "in": None, **row} for row in rows]
    json_type = datasets.Json()
    features = datasets.Features(
        {"one": json_type, "many": datasets.List(json_type), "in": {"call": {"function": {"arguments": json_type}}}}
    )
    features["in"]["call"]["function"]["name"] = datasets.Value("string")
    data = datasets.Dataset.from_list(rows, features=features)
    data.save_to_disk(str(tmp_path / "saved"))
    data.to_parquet(str(tmp_path / "a.parquet"))
    for path in (tmp_path / "saved", tmp_path / "a.parquet"):
        assert [r.data for r in read(path)] == rows, path
    table = pa.table({"x": pa.array(['{"a": 1}', None, "torn"], pa.string()).cast(pa.json_())})
    pq.write_table(table, tmp_path / "b.parquet")
    assert [r.data for r in read(tmp_path / "b.parquet")] == [{"x": {"a": 1}}, {"x": None}, {"x": "torn"}]


def test_text_columns_that_hold_lists_are_read_and_no_other_text_is(tmp_path: Path):
    texts = [json.dumps(CHAT["messages"]), None, json.dumps(CHAT["messages"])]
    table = pa.table({"messages": texts, "tools": ["[]", "", "[]"], "prompt": ["[1]", "[2]", "{}"]})
    pq.write_table(table, tmp_path / "a.parquet")
    found = [r.data for r in read(tmp_path / "a.parquet")]
    assert [row["messages"] for row in found] == [CHAT["messages"], None, CHAT["messages"]]
    assert [row["tools"] for row in found] == ["[]", "", "[]"]
    assert [row["prompt"] for row in found] == ["[1]", "[2]", "{}"]


# -- URLs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Any:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    table = io.BytesIO()
    pq.write_table(pa.table({"n": [3]}), table)
    contents = {
        "/d/a.jsonl": LINES,
        "/d/b/t.parquet": table.getvalue(),
        "/d/b/z.zip": zipped({"x.json": b'{"n": 4}'}),
        "/d/README.md": b"#",
        "/d/log.txt": b'{"n": 5}\n',
        "/d/notes.txt": b"no",
    }
    for name, content in contents.items():
        fs.pipe(name, content)
    yield fs
    fs.store.clear()


@pytest.mark.usefixtures("memory")
def test_url_names_a_file_a_directory_or_a_glob():
    assert [r.data for r in read("memory://d/a.jsonl")] == [{"n": 1}, {"n": 2}]
    assert [(r.where.file, r.data) for r in read("memory://d/b/*")] == [
        ("memory:///d/b/t.parquet", {"n": 3}),
        ("memory:///d/b/z.zip!x.json", {"n": 4}),
    ]
    skipped = Counter[str]()
    inputs = expand(["memory://d", "memory://d"], hashed=True, skipped=skipped)
    assert [r.data["n"] for source in inputs for r in records(source)] == [1, 2, 3, 4, 5]
    assert next((one.name, one.n_bytes, len(one.sha256)) for one in inputs) == ("memory:///d/a.jsonl", 18, 64)
    assert skipped == {".md": 2, ".txt": 2}


def test_file_url_is_read(tmp_path: Path):
    path = written(tmp_path / "a.jsonl", LINES)
    assert [r.data for r in read(f"file://{path}")] == [{"n": 1}, {"n": 2}]


def test_hub_id_is_read_by_the_hub_s_own_file_system(monkeypatch: pytest.MonkeyPatch, memory: Any):
    class Hub(MemoryFileSystem):
        protocol = "hf"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return super()._strip_protocol(path.removeprefix("hf:/"))

    memory.pipe("/datasets/owner/name@main/data/train.jsonl", LINES)
    memory.pipe("/datasets/owner/name@main/README.md", b"#")
    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, "hf", Hub)
    found = read("hf://datasets/owner/name@main")
    assert [(r.where.file, r.data) for r in found] == [
        ("hf:///datasets/owner/name@main/data/train.jsonl", {"n": 1}),
        ("hf:///datasets/owner/name@main/data/train.jsonl", {"n": 2}),
    ]


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory://nothing/here", "'memory://nothing/here' names no file"),
        ("memory://d/*.csv", r"'memory://d/\*\.csv' names no file"),
        ("nosuch://a/b", "cannot open 'nosuch://a/b': Protocol not known: nosuch"),
    ],
)
@pytest.mark.usefixtures("memory")
def test_url_that_names_nothing_stops_us(url: str, says: str):
    with pytest.raises(InputError, match=says):
        read(url)


@pytest.mark.parametrize(("protocol", "extra"), [("s3", "s3"), ("gs", "gs"), ("abfs", "az"), ("https", "https")])
def test_url_whose_driver_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch, protocol: str, extra: str):
    def missing(name: str) -> Any:
        raise ImportError(f"Install the driver of {name}")

    monkeypatch.setattr("fsspec.core.get_filesystem_class", missing)
    with pytest.raises(InputError, match=rf"not installed: pip install 'qwen-sft\[{extra}\]'"):
        expand([f"{protocol}://bucket/a.jsonl"])
    monkeypatch.undo()
    project = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f"\n{extra} = [" in project


@pytest.mark.usefixtures("memory")
def test_failure_of_a_driver_is_told_with_its_url(monkeypatch: pytest.MonkeyPatch):
    class Broken(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise RuntimeError("the connection was lost")

    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_, **__: Broken())
    with pytest.raises(InputError, match=r"cannot read 'memory://d/a\.jsonl': the connection was lost"):
        read("memory://d/a.jsonl")


def test_name_that_looks_like_a_hub_id_is_answered_with_its_url():
    with pytest.raises(InputError, match=r"a dataset on the Hugging Face hub is hf://datasets/owner/name$"):
        expand(["owner/name"])


# -- event streams ----------------------------------------------------------------------------------------------------

EVENTS = (
    b'\xef\xbb\xbf: open\n\nevent: a\nid: 1\ndata: {"n": 1}\n\ndata:{"n":\ndata: 2}\n\ndata: [DONE]\n\n'
    b'data: torn\n\nretry: 5\n\ndata\n\ndata: {"n": 3}'
)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("name", ["a.sse", "a.txt", "a.log.gz"])
def test_event_stream_gives_the_data_of_each_event(tmp_path: Path, name: str, ends: bytes):
    content = EVENTS.replace(b"\n", ends)
    path = written(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    found = read(path)
    assert [(r.where.line, r.fault or r.data) for r in found] == [
        *((5, {"n": 1}), (7, {"n": 2}), (12, "Expecting value at column 1"), (18, {"n": 3})),
    ]
    for record in found:
        assert content[record.where.byte :].startswith(record.raw.partition(b"\n")[0])


def test_event_longer_than_the_limit_is_a_fault_and_reading_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("qwen_sft.containers.sse.MOST_RECORD_BYTES", 100)
    long = b"data: " + b"x" * 60 + b"\n"
    found = read(written(tmp_path / "a.sse", long * 3 + b'\ndata: {"n": 1}\n\n'))
    assert [(r.cut, r.where.byte, r.data) for r in found] == [(True, 6, None), (False, 208, {"n": 1})]


def test_recorded_stream_becomes_one_sample(tmp_path: Path):
    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [choice]}).encode()

    sent = [
        chunk({"role": "assistant", "content": "Hel"}),
        chunk({"content": "lo."}),
        chunk({}, "stop"),
        b"data: [DONE]",
    ]
    path = written(tmp_path / "a.sse", b"\n\n".join(sent) + b"\n\n")
    (outcome,) = outcomes(expand([str(path)]), Pipeline(Settings()))
    assert [c.sample["messages"] for c in outcome.conversations] == [[{"role": "assistant", "content": "Hello."}]]


# -- directories ------------------------------------------------------------------------------------------------------


def test_directory_gives_files_by_what_is_in_them_where_the_name_says_nothing(tmp_path: Path):
    contents = {
        "a.txt": b' {"n": 1}\n',
        "b.log": b'[\n {"n": 2}]',
        "c.chunks.txt": b'{"n": 3}\n',
        "d": b'data: {"n": 4}\n\n',
        "e.txt.gz": gzip.compress(b'{"n": 5}\n'),
        "f.ndjson": b'{"n": 6}\n',
        "g.log": b"[INFO] started\n",
        "h.txt": b"data of no kind\n",
        "i.csv": b"n\n1\n",
        "j.txt": b"",
        "k.py": b"",
        "l.log.gz": b"no gzip",
        "LICENSE": b"Apache",
    }
    for name, content in contents.items():
        written(tmp_path / name, content)
    skipped = Counter[str]()
    inputs = expand([str(tmp_path)], skipped=skipped)
    assert [r.data["n"] for source in inputs for r in records(source)] == [1, 2, 3, 4, 5, 6]
    assert skipped == {".log": 1, ".txt": 2, ".csv": 1, ".py": 1, ".log.gz": 1, "": 1}
    assert told_skipped(skipped) == "2 .txt, 1 without a suffix, 1 .csv, 1 .log, 1 .log.gz, 1 .py"


def test_commands_say_what_was_left_out(tmp_path: Path):
    chat = json.dumps(CHAT).encode()
    written(tmp_path / "t" / "a.zip", zipped({"a.json": chat, "b.md": b"#"}))
    written(tmp_path / "t" / "README.md", b"#")
    program = str(Path(sys.executable).parent / "qwen-sft")
    done = subprocess.run([program, "validate", "t"], cwd=tmp_path, capture_output=True, text=True)
    says = "qwen-sft: 2 files were left out, as not holding records: 2 .md; name a file outright to read it\n"
    assert (done.returncode, done.stderr) == (0, says)
    assert done.stdout.startswith("1 records in 1 file: 1 clean")
    command = [program, "build", "t", "--model", "qwen3", "--out", "out"]
    assert says in subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stderr


# -- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "b.json"])
def test_record_that_is_too_long_is_a_fault_with_its_byte_and_reading_goes_on(tmp_path: Path, name: str):
    long = json.dumps({"text": 'a "quoted" [ brace } \\ ' * 3_000_000, "n": [{}] * 1000}).encode()
    separator = b"\n" if "jsonl" in name else b",\n" if name == "a.json" else b" "
    content = separator.join([b'{"n": 1}', long, b'{"n": 2}'])
    content = b"[" + content + b"]" if name == "a.json" else content
    first, fault, last = read(written(tmp_path / name, gzip.compress(content, 1) if name.endswith(".gz") else content))
    assert (first.data, last.data) == ({"n": 1}, {"n": 2})
    place = content.index(b'{"text"')
    assert fault.fault == f"a record of more than 64,000,000 bytes, which begins at byte {place:,}"
    assert (fault.where.byte, fault.raw, fault.cut) == (place, long[: 1 << 20], True)
    assert last.where.byte == content.rindex(b'{"n"')


def test_line_of_garbage_names_its_byte(tmp_path: Path):
    content = b'{"n": 1}\n' + b"\0" * 5_000 + b'\n{"n": 2}\n'
    found = list(outcomes(expand([str(written(tmp_path / "a.jsonl", content))]), Pipeline(Settings())))
    said = [d.says for one in found for d in one.diagnostics if d.code == "SRC001"]
    assert said == ["not JSON: Expecting value at column 1; the record begins at byte 9"]


@pytest.mark.parametrize("garbage", [b'{"torn": "x', b"garbage", b"\0\0", b'{"a": 1} x', b"\xff"])
def test_garbage_in_the_first_line_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch, garbage: bytes):
    found = piped(monkeypatch, garbage + b'\n{"n": 1}\n{"n": 2}\n')
    assert [(r.where.line, bool(r.fault), r.data) for r in found] == [
        *((1, True, None), (2, False, {"n": 1}), (3, False, {"n": 2})),
    ]
    whole = b'{"a":\n{"b": 1},\n"c": [\n{"d": 1}\n]}'
    assert [r.data for r in piped(monkeypatch, whole)] == [{"a": {"b": 1}, "c": [{"d": 1}]}]


@pytest.mark.parametrize("limit", [1, 5, 30, 1 << 23])
@pytest.mark.parametrize("chunk", [3, 64])
def test_value_found_by_its_brackets_is_the_one_that_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int, chunk: int
):
    values = [{"a": '}"]\\'}, [[], {"b": ["é😀", '\\"{']}], {"c": "x" * 50}, {}, {"d": {"e": [1.5e10, None]}}]
    for item in (values, [{"role": "user", "content": "y" * 99}, {"role": "assistant", "content": "]"}]):
        content = json.dumps(item, indent=1, ensure_ascii=False).encode()
        path = written(tmp_path / "a.json", content + b"\n" + content)
        plain = read(path)
        with monkeypatch.context() as patch:
            patch.setattr(jsontext, "_LONG", limit)
            patch.setattr(jsontext, "_CHUNK", chunk)
            found = read(path)
        assert [(r.where, r.raw, r.data, r.fault) for r in found] == [(r.where, r.raw, r.data, r.fault) for r in plain]
        assert len(found) in (10, 2)


def test_value_that_is_never_closed_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jsontext, "_LONG", 10)
    (record,) = read(written(tmp_path / "a.json", b'{"a": "' + b"x" * 5_000_000))
    assert record.fault == "the value that begins at byte 0 is never closed; nothing behind it was read"
    assert len(record.raw) == 1 << 20


READS = r"""
import re, sys
from pathlib import Path
from qwen_sft.container import File, read
from qwen_sft.decoding.streams import stream
kind, mebibytes = sys.argv[1], int(sys.argv[2])
record = b'{"id": 7, "text": "' + b"word " * 800 + b'"}'
parts = {
    "records.jsonl": (b"", record + b"\n", b""),
    "records.json": (b"[", record + b",\n", b"{}]"),
    "line.jsonl": (b"{}\n", b"\0" * 4000, b"\n{}\n"),
    "item.json": (b'[{}, {"a": [', record + b",", b"0]}, {}]"),
    "text.json": (b'[{}, {"a": "', "é [{ \\\" ".encode() * 500, b'"}, {}]'),
    "events.sse": (b"", b"data: " + record + b"\n\n", b""),
}
head, body, tail = parts[kind]
pieces = iter([head, *[body * 256] * (mebibytes * (1 << 20) // (len(body) * 256)), tail])
n = sum(1 for _ in read(File(kind, stream(lambda: next(filter(None, pieces), b"")))))
print(n, re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak(kind: str, mebibytes: int) -> tuple[int, int]:
    """Records, and the most memory in kB, of reading so much of a synthetic file."""
    command = [sys.executable, "-c", READS, kind, str(mebibytes)]
    n_records, kilobytes = subprocess.check_output(command).split()
    return int(n_records), int(kilobytes)


PEAK = r"""
import re, sys
from pathlib import Path
from qwen_sft.ingesting.ingest import expand, records
n = sum(1 for one in expand(sys.argv[1:]) for _ in records(one))
print(n, re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""
KINDS = ["records.jsonl", "records.json", "line.jsonl", "item.json", "text.json", "events.sse"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("kind", "n_records"), [("line.jsonl", 3), ("item.json", 3), ("text.json", 3)])
def test_memory_stays_flat_over_one_record_of_three_hundred_megabytes(kind: str, n_records: int):
    n, most = peak(kind, 300)
    assert n == n_records
    assert most - peak("records.jsonl", 1)[1] < 200_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_memory_stays_flat_over_two_gibibytes(kind: str):
    n, most = peak(kind, 2048)
    assert n == 3 or n > 500_000
    assert most - peak("records.jsonl", 1)[1] < 200_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_over_one_row_group_and_over_an_arrow_stream(tmp_path: Path):
    def most(n: int, suffix: str) -> int:
        column = pa.array(os.urandom(2500).hex() for _ in range(n))
        path = tmp_path / f"{n}{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.table({"a": column}), path, row_group_size=n, compression="none", use_dictionary=False)
        else:
            table = pa.table({"a": column})
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table, max_chunksize=1000)
        n_read, kilobytes = subprocess.check_output([sys.executable, "-c", PEAK, str(path)]).split()
        assert int(n_read) == n
        return int(kilobytes)

    for suffix in (".parquet", ".arrow"):
        assert most(30_000, suffix) - most(10, suffix) < 90_000, suffix


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_over_an_archive_that_unpacks_to_two_gibibytes(tmp_path: Path):
    path = tmp_path / "bomb.zip"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.jsonl", "w", force_zip64=True) as a,
    ):
        for _ in range(2048):
            a.write(b"\0" * (1 << 20))
    n, most = subprocess.check_output([sys.executable, "-c", PEAK, str(path)]).split()
    assert int(n) == 1
    assert int(most) - peak("records.jsonl", 1)[1] < 200_000


def test_input_of_text_alone_has_a_bar_of_its_bytes():
    names = ["a.jsonl", "a.sse", "a.jsonl.gz", "a.zip", "a.parquet", "a.txt"]
    assert [Input(name, Path(name)).is_text for name in names] == [True, True, False, False, False, False]
