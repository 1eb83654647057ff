"""What people see, in a real browser: it runs nothing of a trace, has no error, and axe-core finds no serious fault."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import Scheme, chromium, faults, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    with chromium() as opened:
        yield opened


def test_browser_tells_errors_requests_and_faults(browser: "Browser", tmp_path: Path):
    """What the other tests here look for would be found."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><title>x</title><img src=gone.png><script>console.error('no');throw Error('oh')</script>"
    )
    with visit(browser, page.as_uri(), "dark") as seen:
        assert seen.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
        assert {"no", "oh"} <= set(seen.errors)
        assert seen.requests == [page.as_uri(), (tmp_path / "gone.png").as_uri()]
        assert [one.split(",")[0] for one in faults(seen.page)] == ["serious html-has-lang", "critical image-alt"]
    with visit(browser, page.as_uri(), scripts=False) as seen:
        assert "no" not in seen.errors
