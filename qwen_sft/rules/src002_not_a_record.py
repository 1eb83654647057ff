"""SRC002 not-a-record."""

import reprlib
from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule
from qwen_sft.sample import is_list, is_object

_KINDS: dict[type[Any], str] = {
    type(None): "null",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    dict: "an empty object",
    list: "an empty list",
}


@rule(code="SRC002", name="not-a-record", severity="error", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    r"""A record is JSON that can hold no conversation.

    What it catches: null, a number, a boolean, a string, an empty object or an empty list where a record should be.

    Why it matters: such a line is what is left when an export fails for one record, or when JSON was encoded twice.
        The file still has as many lines as conversations, and the conversation is gone.

    Fix: write the record again from its source; decode a string that holds JSON once more; take the line out.

    Bad:
        null

    Bad:
        {}

    Bad:
        "{\"messages\": []}"

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: JSON Lines (jsonlines.org): each line is any JSON value, so that nothing but a check finds these.
    """
    data = source.record.data
    holds = is_object(data) or is_list(data)
    if source.record.fault is not None or (holds and data):
        return
    kind = _KINDS.get(data.__class__, "no JSON value")
    shown = "" if holds or data is None else f", {reprlib.repr(data)}"
    yield Finding((), f"the record is {kind}{shown}", "write an object or a list of messages, or take it out")
