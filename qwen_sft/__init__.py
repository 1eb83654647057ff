"""Raw agent traces in, a proven training set for Qwen models out, and a gate that stops a bad one.

For programs there is `validate`, which gives a `Report`. Both are imported when they are first asked for: the command
line, and whoever wants the version only, do not pay for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_sft.errors import QwenSftError as QwenSftError
    from qwen_sft.report import Report as Report
    from qwen_sft.report import validate as validate

__version__ = "0.1.0"
__all__ = ["QwenSftError", "Report", "__version__", "validate"]

_HOMES = {"QwenSftError": "qwen_sft.errors", "Report": "qwen_sft.report", "validate": "qwen_sft.report"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
