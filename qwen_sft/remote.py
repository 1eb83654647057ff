# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# fsspec has no types; what leaves this file is typed by its functions.
"""Files on other machines by their URL: hf://, s3://, gs://, https:// and whatever else fsspec knows."""

import io
import re
from typing import IO, Any, cast

from qwen_sft.errors import InputError
from qwen_sft.folder import Entry

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "az"),
    **dict.fromkeys(("http", "https"), "https"),
}
"""Protocols whose driver is in an extra of ours."""


def is_url(path: str) -> bool:
    """True for scheme://…"""
    return _URL.match(path) is not None


def find_url(url: str) -> tuple[list[Entry], bool]:
    """The files that a URL names, under their own URLs, and whether it names them one by one: a file, or a glob.

    Raises:
        InputError: there are none, or they cannot be had.
    """
    fs, path = _driver(url)
    try:
        globbed = re.search(r"[*?\[]", path) is not None and not fs.exists(path)
        if globbed:
            infos = fs.glob(path, detail=True)
        elif fs.isfile(path):
            return [Entry(url, _size(fs.info(path)))], True
        else:
            infos = fs.find(path, detail=True)
    except Exception as error:  # each driver raises what its own libraries raise
        raise _failed(url, error) from error
    listed = [Entry(fs.unstrip_protocol(name), _size(info)) for name, info in infos.items() if info["type"] == "file"]
    if not listed:
        raise InputError(f"{url!r} names no file; name a file, a directory or a glob that is there")
    return sorted(listed), globbed


def open_url(url: str) -> IO[bytes]:
    """A file, to be read.

    Raises:
        InputError: it cannot be opened.
    """
    fs, path = _driver(url)
    try:
        opened = fs.open(path, "rb")
    except Exception as error:  # as above
        raise _failed(url, error) from error
    return cast("IO[bytes]", io.BufferedReader(_Remote(opened, url), 1 << 16))


class _Remote(io.RawIOBase):
    """A file of fsspec's whose failures are OSErrors."""

    def __init__(self, opened: Any, url: str) -> None:
        self._opened = opened
        self._url = url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._opened.seekable())

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._opened.seek(offset, whence)

    def tell(self) -> int:
        return self._opened.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._opened.read(len(buffer))
        except OSError:
            raise
        except Exception as error:  # as above
            raise OSError(_said(error)) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._opened.close()
        super().close()


def _driver(url: str) -> tuple[Any, str]:
    from fsspec.core import url_to_fs

    protocol = url.partition("://")[0].lower()
    try:
        return url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        fix = f"pip install 'qwen-sft[{extra}]'" if extra else _said(error)
        raise InputError(f"{url!r} needs a package that is not installed: {fix}") from error
    except Exception as error:  # as above
        raise _failed(url, error) from error


def _failed(url: str, error: Exception) -> InputError:
    return InputError(f"cannot open {url!r}: {_said(error)}")


def _said(error: Exception) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def _size(info: Any) -> int:
    return info.get("size") or 0
