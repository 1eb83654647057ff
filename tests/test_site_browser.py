"""The site of the documentation, in a real browser: it loads nothing from elsewhere, is searched, and reads well."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from tests.browser import Scheme, chromium, faults, screenshot, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[1]
PAGES = {
    "start page": "",
    "guide": "start/",
    "rule": "rules/TOL003/",
    "format": "formats/claude_code/",
    "commands": "reference/cli/",
    "readme": "project/readme/",
    "source": "files/qwen_sft/rules/tol003_orphan_tool_result.py/",
}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Links(HTMLParser):
    """The addresses that a page names, and the names of its places."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.names: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            if name == "id" and value:
                self.names.add(value)


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built."""
    out = tmp_path_factory.mktemp("built") / "site"
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "site_pages.py", "--out", out], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def site(folder: Path) -> Iterator[str]:
    """Its address on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_page_has_no_error_asks_nobody_else_and_is_accessible(
    browser: "Browser", site: str, name: str, scheme: Scheme
) -> None:
    with visit(browser, site + PAGES[name], scheme) as seen:
        seen.page.wait_for_load_state("networkidle")
        assert seen.errors == []
        assert [one for one in seen.requests if not one.startswith(site)] == []
        assert faults(seen.page) == []
        broken = "() => [...document.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.src)"
        assert seen.page.evaluate(broken) == []
        screenshot(seen.page, f"site-{name.replace(' ', '-')}-{scheme}", full_page=False)


def test_page_does_not_scroll_sideways_on_a_small_screen(browser: "Browser", site: str) -> None:
    for path in PAGES.values():
        with visit(browser, site + path, width=400) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 400, path


def test_search_finds_a_rule_and_leads_to_it(browser: "Browser", site: str) -> None:
    with visit(browser, site) as seen:
        seen.page.wait_for_load_state("networkidle")
        seen.page.keyboard.press("Control+k")
        seen.page.get_by_role("combobox").fill("orphan-tool-result")
        seen.page.get_by_role("option").filter(has_text="TOL003 orphan-tool-result").first.click()
        seen.page.wait_for_url(f"{site}rules/TOL003/**")
        assert seen.page.locator("h1").inner_text().startswith("TOL003 orphan-tool-result")
        assert seen.errors == []
        assert [one for one in seen.requests if not one.startswith(site)] == []


def test_every_link_of_every_page_leads_to_a_place(folder: Path) -> None:
    read = {path.relative_to(folder).as_posix(): _Links(path.read_text("utf-8")) for path in folder.rglob("*.html")}
    assert len(read) > 200
    dead: list[str] = []
    for name, page in read.items():
        for link in page.links:
            target = urlsplit(urljoin(f"http://here/{name}", link))
            if target.netloc != "here" or target.scheme != "http" or name == "404.html":
                continue
            path = unquote(target.path).lstrip("/")
            path += "index.html" if not path or path.endswith("/") else ""
            known = path in read or (folder / path).is_file()
            if not known or (target.fragment and path in read and unquote(target.fragment) not in read[path].names):
                dead.append(f"{name}: {link}")
    assert dead == []


def test_script_takes_the_pictures_that_are_kept(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "docs" / "screenshots.py", "--out", tmp_path / "new"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kept = {path.name: path.stat().st_size for path in (ROOT / "docs" / "screenshots").iterdir()}
    new = {path.name: path.stat().st_size for path in (tmp_path / "new").iterdir()}
    assert new.keys() == kept.keys()
    for name, size in new.items():
        assert kept[name] / 2 < size < kept[name] * 2, name
