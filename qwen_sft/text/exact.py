"""JSON values as bytes that no other value has: what is kept for a value is kept under them."""

import marshal
from typing import Any

_PLAIN = 2
"""marshal's version: up to this one it writes nothing about who else holds a value, so equal ones are written alike."""


def exactly(value: Any) -> bytes | None:
    """The same bytes for the same values of the same types in the same order, and others for any other value.

    So 1, 1.0 and True differ, and so do two orders of keys; a NaN is itself.

    Returns:
        None where there are none: it nests some thousand levels deep, or holds a type that is not JSON's.
    """
    try:
        return marshal.dumps(value, _PLAIN)
    except ValueError:
        return None


def again(written: bytes) -> Any:
    """The value that `exactly` wrote."""
    return marshal.loads(written)
