"""The numbers of some traces or of a built set: what the page and the screen show, and nothing else is asked."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from qwen_sft.surveying.cost import FORMULA, Assumed, costs
from qwen_sft.surveying.spread import Spread

About = Literal["traces", "set"]


@dataclass(frozen=True, slots=True)
class Example:
    """One finding, as it is shown.

    Attributes:
        place: file and line.
        path: the place in the record, as JSONPath.
        excerpt: the line of the record around it, in three pieces, of which the second is the culprit; None for none.
    """

    place: str
    path: str
    says: str
    fix: str
    excerpt: tuple[str, str, str] | None


@dataclass(slots=True)
class Found:
    """What one rule found.

    Attributes:
        n: findings, known ones too.
        n_new: those that the baseline does not hold; all without one.
        n_baseline: findings of this rule in the baseline; None without one.
        examples: at most three of the new ones.
    """

    code: str
    name: str
    severity: str
    n: int
    n_new: int
    n_baseline: int | None = None
    examples: list[Example] = field(default_factory=list[Example])


@dataclass(slots=True)
class Origin:
    """What came from one file, or was read by one format. Events: kept + merged + dropped = all.

    Attributes:
        n_tokens: of the rows made of it; 0 without a model.
    """

    name: str
    n_records: int = 0
    n_rejected: int = 0
    n_samples: int = 0
    n_events: int = 0
    n_kept: int = 0
    n_merged: int = 0
    n_dropped: int = 0
    n_rows: int = 0
    n_tokens: int = 0


@dataclass(frozen=True, slots=True)
class KindOfTokens:
    """Tokens of one kind, and how many of them are trained."""

    name: str
    n: int
    n_trained: int


@dataclass(slots=True)
class Parameter:
    """A parameter of a tool: whether some declaration has it, and needs it, and in how many calls it is given."""

    name: str
    declared: bool = False
    required: bool = False
    n_given: int = 0


@dataclass(slots=True)
class ToolUse:
    """A tool: how many samples offer it, and how often it is called."""

    name: str
    n_offered: int = 0
    n_called: int = 0
    parameters: dict[str, Parameter] = field(default_factory=dict[str, Parameter])


@dataclass(slots=True)
class Split:
    """A part of the set; tokens are 0 where nobody counted them.

    Attributes:
        wanted: the share of the samples that was asked for; None where nobody asked for one.
    """

    name: str
    n_samples: int = 0
    n_calls: int = 0
    n_tokens: int = 0
    n_trained: int = 0
    wanted: float | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """A message of a sample, or a piece of a row, that is shown, cut to what a page can hold; `cut` says of what."""

    role: str
    text: str
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    cut: str = ""
    trained: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample that is shown whole, as turns."""

    place: str
    turns: tuple[Turn, ...]
    cut: str = ""


@dataclass(slots=True)
class Numbers:
    """All that is told of some traces, or of a built set. What nobody could count is None, and `untold` says why.

    Attributes:
        name: what was named, for people.
        code: the exit code: 0 clean, 1 findings, 3 nothing was checked.
        verdict: a few words; `sense`: what they mean, a sentence each.
        n_written: records that come into a set.
        n_findings: without those of the baseline; n_errors: those of them that are errors.
        n_fixed: findings of the baseline that are no more; None without a baseline.
        checked, not_checked: in sentences.
        formats, files: where the records came from, the most records first.
        n_files_more: files that are not among `files`.
        dropped_reasons: how many events were dropped for each reason.
        lengths: tokens of each row.
        limit: the most tokens that a row may have, and `limit_of`: who says so.
        patterns: how many samples call tools in which way.
        tools: the most called first; n_tools_more: how many are not among them.
        n_repeated: samples that are word for word an earlier one; n_near: those that nearly are, and were looked for.
        facts: the model, its template, tokenizer and parser, the lock, in pairs.
        untold: for each part, why it has no numbers.
    """

    about: About
    name: str
    code: int = 0
    verdict: str = ""
    sense: list[str] = field(default_factory=list[str])
    n_records: int = 0
    n_rejected: int = 0
    n_written: int = 0
    n_samples: int | None = None
    n_rows: int | None = None
    n_tokens: int | None = None
    n_trained: int | None = None
    n_calls: int | None = None
    n_findings: int = 0
    n_errors: int = 0
    n_fixed: int | None = None
    failures: list[str] = field(default_factory=list[str])
    checked: list[str] = field(default_factory=list[str])
    not_checked: list[str] = field(default_factory=list[str])
    findings: list[Found] = field(default_factory=list[Found])
    formats: list[Origin] = field(default_factory=list[Origin])
    files: list[Origin] = field(default_factory=list[Origin])
    n_files: int = 0
    n_files_more: int = 0
    dropped_reasons: dict[str, int] = field(default_factory=dict[str, int])
    lengths: Spread | None = None
    limit: int | None = None
    limit_of: str = ""
    kinds: list[KindOfTokens] = field(default_factory=list[KindOfTokens])
    turns: Spread | None = None
    depth: Spread | None = None
    calls: Spread | None = None
    patterns: dict[str, int] | None = None
    tools: list[ToolUse] | None = None
    n_tools: int = 0
    n_tools_more: int = 0
    n_repeated: int | None = None
    n_near: int | None = None
    splits: list[Split] = field(default_factory=list[Split])
    assumed: Assumed = field(default_factory=Assumed)
    facts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    samples: list[Shown] = field(default_factory=list[Shown])
    untold: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def n_over(self) -> int:
        """Rows that are longer than the limit."""
        return self.lengths.above(self.limit) if self.lengths is not None and self.limit is not None else 0

    def as_json(self) -> dict[str, Any]:
        """All of it, as JSON; samples and the texts of examples are for the page only."""
        told = {
            name: value.as_json() if isinstance(value, Spread) else value
            for name, value in ((name, getattr(self, name)) for name in self.__slots__)
            if name not in ("samples", "findings", "tools", "assumed", "facts", "splits", "formats", "files", "kinds")
        }
        told["findings"] = [
            {key: value for key, value in asdict(one).items() if key != "examples"} for one in self.findings
        ]
        told["tools"] = None if self.tools is None else [_tool(one) for one in self.tools]
        for name in ("formats", "files", "kinds", "splits"):
            told[name] = [asdict(one) for one in getattr(self, name)]
        told["facts"] = dict(self.facts)
        told["cost"] = None if self.n_tokens is None else _cost(self.n_tokens, self.assumed)
        return told


def _tool(one: ToolUse) -> dict[str, Any]:
    return {**asdict(one), "parameters": [asdict(parameter) for parameter in one.parameters.values()]}


def _cost(n_tokens: int, assumed: Assumed) -> dict[str, Any]:
    made = [asdict(one) for one in costs(n_tokens, assumed)]
    return {
        "formula": FORMULA,
        "epochs": assumed.epochs,
        "peak_flops": assumed.peak,
        "utilisation": assumed.utilisation,
        "by_parameters": made,
    }
