"""`qwen-sft report` and `stats`: the numbers are right, the page is inert whatever a trace holds, the screen fits."""

import base64
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import html5lib
import jsonschema
import pyarrow.parquet as pq
import pytest

import qwen_sft
from qwen_sft.surveying.cost import Assumed, Cost, costs, parameters
from qwen_sft.surveying.gather import survey
from qwen_sft.surveying.page import policy, report_page
from qwen_sft.surveying.screen import write_screen
from qwen_sft.surveying.spread import Bin, Spread
from qwen_sft.text.element import el, safe
from qwen_sft.text.terminal import cells
from qwen_sft.tokens import Kind
from tests.real import SOURCES, TRACES, needs_real_data

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "schemas" / "stats.schema.json").read_text(encoding="utf-8"))


def told(run: Any, *arguments: str) -> dict[str, Any]:
    """The numbers of `stats`, which keep to their schema."""
    numbers = json.loads(run("stats", *arguments, "--output-format", "json").out)
    jsonschema.validate(numbers, SCHEMA)
    return numbers


def tool(name: str, required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> dict[str, Any]:
    properties = {key: {"type": "string"} for key in (*required, *optional)}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": "It does.", "parameters": schema}}


def call(name: str, number: int, **arguments: str) -> dict[str, Any]:
    return {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def asks(*calls: dict[str, Any]) -> list[dict[str, Any]]:
    answers = [{"role": "tool", "tool_call_id": one["id"], "content": "4 degrees"} for one in calls]
    return [{"role": "assistant", "content": "", "tool_calls": list(calls)}, *answers]


ASKED, ANSWER = {"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "4 degrees."}
SIDE_BY_SIDE = {
    "messages": [ASKED, *asks(call("weather", 1, city="Oslo"), call("clock", 2)), ANSWER],
    "tools": [tool("weather", ("city",), ("days",)), tool("clock"), tool("map", ("city",))],
}
IN_A_ROW = {
    "messages": [
        *(ASKED, *asks(call("weather", 1, city="Oslo")), *asks(call("weather", 2, city="Rome", nights="2")), ANSWER)
    ],
    "tools": [tool("weather", ("city",), ("days",))],
    "metadata": {"split": "test"},
}
PLAIN = {"messages": [ASKED, ANSWER]}
ORPHAN = {"messages": [ASKED, {"role": "tool", "tool_call_id": "c9", "content": "4"}, ANSWER]}


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    lines = [json.dumps(one) + "\n" for one in (SIDE_BY_SIDE, IN_A_ROW, PLAIN, PLAIN, ORPHAN)]
    (tmp_path / "runs.jsonl").write_text("".join(lines))
    return tmp_path / "runs.jsonl"


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_spread_is_exact_by_nearest_rank():
    spread = Spread()
    spread.see_all([*range(1, 101), 1000])
    assert (spread.n, spread.total, spread.most, spread.above(99)) == (101, 6050, 1000, 2)
    assert [spread.at(share) for share in (0.05, 0.5, 0.95, 1)] == [6, 51, 96, 1000]
    assert spread.bins(6) == [Bin(0, 200, 100), *(Bin(k, k + 200, 0) for k in (200, 400, 600, 800)), Bin(1000, 1200, 1)]
    assert Spread(Counter({3: 2, 5: 1})).bins(3) == [Bin(3, 4, 2), Bin(4, 5, 0), Bin(5, 6, 1)]
    assert (Spread().at(0.5), Spread().bins(3), Spread().most) == (0, [], 0)


def test_cost_is_the_formula():
    assumed = Assumed(epochs=3, peak=1e15, utilisation=0.4, parameters=8e9)
    assert costs(1_000_000_000, assumed) == [Cost(8e9, 6 * 8e9 * 1e9 * 3 / (1e15 * 0.4) / 3600)] == [Cost(8e9, 100.0)]
    assert [parameters(text) for text in ("8B", "600m", "8e9", "1.7b")] == [8e9, 6e8, 8e9, 1.7e9]


def of_spread(numbers: dict[str, Any]) -> dict[int, int]:
    return {one["start"]: one["n"] for one in numbers["bins"] if one["n"]}


def test_numbers_of_traces_are_those_counted_by_hand(run: Any, traces: Path):
    numbers = told(run, traces.name)
    spreads = {name: of_spread(numbers.pop(name)) for name in ("turns", "depth", "calls")}
    assert spreads == {"turns": {1: 2, 2: 1, 3: 1}, "depth": {0: 2, 1: 1, 2: 1}, "calls": {0: 2, 2: 2}}
    found = {one["code"]: one for one in numbers.pop("findings")}
    assert found["TOL003"] == {
        "code": "TOL003",
        "name": "orphan-tool-result",
        "severity": "error",
        "n": 1,
        "n_new": 1,
        "n_baseline": None,
    }
    assert numbers.pop("n_findings") == sum(one["n"] for one in found.values())
    no_model = "No model was named: --model counts tokens."
    origin = {
        "n_records": 5,
        "n_rejected": 1,
        "n_samples": 4,
        "n_events": 18,
        "n_kept": 18,
        "n_merged": 0,
        "n_dropped": 0,
        "n_rows": 0,
        "n_tokens": 0,
    }
    checked = numbers.pop("checked")
    assert len(checked) == 1 and checked[0].startswith(
        "structure of 5 records: turns, calls, results, schemas, secrets ("
    )
    assert numbers == {
        "about": "traces",
        "name": "runs.jsonl",
        "code": 1,
        "verdict": "These traces do not pass",
        "sense": [
            "1 of 5 records has an error and stays out of a training set.",
            "Template, tokens and mask were not checked, for no model was named.",
        ],
        "n_records": 5,
        "n_rejected": 1,
        "n_written": 4,
        "n_samples": 4,
        "n_rows": None,
        "n_tokens": None,
        "n_trained": None,
        "n_calls": 4,
        "n_errors": 1,
        "n_fixed": None,
        "failures": [],
        "not_checked": [
            "template, tokens and mask of 5 samples (no --model)",
            "samples that nearly repeat another (--near-duplicates)",
        ],
        "formats": [{"name": "openai_chat", **origin}],
        "files": [{"name": "runs.jsonl", **origin}],
        "n_files": 1,
        "n_files_more": 0,
        "dropped_reasons": {},
        "lengths": None,
        "limit": None,
        "limit_of": "",
        "kinds": [],
        "patterns": {"no tools offered": 2, "several behind each other": 1, "several side by side": 1},
        "tools": [
            {
                "name": "weather",
                "n_offered": 2,
                "n_called": 3,
                "parameters": [
                    {"name": "city", "declared": True, "required": True, "n_given": 3},
                    {"name": "days", "declared": True, "required": False, "n_given": 0},
                    {"name": "nights", "declared": False, "required": False, "n_given": 1},
                ],
            },
            {"name": "clock", "n_offered": 1, "n_called": 1, "parameters": []},
            {
                "name": "map",
                "n_offered": 1,
                "n_called": 0,
                "parameters": [{"name": "city", "declared": True, "required": True, "n_given": 0}],
            },
        ],
        "n_tools": 3,
        "n_tools_more": 0,
        "n_repeated": 1,
        "n_near": None,
        "splits": [
            {"name": "", "n_samples": 3, "n_calls": 2, "n_tokens": 0, "n_trained": 0, "wanted": None},
            {"name": "test", "n_samples": 1, "n_calls": 2, "n_tokens": 0, "n_trained": 0, "wanted": None},
        ],
        "facts": {"model": "none named (--model)"},
        "untold": {"lengths": no_model, "kinds": no_model, "cost": no_model},
        "cost": None,
    }


def test_tokens_are_those_of_the_rows(run: Any, traces: Path):
    numbers = told(run, traces.name, "--model", "qwen3", "--max-length", "2000", "--parameters", "8B")
    encoder = qwen_sft.Encoder("qwen3", max_length=2000)
    rows = [row for one in (SIDE_BY_SIDE, IN_A_ROW, PLAIN, PLAIN) for made in encoder.encode(one) for row in made.rows]
    lengths = [len(row.input_ids) for row in rows]
    assert numbers["n_rows"] == numbers["lengths"]["n"] == len(rows)
    assert (numbers["n_tokens"], numbers["lengths"]["max"]) == (sum(lengths), max(lengths))
    assert numbers["n_trained"] == sum(row.n_trained_tokens for row in rows)
    kinds, trained = Counter[int](), Counter[int]()
    for row in rows:
        kinds.update(row.kinds.tolist())
        trained.update(row.kinds[row.loss_mask].tolist())
    assert {one["name"]: (one["n"], one["n_trained"]) for one in numbers["kinds"]} == {
        kind.name.lower(): (kinds[kind], trained[kind]) for kind in Kind if kinds[kind]
    }
    assert trained[Kind.CALL] and not trained[Kind.RESULT]
    assert (numbers["limit"], numbers["limit_of"]) == (2000, "--max-length")
    hours = 6 * 8e9 * sum(lengths) * 3 / (989e12 * 0.4) / 3600
    assert numbers["cost"]["by_parameters"] == [{"parameters": 8e9, "gpu_hours": pytest.approx(hours)}]


def test_a_built_set_has_the_numbers_of_its_rows(run: Any, traces: Path, tmp_path: Path):
    before = told(run, traces.name, "--model", "qwen3")
    assert run("build", traces.name, "--model", "qwen3", "--split", "train=0.5,eval=0.5", "--out", "set").code == 1
    numbers = told(run, "set")
    same = (
        "tools",
        "patterns",
        "n_tools",
        "lengths",
        "kinds",
        "n_rows",
        "n_tokens",
        "n_trained",
        "n_records",
        "n_written",
        "n_rejected",
        "n_calls",
        "limit",
    )
    assert {key: numbers[key] for key in same} == {key: before[key] for key in same}
    assert (numbers["about"], numbers["code"], numbers["verdict"]) == ("set", 0, "This set can be trained on")
    assert numbers["sense"] == ["4 of 5 records are in it, 1 was kept out."]
    assert numbers["n_repeated"] == 1
    assert sum(one["n_samples"] for one in numbers["splits"]) == numbers["n_rows"]
    assert sum(one["n_tokens"] for one in numbers["splits"]) == numbers["n_tokens"]
    assert sum(one["n_trained"] for one in numbers["splits"]) == numbers["n_trained"]
    lock = hashlib.sha256((tmp_path / "set" / "qwen-sft.lock.json").read_bytes()).hexdigest()
    assert numbers["facts"]["lock"] == f"qwen-sft.lock.json, sha256 {lock}"
    assert run("report", "set", "--out", "set.html").code == 0
    page = (tmp_path / "set.html").read_text()
    assert "This set can be trained on" in page and "4 of 4, chosen by a hash" in page
    found = elements(page)
    said = Counter("".join(one.itertext()) for one in found if one.attrib.get("class") == "text")
    kinds = Counter(one.attrib.get("class") for one in found)
    assert said["4 degrees."] == 4 and kinds["st k-content on"] == 4 and kinds["st k-stop on"] == 7
    assert run("build", traces.name, "--model", "qwen3_coder", "--out", "coder").code == 1
    assert told(run, "coder")["tools"] == before["tools"]
    for writer in ("hf", "conversations"):
        assert run("build", traces.name, "--model", "qwen3", "--writer", writer, "--out", writer).code == 1
        numbers = told(run, writer)
        assert (numbers["n_rows"], numbers["n_trained"]) == (before["n_rows"], before["n_trained"])
        assert (numbers["lengths"] is None) == (writer == "conversations") == ("lengths" in numbers["untold"])
    assert run("build", traces.name, "--model", "qwen3", "--pack", "2000", "--out", "packed").code == 1
    numbers = told(run, "packed")
    assert (numbers["code"], numbers["n_rows"], numbers["n_tokens"]) == (0, 1, before["n_tokens"])
    assert run("build", traces.name, "--model", "qwen3", "--writer", "axolotl_tokenized", "--out", "bare").code == 1
    numbers = told(run, "bare")
    assert (numbers["lengths"], numbers["n_calls"]) == (before["lengths"], before["n_calls"])
    assert (numbers["kinds"], numbers["untold"]["trained"]) == ([], "The rows do not say of what kind each token is.")
    (written,) = (tmp_path / "bare" / "data").glob("*.parquet")
    pq.write_table(pq.read_table(written).slice(0, 3), written)
    cut = run("stats", "bare")
    assert cut.code == 1 and "Its files hold 3 rows, and its manifest tells of 4; build again." in cut.out
    written.write_bytes(b"PAR1")
    assert "'bare/data/train-00000-of-00001.parquet' is no Parquet file" in run("stats", "bare").err
    for file in (tmp_path / "set" / "data").iterdir():
        file.unlink()
    gone = run("stats", "set")
    assert gone.code == 2 and "has no such file; build again" in gone.err
    (tmp_path / "set" / "manifest.json").write_text('{"qwen_sft": "0.1.0", "files": []}')
    broken = run("stats", "set")
    assert broken.code == 2 and "is no manifest of a build" in broken.err


def test_a_set_whose_model_is_gone_says_what_it_cannot_tell(run: Any, traces: Path, tmp_path: Path):
    run("build", traces.name, "--model", "qwen3", "--out", "set")
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    for change, why in (
        ({"name": "./gone"}, "The tokens cannot be read back: no model './gone'"),
        ({"tokenizer_sha256": "0" * 64}, "The tokens cannot be read back: qwen3 has another tokenizer now."),
    ):
        changed = {**manifest, "model": {**manifest["model"], **change}}
        (tmp_path / "set" / "manifest.json").write_text(json.dumps(changed))
        numbers = told(run, "set")
        assert (numbers["tools"], numbers["patterns"]) == (None, None)
        assert numbers["untold"]["tools"].startswith(why) and numbers["n_rows"] == 4
        assert run("report", "set", "--out", "r.html").code == 0
        assert safe(why) in (tmp_path / "r.html").read_text()


def test_a_built_set_is_held_to_the_model_that_is_named(run: Any, traces: Path):
    run("build", traces.name, "--model", "qwen3", "--thinking", "off", "--out", "set")
    numbers = told(run, "set", "--model", "qwen3")
    assert (numbers["code"], numbers["verdict"]) == (0, "This set can be trained on")
    assert numbers["facts"]["the model qwen3 against the lock"] == "no difference"
    ran = run("stats", "set", "--model", "qwen3_5")
    assert ran.code == 1 and ran.out.startswith(
        "This set was not made for qwen3_5: set\n4 of 5 records are in it, 1 was"
    )
    numbers = told(run, "set", "--model", "qwen3_5")
    assert numbers["facts"]["the model qwen3_5 against the lock"].startswith(
        "template.sha256: locked 'a55ee1b1660128b7"
    )


def test_trend_against_a_baseline(run: Any, traces: Path, tmp_path: Path):
    run("validate", traces.name, "--write-baseline", "baseline.json")
    with traces.open("a") as file:
        file.write(json.dumps({**ORPHAN, "id": "later"}) + "\n")
    numbers = told(run, traces.name, "--baseline", "baseline.json")
    found = {one["code"]: (one["n"], one["n_new"], one["n_baseline"]) for one in numbers["findings"]}
    assert found["TOL003"] == (2, 1, 1)
    assert (numbers["code"], numbers["n_errors"], numbers["n_fixed"]) == (1, 1, 0)
    traces.write_text(json.dumps(PLAIN) + "\n")
    numbers = told(run, traces.name, "--baseline", "baseline.json")
    assert {one["code"]: one["n"] for one in numbers["findings"]}["TOL003"] == 0
    assert (numbers["code"], numbers["n_fixed"] > 0) == (0, True)
    assert run("report", traces.name, "--baseline", "baseline.json", "--out", "r.html").code == 0
    assert "1 gone" in (tmp_path / "r.html").read_text()
    traces.write_text("".join(json.dumps({**ORPHAN, "id": one}) + "\n" for one in ("one", "two", "three")))
    run("report", traces.name, "--baseline", "baseline.json", "--out", "r.html")
    trend = words_of((tmp_path / "r.html").read_text())["Findings by rule"]
    assert trend.partition(";")[0] == "TOL003 orphan-tool-result 3 errors, +3, 1 gone"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["stats", "nowhere.jsonl"], "nowhere.jsonl"),
        (["stats", "runs.jsonl", "--output-format", "xml"], "no output format 'xml'; it can be full, json"),
        (["stats", "runs.jsonl", "--parameters", "many"], "--parameters 'many' is no number of parameters; write for"),
        (["stats", "set", "runs.jsonl"], "'set' is a built set; name it alone"),
        (["stats", "set", "--select", "TOL"], "'set' is a built set, made with its own settings; leave --select out"),
        (["report", "runs.jsonl", "--out", "runs.jsonl"], "'runs.jsonl' is an input and would be overwritten; name "),
        (["report", "set", "--out", "set/manifest.json"], "is an input and would be overwritten; name another --out"),
        (["report", "runs.jsonl", "--out", "no/r.html"], "cannot write 'no/r.html': No such file or directory; name"),
    ],
)  # fmt: skip
def test_what_stops_us_is_told(run: Any, traces: Path, arguments: list[str], says: str):
    if "set" in arguments:
        run("build", traces.name, "--model", "qwen3", "--out", "set")
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_nothing_to_read_is_told(run: Any, tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("\n")
    assert run("report", "empty.jsonl", "--out", "r.html").code == 3
    assert "Nothing was checked" in (tmp_path / "r.html").read_text()
    assert run("stats", "empty.jsonl").out.startswith(
        "Nothing was checked: empty.jsonl\nThere was no record to read.\n"
    )


# -- the page ----------------------------------------------------------------------------------------------------------

ELEMENTS = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "nav",
        "footer",
        "section",
        "h1",
        "h2",
        "h3",
        "p",
        "div",
        "span",
    ),
    *("dl", "dt", "dd", "ul", "ol", "li", "table", "caption", "thead", "tbody", "tr", "th", "td", "details", "summary"),
    *("i", "pre", "code", "mark", "a", "b", "svg", "desc", "g", "path", "line", "text", "rect"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "scope", "open", "tabindex", "role"),
    *("aria-label", "aria-labelledby", "dir", "viewBox", "width", "fill", "stroke", "stroke-miterlimit", "transform"),
    *("stroke-width", "opacity", "x2", "y2", "text-anchor", "font-family", "font-size", "d", "display"),
    *("stroke-dasharray", "stroke-dashoffset", "font-weight", "title", "aria-hidden"),
}
MARKUP = [
    "<script>window.hit=1</script>",
    "</script><img src=x onerror='window.hit=1'>",
    '"><svg onload=window.hit=1>',
    "' onmouseover='window.hit=1",
    "<style>*{display:none}</style>",
    "</style></title></pre></main><iframe src=javascript:window.hit=1>",
    "{{7*7}}{% for x in y %}${7*7}<%= 7*7 %>",
    "]]>--><!--<base href=//evil.example>",
    "&lt;script&gt;&#x3c;script>",
]
ODD = "\u202eevil\u2066\u2069\u200f\x00\x07\x1b]0;x\x07\x1b[31m\x7f\x9b\u2028\r"
NO_CHARACTERS = "\ufffe\uffff\ufdd0\U0001fffe"
"""Code points that no document may hold; no template renders them, so that only a check without a model goes on."""


