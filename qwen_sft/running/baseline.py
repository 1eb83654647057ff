"""What is known of some traces: findings that do not fail a run again, and how far their checks reached.

A file in JSON, one finding a line, sorted by file, code and fingerprint and without line numbers: who adds a record
changes no line of it, and the changes of two people can be merged. Its schema is schemas/baseline.schema.json.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import msgspec

from qwen_sft.errors import InputError, UsageError
from qwen_sft.ingesting.ingest import Input
from qwen_sft.running.outfile import STDOUT, opened


class Known(NamedTuple):
    """A finding as a baseline names it; `file` is the path from the working directory."""

    file: str
    code: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a baseline holds.

    Attributes:
        findings: how often each known finding was there.
        rules: codes of the rules that ran.
        without_model: codes of those that did not because no model was named.
        n_without_tools: how many samples made calls whose arguments no declared tool could be held to.
    """

    findings: Mapping[Known, int]
    rules: frozenset[str]
    without_model: frozenset[str]
    n_without_tools: int


_Code = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}[0-9]{3}$")]


class _Finding(msgspec.Struct, forbid_unknown_fields=True):
    file: str
    code: _Code
    fingerprint: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    n: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]


class _NotChecked(msgspec.Struct, forbid_unknown_fields=True):
    no_model: list[_Code]
    no_tools: Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    qwen_sft_baseline: Literal[1]
    rules: list[_Code]
    not_checked: _NotChecked
    findings: list[_Finding]


def read_baseline(file: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        UsageError: there is no such file.
        InputError: it is no baseline.
    """
    try:
        held = msgspec.json.decode(file.read_bytes(), type=_File)
    except OSError as error:
        raise UsageError(f"no baseline {str(file)!r}: {error.strerror}; write one with --write-baseline") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{str(file)!r} is no baseline: {error}; write it anew with --write-baseline") from error
    findings = Counter[Known]()
    for one in held.findings:
        findings[Known(one.file, one.code, one.fingerprint)] += one.n
    return Baseline(findings, frozenset(held.rules), frozenset(held.not_checked.no_model), held.not_checked.no_tools)


def write_baseline(baseline: Baseline, file: Path) -> None:
    """Writes a baseline, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    with opened(str(file)) as stream:
        stream.write(b'{\n"qwen_sft_baseline": 1,\n')
        stream.write(f'"rules": {json.dumps(sorted(baseline.rules))},\n'.encode())
        lacking = {"no_model": sorted(baseline.without_model), "no_tools": baseline.n_without_tools}
        stream.write(f'"not_checked": {json.dumps(lacking)},\n"findings": ['.encode())
        separator = "\n"
        for known, n in sorted(baseline.findings.items()):
            stream.write(f"{separator}{json.dumps({**known._asdict(), 'n': n})}".encode())
            separator = ",\n"
        stream.write(b"\n]\n}\n")


def apart(inputs: Sequence[Input], paths: Sequence[str], *baselines: str | Path | None) -> list[Input]:
    """The inputs without baselines that lie in one of their folders: they hold no records.

    Args:
        paths: what was named as an input; a file that was named outright stays one.
    """
    files = {Path(one).resolve() for one in baselines if one is not None}
    return [one for one in inputs if one.name in paths or one.path is None or one.path.resolve() not in files]


def writable(file: Path, inputs: Iterable[Input]) -> Path:
    """A file that a baseline can be written to.

    Raises:
        UsageError: it is stdout, a folder, in no folder, or one of the inputs.
    """
    if str(file) in (STDOUT, ".") or file.is_dir():
        raise UsageError(f"--write-baseline names {str(file)!r}, which is no file; name a file of its own")
    if not file.parent.is_dir():
        raise UsageError(f"--write-baseline names a file in {str(file.parent)!r}, which is no folder; make it first")
    if any(source.path is not None and source.path.resolve() == file.resolve() for source in inputs):
        raise UsageError(f"{str(file)!r} is an input and would be overwritten; name another --write-baseline")
    return file
