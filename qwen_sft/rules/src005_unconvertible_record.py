"""SRC005 unconvertible-record."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule


@rule(code="SRC005", name="unconvertible-record", severity="error", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """A format recognises the record and cannot make a sample of it.

    What it catches: a record with the outer shape of a format, in which something that the format needs is missing or
        of another kind; or one that holds no conversation at all.

    Why it matters: a reader that leaves out what it cannot read makes another conversation than the one that took
        place. The whole record is refused instead, with the place that stopped the reader.

    Fix: mend the place that the message names, or name another format with `--format`.

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}, "Hello."]}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: each format's page says what it needs; see: qwen-sft formats.
    """
    if source.reading is None:
        return
    if source.reading.refusal is not None:
        yield source.reading.refusal
    elif not source.reading.conversations:
        yield Finding((), "this record holds no conversation", "take it out, or name another format with --format")
