# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# fsspec has no types; what leaves this file is typed by its functions.
"""Files on other machines by their URL: hf://, s3://, gs://, https:// and whatever else fsspec knows.

Who may read and write there is for the driver to find out: from the environment, from profiles, from fsspec's settings.
A password or a signature that stands in a URL is used, and never told.
"""

import hashlib
import io
import re
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from qwen_sft.errors import InputError, OutputError
from qwen_sft.ingesting.folder import Entry

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "az"),
    **dict.fromkeys(("http", "https"), "https"),
}
"""Protocols whose driver is in an extra of ours."""

_VERSION = ("ETag", "etag", "oid", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
"""What servers call that which changes when a file does."""

_LOCAL = frozenset({"file", "local"})
_PASSWORD = re.compile(r"(?<=://)[^/?#@\s]*:[^/?#@\s]*@")
_SECRET = re.compile(
    r"(?<=[?&])((?:[\w.-]*(?:signature|token|credential|secret|passw|auth|key)[\w.-]*|sig)=)[^&#\s'\"]+", re.IGNORECASE
)


def is_url(path: str) -> bool:
    """True for scheme://…"""
    return _URL.match(path) is not None


def masked(text: str) -> str:
    """A URL, or a text with URLs in it, without passwords, and without what signs them or lets somebody in."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub("***@", text))


def local_path(url: str) -> Path | None:
    """The file or folder of this machine that a URL names; None where it names one of another."""
    if url.partition("://")[0].lower() not in _LOCAL:
        return None
    return Path(_driver(url)[1])


def find_url(url: str) -> tuple[list[Entry], bool]:
    """The files that a URL names, under their own URLs, and whether it names them one by one: a file, or a glob.

    Raises:
        InputError: there are none, or they cannot be had.
    """
    fs, path = _driver(url)
    try:
        fs.invalidate_cache()
        globbed = re.search(r"[*?\[]", path) is not None and not fs.exists(path)
        if globbed:
            infos = fs.glob(path, detail=True)
        elif fs.isfile(path):
            return [_entry(url, fs.info(path))], True
        else:
            infos = fs.find(path, detail=True)
    except Exception as error:  # each driver raises what its own libraries raise
        raise _failed(url, error) from error
    listed = [_entry(fs.unstrip_protocol(name), info) for name, info in infos.items() if _is_file(name, info)]
    if not listed:
        raise InputError(f"{masked(url)!r} names no file; name a file, a directory or a glob that is there")
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


def read_below(url: str, name: str) -> bytes | None:
    """What a file of a folder holds; None where there is none, or it cannot be had.

    Raises:
        InputError: there is no driver for the URL.
    """
    fs, path = _driver(url)
    try:
        return fs.cat_file(f"{path.rstrip('/')}/{name}")
    except Exception:  # as above; who needs the folder will be told why
        return None


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
        raise InputError(f"{masked(url)!r} needs a package that is not installed: {fix}") from error
    except Exception as error:  # as above
        raise _failed(url, error) from error


def _failed(url: str, error: Exception) -> InputError:
    return InputError(f"cannot open {masked(url)!r}: {_said(error)}")


def _said(error: Exception) -> str:
    """What an exception says, in one line; its kind where it says nothing."""
    return masked(" ".join(str(error).split())) or type(error).__name__


def _entry(name: str, info: Any) -> Entry:
    version = next((info[key] for key in _VERSION if info.get(key)), None)
    return Entry(name, _size(info), None if version is None else str(version))


def _size(info: Any) -> int:
    return info.get("size") or 0


def _is_file(name: str, info: Any) -> bool:
    return info["type"] == "file" and not name.endswith("/")  # with a slash: what a console makes for a folder


# -- to be written -----------------------------------------------------------------------------------------------------


class Prefix:
    """What stands below a URL, under names relative to it. On an object store each is there whole, or not at all.

    Args:
        url: of a folder, or where one is to be.

    Attributes:
        name: the URL for people.
        key: what is alike for URLs that name the same folder, however they are spelled.

    Raises:
        InputError: there is no driver for it.
        OutputError: it names no folder; or, by any method, the server cannot be reached, or refuses.
    """

    def __init__(self, url: str) -> None:
        self._fs, root = _driver(url)
        self._root: str = root.rstrip("/")
        self.name = masked(url)
        self.key = f"{min(self._protocols)}:{self._root}"
        if not self._root.strip("/"):
            raise OutputError(f"{self.name!r} names no folder; name one below it")
        if re.search(r"[*?\[]", self._root):
            raise OutputError(f"{self.name!r} is a pattern; name one folder, without any of *?[")

    def is_file(self) -> bool:
        """True if the URL itself names a file."""
        with self._asking("read"):
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._root))

    def holds(self, url: str) -> bool:
        """True if another URL names something below this one."""
        fs, path = _driver(url)
        return type(fs) is type(self._fs) and path.startswith(f"{self._root}/")

    def listed(self) -> list[tuple[str, bool]]:
        """What stands right below it: names, and whether each is a file and no folder."""
        with self._asking("list"):
            self._fs.invalidate_cache()
            try:
                infos = self._fs.ls(self._root, detail=True)
            except FileNotFoundError:
                return []
        named = [(self._relative(info["name"]), info["type"] == "file") for info in infos]
        return [(name, is_file) for name, is_file in named if name]

    def sizes(self, folder: str) -> dict[str, int]:
        """The files below one of its folders, at any depth, and their sizes."""
        with self._asking("list"):
            self._fs.invalidate_cache()
            infos = self._fs.find(f"{self._root}/{folder}", detail=True)
        return {self._relative(name): _size(info) for name, info in infos.items() if _is_file(name, info)}

    def open(self, name: str) -> IO[bytes]:
        """A file, to be read in order."""
        with self._asking("read"):
            return cast("IO[bytes]", self._fs.open(self._path(name), "rb"))

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where there is none."""
        with self._asking("read"):
            try:
                return self._fs.cat_file(self._path(name))
            except FileNotFoundError:
                return None

    def sha256(self, name: str) -> str:
        """Of a file's bytes, hex; it is read for that."""
        with self._asking("read"), self._fs.open(self._path(name), "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def write(self, name: str, data: bytes) -> None:
        """Writes a file, in the place of an earlier one."""
        self._written([name], lambda: self._fs.pipe_file(self._path(name), data))

    def create(self, name: str, data: bytes) -> bool:
        """Writes a file where there is none; False where there is one. What it takes is for the driver to ask for: a
        put on the condition that there is nothing, or else a look before it."""

        def write() -> bool:
            try:
                self._fs.pipe_file(self._path(name), data, mode="create")
            except FileExistsError:
                return False
            return True

        return self._written([name], write)

    def put(self, path: Path, name: str) -> None:
        """Writes what a file on this machine holds."""
        self._written([name], lambda: self._fs.put_file(str(path), self._path(name)))

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Copies files to other names, on the other machine."""
        if pairs:
            sources, targets = ([self._path(name) for name in names] for names in zip(*pairs, strict=True))
            self._written([name for _, name in pairs], lambda: self._fs.copy(sources, targets))

    def remove(self, names: Iterable[str]) -> None:
        """Removes files that are there."""
        if paths := [self._path(name) for name in names]:
            with self._asking("remove from"):
                self._fs.rm(paths)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _relative(self, name: str) -> str:
        return name.rstrip("/")[len(self._root) :].strip("/")

    def _written(self, names: Iterable[str], write: Callable[[], Any]) -> Any:
        """Writes; on a file system that has folders, makes them first where it says that they are missing."""
        with self._asking("write to"):
            try:
                return write()
            except FileNotFoundError:
                if self._protocols & _EXTRAS.keys():  # an object store has no folders: there is no bucket
                    raise
                for name in names:
                    self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
                return write()

    @property
    def _protocols(self) -> set[str]:
        told = self._fs.protocol
        return {told} if isinstance(told, str) else set(told)

    @contextmanager
    def _asking(self, what: str) -> Generator[None]:
        try:
            yield
        except NotImplementedError as error:
            raise OutputError(f"cannot {what} {self.name!r}: this kind of server is read here, not written") from error
        except Exception as error:  # each driver raises what its own libraries raise
            raise OutputError(f"cannot {what} {self.name!r}: {_said(error)}") from error
