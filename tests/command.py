"""What a command line came to."""

from typing import NamedTuple


class Ran(NamedTuple):
    """Exit code, stdout and stderr of qwen-sft."""

    code: int
    out: str
    err: str
