"""SRC004 ambiguous-format."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule


@rule(code="SRC004", name="ambiguous-format", severity="error", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """Several formats recognise the record.

    What it catches: a record that has the shapes of two kinds of traces at once. The formats that qwen-sft brings
        share no record that we know of: this is met where a record holds the same conversation in two shapes.

    Why it matters: two formats read two different conversations out of it, and a choice by chance or by the order of
        some list would train on one of them without a word.

    Fix: name the right one with `--format`.

    Bad (unit=yes):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
         "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: "exactly one format recognises it" is a law of `qwen_sft/format.py`.
    """
    if len(source.recognised) > 1:
        names = " and ".join(map(repr, source.recognised))
        yield Finding((), f"{names} recognise this record", "name the right one with --format")