def hostile(n: int, more: str = "") -> dict[str, Any]:
    """A sample with something hostile in every text, the names of tools and parameters among them."""
    bad, name = MARKUP[n % len(MARKUP)] + ODD + more, MARKUP[n % len(MARKUP)] + more
    sample = {
        "id": bad,
        "messages": [
            {"role": "system", "content": bad},
            {"role": "user", "content": bad},
            *asks({"id": "c1", "type": "function", "function": {"name": name, "arguments": {bad: bad}}}),
            {"role": "assistant", "content": bad, "reasoning_content": bad},
        ],
        "tools": [tool(name, (bad,), (f"{bad}2",)), tool(f"{name} idle", (bad,))],
        "metadata": {"split": bad},
    }
    sample["messages"][3]["content"] = bad
    return sample


def hostile_page(run: Any, folder: Path, *, model: bool) -> str:
    """A page of hostile traces in a hostile file: some pass, some have errors, one is very long."""
    name = "<img src=x onerror=window.hit=1>.jsonl"
    more = "" if model else NO_CHARACTERS
    samples = [hostile(n, more) for n in range(2 * len(MARKUP))]
    for one in samples[len(MARKUP) :]:
        one["messages"][3]["tool_call_id"] = "<script>window.hit=1</script>"
    samples.append(hostile(0, more))
    samples[-1]["messages"][3]["content"] = "<b>" * 350_000
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in samples))
    flags = ("--model", "qwen3", "--control-tokens", "as-text") if model else ()
    ran = run("report", name, *flags, "--out", "r.html")
    assert ran.code == 1, ran.err
    assert told(run, name, *flags)["n_written"] >= len(MARKUP)  # some call cannot be served
    return (folder / "r.html").read_text(encoding="utf-8")


