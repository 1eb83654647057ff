"""`qwen-sft formats`: what the shelf of formats can read."""

import sys


def formats() -> None:
    """List the trace formats that can be read."""
    from qwen_sft.format import Format
    from qwen_sft.shelf import shelf

    for one in shelf("qwen_sft.formats", Format, lambda f: f.name).values():
        sys.stdout.write(f"{one.name:<14} {one.title}\n")
