"""What a dialect is: calls and results as text, as models without a tool API were taught to write them.

A file on the shelf `dialects/` defines one `Dialect`. Each reads exactly or not at all: text of which any piece is left
over, or whose values are not exactly one thing, is no call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qwen_sft.sample import Tool, ToolCall
from qwen_sft.shelf import shelf


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write calls as text.

    Attributes:
        name: the file's name.
        title: one line on what it looks like.
        marks: texts of which a turn with calls holds at least one: a cheap test.
        calls: the text before the calls of an assistant's turn, and the calls; None where there is no exact reading.
            The tools are the sample's, for dialects whose values are text and typed by the schema.
        results: the results in a turn behind them, in order; None where it is none.
    """

    name: str
    title: str
    marks: tuple[str, ...]
    calls: Callable[[str, Sequence[Tool]], tuple[str, list[ToolCall]] | None]
    results: Callable[[str], list[str] | None]


def dialects() -> dict[str, Dialect]:
    """The shelf `dialects/`, by name."""
    return shelf("dialects", Dialect, lambda thing: thing.name)
