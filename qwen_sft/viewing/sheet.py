"""What is shown of one sample, whatever it came from: a record of a trace, or a row of a built set."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qwen_sft.finding import Diagnostic
from qwen_sft.sample import Path

if TYPE_CHECKING:
    from qwen_sft.showing.view import View


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much of a sample a page holds; what is left out is told where it would stand.

    Attributes:
        n_turns: of a conversation.
        n_characters: of each text of a turn, and of each text in the record.
        n_tokens: of each stretch of tokens that are read, not trained; of trained ones eight times as many.
        n_all_tokens: of all rows together.
        n_prompt: characters of all prompts together.
        n_record: characters of the record.
    """

    n_turns: int
    n_characters: int
    n_tokens: int
    n_all_tokens: int
    n_prompt: int
    n_record: int


PAGE = Bounds(2_000, 40_000, 2_000, 60_000, 400_000, 1_000_000)
"""Of a page of its own: some megabytes at most."""

EXTRACT = Bounds(40, 2_000, 150, 1_500, 8_000, 12_000)
"""Of a sample in a report, which holds several: some hundred kilobytes at most."""


@dataclass(frozen=True, slots=True)
class Called:
    """A call of a turn, as the sample has it."""

    name: str
    arguments: Any
    id: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One message as it is shown.

    Attributes:
        message: its index in the sample; None where a row does not tell it.
        place: where it stands in the record, as JSONPath; "" where nothing tells.
        answers: the id of the call that a tool's message names.
    """

    role: str
    message: int | None
    place: str
    text: str
    reasoning: str = ""
    calls: tuple[Called, ...] = ()
    answers: str = ""


@dataclass(frozen=True, slots=True)
class Talk:
    """One conversation of a record: its messages, its tools as JSON values, its training rows, its id in the trace."""

    said: list[Said]
    tools: Sequence[Any] = ()
    views: "list[View]" = field(default_factory=list["View"])
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sample as it is shown.

    Attributes:
        title: where it stands: file and line.
        facts: what is known of it, in a few words each.
        talks: its conversations; none where nothing could be read.
        findings: what was found in it.
        record: the record as it stands in its file; None for a row of tokens, and for one that is no JSON.
        text: of a record that is no JSON, or nests too deep to be indented, its text.
        marked: for each finding the place in `record` that it is about; None where it is about no place in it.
        note: what is not shown, and why.
        about: what `record` is, in words.
    """

    title: str
    facts: list[str]
    talks: list[Talk]
    findings: list[Diagnostic] = field(default_factory=list[Diagnostic])
    record: Any = None
    text: str | None = None
    marked: list[Path | None] = field(default_factory=list[Path | None])
    note: str = ""
    about: str = "as it stands in its file"
