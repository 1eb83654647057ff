"""The scripts of docs, as modules."""

import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[1] / "docs"


@cache
def script(name: str) -> ModuleType:
    """A module of docs that is a script, such as rule_pages."""
    sys.path.insert(0, str(DOCS))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(DOCS))
