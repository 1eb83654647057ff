"""`qwen-sft view`: what lists and pages say, which requests are answered, and that nothing else can be read."""

import html
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import html5lib
import pytest
from command import Ran

import qwen_sft
from qwen_sft.errors import InputError, ModelError
from qwen_sft.pipeline import Pipeline
from qwen_sft.sample import json_path
from qwen_sft.settings import Settings
from qwen_sft.viewing import rows as viewing_rows
from qwen_sft.viewing.collection import Collection, Filters, folder_of
from qwen_sft.viewing.opening import built, is_built, traces
from qwen_sft.viewing.server import Server, Viewer
from qwen_sft.viewing.traces import Traces, path_of

ROOT = Path(__file__).parents[1]


def talk(n: int, tool: str = "track", *, wrong: bool = False, thought: str = "") -> dict[str, Any]:
    """A conversation with one call; `wrong`: its result answers nobody."""
    call = {"id": f"c{n}", "type": "function", "function": {"name": tool, "arguments": {"n": n}}}
    answer = {"role": "assistant", "content": f"It is in harbour {n}."}
    if thought:
        answer["reasoning_content"] = thought
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return {
        "id": f"talk-{n}",
        "tools": [{"type": "function", "function": {"name": tool, "description": "It does.", "parameters": schema}}],
        "messages": [
            {"role": "user", "content": f"Where is parcel {n}?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "nobody" if wrong else f"c{n}", "content": "quay " * n},
            answer,
        ],
    }


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Traces: a.jsonl with 60 records, every tenth of them broken, b.json with 3, c.jsonl with no JSON."""
    folder = tmp_path / "traces"
    folder.mkdir()
    lines = [talk(n, "track" if n % 2 else "find", wrong=n % 10 == 0) for n in range(1, 61)]
    (folder / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (folder / "b.json").write_text(json.dumps([talk(100 + n, thought="Hm.") for n in range(3)], indent=1))
    (folder / "c.jsonl").write_text('{"messages": [{"role": "us\n')
    return folder


def whole(listed: Traces) -> Traces:
    """The same, when all of it was read."""
    listed.start()
    until = time.monotonic() + 60
    while not listed.is_whole and time.monotonic() < until:
        time.sleep(0.01)
    assert listed.is_whole and not listed.failure
    return listed


@pytest.fixture
def seen(files: Path) -> Traces:
    return whole(traces([str(files)], Pipeline(Settings()), print))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built set of 54 rows, of 60 records."""
    here = tmp_path_factory.mktemp("set")
    lines = [talk(n, "track" if n % 2 else "find", wrong=n % 10 == 0) for n in range(1, 61)]
    (here / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    qwen_sft.build(str(here / "a.jsonl"), str(here / "out"), model="qwen3", verify="none")
    return here / "out"


def numbers(listed: Collection, asked: Filters, start: int = 1, n: int = 1000, *, back: bool = False) -> list[int]:
    return [one.number for one in listed.hits(asked, start, n, back=back).hits]


# -- traces ------------------------------------------------------------------------------------------------------------


def test_traces_are_listed_with_what_was_found(seen: Traces):
    first, tenth = seen.hits(Filters(), 1, 10).hits[0], seen.hits(Filters(), 10, 1).hits[0]
    size = n_bytes(1)
    assert (first.number, tuple(first.cells)) == (
        1, ("a.jsonl:1", "✓ passes", str(size), "4", "", "Where is parcel 1?")
    )  # fmt: skip
    assert tuple(tenth.cells)[:2] == ("a.jsonl:10", "✗ rejected")
    assert "TOL003" in tenth.cells[4].split()
    last = seen.hits(Filters(), 64, 1).hits[0]
    assert tuple(last.cells) == ("c.jsonl:1", "✗ rejected", "26", "0", "SRC001", '{"messages": [{"role": "us')
    assert seen.n == 64
    assert dict(seen.choices()["tool"]) == {"track": 33, "find": 30}
    assert dict(seen.choices()["code"])["TOL003"] == 6


def n_bytes(n: int) -> int:
    """Of the record with that number in a.jsonl."""
    return len(json.dumps(talk(n, "track" if n % 2 else "find", wrong=n % 10 == 0)))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (Filters(code="TOL003"), [10, 20, 30, 40, 50, 60]),
        (Filters(code="SRC001"), [64]),
        (Filters(code="NONE999"), []),
        (Filters(tool="find", most=700), [n for n in range(2, 61, 2) if n_bytes(n) <= 700]),
        (Filters(source="b.json"), [61, 62, 63]),
        (Filters(source="b.json", tool="find"), []),
        (Filters(kind="reasoning"), [61, 62, 63]),
        (Filters(kind="call", source="c.jsonl"), []),
        (Filters(kind="nonsense"), []),
        (Filters(q="PARCEL 7?"), [7]),
        (Filters(q="parcel 10"), [10, 61, 62, 63]),
        (Filters(q='"us'), [64]),
        (Filters(least=10**9), []),
    ],
)  # fmt: skip
def test_filters_of_traces(seen: Traces, asked: Filters, found: list[int]):
    assert numbers(seen, asked) == found
    assert numbers(seen, asked, 64, back=True) == found
    if len(found) > 2:
        assert numbers(seen, asked, found[1], 2) == found[1:3]
        assert numbers(seen, asked, found[-2], 2, back=True) == found[-3:-1]


