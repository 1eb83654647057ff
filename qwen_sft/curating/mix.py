"""`--mix FILE`: sources with weights; what weighs less than 1 is drawn from, what weighs more is repeated.

[sources.tools]
paths = ["tools/*.jsonl"]
weight = 0.25

[sources.chat]
paths = ["chat.jsonl"]
weight = 2
"""

import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwen_sft.errors import UsageError
from qwen_sft.ingesting.ingest import Input, expand
from qwen_sft.ingesting.remote import is_url
from qwen_sft.inspecting.keys import chance
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.quote import quoted

_KEYS = {"paths", "weight"}


@dataclass(frozen=True, slots=True)
class Source:
    """One source of a mix.

    Attributes:
        name: as the mix calls it.
        paths: files, directories, globs or URLs, as `build` takes them.
        weight: how often each of its samples is wanted; above 0.
    """

    name: str
    paths: tuple[str, ...]
    weight: float = 1.0

    def copies(self, content: bytes, seed: int) -> int:
        """How often a sample of it stands in the set: its weight, the part behind the comma by the sample's hash."""
        whole = math.floor(self.weight)
        return whole + (chance("mix", seed, content) < self.weight - whole)


def load_mix(file: str) -> list[Source]:
    """The sources of a mix, in order; paths that are no URL are relative to the file's folder.

    Raises:
        UsageError: it cannot be read, or says something that no mix can say.
    """
    try:
        table: Any = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the mix {file!r}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the mix {file!r} is not TOML: {error}") from error
    sources: Any = table.get("sources")
    strange = sorted(set(table) - {"sources"})
    if strange or not is_object(sources) or not sources:
        found = f"sets {strange[0]!r}" if strange else "has no sources"
        raise UsageError(f"the mix {file!r} {found}; write tables such as [sources.chat] with paths and weight")
    return [_source(name, told, file) for name, told in sources.items()]


def _source(name: str, told: Any, file: str) -> Source:
    said = f"source {name!r} of the mix {file!r}"
    strange = sorted(set(told) - _KEYS) if is_object(told) else ["it"]
    if strange:
        raise UsageError(f"{said} sets {strange[0]!r}; it takes paths = [...] and weight = 0.5")
    paths: Any = told.get("paths")
    if not is_list(paths) or not paths or not all(isinstance(path, str) and path for path in paths):
        raise UsageError(f"{said} has paths = {quoted(paths)}; it takes a list of files, directories, globs or URLs")
    weight: Any = told.get("weight", 1)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not (0 < weight < math.inf):
        raise UsageError(f"{said} has weight = {quoted(weight)}; it takes a number above 0")
    folder = Path(file).parent
    return Source(name, tuple(path if is_url(path) else str(folder / path) for path in paths), float(weight))


def with_mix(
    inputs: Sequence[Input], file: str | None, *, hashed: bool = False, skipped: Counter[str] | None = None
) -> tuple[list[Input], dict[str, Source]]:
    """Inputs and, behind them, those of a mix; and the sources of these by the names of their files.

    Args:
        inputs: what is named beside the mix.
        file: the mix; None for none.
        hashed: take each file's sha256 while it is read.
        skipped: counts the files of directories that are left out, by suffix.

    Raises:
        InputError: a path that names nothing.
        UsageError: the mix says what no mix can say, or names a file that is named elsewhere too.
    """
    owners = {_place(one): "the command line" for one in inputs}
    found, sources = list(inputs), dict[str, Source]()
    for source in load_mix(file) if file is not None else ():
        for one in expand(source.paths, hashed=hashed, skipped=skipped):
            owner = owners.setdefault(_place(one), f"source {source.name!r}")
            if owner != f"source {source.name!r}":
                raise UsageError(f"{one.name!r} belongs to {owner} and to source {source.name!r}; name it once")
            found.append(one)
            sources[one.name] = source
    return found, sources


def source_in(sources: Mapping[str, Source], file: str) -> Source | None:
    """The source of a record's file, which may be a file in an archive that the mix names; None if it has none."""
    while file not in sources and "!" in file:
        file = file.rpartition("!")[0]
    return sources.get(file)


def _place(one: Input) -> str:
    return one.url or (str(one.path.resolve()) if one.path else one.name)