def elements(page: str) -> list[Any]:
    """The elements of a page, read as a browser does; a page that breaks a rule of HTML fails."""
    root = html5lib.HTMLParser(strict=True).parse(page)
    return [one for one in root.iter() if isinstance(one.tag, str)]


def local(name: str) -> str:
    return name.rpartition("}")[2]


def inert(page: str) -> list[Any]:
    """The elements of a page in which nothing of a trace is more than text."""
    found = elements(page)
    assert {local(one.tag) for one in found} <= ELEMENTS
    assert {local(name) for one in found for name in one.attrib} <= ATTRIBUTES
    assert all(
        re.fullmatch(r"#([A-Z]{3}\d{3}(-page)?|[a-z]+|s\d-[fr]\d+)", one.attrib["href"])
        for one in found
        if "href" in one.attrib
    )
    assert all("url(" not in value and "javascript" not in value for one in found for value in one.attrib.values())
    assert not set(ODD + NO_CHARACTERS) & set(page) - set("evil]0;x[31m")
    return found


@pytest.mark.parametrize("model", [True, False])
def test_no_element_or_attribute_comes_from_a_trace(run: Any, tmp_path: Path, model: bool):
    page = hostile_page(run, tmp_path, model=model)
    found = inert(page)
    assert "\\u202e" in page and "\\x1b[31m" in page and ("\\u{fffe}" in page) == (not model)
    texts = ["".join(one.itertext()) for one in found if local(one.tag) == "pre"]
    for markup in ("<script>window.hit=1</script>", "{{7*7}}{% for x in y %}${7*7}<%= 7*7 %>"):
        assert any(text.startswith(markup) for text in texts) or markup in page or safe(markup) in page
    turns = [one for one in found if local(one.tag) == "li" and one.attrib.get("class") == "turn r-assistant"]
    assert len(turns) == 10
    assert len(page.encode()) < 1_000_000
    if model:
        (name,) = (path.name for path in tmp_path.glob("*.jsonl"))
        run("build", name, "--model", "qwen3", "--control-tokens", "as-text", "--out", "set")
        assert run("report", "set", "--out", "r.html").code == 0
        page = (tmp_path / "r.html").read_text(encoding="utf-8")
        classes = [one.attrib.get("class") for one in inert(page)]
        assert classes.count("turn r-assistant") == 10 and classes.count("st k-call on") == 5
        assert len(page.encode()) < 1_000_000


