"""SRC003 unknown-format."""

import reprlib
from collections.abc import Iterator
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule
from qwen_sft.sample import is_list, is_object

_MOST_KEYS = 8


@rule(code="SRC003", name="unknown-format", severity="error", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """No format recognises the record, or not the one that was named.

    What it catches: an object or a list that has the shape of no known kind of trace, or not the shape of the format
        that `--format` names.

    Why it matters: a validator that passes what it did not understand has checked nothing. A record of no known shape
        stops here, and is counted as rejected.

    Fix: convert the record to a shape that `qwen-sft formats` lists, or add a format: one file in
        `qwen_sft/formats/`.

    Bad:
        {"task_id": 7, "log": ["opened the page", "clicked the button"]}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: a format is identified by its shape, never by the name of its file or folder.
    """
    data = source.record.data
    if source.record.fault is not None or source.recognised or not data or not (is_object(data) or is_list(data)):
        return
    asked = source.settings.format
    if asked is None:
        says, fix = "no format recognises this record", "convert it to one that `qwen-sft formats` lists"
    else:
        says, fix = f"format {asked!r} does not recognise this record", "leave --format out, or convert the record"
    yield Finding((), f"{says} ({_keys(data)})", fix)


def _keys(data: Any) -> str:
    """The top keys of a record, or of the first item of a list: "keys: 'traj', 'task_id'"."""
    if is_object(data):
        shown = [reprlib.repr(key) for key in list(data)[:_MOST_KEYS]]
        return f"keys: {', '.join(shown)}{', …' if len(data) > _MOST_KEYS else ''}"
    if is_list(data) and is_object(data[0]):
        return f"a list of {len(data)}; the first has {_keys(data[0])}"
    return f"a list of {len(data)}; the first is {reprlib.repr(data[0])}"
