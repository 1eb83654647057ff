"""SRC001 unreadable-record."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule

_LONG = 1000  # bytes of a line that no one finds by its number in an editor


@rule(code="SRC001", name="unreadable-record", severity="error", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """A record is not JSON.

    What it catches: a line, or an item of a list, that cannot be parsed: torn off, two records in one line, NaN, a
        control character in a string, bytes that are no UTF-8, a surrogate without its pair. One that is too long to
        hold, and the rest of a file that is damaged, such as a torn archive. A conversation that stretches over several
        lines, with such a line among them: what that line said is missing from it.

    Why it matters: a writer that was stopped leaves half a line, and a reader that skips it loses a conversation
        without a word. Here it is counted, and `build` keeps its bytes with the rejected records.

    Fix: write the record again from its source, or take the line out.

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: RFC 8259, The JavaScript Object Notation (JSON) Data Interchange Format.
    """
    record = source.record
    for hole in record.holes:
        says = f"a line inside this conversation could not be read: {hole.file}:{hole.line}"
        yield Finding((), says, "write that line again, or take it out if it is no part of the conversation")
    if record.fault is None:
        return
    says = record.fault if record.cut else f"not JSON: {record.fault}"
    if len(record.raw) > _LONG and not record.cut:
        says += f"; the record begins at byte {record.where.byte:,}"
    yield Finding((), says, "write the record again, or take it out")