@pytest.mark.parametrize("model", [None, "qwen3"])
def test_a_record_is_shown_as_it_was_judged_wherever_it_stands(files: Path, model: str | None):
    """A line is read again at its place, an item of a list from the beginning, a line that is no JSON as text."""
    pipeline = Pipeline(Settings(model=model, verify="none"))
    seen = whole(traces([str(files)], pipeline, print))
    for number, said in ((1, "parcel 1?"), (10, "parcel 10?"), (62, "parcel 101?")):
        sheet = seen.sheet(number)
        assert sheet is not None
        assert sheet.talks[0].said[0].text == f"Where is {said}"
        assert sheet.record["messages"][0]["content"] == f"Where is {said}"
        assert [one.code for one in sheet.findings] == seen.hits(Filters(), number, 1).hits[0].cells[4].split()
        assert len(sheet.talks[0].views) == int(model is not None and number != 10)
    broken = seen.sheet(64)
    assert broken is not None and broken.record is None and broken.text == '{"messages": [{"role": "us'
    assert seen.sheet(0) is None and seen.sheet(65) is None


def test_findings_of_a_record_link_to_its_turns_and_its_text(seen: Traces):
    page = Viewer("x", [seen]).answer("/records/10").body.decode()
    tree = html5lib.HTMLParser(strict=True).parse(page)
    ids = {one.attrib["id"] for one in tree.iter() if "id" in one.attrib}
    links = [one.attrib["href"][1:] for one in tree.iter() if one.attrib.get("href", "").startswith("#")]
    assert set(links) <= ids and {"f1", "r1"} <= set(links)
    (mark,) = (one for one in tree.iter() if one.attrib.get("id") == "r1")
    assert "".join(mark.itertext()) == '"nobody"'


def test_parquet_of_conversations_is_read_by_row(tmp_path: Path, files: Path):
    out = tmp_path / "trl"
    qwen_sft.build(str(files / "a.jsonl"), str(out), model="qwen3", writer="trl", verify="none")
    listed, rejected = built(out)
    assert isinstance(listed, Traces) and isinstance(rejected, Traces)
    whole(listed)
    assert listed.n == 54
    for number, parcel in ((54, 59), (1, 1), (2, 2), (11, 12)):
        sheet = listed.sheet(number)
        assert sheet is not None and sheet.talks[0].said[0].text == f"Where is parcel {parcel}?"
        assert sheet.title.endswith(f".parquet:{number}")
    assert numbers(listed, Filters(q="PARCEL 5")) == [5, *range(46, 55)]


# -- a built set -------------------------------------------------------------------------------------------------------


