"""What people see, in a real browser: it runs nothing of a trace, has no error, and axe-core finds no serious fault."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from command import Ran

import qwen_sft
from qwen_sft.pipeline import Pipeline
from qwen_sft.settings import Settings
from qwen_sft.viewing.collection import Collection
from qwen_sft.viewing.opening import built, traces
from qwen_sft.viewing.server import Server, Viewer
from qwen_sft.viewing.traces import Traces
from tests.browser import Scheme, chromium, faults, screenshot, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

MARKUP = [
    "<script>window.pwned=1</script>",
    "</script></pre></main><img src=x onerror='window.pwned=1'>",
    '"><svg onload=window.pwned=1>',
    "' onmouseover='window.pwned=1' autofocus onfocus='window.pwned=1",
    "</style><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "{{constructor.constructor('window.pwned=1')()}} ${window.pwned=1} <%= 7*7 %> {% raw %}",
    "<!--><base href=//evil.example><meta http-equiv=refresh content=0;url=//evil.example>",
    "javascript:window.pwned=1 [x](javascript:window.pwned=1)",
    "\u202eevil\u2066\u2069\u200f\x00\x07\x1b]0;x\x07\x1b[31m\x7f\x9b\u2028\u2029\r end",
]
"""What must stay text, in every text of a sample, the names of tools and parameters among them."""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as opened:
        yield opened


def hostile(n: int, *, wrong: bool = False) -> dict[str, Any]:
    bad = MARKUP[n % len(MARKUP)]
    call = {"id": bad, "type": "function", "function": {"name": bad, "arguments": {bad: bad}}}
    schema = {"type": "object", "properties": {bad: {"type": "string", "description": bad}}}
    return {
        "id": bad,
        "tools": [{"type": "function", "function": {"name": bad, "description": bad, "parameters": schema}}],
        "messages": [
            {"role": "system", "content": bad},
            {"role": "user", "content": bad},
            {"role": "assistant", "content": bad, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "other" if wrong else bad, "content": bad},
            {"role": "assistant", "content": bad, "reasoning_content": bad},
        ],
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hostile traces in a file of a hostile name: each text twice, the second time with an error; one of 1 MB."""
    folder = tmp_path_factory.mktemp("hostile")
    samples = [hostile(n, wrong=n >= len(MARKUP)) for n in range(2 * len(MARKUP))]
    samples.append(hostile(0))
    samples[-1]["messages"][3]["content"] = "<b onclick=window.pwned=1>\u05d0" * 40_000
    assert len(samples[-1]["messages"][3]["content"].encode()) > 1_000_000
    (folder / "<img src=x onerror=window.pwned=1>.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    return folder


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 records, every tenth with an error, as people have them."""
    folder = tmp_path_factory.mktemp("clean")
    with (folder / "runs.jsonl").open("w") as stream:
        for n in range(1, 121):
            call = {
                "id": f"c{n}",
                "type": "function",
                "function": {"name": "track" if n % 2 else "find", "arguments": {"n": n}},
            }
            talk = [
                {"role": "system", "content": "You know every parcel in the harbour."},
                {"role": "user", "content": f"Where is parcel {n}? 包裹在哪里？"},
                {"role": "assistant", "content": "", "reasoning_content": "I have to look.", "tool_calls": [call]},
                {
                    "role": "tool",
                    "tool_call_id": "nobody" if n % 10 == 0 else f"c{n}",
                    "content": json.dumps({"quay": n}),
                },
                {"role": "assistant", "content": f"It is on quay {n}."},
            ]
            stream.write(json.dumps({"id": f"run-{n}", "messages": talk}) + "\n")
    return folder


@contextmanager
def served(*every: Collection) -> Iterator[str]:
    """The address of a viewer of some lists, all of which are read."""
    for one in every:
        if isinstance(one, Traces):
            one._read()
            assert one.is_whole and not one.failure
    with Server(Viewer("runs", every), 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def traced(folder: Path, model: str | None = "qwen3") -> Traces:
    settings = Settings(model=model, verify="none", control_tokens="as-text")
    return traces([str(folder)], Pipeline(settings), print)


def provoke(page: "Page") -> None:
    """Opens all that is closed, and sends each element the events that handlers of a trace would wait for."""
    page.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(
        """() => document.querySelectorAll('*').forEach(one => ['mouseover', 'focus', 'error', 'load', 'toggle']
          .forEach(name => one.dispatchEvent(new Event(name, {bubbles: true}))))"""
    )
    for key in ("j", "k", "Escape"):
        page.keyboard.press(key)


def is_unharmed(page: "Page") -> bool:
    """True if nothing of a trace ran, and no element is there that only a trace could have made."""
    return page.evaluate(
        """() => window.pwned === undefined && ![...document.querySelectorAll('*')].some(one =>
          ['IMG', 'IFRAME', 'BASE', 'OBJECT'].includes(one.tagName) ||
          [...one.attributes].some(given => given.name.startsWith('on') ||
            (['href', 'src', 'action', 'formaction'].includes(given.name) && !/^[/#]/.test(given.value))))"""
    )


def test_browser_tells_errors_requests_and_faults(browser: "Browser", tmp_path: Path):
    """What the other tests here look for would be found."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><title>x</title><img src=gone.png onerror=window.pwned=1>"
        "<script>console.error('no');throw Error('oh')</script>"
    )
    with visit(browser, page.as_uri(), "dark") as seen:
        assert seen.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert {"no", "oh"} <= set(seen.errors)
        assert seen.requests == [page.as_uri(), (tmp_path / "gone.png").as_uri()]
        assert [one.split(",")[0] for one in faults(seen.page)] == ["serious html-has-lang", "critical image-alt"]
        assert not is_unharmed(seen.page)
    with visit(browser, page.as_uri(), scripts=False) as seen:
        assert "no" not in seen.errors


@pytest.mark.parametrize("scheme", SCHEMES)
def test_report_is_inert_and_accessible(
    browser: "Browser", files: Path, run: Callable[..., Ran], scheme: Scheme, tmp_path: Path
):
    ran = run("report", str(files), "--model", "qwen3", "--control-tokens", "as-text", "--out", "r.html")
    assert ran.code == 1, ran.err
    url = (tmp_path / "r.html").as_uri()
    with visit(browser, url, scheme) as seen:
        provoke(seen.page)
        assert is_unharmed(seen.page)
        assert seen.page.locator("#samples ~ details .turn").count() == 25
        assert faults(seen.page) == []
        screenshot(seen.page, f"report-{scheme}", full_page=False)
        assert (seen.errors, seen.requests) == ([], [url])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("row", [1, 9, 15, 19])
def test_page_of_a_hostile_sample_is_inert_and_accessible(
    browser: "Browser", files: Path, run: Callable[..., Ran], scheme: Scheme, row: int, tmp_path: Path
):
    """The 15th has an error, the 19th a result of 1 MB."""
    flags = ("--model", "qwen3", "--control-tokens", "as-text", "--row", str(row), "--html", "p.html")
    assert run("show", str(files), *flags).code in (0, 1)
    assert (tmp_path / "p.html").stat().st_size < 2_000_000
    url = (tmp_path / "p.html").as_uri()
    with visit(browser, url, scheme) as seen:
        provoke(seen.page)
        assert is_unharmed(seen.page)
        assert seen.page.locator(".turn").count() == 5
        assert [seen.page.locator(".turn .who > b").nth(n).inner_text() for n in range(5)] == [
            *("system", "user", "assistant", "tool", "assistant"),
        ]
        if row != 9:
            bad = MARKUP[(row - 1) % len(MARKUP)] if row != 19 else MARKUP[0]
            assert seen.page.locator(".turn.r-user > .text").inner_text() == bad
        else:
            assert "\\u202eevil\\u2066" in seen.page.locator(".turn.r-user > .text").inner_text()
        assert faults(seen.page) == []
        screenshot(seen.page, f"sample-{row}-{scheme}", full_page=row != 19)
        assert (seen.errors, seen.requests) == ([], [url])


def test_the_policy_stops_what_escaping_would_let_through(
    browser: "Browser", files: Path, run: Callable[..., Ran], tmp_path: Path
):
    """Were there a hole in our escaping, the page would still run nothing and load nothing of a trace."""
    run("show", str(files), "--row", "1", "--model", "qwen3", "--html", "p.html")
    page = tmp_path / "p.html"
    attack = "<script>window.pwned=1</script><img src=http://127.0.0.1:9/x onerror=window.pwned=1>"
    attack += "<style>*{color:red}</style>"
    page.write_text(page.read_text().replace("<main", f"{attack}<main"))
    with visit(browser, page.as_uri()) as seen:
        assert seen.page.evaluate(
            "window.pwned === undefined && getComputedStyle(document.body).color !== 'rgb(255, 0, 0)'"
        )
        assert seen.page.evaluate("document.documentElement.className") == "scripted"  # ours runs
        assert len(seen.errors) >= 3 and all("Content Security Policy" in one for one in seen.errors)


def test_tokens_tell_what_they_are(browser: "Browser", clean: Path, run: Callable[..., Ran], tmp_path: Path):
    """By pointer, by keyboard, and by shape: what is trained differs by more than its colour."""
    assert run("show", str(clean / "runs.jsonl"), "--row", "1", "--model", "qwen3", "--html", "p.html").code == 0
    with visit(browser, (tmp_path / "p.html").as_uri()) as seen:
        page = seen.page
        tip = page.locator("#tip")
        assert tip.is_hidden()
        page.locator(".k-call.on .run > span").nth(1).hover()
        assert tip.inner_text() == 'id 198 · "\\n" · call · $.messages[2] · trained'
        page.locator(".k-user .run > span").first.hover()
        assert tip.inner_text() == 'id 9064 · "Where" · user · $.messages[1] · not trained'
        page.locator("h1").hover()
        assert tip.is_hidden()
        page.locator(".tokens").first.focus()
        assert tip.inner_text() == 'id 151644 · "<|im_start|>" · scaffold · no message · not trained'
        page.keyboard.press("ArrowRight")
        assert tip.inner_text() == 'id 8948 · "system" · scaffold · no message · not trained'
        page.keyboard.press("ArrowLeft")
        assert "151644" in tip.inner_text()
        page.keyboard.press("Escape")
        assert tip.is_hidden()

        def look(where: str) -> list[str]:
            return page.locator(where).first.evaluate(
                "one => { const s = getComputedStyle(one); return [s.boxShadow, s.borderLeftStyle]; }"
            )

        assert "inset" in look(".on .run > span")[0] and look(".off .run > span")[0] == "none"
        edges = {
            kind: look(f".k-{kind} .run")[1] for kind in ("call", "content", "reasoning", "user", "result", "system")
        }
        assert edges == {
            "call": "double",
            "content": "solid",
            "reasoning": "dotted",
            "user": "solid",
            "result": "dashed",
            "system": "dotted",
        }
        assert [page.locator(".on .gutter").nth(n).inner_text() for n in range(2)] == ["T", "T"]
        page.locator(".served summary").first.click()
        page.locator(".served details summary").first.click()
        beside = page.locator(".beside").first.locator(".text")
        assert [beside.nth(n).inner_text() for n in range(2)] == ['track {\n  "n": 1\n}', '= track {\n  "n": 1\n}']
        assert page.locator(".prompt").first.inner_text().endswith("包裹在哪里？<|im_end|>\n<|im_start|>assistant\n")
        assert seen.errors == []


def test_findings_are_walked_by_keyboard(browser: "Browser", clean: Path, run: Callable[..., Ran], tmp_path: Path):
    assert run("show", str(clean / "runs.jsonl"), "--row", "10", "--model", "qwen3", "--html", "p.html").code == 1
    with visit(browser, (tmp_path / "p.html").as_uri()) as seen:
        page = seen.page
        n = page.locator(".finding").count()
        assert n >= 2

        def at() -> str:
            return page.evaluate("document.activeElement.id")

        walked: list[str] = []
        for _ in range(n + 1):
            page.keyboard.press("j")
            walked.append(at())
        assert walked == [*(f"f{k}" for k in range(1, n + 1)), "f1"]
        page.keyboard.press("k")
        assert at() == f"f{n}"
        page.locator("#f1 a").first.click()
        assert page.locator("mark:target").count() == 1 and page.locator("#r1").is_visible()
        assert page.locator(".outline .count").count() >= 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_view_of_traces_filters_pages_and_keys(browser: "Browser", clean: Path, scheme: Scheme):
    with served(traced(clean)) as url, visit(browser, url, scheme) as seen:
        page = seen.page
        assert page.locator(".hits tbody tr").count() == 50
        assert page.locator(".count").inner_text() == "120 records"
        assert faults(page) == []
        screenshot(page, f"view-list-{scheme}", full_page=False)
        page.keyboard.press("n")
        page.wait_for_url("**start=51")
        assert page.locator("a.to").first.inner_text() == "runs.jsonl:51"
        page.keyboard.press("p")
        page.wait_for_url("**back=50")
        page.keyboard.press("j")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.textContent") == "runs.jsonl:2"
        page.keyboard.press("Enter")
        page.wait_for_url("**/records/2")
        assert page.locator("h1").inner_text().endswith("runs.jsonl:2")
        assert faults(page) == []
        screenshot(page, f"view-sample-{scheme}")
        page.keyboard.press("n")
        page.wait_for_url("**/records/3")
        page.keyboard.press("u")
        page.wait_for_url("**/records?start=3")
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.name") == "q"
        page.keyboard.type("parcel 77?")
        page.keyboard.press("Enter")
        page.wait_for_url("**q=parcel*")
        assert [one.inner_text() for one in page.locator("a.to").all()] == ["runs.jsonl:77"]
        page.locator(".filters a").click()
        page.locator("select[name=code]").select_option("TOL003")
        page.locator("button").click()
        page.wait_for_url("**code=TOL003*")
        assert page.locator("a.to").count() == 12
        page.locator("a.to").first.click()
        page.wait_for_url("**/records/10?code=TOL003")
        page.keyboard.press("n")
        page.wait_for_url("**/records/20?code=TOL003")
        page.keyboard.press("j")
        assert page.evaluate("document.activeElement.id") == "f1"
        assert faults(page) == []
        assert seen.errors == []
        assert {one.split("/")[2] for one in seen.requests} == {url.split("/")[2]}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_view_of_a_built_set(browser: "Browser", clean: Path, scheme: Scheme, tmp_path: Path):
    qwen_sft.build(str(clean / "runs.jsonl"), str(tmp_path / "set"), model="qwen3", verify="none")
    with served(*built(tmp_path / "set")) as url, visit(browser, url, scheme) as seen:
        page = seen.page
        assert [one.inner_text() for one in page.locator(".tabs a").all()] == ["Rows 108", "Rejected records 12"]
        page.locator("input[name=tool]").fill("find")
        page.locator("button").click()
        assert page.locator("a.to").count() == 48
        page.locator("a.to").first.click()
        assert page.locator(".turn").count() == 5 and page.locator(".k-call.on").count() == 1
        assert faults(page) == []
        screenshot(page, f"view-row-{scheme}")
        page.goto(f"{url}rejected")
        assert page.locator("a.to").count() == 12
        page.locator("a.to").first.click()
        assert page.locator(".finding").count() >= 1 and page.locator("mark#r1").inner_text() == '"nobody"'
        assert faults(page) == []
        assert seen.errors == []


def test_view_of_hostile_traces_is_inert(browser: "Browser", files: Path):
    listed = traced(files)
    with served(listed) as url, visit(browser, url) as seen:
        page = seen.page
        assert page.locator(".hits tbody tr").count() == 19
        provoke(page)
        assert is_unharmed(page)
        for number in range(1, 20):
            page.goto(f"{url}records/{number}?q=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E")
            provoke(page)
            assert is_unharmed(page) and page.locator(".turn").count() == 5
        assert seen.errors == []


def test_pages_can_be_read_without_scripts_in_a_narrow_window_and_on_paper(browser: "Browser", clean: Path):
    with served(traced(clean)) as url:
        with visit(browser, url, scripts=False, width=380, height=700) as seen:
            page = seen.page
            assert page.locator(".keys").is_hidden()
            page.locator("input[name=q]").fill("parcel 7?")
            page.locator("button").click()
            page.locator("a.to").click()
            page.wait_for_url("**/records/7?q=parcel*")
            assert page.locator(".turn.r-user").inner_text().endswith("Where is parcel 7? 包裹在哪里？")
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= 380
            screenshot(page, "view-narrow", full_page=False)
        with visit(browser, f"{url}records/7") as seen:
            page = seen.page
            page.emulate_media(media="print")
            assert page.locator(".outline").is_hidden() and page.locator(".keys").is_hidden()
            assert page.locator(".turn").count() == 5 and page.locator(".prompt").first.is_visible()
            assert page.pdf().startswith(b"%PDF")


def test_another_site_reads_nothing_of_the_viewer(browser: "Browser", clean: Path, tmp_path: Path):
    """Neither by a request, nor in a frame, nor under a name of its own that leads here."""
    (tmp_path / "evil.html").write_text("<!doctype html><title>x</title><body>")
    with served(traced(clean, None)) as url, visit(browser, (tmp_path / "evil.html").as_uri()) as seen:
        page = seen.page
        fetched = page.evaluate("url => fetch(url).then(one => one.text()).catch(error => 'refused')", url)
        assert fetched == "refused"
        page.evaluate(
            "url => { const f = document.createElement('iframe'); f.src = url; document.body.append(f); }", url
        )
        page.wait_for_timeout(500)
        assert not any("parcel" in frame.content() for frame in page.frames if frame.url == url)
        answer = page.context.request.get(url, headers={"Host": f"evil.example:{url.split(':')[2].strip('/')}"})
        assert answer.status == 403
