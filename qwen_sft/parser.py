"""What a tool-call parser is: which server runs it, under which flag and in which versions, and what it reads.

A parser here answers as the server's own does for a whole text at once. It is written afresh from recorded outputs of
the real one and must share no code with what renders the text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from qwen_sft.sample import Path
from qwen_sft.shelf import shelf

ServerName = Literal["vllm", "sglang"]
Wire = Literal["hermes", "qwen3_coder"]
"""How calls are written: JSON in `<tool_call>`, or `<function=` and `<parameter=` tags; named as vLLM's parsers are."""

Version = tuple[int, ...]
"""A version's numbers; (0, 24) stands before every 0.24.x."""

Tools = Sequence[Mapping[str, Any]]
"""Declared tools as the chat template gets them: `{"type": "function", "function": {...}}`."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the server hands to its caller.

    Attributes:
        content: the text beside the calls; None or "" where there is none, as the server has it.
        calls: (name, arguments) in the order read. The arguments are whatever JSON the server passes on: a dict, but
            for a model that wrote something else in it; a string also where they are text that is no JSON.
        reasoning: what was thought before; None without a reasoning parser, too.
    """

    content: str | None
    calls: tuple[tuple[str, Any], ...]
    reasoning: str | None = None


class Read(Protocol):
    """Generated text and declared tools to what a server reads. Never raises on any text.

    `thinking` is None where the server runs no reasoning parser; else whether the request leaves thinking on.
    """

    def __call__(self, text: str, tools: Tools, /, *, thinking: bool | None = None) -> Parsed: ...


@dataclass(frozen=True, slots=True)
class ToolParser:
    """One parser of one server, in a range of versions in which it reads alike.

    Attributes:
        name: the file's name.
        server: who runs it.
        flags: what `--tool-call-parser` calls it, the name in use first.
        wire: how the calls that it reads are written.
        since: the first version that reads so, as far back as we looked.
        before: the first version that reads otherwise; None for the newest.
        read: see Read.
        recommended: True for the one that the server's own documentation names for this wire format.
    """

    name: str
    server: ServerName
    flags: tuple[str, ...]
    wire: Wire
    since: Version
    before: Version | None
    read: Read
    recommended: bool = True

    def runs_in(self, version: Version) -> bool:
        """True if this is how that version of the server reads."""
        return self.since <= version and (self.before is None or version < self.before)


@dataclass(frozen=True, slots=True)
class Difference:
    """One way in which what a server reads is not what the sample has.

    Attributes:
        path: the place in the assistant turn: a call, one of its arguments, or the content.
        says: what the sample has, what the server reads, and why.
        fix: how to mend it.
        spelling: True where nothing is lost but the spelling of a number: 1.0 is read as 1.
    """

    path: Path
    says: str
    fix: str
    spelling: bool = False


def parsers() -> dict[str, ToolParser]:
    """The shelf `parsers/`, by name."""
    return shelf("parsers", ToolParser, lambda thing: thing.name)
