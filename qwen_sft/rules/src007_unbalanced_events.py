"""SRC007 unbalanced-events."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule


@rule(code="SRC007", name="unbalanced-events", severity="error", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """qwen-sft lost count of a record's events: its own fault, not the record's.

    What it catches: a reading in which an event became no message and was not set aside either, or was counted twice.
        Events are counted apart from the reading, so that a reader which forgets one is found out. No record can be
        shown that does this: each one is a bug, and is mended.

    Why it matters: a lost event is a message that nobody misses. The record is refused, because what was made of it
        may not be what took place.

    Fix: report the record as a fault of qwen-sft.

    Bad (unit=yes):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: `unbalanced` in `qwen_sft/format.py`.
    """
    for sentence in source.imbalance:
        yield Finding(
            (), f"qwen-sft lost count: {sentence}", "report this record: it is a fault of qwen-sft, not of your data"
        )
