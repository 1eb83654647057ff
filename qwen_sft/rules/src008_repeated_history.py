"""SRC008 repeated-history."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule


@rule(code="SRC008", name="repeated-history", severity="info", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """A later record of the file holds the whole conversation and goes on with it.

    What it catches: with `--dedup-prefixes`, a conversation whose turns another record begins with. Recorded requests
        grow this way: each one sends all turns before it. It is left out; the later record has it, and is not rejected.

    Why it matters: a conversation of ten requests would be trained ten times over, its first turns most of all.

    Fix: none is needed: this says how often it was.

    Bad (dedup_prefixes=true):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
          {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye."}]}

    Good (dedup_prefixes=true):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."},
          {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Bye."}]}

    Source: `qwen_sft.reading.dedup` says which turns count as the same.
    """
    for where in source.repeated:
        yield Finding((), f"{where} repeats this conversation and goes on with it", "none is needed: it is left out")