def test_rows_of_a_set_are_listed_from_their_columns(folder: Path):
    rows, _ = built(folder)
    hit = rows.hits(Filters(), 10, 1).hits[0]
    (row,) = (one for one in read_rows(folder) if one["source_line"] == 11)
    assert (hit.number, tuple(hit.cells)) == (
        10,
        ("a.jsonl:11", str(row["n_tokens"]), str(row["n_trained_tokens"]), "1", "Where is parcel 11?"),
    )
    assert (rows.n, rows.is_whole) == (54, True)


def read_rows(folder: Path) -> list[dict[str, Any]]:
    from qwen_sft.writing.arrow import read_parquet

    return read_parquet(folder / "data")


LINES = [n for n in range(1, 61) if n % 10]


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        (Filters(), LINES),
        (Filters(tool="find"), [n for n in LINES if n % 2 == 0]),
        (Filters(tool="fin"), []),
        (Filters(q="HARBOUR 7."), [7]),
        (Filters(q="<|im_start|>tool_response"), []),
        (Filters(source="a.js"), LINES),
        (Filters(source="other"), []),
        (Filters(kind="call"), LINES),
        (Filters(kind="system"), []),
        (Filters(kind="nonsense"), []),
        (Filters(code="TOL003"), LINES),  # it is no filter of rows
    ],
)
def test_filters_of_rows(folder: Path, asked: Filters, lines: list[int]):
    rows, _ = built(folder)
    found = rows.hits(asked, 1, 1000).hits
    assert [int(one.cells[0].rpartition(":")[2]) for one in found] == lines
    assert numbers(rows, asked, rows.n, back=True) == [one.number for one in found]


def test_rows_are_filtered_by_length(folder: Path):
    rows, _ = built(folder)
    sizes = [one["n_tokens"] for one in read_rows(folder)]
    assert len(set(sizes)) > 10
    for least, most in ((None, 250), (250, None), (240, 260), (0, 0)):
        wanted = [n for n, size in enumerate(sizes, 1) if (least or 0) <= size <= (most if most is not None else 10**9)]
        assert numbers(rows, Filters(least=least, most=most)) == wanted
        assert numbers(rows, Filters(least=least, most=most), 40, 5, back=True) == [n for n in wanted if n <= 40][-5:]


def test_a_row_is_told_by_its_tokens(folder: Path):
    """Its turns, its call and what the server reads are those of the record that it came from."""
    rows, _ = built(folder)
    sheet = rows.sheet(7)
    assert sheet is not None
    (told,) = sheet.talks
    record = talk(7, "track")
    assert [(one.role, one.message, one.text.strip()) for one in told.said] == [
        (one["role"], n, one["content"].strip()) for n, one in enumerate(record["messages"])
    ]
    assert [(call.name, call.arguments) for one in told.said for call in one.calls] == [("track", {"n": 7})]
    (view,) = told.views
    assert sorted(view.turns) == [1, 3]
    assert view.prompt(view.turns[1]).endswith(
        "<|im_start|>user\nWhere is parcel 7?<|im_end|>\n<|im_start|>assistant\n"
    )
    read = view.turns[1].read
    assert read is not None and read.calls == (("track", {"n": 7}),)
    assert sheet.record["source_line"] == 7 and sheet.record["sample_id"] == "talk-7"
    assert told.tools == [record["tools"][0]["function"]]


def test_rejected_records_are_listed_with_the_findings_of_their_build(folder: Path):
    _, rejected = built(folder)
    whole(rejected)
    assert rejected.n == 6 and numbers(rejected, Filters(code="TOL003")) == [1, 2, 3, 4, 5, 6]
    sheet = rejected.sheet(2)
    assert sheet is not None
    assert sheet.title.endswith("a.jsonl:20") and sheet.record["id"] == "talk-20"
    kept = json.loads((folder / "rejects.jsonl").read_text().splitlines()[1])["findings"]
    assert [(one.code, one.says, one.json_path, one.severity.value) for one in sheet.findings] == [
        (one["code"], one["says"], one["path"], one["severity"]) for one in kept
    ]
    assert sheet.talks[0].said[0].text == "Where is parcel 20?"


