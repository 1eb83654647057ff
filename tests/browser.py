"""Pages in a real browser: headless Chromium, driven by Playwright, and axe-core's opinion of them.

Tests that use it are marked `browser`; `make test-browser` installs what they need and runs them.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Scheme = Literal["light", "dark"]


@dataclass
class Visit:
    """A page that is open.

    Attributes:
        page: Playwright's page.
        errors: what it wrote to the console as a warning or an error, and exceptions that nothing caught.
        requests: the addresses that it asked for, its own first.
    """

    page: "Page"
    errors: list[str] = field(default_factory=list[str])
    requests: list[str] = field(default_factory=list[str])


@contextmanager
def chromium() -> Iterator["Browser"]:
    """The Chromium of this machine, headless.

    Raises:
        AssertionError: there is none, or Playwright is not installed.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert program is not None, "there is no chromium here; `make test-browser` installs it"
    assert find_spec("playwright"), "playwright is not installed; `make test-browser` installs it"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        # Chromium's own sandbox does not start for root, as whom containers run tests.
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(
    browser: "Browser",
    url: str,
    scheme: Scheme = "light",
    *,
    width: int = 1200,
    height: int = 900,
    scripts: bool = True,
    **context: Any,
) -> Iterator[Visit]:
    """Opens a page in a context of its own, and waits until it has loaded.

    Args:
        scheme: the colour scheme that the page is told.
        width: of the window, in CSS pixels; so is `height`.
        scripts: False for a browser in which scripts are turned off.
        context: further options of Playwright's `Browser.new_context`.
    """
    opened = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, java_script_enabled=scripts, **context
    )
    try:
        page = opened.new_page()
        seen = Visit(page)
        page.on("console", lambda said: seen.errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: seen.errors.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(url)
        yield seen
    finally:
        opened.close()


def axe() -> str:
    """The source of axe-core, as the package axe-playwright-python carries it."""
    found = find_spec("axe_playwright_python")
    assert found and found.origin, "axe-playwright-python is not installed; `make test-browser` installs it"
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


def faults(page: "Page", impacts: tuple[str, ...] = ("serious", "critical")) -> list[str]:
    """What axe-core holds against a page as it is now, a line for each fault: rule, how often, the first place."""
    page.evaluate(axe())
    found: Any = page.evaluate("() => axe.run(document)")
    return [
        f"{one['impact']} {one['id']}, {len(one['nodes'])} times: {one['help']}; {one['nodes'][0]['html'][:200]}"
        for one in found["violations"]
        if one["impact"] in impacts
    ]


def screenshot(page: "Page", name: str, *, full_page: bool = True) -> None:
    """Leaves a picture of a page in the folder that QWEN_SFT_SCREENSHOTS names; none where it names none."""
    folder = os.environ.get("QWEN_SFT_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=full_page)
