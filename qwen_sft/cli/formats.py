"""`qwen-sft formats`: what the shelf of formats can read."""

import sys


def formats() -> None:
    """List the trace formats that can be read."""
    from qwen_sft.format import formats as shelf

    for one in shelf().values():
        sys.stdout.write(f"{one.name:<14} {one.title}\n")