def test_long_texts_are_cut_with_a_note(run: Any, tmp_path: Path):
    long = {"messages": [ASKED, *asks(call("weather", 1, city="Oslo")), ANSWER], "tools": SIDE_BY_SIDE["tools"]}
    long["messages"][2]["content"] = "9" * 1_000_000
    (tmp_path / "long.jsonl").write_text(json.dumps(long) + "\n")
    assert run("report", "long.jsonl", "--out", "r.html").code == 0
    page = (tmp_path / "r.html").read_text()
    assert "1,000,000 characters, 2,000 are shown" in page and len(page) < 200_000


def test_policy_allows_the_one_style_sheet_and_nothing_else(run: Any, traces: Path, tmp_path: Path):
    run("report", traces.name, "--out", "r.html")
    found = elements((tmp_path / "r.html").read_text())
    (style,) = [one.text for one in found if local(one.tag) == "style"]
    (told,) = [one.attrib["content"] for one in found if one.attrib.get("http-equiv") == "Content-Security-Policy"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert told == policy() == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not any("style" in one.attrib for one in found)


def test_page_can_be_read_without_eyes(run: Any, traces: Path, tmp_path: Path):
    """Headings in order, each table with a caption and headers, each chart with title, words and table."""
    run("report", traces.name, "--model", "qwen3", "--out", "r.html")
    found = elements((tmp_path / "r.html").read_text())
    levels = [int(local(one.tag)[1]) for one in found if re.fullmatch("h[1-6]", local(one.tag))]
    assert levels[0] == 1 and levels.count(1) == 1 and all(b <= a + 1 for a, b in pairwise(levels))
    tables = [one for one in found if local(one.tag) == "table"]
    assert len(tables) >= 12
    for one in tables:
        inside = [local(each.tag) for each in one.iter()]
        assert inside.count("caption") == 1
        assert {each.attrib["scope"] for each in one.iter() if local(each.tag) == "th"} == {"col", "row"}
    charts = [one for one in found if local(one.tag) == "svg"]
    assert len(charts) == 12
    for one in charts:
        names = [each.attrib["id"] for each in one if local(each.tag) in ("title", "desc")]
        assert one.attrib["aria-labelledby"].split() == names and one.attrib["role"] == "img"
        assert all(each.text for each in one if local(each.tag) in ("title", "desc"))
    assert sum(local(one.tag) == "summary" and one.text == "The numbers as a table" for one in found) == len(charts)
    ids = [one.attrib["id"] for one in found if "id" in one.attrib]
    assert len(ids) == len(set(ids))
    assert {one.attrib["href"].removeprefix("#") for one in found if "href" in one.attrib} <= set(ids)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_colours_of_words_stand_out_in_light_and_dark():
    page = report_page(survey([], qwen_sft.pipeline.Pipeline(qwen_sft.settings.Settings()), "nothing", Assumed()))
    themes = [dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{[^}]*\}", page)]
    assert len(themes) == 4  # of samples, and of the report, which come last
    for theme in (themes[0] | themes[2], themes[1] | themes[3]):
        speakers = ("user", "system", "tool", "assistant")
        pairs = [
            (ink, ground)
            for ink in ("ink", "dim", "c1", "c2", "good", "warn", "bad", *speakers)
            for ground in ("paper", "wash")
        ]
        for ink, ground in (*pairs, ("ink", "on"), ("ink", "mark")):
            bright, dark = sorted((luminance(theme[ink]), luminance(theme[ground])), reverse=True)
            assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def words_of(page: str) -> dict[str, str]:
    """What each chart shows in words, by its title."""
    charts = [one for one in elements(page) if local(one.tag) == "svg"]
    return {one[0].text: one[1].text for one in charts}


def texts_of(page: str, title: str) -> list[str]:
    """The texts that are drawn in a chart."""
    (chart,) = [one for one in elements(page) if local(one.tag) == "svg" and one[0].text == title]
    return [one.text for one in chart.iter() if local(one.tag) == "text" and one.text]


def tables_of(page: str) -> dict[str, list[list[str]]]:
    """The rows of each table, by its caption."""
    found = [one for one in elements(page) if local(one.tag) == "table"]
    rows = [[one for one in table.iter() if local(one.tag) == "tr"] for table in found]
    return {
        "".join(table[0].itertext()): [["".join(cell.itertext()) for cell in row] for row in some]
        for table, some in zip(found, rows, strict=True)
    }


def test_charts_and_the_tables_behind_them_tell_what_was_counted(run: Any, traces: Path, tmp_path: Path):
    run("report", traces.name, "--out", "r.html")
    page = (tmp_path / "r.html").read_text()
    words = words_of(page)
    assert words["Events by format"] == "openai_chat 18: 18 kept, 0 merged, 0 dropped"
    assert words["Records by file"] == "runs.jsonl 5, 1 rejected"
    assert words["In which way samples call tools"] == (
        "no tools offered 2 (50%); several behind each other 1 (25%); several side by side 1 (25%)"
    )
    assert words["Calls of the most called tools, and how many samples offer each"] == (
        "weather 3, offered in 2; clock 1, offered in 1"
    )
    assert words["In how many calls each declared parameter is given"] == (
        "weather.city 3 of 3 (100%); weather.days 0 of 3 (0%)"
    )
    assert words["Samples by split"] == "none named 3 samples (75%); test 1 samples (25%)"
    tables = tables_of(page)
    assert tables["Records and events by format"] == [
        ["format", "records", "rejected", "events", "kept", "merged", "dropped"],
        ["openai_chat", "5", "1", "18", "18", "0", "0"],
    ]
    assert tables["Records by file"] == [
        ["file", "records", "rejected", "kept", "merged", "dropped"],
        ["runs.jsonl", "5", "1", "18", "0", "0"],
    ]
    assert tables["Offered and never called"] == [["tool", "offered in samples"], ["map", "1"]]
    assert tables["Parameters of the most called tools"] == [
        ["parameter", "declared as", "given in calls", "share of calls"],
        ["weather.city", "required", "3", "100%"],
        ["weather.days", "optional", "0", "0%"],
        ["weather.nights", "not declared", "1", "33%"],
    ]
    assert tables["Splits"] == [
        ["split", "samples", "share", "calls"],
        ["none named", "3", "75%", "2"],
        ["test", "1", "25%", "2"],
    ]


def test_a_set_tells_events_by_format_examples_of_rejected_records_and_its_splits(
    run: Any, traces: Path, tmp_path: Path
):
    responses = ROOT / "examples" / "formats" / "responses" / "raw.jsonl"
    run("build", traces.name, str(responses), "--model", "qwen3", "--split", "train=0.5,eval=0.5", "--out", "set")
    numbers = told(run, "set")
    fates = ("name", "n_records", "n_events", "n_kept", "n_merged", "n_dropped")
    assert [tuple(one[key] for key in fates) for one in numbers["formats"]] == [
        ("responses", 6, 35, 23, 8, 4),
        ("openai_chat", 5, 18, 18, 0, 0),
    ]
    held = {file.name.partition("-")[0]: pq.read_table(file) for file in (tmp_path / "set" / "data").iterdir()}
    assert {one["name"]: (one["n_samples"], one["n_calls"], one["wanted"]) for one in numbers["splits"]} == {
        split: (rows.num_rows, sum(rows["n_calls"].to_pylist()), 0.5) for split, rows in held.items()
    }
    assert len(held) == 2
    run("report", "set", "--out", "r.html")
    page = (tmp_path / "r.html").read_text()
    assert words_of(page)["Events by format"] == (
        "responses 35: 23 kept, 8 merged, 4 dropped; openai_chat 18: 18 kept, 0 merged, 0 dropped"
    )
    assert tables_of(page)["Splits"][0] == [
        *("split", "rows", "share", "asked for", "calls", "tokens", "share of tokens", "trained")
    ]
    (shown,) = [one for one in elements(page) if one.attrib.get("id") == "TOL003"]
    text = "".join(shown.itertext())
    assert "TOL003 runs.jsonl:5 $.messages[1].tool_call_id: 'c9' answers no open call" in text
    (tmp_path / "set" / "rejects.jsonl").write_text("{}\n")
    assert "is no file of rejected records" in run("stats", "set").err


def test_the_limit_and_the_percentiles_are_drawn_in(run: Any, traces: Path, tmp_path: Path):
    run("report", traces.name, "--model", "qwen3", "--out", "far.html")
    assert {"limit 32,768 →", "50%", "95%"} <= set(
        texts_of((tmp_path / "far.html").read_text(), "Rows by their tokens")
    )
    run("report", traces.name, "--model", "qwen3", "--max-length", "500", "--out", "near.html")
    assert {"limit 500", "50%", "95%"} <= set(texts_of((tmp_path / "near.html").read_text(), "Rows by their tokens"))


def test_each_of_three_examples_is_linked_to_the_page_of_its_rule(run: Any, tmp_path: Path):
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps({**ORPHAN, "id": f"{n}"}) + "\n" for n in range(7)))
    run("report", "runs.jsonl", "--out", "r.html")
    found = elements((tmp_path / "r.html").read_text())
    links = [one for one in found if one.attrib.get("href") == "#TOL003-page"]
    assert [one.text for one in links] == ["TOL003"] * 3
    (page,) = [one for one in found if one.attrib.get("id") == "TOL003-page"]
    text = "".join(page.itertext())
    assert text.startswith("What it catches: a tool message that stands where no call is open")
    assert "Bad" in text and "Good" in text and "Source: the Qwen templates print no call id" in text


