"""Tar archives: the files in them are read one at a time, as they pass."""

from collections.abc import Callable, Iterator
from typing import IO

from qwen_sft.container import Container, File, member
from qwen_sft.decoding.streams import CHUNK, Torn, stream
from qwen_sft.record import Record

_MAGIC_AT = 257


def _records(file: File) -> Iterator[Record]:
    import tarfile  # here and below: few read any, and it would take longer than all our containers together

    try:
        archive = tarfile.open(fileobj=file.stream, mode="r|", errorlevel=1)  # noqa: SIM115  # the stream is not ours
        for entry in archive:
            archive.members = []  # pyright: ignore[reportAttributeAccessIssue]  # it would remember every one
            opened = archive.extractfile(entry) if entry.isfile() else None
            if opened is not None:
                yield from member(file, entry.name, stream(_following(opened)))
            elif not entry.isdir():
                file.skipped["a link"] += 1
    except tarfile.TarError as error:
        raise Torn(f"the tar archive is damaged or cut off: {error}") from error


def _following(opened: IO[bytes]) -> Callable[[], bytes]:
    import tarfile

    def following() -> bytes:
        try:
            return opened.read(CHUNK)
        except tarfile.TarError as error:
            raise Torn(f"the tar archive is damaged or cut off: {error}") from error

    return following


CONTAINER = Container(
    name="tar",
    title="tar archives: each file in them is read as if it stood alone",
    suffixes=(".tar",),
    begins=lambda first: first[_MAGIC_AT : _MAGIC_AT + 5] == b"ustar",
    records=_records,
)