def test_packed_rows_are_listed(tmp_path: Path, files: Path):
    out = tmp_path / "packed"
    assert qwen_sft.build(
        str(files / "a.jsonl"), str(out), model="qwen3", verify="none", pack=2048, fail_on="never"
    ).manifest["rows"]
    rows = built(out)[0]
    assert 0 < rows.n < 54
    assert numbers(rows, Filters(least=1)) == list(range(1, rows.n + 1))
    sheet = rows.sheet(1)
    assert sheet is not None and len([one for one in sheet.talks[0].said if one.role == "user"]) > 1


def test_what_takes_long_says_how_far_it_came(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A page looks for a text for a moment; the next one goes on from there, and together they find all."""
    monkeypatch.setattr(viewing_rows, "PATIENCE", 0.0)
    rows, _ = built(folder)
    found: list[int] = []
    start, n_pages = 1, 0
    while start:
        hits = rows.hits(Filters(q="parcel 1"), start, 50)
        found += [one.number for one in hits.hits]
        start, n_pages = hits.stopped, n_pages + 1
    assert n_pages == 54
    lines = [int(rows.hits(Filters(), n, 1).hits[0].cells[0].rpartition(":")[2]) for n in found]
    assert lines == [1, *range(11, 20)]
    page = Viewer("x", [rows]).answer("/rows?q=nothing").body.decode()
    assert "54 rows; 1 were looked at for this page" in page and 'href="/rows?q=nothing&amp;start=2"' in page


def test_a_set_whose_rows_cannot_be_read_says_why(tmp_path: Path, files: Path, folder: Path):
    bare = tmp_path / "bare"
    qwen_sft.build(str(files / "a.jsonl"), str(bare), model="qwen3", verify="none", writer="axolotl_tokenized")
    with pytest.raises(InputError, match="has no column 'kinds', as --writer parquet has"):
        built(bare)
    arrow = tmp_path / "arrow"
    qwen_sft.build(str(files / "a.jsonl"), str(arrow), model="qwen3", verify="none", writer="hf")
    with pytest.raises(InputError, match="are no Parquet files of tokens and kinds; build with --writer parquet"):
        built(arrow)
    manifest = bare / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"] = [{"file": "data/../../../secret.parquet", "split": "train"}]
    manifest.write_text(json.dumps(told))
    (tmp_path.parent / "secret.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"and '.*bare' has no such file; build again"):
        built(bare)
    manifest.write_text('{"qwen_sft": "0"}')
    with pytest.raises(InputError, match=r"is no manifest of a build: KeyError\('writer'\); build again"):
        built(bare)
    assert is_built(str(bare)) and not is_built(str(files))
    other = shutil.copytree(folder, tmp_path / "other")
    told = json.loads((other / "manifest.json").read_text())
    told["model"]["tokenizer_sha256"] = "0"
    (other / "manifest.json").write_text(json.dumps(told))
    with pytest.raises(ModelError, match="qwen3 has another tokenizer now; build the set again"):
        built(other)


def test_files_that_a_link_leads_out_of_the_folder_are_left_out(tmp_path: Path, files: Path):
    outside = tmp_path / "outside.jsonl"
    outside.write_text(json.dumps(talk(1)) + "\n")
    (files / "d.jsonl").symlink_to(outside)
    said: list[str] = []
    seen = whole(traces([str(files)], Pipeline(Settings()), said.append))
    assert said == [f"1 files in {files} are links out of it and are not shown"]
    assert seen.n == 64
    with pytest.raises(InputError, match="stdin can be read only once; name a file"):
        traces(["-"], Pipeline(Settings()), said.append)


def test_redact_replaces_secrets_in_lists_and_pages(tmp_path: Path):
    mail = talk(1)
    mail["messages"][0]["content"] = "Write to jane.doe@acme-corp.org"
    wrong = talk(2, wrong=True)
    wrong["messages"][0]["content"] = "Write to jane.doe@acme-corp.org"
    odd = {"messages": [{"role": "user", "content": "jane.doe@acme-corp.org"}], "tools": 7}
    file = tmp_path / "mail.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in (mail, wrong, odd)) + '{"jane.doe@acme-corp.org')
    for redact in (False, True):
        viewer = Viewer("x", [whole(traces([str(file)], Pipeline(Settings(redact=redact)), print))])
        pages = [viewer.answer(f"/records/{number}").body for number in range(1, 5)]
        assert [b"jane.doe" in page for page in (viewer.answer("/").body, *pages)] == [not redact] * 5


def test_records_without_a_place_of_their_own_are_read_on_where_reading_stopped(tmp_path: Path):
    """A text is looked for in one pass, however the file is packed; a page of any record is right after it."""
    import gzip

    lines = "".join(json.dumps(talk(n)) + "\n" for n in range(1, 41))
    (tmp_path / "runs.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    seen = whole(traces([str(tmp_path / "runs.jsonl.gz")], Pipeline(Settings()), print))
    opened: list[str] = []
    records = seen._records
    seen._records = lambda source: (opened.append(source.name), records(source))[1]  # type: ignore[method-assign]
    assert numbers(seen, Filters(q="parcel 3")) == [3, *range(30, 40)]
    assert len(opened) == 1
    for number in (40, 7, 8, 1):
        sheet = seen.sheet(number)
        assert sheet is not None and sheet.record["id"] == f"talk-{number}"


def test_reading_that_stops_is_told(files: Path):
    (files / "z.parquet").write_bytes(b"PAR1 not really")
    seen = traces([str(files)], Pipeline(Settings()), print)
    seen.start()
    page = ""
    for _ in range(200):
        page = Viewer("x", [seen]).answer("/?source=nowhere").body.decode()
        if seen.is_whole:
            break
    page = Viewer("x", [seen]).answer("/").body.decode()
    assert "Reading stopped: &#x27;" in page and "is no Parquet file" in page
    assert seen.n == 64


# -- pages -------------------------------------------------------------------------------------------------------------


def parsed(page: bytes) -> Any:
    return html5lib.HTMLParser(strict=True).parse(page.decode())


def links(page: bytes) -> dict[str, str]:
    """The addresses of links by what they are (`rel`)."""
    return {one.attrib["rel"]: one.attrib["href"] for one in parsed(page).iter() if "rel" in one.attrib}


def test_pages_lead_through_all_samples_and_back(seen: Traces):
    viewer = Viewer("x", [seen])

    def listed(page: bytes) -> list[int]:
        return [int(n) for n in re.findall(r'href="/records/(\d+)[?"]', page.decode())]

    first = viewer.answer("/").body
    assert listed(first) == list(range(1, 51)) and "prev" not in links(first)
    second = viewer.answer(links(first)["next"]).body
    assert listed(second) == list(range(51, 65)) and "next" not in links(second)
    assert listed(viewer.answer(links(second)["prev"]).body) == list(range(1, 51))
    only = viewer.answer("/records?code=TOL003").body
    assert listed(only) == [10, 20, 30, 40, 50, 60]
    sample = viewer.answer("/records/30?code=TOL003").body
    assert {key: value for key, value in links(sample).items() if key in ("prev", "next", "up")} == {
        "prev": "/records/20?code=TOL003",
        "next": "/records/40?code=TOL003",
        "up": "/records?code=TOL003&start=30",
    }
    assert "next" not in links(viewer.answer("/records/60?code=TOL003").body)
    assert (
        "64 records" in first.decode()
        and "None here passes these filters." in viewer.answer("/?tool=nobody").body.decode()
    )


def test_a_form_keeps_what_was_asked(seen: Traces):
    page = Viewer("x", [seen]).answer("/?q=%22%3E%3Cscript%3E&code=TOL003&kind=call&least=5&most=x&tool=&bogus=1").body
    values = {one.attrib["name"]: one.attrib.get("value") for one in parsed(page).iter() if one.tag.endswith("}input")}
    assert values == {"q": '"><script>', "tool": "", "source": "", "least": "5", "most": ""}
    chosen = [one.attrib["value"] for one in parsed(page).iter() if "selected" in one.attrib]
    assert chosen == ["TOL003", "call"]


@pytest.mark.parametrize(
    "target",
    [
        *(
            "/../../etc/passwd",
            "/records/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "//etc/passwd",
            "/records/1/2",
        ),
        *("/records/-1", "/records/1e3", "/records/٣", "/records/99999999999999999999", "/records/0", "/nothing"),
        *(
            "/view.css/",
            "/favicon.ico",
            "/view.js/../view.css",
            "/records/1.jsonl",
            "file:///etc/passwd",
            "/a.jsonl",
            "*",
        ),
    ],
)
def test_an_address_is_never_a_file(seen: Traces, target: str):
    answer = Viewer("x", [seen]).answer(target)
    assert (answer.status, b"root:" in answer.body) == (404, False)


def test_a_question_that_is_too_long_or_odd_is_answered(seen: Traces):
    viewer = Viewer("x", [seen])
    assert viewer.answer("/?q=" + "x" * 5000).status == 414
    for odd in ("?start=٣", "?start=999999999999999999999", "?back=0", "?least=-1", "?q=%00%ff", "?" + "&" * 19):
        assert viewer.answer(f"/records{odd}").status == 200


@pytest.mark.parametrize(
    "path", [(), ("messages", 3, "tool_calls", 0), ("a b", "it's", 4), ("x\\y", "]['"), ("0", 0, "ü", "")]
)
def test_paths_are_read_as_they_are_spelled(path: Any):
    assert path_of(json_path(path)) == path


def test_the_folder_that_files_share_is_left_out():
    assert folder_of(["/a/b/c.jsonl", "/a/b/d/e.jsonl"]) == "/a/b/"
    assert folder_of(["/a/bc/x", "/a/bd/x"]) == "/a/"
    assert folder_of(["a.jsonl", "/a/b"]) == folder_of([]) == folder_of(["a", "b"]) == ""


# -- the server --------------------------------------------------------------------------------------------------------


@contextmanager
def serving(viewer: Viewer) -> Iterator[Server]:
    with Server(viewer, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: Server, method: str = "GET", path: str = "/", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; headers are named with `_` for `-`, and "" sends none of that name."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host="Host" in given)
    for name, value in given.items():
        if value:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    told = {name: value for name, value in answer.getheaders() if name != "Date"}
    body = answer.read()
    connection.close()
    return answer.status, told, body


def test_every_answer_forbids_what_it_does_not_need(seen: Traces):
    policy = (
        "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    with serving(Viewer("x", [seen])) as server:
        for path, status, kind in (
            *(("/", 200, "text/html"), ("/records/1", 200, "text/html"), ("/view.css", 200, "text/css")),
            *(("/view.js", 200, "text/javascript"), ("/none", 404, "text/html")),
        ):
            got, told, body = ask(server, path=path)
            assert (got, told) == (
                status,
                {
                    "Server": "qwen-sft",
                    "Content-Type": f"{kind}; charset=utf-8",
                    "Content-Length": str(len(body)),
                    "Content-Security-Policy": policy,
                    "Cache-Control": "no-store",
                    "X-Content-Type-Options": "nosniff",
                    "Referrer-Policy": "no-referrer",
                    "Cross-Origin-Resource-Policy": "same-origin",
                    "Cross-Origin-Opener-Policy": "same-origin",
                },
            )
            head = ask(server, "HEAD", path)
            assert head == (got, told, b"")


def test_only_this_machine_under_its_own_name_and_only_to_read(seen: Traces):
    with serving(Viewer("x", [seen])) as server:
        assert server.server_address[0] == "127.0.0.1"
        port = server.server_port
        for name in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
            assert ask(server, Host=name)[0] == 200
        for name in ("evil.example", f"evil.example:{port}", "127.0.0.1", "localhost:1", "", f"[::1]:{port}", "x" * 99):
            status, _, body = ask(server, Host=name)
            assert (status, b"parcel" in body) == (403, False)
        assert ask(server, Origin=f"http://localhost:{port}")[0] == 200
        for origin in ("http://evil.example", "null", f"https://localhost:{port}", "http://localhost"):
            assert ask(server, Origin=origin)[0] == 403
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            status, told, body = ask(server, method)
            assert (status, told["Allow"], b"parcel" in body) == (405, "GET, HEAD", False)
        status, told, _ = ask(server, "BREW")
        assert status == 501 and "Content-Security-Policy" in told
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil.example\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 403")


def test_a_fault_of_ours_is_a_page_and_not_a_stack(seen: Traces, files: Path, capfd: pytest.CaptureFixture[str]):
    class Broken(Viewer):
        def answer(self, target: str) -> Any:
            raise RuntimeError(f"secret {target}\x1b[31m")

    with serving(Broken("x", [seen])) as server:
        status, _, body = ask(server)
    assert (status, b"secret" in body) == (500, False)
    assert "RuntimeError: secret /\\x1b[31m" in capfd.readouterr().err
    (files / "a.jsonl").unlink()
    with serving(Viewer("x", [seen])) as server:
        status, _, body = ask(server, path="/records/1")
    assert status == 500
    assert f"cannot read '{files / 'a.jsonl'}' again: No such file or directory" in html.unescape(body.decode())


@contextmanager
def started(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, as a process, and what it said first."""
    command = [sys.executable, "-c", "from qwen_sft.cli import main; main()", "view", *arguments, "--no-open"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_command_tells_its_address_and_ends_quietly(files: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(str(files / "a.jsonl"), "--port", str(port)) as (process, said):
            found = re.fullmatch(
                rf"{re.escape(str(files / 'a.jsonl'))} is shown at (http://127\.0\.0\.1:(\d+)/)\n", said
            )
            assert found and int(found[2]) != port  # which is taken
            connection = http.client.HTTPConnection("127.0.0.1", int(found[2]), timeout=30)
            connection.request("GET", "/")
            assert "60 records" in connection.getresponse().read().decode()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "qwen-sft: Ctrl-C ends it\n\n")


def test_what_cannot_be_shown_stops_the_command(run: Callable[..., Ran], folder: Path):
    assert run("view", str(folder), "--model", "qwen3", "--no-open") == Ran(
        2, "", f"qwen-sft: '{folder}' is a built set, made with its own settings; leave --model out\n"
    )
    assert run("view", str(folder), "x.jsonl", "--no-open") == Ran(
        2, "", f"qwen-sft: '{folder}' is a built set; name it alone\n"
    )
    assert run("view", "gone.jsonl", "--no-open").code == 2


# -- large -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_pages_of_a_large_set_are_right_and_read_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """50,000 rows: each page holds the rows that it should, and the first one reads one row group."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import importlib

    importlib.import_module("view").large_set(tmp_path / "set", 50_000)
    rows = built(tmp_path / "set")[0]
    read: list[int] = []
    table = rows._table
    monkeypatch.setattr(rows, "_table", lambda number, *more: (read.append(number), table(number, *more))[1])

    def lines(asked: Filters, start: int, n: int = 50, *, back: bool = False) -> list[int]:
        hits = rows.hits(asked, start, n, back=back).hits
        assert all(int(one.cells[0].rpartition(":")[2]) == one.number for one in hits)
        return [one.number for one in hits]

    assert lines(Filters(), 1) == list(range(1, 51)) and read == [0]
    assert lines(Filters(), 25_001) == list(range(25_001, 25_051)) and len(read) <= 3
    assert lines(Filters(), 50_000, back=True) == list(range(49_951, 50_001))
    read.clear()
    sizes = [int(hit.cells[1]) for hit in rows.hits(Filters(), 1, 512).hits]
    wanted = [n + 1 for n in range(50_000) if sizes[n % 512] > 400]
    assert lines(Filters(least=401), 1, 100_000) == wanted
    assert lines(Filters(least=401), 30_000) == [n for n in wanted if n >= 30_000][:50]
    tool = [n + 1 for n in range(50_000) if n % 512 % 20 == 7]
    assert lines(Filters(tool="tool_7"), 1) == tool[:50]
    sheet = rows.sheet(49_999)
    assert sheet is not None and sheet.record["source_line"] == 49_999
