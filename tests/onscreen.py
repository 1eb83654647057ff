"""What people see: a command in a terminal of its own, and the screen as an emulator of terminals has it then."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

MAIN = "from qwen_sft.cli import main; main()"
_MOST_LINES = 3000


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a command.

    Attributes:
        raw: all that the terminal got.
        lines: what stands on the screen and above it at the end.
        out: stdout, where it is a pipe.
    """

    code: int
    raw: str
    lines: list[str]
    out: str

    @property
    def text(self) -> str:
        """All lines."""
        return "\n".join(self.lines)


def on_screen(
    *arguments: str,
    cwd: Path,
    width: int = 80,
    piped: bool = False,
    typed: bytes = b"",
    code: str = MAIN,
    **environment: str,
) -> Seen:
    """Runs qwen-sft in a terminal of 24 lines.

    Args:
        piped: stdout is a pipe, and only stderr the terminal.
        typed: is typed when something stands on the screen.
        environment: on top of TERM=xterm-256color, without NO_COLOR, COLUMNS and PAGER.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    told = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "COLUMNS", "LINES", "PAGER")}
    told |= {"TERM": "xterm-256color", "PYTHONPATH": str(Path(__file__).parents[1]), "LANG": "C.UTF-8", **environment}
    command: Sequence[str] = [sys.executable, "-c", code, *arguments]
    out = subprocess.PIPE if piped else theirs
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=out,
        stderr=theirs,
        cwd=cwd,
        env=told,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # a pager reads keys from its own terminal
    )
    os.close(theirs)
    streams = {ours: bytearray()}
    if process.stdout is not None:
        streams[process.stdout.fileno()] = bytearray()
    left, end = set(streams), time.monotonic() + 120
    while left and time.monotonic() < end:
        for one in select.select(list(left), [], [], 1)[0]:
            try:
                data = os.read(one, 1 << 16)
            except OSError:  # how Linux says that nobody has the terminal any more
                data = b""
            streams[one] += data
            if not data:
                left.remove(one)
            elif typed and one == ours:
                os.write(ours, typed)
                typed = b""
    if left:
        process.kill()
    code_given = process.wait(timeout=30)
    if process.stdout is not None:
        process.stdout.close()
    os.close(ours)
    raw = streams.pop(ours).decode()
    screen = pyte.Screen(width, _MOST_LINES)
    pyte.Stream(screen).feed(raw)
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return Seen(code_given, raw, lines, b"".join(map(bytes, streams.values())).decode())


def frames(raw: str) -> list[str]:
    """Each state that the lines of a progress bar were in."""
    bare = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "\n", raw)
    return [line.strip() for line in re.split(r"[\r\n]+", bare) if line.strip()]
