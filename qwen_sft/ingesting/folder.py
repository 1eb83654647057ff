"""Folders: which of their files belong to a dataset and hold none of its rows."""

import json
from collections.abc import Callable, Iterable
from typing import IO, Any, NamedTuple

from qwen_sft.sample import is_list, is_object

_TABLES = (".arrow", ".parquet")
_STATE = "state.json"
_ABOUT = frozenset({"dataset_info.json", "dataset_infos.json", "dataset_dict.json", _STATE})


class Entry(NamedTuple):
    """A file in a folder: its name, with the path to it, its size, and what changes with it, if that is known."""

    name: str
    n_bytes: int
    version: str | None = None


def left_out(names: Iterable[str], opener: Callable[[str], IO[bytes]]) -> set[str]:
    """Those files of a folder, at any depth, that `datasets` keeps beside its tables: facts about them, and caches.

    Beside a state.json, as `save_to_disk` writes it, only the .arrow files that it lists are rows.

    Args:
        opener: opens a file of the folder.
    """
    by_folder: dict[str, set[str]] = {}
    for name in names:
        folder, slash, last = name.rpartition("/")
        by_folder.setdefault(folder + slash, set()).add(last)
    with_tables = {folder for folder, inside in by_folder.items() if any(n.endswith(_TABLES) for n in inside)}
    aside: set[str] = set()
    for folder, inside in by_folder.items():
        if any(table.startswith(folder) for table in with_tables):
            aside.update(folder + name for name in inside & _ABOUT)
        rows = _rows(folder + _STATE, opener) if _STATE in inside else None
        for name in inside:
            if name.endswith(".arrow") and (name.startswith("cache-") if rows is None else name not in rows):
                aside.add(folder + name)
    return aside


def _rows(state: str, opener: Callable[[str], IO[bytes]]) -> set[str] | None:
    """The tables that a state.json lists; None if it is none of a dataset's."""
    try:
        with opener(state) as file:
            told: Any = json.load(file)
    except (OSError, ValueError, RecursionError):
        return None
    listed = told.get("_data_files") if is_object(told) else None
    if not is_list(listed):
        return None
    return {one["filename"] for one in listed if is_object(one) and isinstance(one.get("filename"), str)}