def test_samples_and_examples_are_the_same_whatever_the_order(run: Any, tmp_path: Path):
    pages: list[str] = []
    for order in (1, -1):
        lines = [json.dumps({"messages": [{"role": "user", "content": f"{n}?"}, ANSWER]}) for n in range(30)][::order]
        for n, line in enumerate(lines):
            (tmp_path / f"{json.loads(line)['messages'][0]['content'][:-1]}.jsonl").write_text(line + "\n")
            assert n < 30
        names = [f"{n}.jsonl" for n in range(30)][::order]
        run("report", *names, "--out", "r.html")
        page = (tmp_path / "r.html").read_text()
        pages.append("".join(re.findall(r"<summary>\d+\.jsonl:1</summary>", page)))
    assert pages[0] == pages[1] and pages[0].count("<summary>") == 5


def test_shown_samples_hold_no_secret(run: Any, tmp_path: Path):
    mail = {"messages": [{"role": "user", "content": "Write to ola.nordmann@acme-corp.org now"}, ANSWER]}
    (tmp_path / "mail.jsonl").write_text(json.dumps(mail) + "\n")
    run("report", "mail.jsonl", "--out", "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "SEC006" in page and "ola.nordmann" not in page
    run("build", "mail.jsonl", "--model", "qwen3", "--out", "set")
    run("report", "set", "--out", "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "Write to user1@example.com now" in page and "ola.nordmann" not in page


def test_without_the_drawing_package_tables_stand_open(run: Any, traces: Path, tmp_path: Path, monkeypatch: Any):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    ran = run("report", traces.name, "--out", "r.html")
    assert ran.err == "qwen-sft: the page has tables and no charts; for charts: pip install 'qwen-sft[report]'\n"
    found = elements((tmp_path / "r.html").read_text())
    assert not any(local(one.tag) == "svg" for one in found)
    behind = [one for one in found if local(one.tag) == "details" and one[0].text == "The numbers as a table"]
    assert len(behind) == 10 and all("open" in one.attrib for one in behind)
    assert any("The charts are missing" in (one.text or "") for one in found)


def test_text_is_escaped_and_markup_of_ours_is_not():
    assert el("pre", "\n\nx") == "<pre>\n\n\nx</pre>"  # of which readers drop the first newline
    made = el("p", "<b>&\"'", el("b", "x"), class_='a"b', open=False)
    assert made == '<p class="a&quot;b">&lt;b&gt;&amp;&quot;&#x27;<b>x</b></p>'
    assert safe(made) is made


# -- the screen --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_stats_fit_one_screen_as_shown(run: Any, traces: Path):
    ran = run("stats", traces.name)
    golden = ROOT / "tests" / "golden" / "stats.txt"
    if os.environ.get("QWEN_SFT_UPDATE_GOLDEN") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(ran.out, encoding="utf-8")
    assert ran.out == golden.read_text(encoding="utf-8")
    assert len(ran.out.splitlines()) <= 24 and all(cells(line) <= 100 for line in ran.out.splitlines())
    assert "\x1b" not in ran.out and ran.code == 1


@pytest.mark.parametrize("width", [40, 79, 80, 100, 160])
def test_screen_keeps_to_the_width_and_chinese_is_aligned(tmp_path: Path, monkeypatch: Any, width: int):
    names = ["查询天气", "weather", "天気を調べる", "날씨"]
    lines: list[str] = []
    for n, name in enumerate(names):
        used = [call(name, k) for k in range(n + 1)]
        lines.append(json.dumps({"messages": [ASKED, *asks(*used), ANSWER], "tools": [tool(name)]}))
    (tmp_path / "汉字.jsonl").write_text("\n".join(lines))
    from qwen_sft.ingesting.ingest import expand

    pipeline = qwen_sft.pipeline.Pipeline(qwen_sft.settings.Settings())
    numbers = survey(expand([str(tmp_path / "汉字.jsonl")]), pipeline, "汉字.jsonl", Assumed())
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    write_screen(numbers, stream)
    assert "\x1b[" in stream.getvalue()
    plain = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()
    assert all(cells(line) <= width for line in plain)
    assert len(plain) <= 24 or width < 80
    bars = [cells(line[: line.rindex(" █") + 1]) for line in plain if any(f"{name} " in line for name in names)]
    assert len(bars) == len(names) and len(set(bars)) == 1
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    write_screen(numbers, stream)
    assert "\x1b" not in stream.getvalue()
    assert [line.rstrip() for line in plain] == stream.getvalue().splitlines()


def test_screen_is_inert_and_ascii_where_the_stream_is(tmp_path: Path):
    (tmp_path / "h.jsonl").write_text("".join(json.dumps(hostile(n)) + "\n" for n in range(len(MARKUP))))
    from qwen_sft.ingesting.ingest import expand

    pipeline = qwen_sft.pipeline.Pipeline(qwen_sft.settings.Settings())
    numbers = survey(expand([str(tmp_path / "h.jsonl")]), pipeline, "\x1b[31m::error::x\n", Assumed())
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    write_screen(numbers, stream)
    stream.flush()
    shown = raw.getvalue().decode("ascii")
    assert "#" in shown and "\x1b" not in shown and "\u202e" not in shown
    assert not re.search(r"^\s*::", shown, re.MULTILINE)


def test_progress_tells_rate_and_time_left(traces: Path, monkeypatch: Any):
    from qwen_sft.cli.progress import Progress
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.pipeline import Pipeline, outcomes
    from qwen_sft.settings import Settings

    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("TERM", "xterm")
    inputs = expand([str(traces)])
    now = iter([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    monkeypatch.setattr("qwen_sft.cli.progress.time", SimpleNamespace(monotonic=lambda: next(now)))
    with Progress(inputs) as progress:
        for outcome in outcomes(inputs, Pipeline(Settings())):
            progress.advance(outcome)
    shown = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", stream.getvalue())
    assert "5 records, 1 rejected, 2 a second" in shown and "left:" in shown


# -- real traces, size --------------------------------------------------------------------------------------


@needs_real_data
@pytest.mark.parametrize("source", SOURCES)
def test_real_traces_make_a_page(run: Any, tmp_path: Path, source: str):
    ran = run("report", str(TRACES / SOURCES[source]), "--model", "qwen3", "--verify", "none", "--out", "r.html")
    assert ran.code in (0, 1), ran.err
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    found = elements(page)
    assert {local(one.tag) for one in found} <= ELEMENTS
    assert {local(name) for one in found for name in one.attrib} <= ATTRIBUTES
    numbers = told(run, str(TRACES / SOURCES[source]), "--model", "qwen3", "--verify", "none")
    assert numbers["n_records"] == numbers["n_written"] + numbers["n_rejected"] > 0
    for one in (*numbers["formats"], *numbers["files"]):
        assert one["n_events"] == one["n_kept"] + one["n_merged"] + one["n_dropped"]
    assert sum(one["n_tokens"] for one in numbers["files"]) == numbers["n_tokens"] == numbers["lengths"]["total"]
    assert sum(one["n"] for one in numbers["kinds"]) == numbers["n_tokens"]


# Not getrusage: its ru_maxrss is that of the process that started this one, if that was larger.
MEASURED = r"""
import re, sys
from pathlib import Path
sys.argv = ["qwen-sft", *sys.argv[1:]]
from qwen_sft.cli import main
try:
    main()
finally:
    kilobytes = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]
    print(int(kilobytes) // 1024, file=sys.stderr)
"""


@pytest.mark.slow
def test_a_hundred_thousand_samples_make_a_small_page_in_little_memory(tmp_path: Path):
    """Every tenth record is broken, every one has a tool of its own; memory in MB is told by the process itself."""

    def lines(n: int) -> Any:
        for k in range(n):
            name = f"tool_{k % 50_000}"
            wrong = "c9" if k % 10 == 0 else f"c{k}"
            made = {"id": f"c{k}", "type": "function", "function": {"name": name, "arguments": {"city": f"<b>{k}</b>"}}}
            answer = {"role": "tool", "tool_call_id": wrong, "content": "<script>" * (k % 40)}
            calls = {"role": "assistant", "content": "", "tool_calls": [made]}
            yield json.dumps({"messages": [ASKED, calls, answer, ANSWER], "tools": [tool(name, ("city",))]}) + "\n"

    file = tmp_path / "many.jsonl"
    with file.open("w") as stream:
        stream.writelines(lines(100_000))
    out = tmp_path / "r.html"
    command = [sys.executable, "-c", MEASURED, "report", str(file), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    page = out.read_text(encoding="utf-8")
    assert len(page.encode()) < 5_000_000
    assert "10,000 of 100,000 records have errors and stay out" in page
    assert "45,000 tools. Of the 20,000 that came first 20,000 are called;" in page
    assert int(done.stderr.splitlines()[-1]) < 400
    assert len(elements(page)) > 500
