"""A report in a file: written whole, or not at all."""

import errno
import os
import secrets
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from qwen_sft.errors import OutputError
from qwen_sft.ingesting.ingest import Input

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def opened(file: Path, inputs: Iterable[Input], *, flag: str = "--output") -> Generator[TextIO]:
    """A file to write text to that takes its name when all is written; a device or a pipe is written as it is.

    Args:
        flag: the one that names the file, for messages.

    Raises:
        OutputError: it cannot be written, or is one of the inputs.
    """
    whole = file.is_file() or not file.exists()
    target = file.resolve() if whole else file  # a link stays one; a pipe's name leads nowhere
    if target.is_dir():
        raise OutputError(f"{flag} names the folder {str(file)!r}; name the file of the report")
    for source in inputs:
        if source.path is not None and source.path.resolve() == target:
            raise OutputError(f"{source.name!r} is an input and would be overwritten; name another {flag}")
    part = target.with_name(f"{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp") if whole else target
    try:
        stream = part.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise _cannot(file, flag, error) from error
    try:
        with stream:
            yield stream
        if whole:
            part.replace(target)
    except BaseException as error:
        if whole:
            part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:  # any other may be an input's
            raise _cannot(file, flag, error) from error
        raise


def _cannot(file: Path, flag: str, error: OSError) -> OutputError:
    return OutputError(f"cannot write {str(file)!r}: {error.strerror}; name another {flag}")
