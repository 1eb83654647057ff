"""How deep tests look: a part of what they could draw each time, all of it in `make test-slow`."""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

THOROUGH = "QWEN_SFT_THOROUGH" in os.environ


def examples(n: int) -> int:
    """How many examples hypothesis draws where n are all."""
    return n if THOROUGH else n // 5


def some(items: Sequence[T], n: int) -> Sequence[T]:
    """All of them, or about n from everywhere among them."""
    return items if THOROUGH else items[:: max(1, len(items) // n)]
