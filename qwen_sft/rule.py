"""What a rule is: a code, a check and a page, all in one file on the shelf `rules/`.

The check sees one of four subjects, by the stage that it is for, and yields a Finding for each fault: a Source, a
Transcript, an Encoded, or, when all samples were seen, a Census. It must answer
for every subject of its type, and never raise.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from textwrap import dedent
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from qwen_sft.finding import Finding, Severity
from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.inspecting.transcript import Trait, Transcript
from qwen_sft.parser import Difference
from qwen_sft.record import Record
from qwen_sft.sample import Path
from qwen_sft.settings import Settings
from qwen_sft.shelf import shelf

if TYPE_CHECKING:  # numpy takes 0.1 s, and `validate` without a model never needs it
    from qwen_sft.tokens import Tokens

Stage = Literal["record", "sample", "tokens", "set"]


class Source(msgspec.Struct, frozen=True):
    """What a rule of the stage `record` sees: a record, and how far reading came.

    Attributes:
        record: as it stands in its file.
        recognised: the names of the formats that recognise it, or the one that was asked for.
        reading: what that format made of it, if exactly one did.
        imbalance: sentences for events with no fate or with two.
        repeated: for each of its conversations that a later record repeats, the place of that record.
        filtered: for each of its conversations that settings leave out, why.
    """

    record: Record
    settings: Settings
    recognised: tuple[str, ...] = ()
    reading: Reading | None = None
    imbalance: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()
    filtered: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expansion:
    """What it costs that one row cannot serve all turns of a sample, and what it saves.

    Attributes:
        n_rows: rows beside the last one, which shows the most.
        n_tokens: their tokens.
        n_reasoning_tokens: reasoning that is trained in them, which the template takes out of the last one.
    """

    n_rows: int
    n_tokens: int
    n_reasoning_tokens: int


@dataclass(frozen=True, slots=True)
class Shortened:
    """What became of a sample with a row over the limit, where settings make several samples of it.

    Attributes:
        policy: `drop-oldest-results` or `split-at-user`.
        n_tokens: the tokens of its longest row.
        n_samples: how many samples it became.
        n_results: how many of its results stand as a placeholder in some of them.
        n_turns: how many turns are left out, since they fit into none.
    """

    policy: str
    n_tokens: int
    n_samples: int
    n_results: int
    n_turns: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a rule of the stage `tokens` sees: a sample, rendered and encoded for one model.

    Attributes:
        conversation: the sample, as it was rendered, and where its messages came from.
        transcript: the same sample with its calls and results paired.
        dropped: events that were left out of it on the way.
        verified: whether the oracle was asked.
        rows: its training rows; empty where the template refused.
        refusal: the template's or serializer's own complaint; None where it rendered.
        unshown: places in the sample whose words stand in no row, with what is lost.
        unparsed: for each way in which the server would not read a turn back as it is: the turn and the difference.
        disagreements: for each turn where the oracle and we differ: the turn, our text, the server's text.
        too_long: for each row over the limit: its last turn, its tokens, and how many turns were dropped to make it
            fit (0: none, the row is refused).
        shortened: for the first of several samples that were made of one that is too long, what became of it.
        unreasoned: trained turns without reasoning behind a prompt that opens a think block.
        untrained: turns that stand behind no prompt that a server could send, with the reason.
        unselected: nothing of it is what the settings, or its own messages, want trained.
        rewritten: how many rows it would need, where settings want one; else 0.
        left_out: the turns that are not trained for that.
        expansion: what several rows cost; None for one row.
        requests: for each trained turn the template options of its request, as JSON.
    """

    conversation: Conversation
    transcript: Transcript
    dropped: tuple[Event, ...] = ()
    verified: bool = False
    rows: "tuple[Tokens, ...]" = ()
    refusal: str | None = None
    unshown: tuple[tuple[Path, str], ...] = ()
    unparsed: tuple[tuple[int, Difference], ...] = ()
    disagreements: tuple[tuple[int, str, str], ...] = ()
    too_long: tuple[tuple[int, int, int], ...] = ()
    unreasoned: tuple[int, ...] = ()
    untrained: tuple[tuple[int, str], ...] = ()
    unselected: bool = False
    rewritten: int = 0
    left_out: tuple[int, ...] = ()
    expansion: Expansion | None = None
    requests: tuple[str, ...] = ()
    shortened: Shortened | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """An input on a rule's page: its text as it would stand in a file, and the flags to run it with."""

    text: str
    flags: dict[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """A rule's page: the sections of its docstring."""

    summary: str
    catches: str
    matters: str
    fix: str
    source: str
    bad: list[Example]
    good: list[Example]


def is_named(code: str, name: str, selectors: Iterable[str]) -> bool:
    """True if one of some selectors is a rule's code, the beginning of that, or its name."""
    return any(code.startswith(one.upper()) or name == one for one in selectors)


@dataclass(frozen=True, slots=True)
class Rule:
    """One check.

    Attributes:
        code: three letters and three digits, never reused; the letters name what it looks at.
        name: the fault, so that "ignore orphan-tool-result" reads as a sentence.
        severity: error if the record must not be trained on.
        since: the version that brought it.
        stage: what the check sees.
        check: yields the faults of one subject.
        doc: the docstring, from which the page is made.
        heuristic: whether it guesses, so that a finding may be no fault; such a rule is no error.
        needs: the setting without which it does not run, such as "model"; "" for none.
        traits, marks: for a rule of the stage `sample`: it finds nothing in a sample that has none of these traits, and
            none of these marks in the JSON of its messages and tools (see `qwen_sft.text.sieve.Mark`). Where both are
            empty nothing is known. They change no answer, they only spare asking.
    """

    code: str
    name: str
    severity: Severity
    since: str
    stage: Stage
    check: Callable[[Any], Iterable[Finding]]
    doc: str = field(repr=False)
    heuristic: bool = False
    needs: str = ""
    traits: tuple[Trait, ...] = ()
    marks: tuple[str, ...] = ()

    def is_named(self, selectors: Iterable[str]) -> bool:
        """True if one of some selectors is its code, the beginning of that, or its name."""
        return is_named(self.code, self.name, selectors)

    @property
    def needs_model(self) -> bool:
        """True if it sees what a model makes of the samples, so that without one it does not run."""
        return self.stage == "tokens" or self.needs == "model"

    @property
    def page(self) -> Page:
        """The rule's page, read from its docstring.

        Raises:
            ValueError: a section is missing or one that no page has is there.
        """
        return _page(self.doc)


def rule(
    *,
    code: str,
    name: str,
    severity: Literal["info", "warning", "error"],
    since: str,
    stage: Stage,
    heuristic: bool = False,
    needs: str = "",
    traits: tuple[Trait, ...] = (),
    marks: tuple[str, ...] = (),
) -> Callable[[Callable[[Any], Iterable[Finding]]], Rule]:
    """Makes a rule of a check; the check's docstring becomes its page."""

    def make(check: Callable[[Any], Iterable[Finding]]) -> Rule:
        doc = inspect.cleandoc(check.__doc__ or "")
        return Rule(code, name, Severity(severity), since, stage, check, doc, heuristic, needs, traits, marks)

    return make


_SECTIONS = ("What it catches", "Why it matters", "Fix", "Bad", "Good", "Source")
_HEADING = re.compile(rf"^({'|'.join(_SECTIONS)})(?: \((.*)\))?:[ \n]", re.MULTILINE)


def _page(doc: str) -> Page:
    """A docstring's sections. Examples are indented blocks; their flags stand in brackets: `Bad (model=qwen3):`."""
    heads = list(_HEADING.finditer(doc))
    texts: dict[str, list[tuple[str, str]]] = {section: [] for section in _SECTIONS}
    for head, after in zip(heads, [*heads[1:], None], strict=True):
        body = doc[head.end() : after.start() if after else None]
        texts[head[1]].append((head[2] or "", dedent(body).strip("\n")))
    missing = [section for section in _SECTIONS if not texts[section]]
    if missing or not heads:
        raise ValueError(f"the page has no section {', '.join(missing)}")

    def prose(section: str) -> str:
        return " ".join(texts[section][0][1].split())

    def examples(section: str) -> list[Example]:
        return [
            Example(text, dict(flag.split("=", 1) for flag in flags.split(", ") if flag))
            for flags, text in texts[section]
        ]

    return Page(
        summary=doc[: heads[0].start()].strip(),
        catches=prose("What it catches"),
        matters=prose("Why it matters"),
        fix=prose("Fix"),
        source=prose("Source"),
        bad=examples("Bad"),
        good=examples("Good"),
    )


def rules() -> dict[str, Rule]:
    """The shelf `rules/`, by code."""
    return shelf("rules", Rule, lambda thing: thing.code)
