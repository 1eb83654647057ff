"""The versions that a result hangs on."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("numpy", "pyarrow", "jinja2", "tokenizers", "fastokens", "msgspec", "jsonschema-rs")


def versions() -> dict[str, str | None]:
    """Python and the packages that have a hand in the bytes of a set; None for one that is not installed."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # fastokens has no wheel everywhere
        return None
