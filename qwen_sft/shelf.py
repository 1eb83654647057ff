"""Reads a shelf: a folder of the package in which every file defines one thing of one kind."""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

Thing = TypeVar("Thing")

_read: dict[str, dict[str, Any]] = {}


def shelf(folder: str, kind: type[Thing], key: Callable[[Thing], str]) -> dict[str, Thing]:
    """The things on a shelf by their key, in the order of their file names; read once.

    Args:
        folder: name of the folder in this package, such as "rules".
        kind: the class that each file holds one instance of.
        key: its name, or a rule's code.

    Raises:
        TypeError: a file on the shelf defines none or several of the kind, or two have one key.
    """
    if folder not in _read:
        package = import_module(f"qwen_sft.{folder}")
        things: dict[str, Thing] = {}
        for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
            values = vars(import_module(f"{package.__name__}.{module}")).values()
            found = {id(value): value for value in values if isinstance(value, kind)}
            if len(found) != 1:
                raise TypeError(f"{folder}/{module}.py defines {len(found)} of {kind.__name__}, not one")
            (thing,) = found.values()
            if key(thing) in things:
                raise TypeError(f"{folder}/{module}.py defines {key(thing)!r} again")
            things[key(thing)] = thing
        _read[folder] = things
    return _read[folder]
