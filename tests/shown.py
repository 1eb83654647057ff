"""Console blocks of Markdown files: the commands that they show, run, against the output that they show."""

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import warm

NOT_RUN = re.compile(r"<!-- not run here: .+; tested by (tests/\w+\.py)::(test_\w+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        line: the number of its first line.
        before: the line above the fence.
    """

    language: str
    line: int
    before: str
    text: str


def blocks_of(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a text, in order."""
    lines = markdown.splitlines()
    start = indent = 0
    for number, line in enumerate(lines):
        if line.strip().startswith("```"):
            if not start:
                start, indent = number + 1, len(line) - len(line.lstrip())
                continue
            text = "".join(inner[indent:] + "\n" for inner in lines[start:number])
            yield Block(lines[start - 1].strip()[3:], start + 1, lines[start - 2], text)
            start = 0
    assert not start, "a block is not closed"


def commands(block: Block, name: str = "README.md") -> list[tuple[str, str]]:
    """The commands of a console block, each with the output that is shown under it."""
    assert block.text.startswith("$ "), f"{name}:{block.line} begins with no prompt"
    shown: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            shown.append((line[2:].rstrip("\n"), ""))
        else:
            shown[-1] = (shown[-1][0], shown[-1][1] + line)
    return shown


def matches(shown: str, printed: str) -> bool:
    """True if the output is as shown; a line "…" stands for any lines, "…" within a line for any text."""
    patterns = [
        r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*") + r" *\n" for line in shown.splitlines()
    ]
    return re.fullmatch("".join(patterns), printed) is not None


def runs_here(block: Block) -> bool:
    """True unless it says where it is tested instead, or runs make."""
    return not NOT_RUN.fullmatch(block.before) and not block.text.startswith("$ make ")


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command line in a folder, with qwen-sft on the PATH and no model hub; stderr is in its stdout."""
    environment = {**os.environ, "PATH": warm.path(), "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    environment["HF_DATASETS_CACHE"] = str(folder / "cache")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, text=True, **streams)


def assert_shows_what_happens(blocks: list[Block], name: str, folder: Path) -> int:
    """Runs the commands and the Python of a text, in order, for later blocks use what earlier ones made; how many."""
    n_run = 0
    for block in blocks:
        if block.language == "console" and runs_here(block):
            for command, shown in commands(block, name):
                printed = run(command, folder).stdout
                assert matches(shown, printed), f"{name}:{block.line} $ {command}\n{printed}"
                n_run += 1
        elif block.language == "python":
            done = run(f"{warm.PYTHON} <<'END'\n{block.text}END", folder)
            assert done.returncode == 0, f"{name}:{block.line}\n{done.stdout}"
            n_run += 1
    return n_run
