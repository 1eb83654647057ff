"""Which files a pattern of settings is about: `tests/**`, `*.parquet`, `traces/2024-??/*.jsonl`."""

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from qwen_sft.errors import UsageError
from qwen_sft.text.quote import quoted


def is_matched(file: str, patterns: Iterable[str]) -> bool:
    """True if a file's name matches one of some patterns; that of a file in an archive, also if the archive's does.

    `*` and `?` stand for characters but `/`, `**` for any folders, `[ab]` for one of some. A pattern without `/` is
    about names in every folder, any other about paths from the working directory, or from the root if it begins there.

    Args:
        file: its path from the working directory, with slashes (see `reporter.in_checkout`), or a URL.

    Raises:
        UsageError: a pattern that is none.
    """
    names = {file, file.partition("!")[0]}
    for pattern in patterns:
        shape = _shape(pattern)
        if any(shape.fullmatch(_rooted(name) if pattern.startswith("/") else name) for name in names):
            return True
    return False


def _rooted(name: str) -> str:
    return name if "://" in name else Path(name).absolute().as_posix()


@lru_cache(maxsize=256)
def _shape(pattern: str) -> re.Pattern[str]:
    text = pattern.removeprefix("./")
    made = "" if "/" in text else "(?:.*/)?"
    if text.endswith("/"):
        text += "**"
    for part in re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^\]/]+\]|.", text, flags=re.DOTALL):
        if part == "**/":
            made += "(?:.*/)?"
        elif part in _WILD:
            made += _WILD[part]
        elif len(part) > 1:
            inner = part[1:-1].replace("\\", r"\\").replace("^", r"\^").replace("[", r"\[").replace("&", r"\&")
            inner = inner.replace("~", r"\~").replace("|", r"\|")
            made += f"[^/{inner[1:]}]" if inner.startswith("!") else f"[{inner}]"
        else:
            made += re.escape(part)
    try:
        return re.compile(made, re.DOTALL)
    except re.error as error:
        raise UsageError(f"{quoted(pattern)} is no pattern of paths: {error}; write for example 'tests/**'") from error


_WILD = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
