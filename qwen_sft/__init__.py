"""Raw agent traces in, a proven training set for Qwen models out, and a gate that stops a bad one.

For programs there are `validate`, which gives a `Report`, `build`, which writes a training set, and `Encoder`, which
makes rows of records in memory. They are imported when they are first asked for: the command line, and whoever wants
the version only, do not pay for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_sft.errors import QwenSftError as QwenSftError
    from qwen_sft.errors import RejectedError as RejectedError
    from qwen_sft.library.built import Built as Built
    from qwen_sft.library.built import build as build
    from qwen_sft.library.mapping import Encoder as Encoder
    from qwen_sft.library.mapping import Encoding as Encoding
    from qwen_sft.library.report import Report as Report
    from qwen_sft.library.report import validate as validate

__version__ = "0.1.0"
__all__ = [
    "Built",
    "Encoder",
    "Encoding",
    "QwenSftError",
    "RejectedError",
    "Report",
    "__version__",
    "build",
    "validate",
]

_HOMES = {
    "Built": "qwen_sft.library.built",
    "Encoder": "qwen_sft.library.mapping",
    "Encoding": "qwen_sft.library.mapping",
    "QwenSftError": "qwen_sft.errors",
    "RejectedError": "qwen_sft.errors",
    "Report": "qwen_sft.library.report",
    "build": "qwen_sft.library.built",
    "validate": "qwen_sft.library.report",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
