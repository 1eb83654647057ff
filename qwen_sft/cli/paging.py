"""A pager in front of what goes to a terminal, as `git` has one."""

import io
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout, suppress


class _Looked(io.TextIOWrapper):
    """A pipe to a terminal: somebody looks at what goes in."""

    def isatty(self) -> bool:
        return True


@contextmanager
def paged(wanted: bool = True) -> Generator[None]:
    """Sends stdout to the pager that PAGER names (by default `less`), if it is a terminal; `cat` or nothing means none.

    `less` ends by itself where all fits one screen, unless LESS says otherwise. To leave it early is no error.
    """
    command = shlex.split(os.environ.get("PAGER", "less"))
    if not wanted or not sys.stdout.isatty() or command in ([], ["cat"]) or shutil.which(command[0]) is None:
        yield
        return
    sys.stdout.flush()
    told = {"LESS": "FRX", "LESSCHARSET": "utf-8", **os.environ}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=told) as pager:
        assert pager.stdin is not None
        stream = _Looked(pager.stdin, encoding="utf-8", errors="backslashreplace")
        with suppress(BrokenPipeError):
            with redirect_stdout(stream):
                yield
            stream.flush()
        with suppress(BrokenPipeError):
            stream.close()
        while True:
            try:
                pager.wait()
            except KeyboardInterrupt:  # which is the pager's own affair
                continue
            break
