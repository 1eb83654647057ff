"""Reads a shelf: a folder of the package in which every file defines one thing of one kind."""

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TypeVar

Thing = TypeVar("Thing")


@cache
def shelf(package: str, kind: type[Thing], key: Callable[[Thing], str]) -> dict[str, Thing]:
    """The things on a shelf by their key, in the order of their file names.

    Args:
        package: dotted name of the folder, such as "qwen_sft.rules".
        kind: the class that each file holds one instance of.
        key: its name, or a rule's code.

    Raises:
        TypeError: a file on the shelf defines none or several of the kind, or two have one name.
    """
    things: dict[str, Thing] = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(import_module(package).__path__)):
        if module.startswith("_"):
            continue
        values = vars(import_module(f"{package}.{module}")).values()
        found = {id(value): value for value in values if isinstance(value, kind)}
        if len(found) != 1:
            raise TypeError(f"{package}.{module} defines {len(found)} of {kind.__name__}, not one")
        (thing,) = found.values()
        name = key(thing)
        if name in things:
            raise TypeError(f"{package}.{module} defines {name!r} again")
        things[name] = thing
    return things
