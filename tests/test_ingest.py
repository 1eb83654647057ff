"""Reading: every kind of file, every way to be broken, the exact place of every record, and flat memory."""

import codecs
import datetime
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import json_values

from qwen_sft.decoding import jsontext
from qwen_sft.errors import InputError
from qwen_sft.ingesting.ingest import STDIN, expand, records
from qwen_sft.record import Record
from qwen_sft.sample import MOST_NESTED

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]


def read(path: Path) -> list[Record]:
    (source,) = expand([str(path)])
    return list(records(source))


def written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def places(found: list[Record]) -> list[tuple[int, int, int | None, Any]]:
    return [(r.where.line, r.where.byte, r.where.item, r.data) for r in found]


def stands_where_it_says(content: bytes, found: list[Record]) -> bool:
    return all(
        content[r.where.byte :].startswith(r.raw) and content[: r.where.byte].count(b"\n") == r.where.line - 1
        for r in found
    )


# -- which files ------------------------------------------------------------------------------------------------------


def test_directory_gives_its_trace_files_in_order_at_any_depth(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    names = ["a.json", "b.jsonl", "c.json.gz", "d.jsonl.gz", "deep/x.parquet", "e.json.zst", "f.jsonl.zst", "G.JSONL"]
    for name in [*names, "notes.txt", "deep/table.csv"]:
        (tmp_path / name).write_bytes(b"")
    assert [source.name for source in expand([str(tmp_path)])] == sorted(str(tmp_path / name) for name in names)


def test_directory_without_trace_files_stops_us(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("{}")
    with pytest.raises(InputError, match=r"has no file ending in \.json, \.jsonl"):
        expand([str(tmp_path)])


@pytest.mark.parametrize("path", ["nowhere.jsonl", "nowhere/*.jsonl", "x" * 5000])
def test_path_that_names_nothing_stops_us(path: str):
    with pytest.raises(InputError, match=r"no file '|cannot open '"):
        expand([path])


def test_glob_gives_files_and_no_folders(tmp_path: Path):
    (tmp_path / "c.jsonl").mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text("{}\n")
    assert [Path(s.name).name for s in expand([str(tmp_path / "*.jsonl")])] == ["a.jsonl", "b.jsonl"]
    assert [Path(s.name).name for s in expand([str(tmp_path / "**" / "a.*")])] == ["a.jsonl"]


def test_file_named_twice_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text("{}\n")
    named = ["a.jsonl", "./a.jsonl", "a.jsonl", str(tmp_path / "a.jsonl"), ".", "a.*"]
    assert [source.name for source in expand(named)] == ["a.jsonl"]


def test_file_name_that_is_not_utf8_is_spelled_with_escapes(tmp_path: Path):
    path = os.fsencode(tmp_path) + b"/bad\xff.jsonl"
    Path(os.fsdecode(path)).write_text("{}\n")
    (record,) = [r for source in expand([os.fsdecode(path)]) for r in records(source)]
    assert record.where.file == f"{tmp_path}/bad\\xff.jsonl"


def test_stdin_is_lines_or_a_document_by_its_first_line(monkeypatch: pytest.MonkeyPatch):
    def piped(content: bytes) -> list[Record]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        (source,) = expand(["-", "-"], hashed=True)
        found = list(records(source))
        assert (source.name, source.n_bytes) == (STDIN, len(content))
        assert source.sha256 == hashlib.sha256(content).hexdigest()
        return found

    assert places(piped(b'{"a": 1}\nbad\n{"a": 2}\n')) == [
        (1, 0, None, {"a": 1}),
        (2, 9, None, None),
        (3, 13, None, {"a": 2}),
    ]
    assert places(piped(b'{\n"a": 1}\n{"a": 2}')) == [(1, 0, None, {"a": 1}), (3, 10, None, {"a": 2})]
    assert places(piped(b'[{"a": 1}, {"a": 2}]\n')) == [(1, 1, 0, {"a": 1}), (1, 11, 1, {"a": 2})]
    line = json.dumps(CHAT).encode()
    assert places(piped(line + b"\n" + line + b"\n")) == [(1, 0, None, CHAT), (2, len(line) + 1, None, CHAT)]


# -- JSON Lines -------------------------------------------------------------------------------------------------------


def test_lines_with_bom_crlf_blanks_and_no_final_newline_are_read_at_their_places(tmp_path: Path):
    content = codecs.BOM_UTF8 + b'{"a": 1}\r\n\r\n  {"a": 2} \n\t\n{"a": 3}'
    found = read(written(tmp_path, "a.jsonl", content))
    assert places(found) == [(1, 3, None, {"a": 1}), (3, 17, None, {"a": 2}), (5, 29, None, {"a": 3})]
    assert stands_where_it_says(content, found)


FAULTS = {
    b'{"a": 1': "Expecting ',' delimiter at column 8",
    b'{"a": 1} {"a": 2}': "Extra data at column 10",
    b'{"a": NaN}': "NaN is not JSON",
    b'{"a": -Infinity}': "-Infinity is not JSON",
    b'{"a": 1e999}': "Number out of range",
    b'{"a": "\x01"}': "Invalid control character at column 8",
    b'{"a": "x\xffy"}': "byte 8 (0xff) is not UTF-8",
    b'{"a": "\xed\xa0\x80"}': "byte 7 (0xed) is not UTF-8",
    rb'{"a": "\ud83d"}': "a \\u escape is half of a surrogate pair",
    rb'{"\ude00": 1}': "a \\u escape is half of a surrogate pair",
    b"9" * 5000: "an integer has too many digits",
    b"[" * 5000: f"it is nested deeper than {MOST_NESTED} levels",
    b"[" * 5000 + b"]" * 5000: f"it is nested deeper than {MOST_NESTED} levels",
    b"\x0b1": "Expecting value at column 1",
}


@pytest.mark.parametrize(("bad", "says"), FAULTS.items(), ids=list(FAULTS.values()))
def test_bad_line_is_a_fault_and_reading_goes_on(tmp_path: Path, bad: bytes, says: str):
    before, after = read(written(tmp_path, "a.jsonl", b'{"a": 0}\n' + bad + b'\n{"a": 2}\n'))[::2]
    fault = read(tmp_path / "a.jsonl")[1]
    assert (before.data, after.data) == ({"a": 0}, {"a": 2})
    assert (fault.fault, fault.data, fault.raw, fault.where.line) == (says, None, bad, 2)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_limit_is_the_same_in_lines_and_documents(tmp_path: Path, opening: str):
    def nested(n: int) -> bytes:
        return (opening * n + "1" + ("]" if opening == "[" else "}") * n).encode()

    for n, fault in ((MOST_NESTED, None), (MOST_NESTED + 1, f"it is nested deeper than {MOST_NESTED} levels")):
        assert [r.fault for r in read(written(tmp_path, "a.jsonl", nested(n) + b"\n"))] == [fault]
        assert [r.fault for r in read(written(tmp_path, "a.json", b"[{}, " + nested(n) + b", 1]"))] == [
            None,
            fault,
            None,
        ]
    wide = b"[" + b"[]," * 1000 + b"[]]"
    assert [r.fault for r in read(written(tmp_path, "a.jsonl", wide))] == [None]


def test_integers_of_any_practical_size_stay_exact(tmp_path: Path):
    numbers = [2**64, 2**64 + 1, -(2**63) - 1, 10**300 + 7, 2**53 + 1]
    line = json.dumps({"n": numbers}).encode()
    for name in ("a.jsonl", "a.json"):
        (record,) = read(written(tmp_path, name, line))
        assert record.data == {"n": numbers}


def test_line_of_twenty_megabytes_is_one_record(tmp_path: Path):
    text = "é" * 10_000_000
    (record,) = read(written(tmp_path, "a.jsonl", json.dumps({"a": text}, ensure_ascii=False).encode() + b"\n"))
    assert record.data == {"a": text}


# -- JSON documents ---------------------------------------------------------------------------------------------------


def test_json_file_is_one_record_a_list_of_records_or_one_conversation(tmp_path: Path):
    one, two = {"messages": CHAT}, {"messages": CHAT[::-1]}
    cases: list[tuple[Any, list[tuple[int | None, Any]]]] = [
        (one, [(None, one)]),
        ([one, two], [(0, one), (1, two)]),
        (CHAT, [(None, CHAT)]),
        ([{"from": "human", "value": "Hi"}], [(None, [{"from": "human", "value": "Hi"}])]),
        ([{"role": "x", "messages": CHAT}], [(0, {"role": "x", "messages": CHAT})]),
        ([], [(None, [])]),
        ([[], 1, None], [(0, []), (1, 1), (2, None)]),
    ]
    for value, expected in cases:
        for indent in (None, 2):
            found = read(written(tmp_path, "a.json", json.dumps(value, indent=indent).encode()))
            assert [(r.where.item, r.data) for r in found] == expected
            assert [r.fault for r in found] == [None] * len(expected)


def test_concatenated_documents_are_read_one_after_the_other(tmp_path: Path):
    content = b'{"a": 1}{"a": 2}\n\n[{"a": 3},\n {"a": 4}] []\n' + json.dumps(CHAT, indent=1).encode() + b" 7"
    found = read(written(tmp_path, "a.json", content))
    assert [(r.where.line, r.where.item, r.data) for r in found] == [
        *((1, None, {"a": 1}), (1, None, {"a": 2}), (3, 0, {"a": 3}), (4, 1, {"a": 4}), (4, None, [])),
        *((5, None, CHAT), (14, None, 7)),
    ]
    assert stands_where_it_says(content, found)


BROKEN_DOCUMENTS = {
    b'[{"a": 1},\n {"a": }]': "Expecting value at line 2, column 8",
    b'[{"a": 1}\n {"a": 2}]': "Expecting ',' delimiter at line 2, column 2",
    b'[{"a": 1}, ]': "Expecting value at line 1, column 12",
    b'[{"a": 1}, {"b": 2': "Expecting ',' delimiter at line 1, column 19",
    b'[{"a": 1}': "the list is never closed at line 1, column 10",
    b'{"a": 1} x': "Expecting value at line 1, column 10",
    b'{"a": 1}\n{"b": "x\n': "Invalid control character at line 2, column 9",
}


@pytest.mark.parametrize(("content", "says"), BROKEN_DOCUMENTS.items(), ids=list(BROKEN_DOCUMENTS.values()))
def test_broken_document_gives_what_stood_before_and_says_where_it_ends(tmp_path: Path, content: bytes, says: str):
    found = read(written(tmp_path, "a.json", content))
    assert [(r.data, r.fault) for r in found] == [
        ({"a": 1}, None),
        (None, f"{says}; nothing behind this place was read"),
    ]


def test_item_with_nan_or_a_lone_surrogate_does_not_end_the_list(tmp_path: Path):
    content = b'[{"a": NaN}, {"a": "\\ud800"}, {"a": "\xff"}, {"a": 4}]'
    assert [(r.data, r.fault) for r in read(written(tmp_path, "a.json", content))] == [
        (None, "NaN is not JSON"),
        (None, "a \\u escape is half of a surrogate pair"),
        (None, "byte 7 (0xff) is not UTF-8"),
        ({"a": 4}, None),
    ]


LAYOUTS = {
    "lines": lambda values, _: ("\n".join(json.dumps(v) for v in values) + "\n", ".jsonl"),
    "unicode lines": lambda values, _: ("\r\n".join(json.dumps(v, ensure_ascii=False) for v in values), ".jsonl"),
    "list": lambda values, indent: (json.dumps(values, indent=indent, ensure_ascii=False), ".json"),
    "stream": lambda values, indent: (" \n".join(json.dumps(v, indent=indent) for v in values), ".json"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=60, deadline=None)
@given(values=st.lists(json_values(), min_size=1, max_size=6), indent=st.sampled_from([None, 0, 2]), bom=st.booleans())
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_any_values_in_any_layout_are_read_back_at_their_places(
    tmp_path_factory: pytest.TempPathFactory, layout: str, chunk: int, values: list[Any], indent: int | None, bom: bool
):
    if layout == "list" and jsontext._is_message_list(values):
        return
    if layout == "stream":
        values = [v for v in values if not isinstance(v, list)] or [{}]
    text, suffix = LAYOUTS[layout](values, indent)
    content = codecs.BOM_UTF8 * bom + text.encode()
    path = written(tmp_path_factory.getbasetemp(), f"{layout}{chunk}{suffix}", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "_CHUNK", chunk)
        found = read(path)
    assert [r.fault for r in found] == [None] * len(values)
    assert repr([r.data for r in found]) == repr(values)
    assert [json.loads(r.raw) for r in found] == values
    assert [r.where.item for r in found] == [i if layout == "list" else None for i in range(len(values))]
    assert stands_where_it_says(content, found)


# -- compressed -------------------------------------------------------------------------------------------------------


def gz(*parts: bytes) -> bytes:
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def zst(*parts: bytes) -> bytes:
    return b"".join(zstandard.compress(part) for part in parts)


PACKED = pytest.mark.parametrize(("suffix", "pack"), [(".gz", gz), (".zst", zst)])


@PACKED
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_compressed_file_of_several_members_is_read_whole(tmp_path: Path, suffix: str, pack: Any, name: str):
    path = written(tmp_path, name + suffix, pack(b'{"a": 1}\n{"a"', b": 2}\n", b"", b'{"a": 3}\n'))
    assert places(read(path)) == [(1, 0, None, {"a": 1}), (2, 9, None, {"a": 2}), (3, 18, None, {"a": 3})]


@PACKED
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_torn_stream_gives_what_stood_before_and_a_fault(tmp_path: Path, suffix: str, pack: Any, name: str):
    lines = b"".join(
        json.dumps({"n": n, "x": hashlib.sha512(b"%d" % n).hexdigest()}).encode() + b"\n" for n in range(20_000)
    )
    packed = pack(lines[: len(lines) // 2], lines[len(lines) // 2 :])
    found = read(written(tmp_path, name + suffix, packed[: len(packed) * 3 // 4]))
    *whole, last = found
    assert [r.data["n"] for r in whole] == list(range(len(whole)))
    assert len(whole) > 10_000
    assert last.fault is not None
    assert last.fault.endswith("what stands behind this is lost")
    assert last.where.line == len(whole) + 1


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("content", [b'{"a": 1}\n', b"\xff" * 2000], ids=["json", "bytes"])
def test_garbage_named_as_compressed_is_one_fault_at_line_one(tmp_path: Path, suffix: str, content: bytes):
    (record,) = read(written(tmp_path, "a.jsonl" + suffix, content))
    assert record.where.line == 1
    assert "stream is damaged" in str(record.fault)


# -- Parquet ----------------------------------------------------------------------------------------------------------


def test_parquet_row_is_the_json_that_it_stands_for(tmp_path: Path):
    rows = [{"messages": CHAT, "n": 2**60, "when": datetime.date(2026, 1, 2), "raw": b"\xff", "x": float("nan")}] * 300
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = read(tmp_path / "a.parquet")
    assert [(r.where.line, r.where.byte, r.where.item) for r in found] == [(n, 0, None) for n in range(1, 301)]
    assert found[299].data == {"messages": CHAT, "n": 2**60, "when": "2026-01-02", "raw": "/w==", "x": None}
    assert json.loads(found[299].raw) == found[299].data


def test_parquet_text_that_is_not_utf8_is_a_fault_of_its_row(tmp_path: Path):
    column = pa.array([b"good", b"\xff", b"good"]).view(pa.string())
    pq.write_table(pa.table({"a": column}), tmp_path / "a.parquet")
    assert [(r.data, bool(r.fault)) for r in read(tmp_path / "a.parquet")] == [
        *(({"a": "good"}, False), (None, True), ({"a": "good"}, False))
    ]


def test_parquet_file_that_is_none_or_is_damaged_stops_us(tmp_path: Path):
    with pytest.raises(InputError, match=r"a\.parquet' is no Parquet file"):
        read(written(tmp_path, "a.parquet", b'{"a": 1}\n'))
    pq.write_table(pa.table({"a": [os.urandom(50).hex() for _ in range(2000)]}), tmp_path / "b.parquet")
    content = bytearray((tmp_path / "b.parquet").read_bytes())
    content[4:2000] = bytes(1996)
    with pytest.raises(InputError, match=r"b\.parquet' is damaged behind row 0"):
        read(written(tmp_path, "b.parquet", bytes(content)))


# -- digest and memory ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"a": 1}\nbad\n' * 1000),
        ("a.json", b'[{"a": 1}, }' + b" " * 3_000_000),
        ("a.jsonl.gz", gz(b'{"a": 1}\n' * 1000)),
        ("b.jsonl.gz", gz(b'{"a": 1}\n') + b"garbage" * 1_000_000),
        ("a.jsonl.zst", zst(b'{"a": 1}\n' * 1000, b"{}\n")),
        ("b.jsonl.zst", zst(b'{"a": 1}\n') + b"garbage" * 1_000_000),
    ],
    ids=["lines", "array", "gzip", "damaged-gzip", "zstd", "damaged-zstd"],
)
def test_sha256_is_of_the_whole_file_on_disk_wherever_reading_ended(tmp_path: Path, name: str, content: bytes):
    (source,) = expand([str(written(tmp_path, name, content))], hashed=True)
    n_records = sum(1 for _ in records(source))
    assert (source.sha256, source.n_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert source.n_records == n_records > 0


READS = r"""
import re, sys
from pathlib import Path
from qwen_sft.ingesting.ingest import expand, records
n = sum(1 for source in expand(sys.argv[1:]) for _ in records(source))
print(n, re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""
# Not getrusage: its ru_maxrss is that of the process that started this one, if that was larger.


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".jsonl.zst"])
def test_memory_stays_flat_over_sixty_megabytes(tmp_path: Path, suffix: str):
    def peak(n: int) -> int:
        message = {"role": "user", "content": "word " * 400}
        items = [json.dumps({"id": i * i, "messages": [message] * 5}).encode() for i in range(n)]
        sep = b",\n" if suffix == ".json" else b"\n"
        content = sep.join(items)
        content = b"[" + content + b"]" if suffix == ".json" else content
        path = written(tmp_path, f"{n}{suffix}", zst(content) if suffix.endswith(".zst") else content)
        n_read, kilobytes = subprocess.check_output([sys.executable, "-c", READS, str(path)]).split()
        assert int(n_read) == n
        return int(kilobytes)

    small = peak(10)
    assert peak(6000) - small < 40_000
