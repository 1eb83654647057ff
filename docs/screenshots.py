"""Makes docs/screenshots anew: what commands show on a terminal, and pages in Chromium. Usage: make screenshots"""

import argparse
import os
import pty
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
COLUMNS, LINES = 100, 24
COMMAND = str(Path(sys.executable).parent / "qwen-sft")
TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #16181d; color: #e6e6e6; display: inline-block; }}
pre {{ margin: 0; padding: 14px 18px; font: 14px/1.35 "DejaVu Sans Mono", monospace; }}
</style><pre>{code}</pre>"""

GROUND, WORDS = (22, 24, 29), (230, 230, 230)
COLOURS = [
    GROUND,
    (255, 110, 110),  # red
    (110, 214, 120),  # green
    (240, 198, 90),  # yellow
    (110, 168, 255),  # blue
    (214, 140, 245),  # magenta
    (90, 205, 214),  # cyan
    WORDS,
]
"""The colours of a terminal, bright enough on dark ground to be read."""

TERMINALS = {
    "show": (["show", "examples/thinking.jsonl", "--model", "qwen3"], "  header"),
    "validate": (["validate", "examples/broken.jsonl", "--select", "TOL"], "examples/broken.jsonl:20"),
    "stats": (["stats", "examples/clean.jsonl", "examples/thinking.jsonl", "--model", "qwen3"], ""),
}
"""What is shown of a command: its arguments, and how the first line begins that is shown."""


def on_terminal(arguments: list[str], folder: Path) -> str:
    """What a command writes to a terminal, its colours included; stderr is not looked at."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    environment.pop("NO_COLOR", None)
    environment["PAGER"] = "cat"
    command = subprocess.Popen(
        [COMMAND, *arguments], cwd=folder, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    )
    os.close(theirs)
    said = bytearray()
    try:
        while piece := os.read(ours, 65_536):
            said += piece
    except OSError:  # Linux says so where the other end is closed
        pass
    os.close(ours)
    command.wait()
    return said.decode("utf-8", errors="replace").replace("\r\n", "\n")


def as_html(said: str, first: str) -> str:
    """Some lines of a terminal as a page."""
    from rich.console import Console
    from rich.terminal_theme import TerminalTheme
    from rich.text import Text

    theme = TerminalTheme(GROUND, WORDS, COLOURS)

    text = Text.from_ansi(said)
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if line.plain.startswith(first)), 0)
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115, PTH123
    for line in lines[start : start + LINES]:
        console.print(line, no_wrap=True, crop=False, overflow="ignore")
    return console.export_html(theme=theme, code_format=TERMINAL, inline_styles=True)


@contextmanager
def viewer(folder: Path, *arguments: str) -> Iterator[str]:
    """The address at which `qwen-sft view` answers, once it has read everything."""
    command = [COMMAND, "view", *arguments, "--no-open", "--port", "0"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert running.stdout is not None
    try:
        address = running.stdout.readline().split()[-1]
        while b"reading goes on" in urllib.request.urlopen(address).read():
            time.sleep(0.2)
        yield address
    finally:
        running.terminate()
        running.wait()


def take(browser: Any, url: str, file: Path, *, scheme: Any = "light") -> None:
    """One picture of the beginning of a page."""
    from tests.browser import visit

    with visit(browser, url, scheme, width=1100, height=760) as seen:
        seen.page.wait_for_load_state("networkidle")
        seen.page.screenshot(path=str(file))


def main() -> None:
    """Takes all pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "screenshots", help="the folder to write")
    out: Path = parser.parse_args().out
    out.mkdir(exist_ok=True)
    sys.path.insert(0, str(ROOT))
    from tests.browser import chromium, visit

    with tempfile.TemporaryDirectory() as scratch, chromium() as browser:
        folder = Path(scratch)
        shutil.copytree(ROOT / "examples", folder / "examples")
        for name, (arguments, first) in TERMINALS.items():
            page = folder / f"{name}.html"
            page.write_text(as_html(on_terminal(arguments, folder), first), encoding="utf-8")
            with visit(browser, page.as_uri(), width=1100, height=900) as seen:
                seen.page.locator("body").screenshot(path=str(out / f"{name}.png"))
        traces = ["examples/clean.jsonl", "examples/thinking.jsonl", "examples/broken.jsonl"]
        subprocess.run(
            [COMMAND, "report", *traces, "--model", "qwen3", "--out", "report.html"],
            cwd=folder, check=False, capture_output=True,
        )  # fmt: skip
        take(browser, (folder / "report.html").as_uri(), out / "report.png")
        with viewer(folder, *traces, "--model", "qwen3") as address:
            take(browser, address, out / "list.png")
        with viewer(folder, "examples/thinking.jsonl", "--model", "qwen3") as address:
            take(browser, f"{address}records/1", out / "sample.png", scheme="dark")


if __name__ == "__main__":
    main()
