"""What a trainer is: what it does with files that are handed to it, and what it has to be told of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from qwen_sft.errors import UsageError
from qwen_sft.finding import Severity
from qwen_sft.shelf import shelf

if TYPE_CHECKING:  # numpy takes 0.1 s, and the command line only wants the trainers' names
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

PROVENANCE = frozenset({"provenance", "sample_id", "sample", "source_file", "source_line", "source_item"})
"""Columns that only say where a row came from; nobody misses them in a trainer."""


class Trait(StrEnum):
    """What a row can have, that one trainer or another trips over."""

    MISALIGNED = "labels, a mask or an attention mask of another length than input_ids"
    SHIFTED = "labels that are neither -100 nor the token at their place"
    PACKED = "several conversations in one row"
    WEIGHTED = "weights that are not just 0 and 1"
    NO_OPTIONS = "no chat_template_kwargs, in a column that others have"
    NO_MODE = "no enable_thinking, in a column that others have"
    NO_ANSWER = "no turn of the assistant"
    TEXT_ARGUMENTS = "arguments of a call as text"
    NULLS = "null as an argument, in a column whose calls all have the same fields"
    UNEVEN = "arguments whose names differ from those of other calls, in JSON Lines"
    REASONING = "reasoning in a field of its own"
    OLD_REASONING = "reasoning of a turn before the user's last message"
    BARE_TURN = "a turn of the assistant without reasoning, before the last message"
    TOOLS_ALONE = "tools without a system message"
    WORDS_BESIDE_CALLS = "words beside calls in one turn"
    SEVERAL_RESULTS = "results of several calls behind one turn"
    OUT_OF_TURN = "two messages of one side behind each other, or a last one that is not the assistant's"
    NO_CONTENT = "a message without calls whose content is null"
    TEXT_TOOLS = "tools as JSON text"
    LISTED_TOOLS = "tools as a list"
    PIECES = "messages that are another text one by one than together"
    TEXT_MESSAGES = "messages as JSON text"


@dataclass(slots=True)
class Spotted:
    """How many rows something holds for, and where the first of them is: `data/train.parquet:12`."""

    n_rows: int = 0
    first: str = ""

    def add(self, place: str) -> None:
        """One row more."""
        self.n_rows += 1
        self.first = self.first or place


Kind = Literal["tokens", "messages", "prompt-completion", "sharegpt", "text", "nothing"]
"""What the rows are: tokenized; conversations of {role, content}, or cut into prompt and completion, or of
{from, value}; plain text; or none of these."""


@dataclass(slots=True)
class Facts:
    """What is known of a folder of rows.

    Attributes:
        folder: as it was named.
        files: those that hold rows, and how many each has.
        kind: what the rows are.
        columns: each with its type in Arrow's words; `object`, `list` and the like in JSON Lines.
        mask: the column that says what is trained: `labels`, or the first mask; "" for none.
        lengths: tokens of each row; of conversations as the model's own template renders them, -1 where it refuses.
            Empty where no model is known.
        first_trained: place of the first trained token of each row, the row's length where there is none; tokens only.
        last_trained: place of the last, -1 where there is none; tokens only.
        traits: rows by what they have.
        untrained: rows with turns that a field marks as not to be trained, by the field: `train`, `loss`, `training`,
            `trained_turns`.
        roles: rows by the roles in them.
        writer: the writer of qwen-sft that made them; "" for a foreign folder.
        rewrites: whether its template drops reasoning of turns before the user's last message; None where nobody knows.
        n_turns_masked: turns of the assistant that its writer could not mark as not to be trained.
        model: name of the model that they are for; "" where nobody says.
        template_sha256: of its chat template; "" where nobody says.
        family: its family's name; "" where nobody says.
        unread: rows that could not be read.
    """

    folder: Path
    files: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    kind: Kind = "nothing"
    columns: dict[str, str] = field(default_factory=dict[str, str])
    mask: str = ""
    lengths: "Ints | None" = None
    first_trained: "Ints | None" = None
    last_trained: "Ints | None" = None
    traits: dict[Trait, Spotted] = field(default_factory=dict[Trait, Spotted])
    untrained: dict[str, Spotted] = field(default_factory=dict[str, Spotted])
    roles: dict[str, Spotted] = field(default_factory=dict[str, Spotted])
    writer: str = ""
    n_turns_masked: int = 0
    model: str = ""
    template_sha256: str = ""
    family: str = ""
    rewrites: bool | None = None
    unread: Spotted = field(default_factory=Spotted)

    @property
    def n_rows(self) -> int:
        """How many rows were read."""
        return sum(n for _, n in self.files)

    @property
    def converses(self) -> bool:
        """True for rows that a trainer has to render and to tokenize."""
        return self.kind in ("messages", "prompt-completion", "sharegpt")

    def place(self, row: int) -> str:
        """Where a row is, by its number from 0 among all: `data/train.parquet:12`."""
        for file, n in self.files:
            if row < n:
                return f"{file}:{row + 1}"
            row -= n
        raise IndexError(row)

    def spotted(self, trait: Trait) -> Spotted:
        """The rows that have it."""
        return self.traits.get(trait, Spotted())

    def all(self) -> Spotted:
        """All rows."""
        return Spotted(self.n_rows, self.place(0) if self.n_rows else "")

    def where(self, rows: "npt.NDArray[np.bool_]") -> Spotted:
        """The rows whose place in an array is true."""
        found = rows.nonzero()[0]
        return Spotted(len(found), self.place(int(found[0])) if len(found) else "")

    def longer(self, limit: int) -> Spotted:
        """The rows of more tokens than that."""
        return Spotted() if self.lengths is None else self.where(self.lengths > limit)

    @property
    def longest(self) -> int:
        """Tokens of the longest row; 0 where nobody knows."""
        return 0 if self.lengths is None else int(self.lengths.max(initial=0))

    def untrained_up_to(self, limit: int | None) -> Spotted:
        """The tokenized rows of which nothing is trained in their first so many tokens; None for all tokens."""
        if self.first_trained is None or self.lengths is None:
            return Spotted()
        end = self.lengths if limit is None else self.lengths.clip(max=limit)
        return self.where(self.first_trained >= end)


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that a trainer will do.

    Attributes:
        name: what happens to the data, as `rows-cut`.
        severity: `error`: it trains something else than what was proven, or stops. `warning`: it loses or adds
            something. `info`: it is good to know.
        says: what it does, and why.
        fix: what to set or do; "" where nothing has to be.
        rows: which rows it concerns.
        source: where in the trainer's code this stands: file and name.
    """

    name: str
    severity: Severity
    says: str
    fix: str
    rows: Spotted
    source: str


@dataclass(frozen=True, slots=True)
class Setup:
    """How a trainer is set up: the value of each option that decides what it does with rows.

    Attributes:
        values: by the trainer's own name of the option.
        told: the options that a flag, a config or the folder sets; the others have the trainer's default.
    """

    values: Mapping[str, Any]
    told: frozenset[str] = frozenset()

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def limit(self, name: str) -> int | None:
        """A length in tokens; None for none.

        Raises:
            UsageError: it is no number.
        """
        value = self.values[name]
        if value is None or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
            return value
        raise UsageError(f"{name} is {value!r}; it can be a number of tokens")

    def shown_limit(self, name: str) -> str:
        """A length in words: `max_length=1,024, its default`."""
        return f"{name}={self.limit(name):,}{'' if name in self.told else ', its default'}"


@dataclass(frozen=True, slots=True)
class Request:
    """What a trainer's own preparation is run on.

    Attributes:
        files: the rows, in order.
        n_rows: how many of them are wanted, from the first.
        tokenizer: the model's tokenizer.json.
        template: the model's chat template; None where only its hash is known.
        template_sha256: of it; "" where nobody knows.
        scratch: a folder to write into.
    """

    files: Sequence[Path]
    n_rows: int
    tokenizer: Path
    template: str | None
    template_sha256: str
    scratch: Path
    setup: Setup


@dataclass(frozen=True, slots=True)
class Prepared:
    """A row as it reaches the loss: its number in the files, from 0, and a label for each token."""

    row: int
    input_ids: Sequence[int]
    labels: Sequence[int]


@dataclass(frozen=True, slots=True)
class Trainer:
    """One trainer.

    Attributes:
        name: the file's name on the shelf, with dashes.
        title: one line for help.
        package: what it is called on PyPI.
        versions: those whose code was read, newest first.
        options: the options that decide what becomes of rows, with their defaults.
        length: the option that limits a row's tokens.
        packing: the option that packs rows.
        claims: what it will do with a folder.
        config: takes those options out of its own config, parsed; the config may be nested.
        beside: options that files in the folder set, as our writers leave them there.
        costly: traits that it asks for and that take the time of rendering every message: nobody else pays for them.
        prepare: runs its own preparation; raises a UsageError where a package is missing or it stops. None where we
            cannot.
    """

    name: str
    title: str
    package: str
    versions: tuple[str, ...]
    options: Mapping[str, Any]
    length: str
    packing: str | None
    claims: Callable[[Facts, Setup], Iterable[Claim]]
    config: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda config: config
    beside: Callable[[Path], Mapping[str, Any]] = field(default=lambda _: {})
    costly: frozenset[Trait] = frozenset()
    prepare: Callable[[Request], Iterator[Prepared]] | None = None


def trainers() -> dict[str, Trainer]:
    """The shelf `trainers/`, by name."""
    return shelf("trainers", Trainer, lambda thing: thing.name)


def trainer_named(name: str) -> Trainer:
    """The trainer of that name.

    Raises:
        UsageError: there is none.
    """
    found = trainers()
    if name not in found:
        raise UsageError(f"no trainer {name!r}; trainers are {', '.join(found)}")
    return found[name]


def version_of(trainer: Trainer, asked: str | None) -> str:
    """The version whose code answers for the one that is asked about: the newest for none.

    Raises:
        UsageError: none does.
    """
    if asked is None:
        return trainer.versions[0]
    for known in trainer.versions:
        if asked == known or asked.startswith(f"{known}."):
            return known
    raise UsageError(f"{trainer.name} {asked!r} was not read; versions are {', '.join(trainer.versions)}")


# -- what several trainers do ------------------------------------------------------------------------------------------


def damaged(facts: Facts, source: str) -> Iterator[Claim]:
    """Rows whose labels are wrong for any trainer."""
    if (found := facts.spotted(Trait.MISALIGNED)).n_rows:
        yield Claim(
            "labels-misaligned",
            Severity.ERROR,
            f"{facts.mask or 'a mask'} has another length than input_ids: labels stand at other tokens, or it stops",
            "give each token one label",
            found,
            source,
        )
    if (found := facts.spotted(Trait.SHIFTED)).n_rows:
        yield Claim(
            "labels-shifted",
            Severity.ERROR,
            "labels are not the tokens at their place; the trainer shifts them itself, so the model would learn to "
            "skip or to repeat a token",
            "put the token itself, or -100, at each place of labels",
            found,
            source,
        )


def weights_ignored(facts: Facts, source: str, name: str = "weights") -> Iterator[Claim]:
    """Weights of tokens, which no trainer reads."""
    if (found := facts.spotted(Trait.WEIGHTED)).n_rows:
        yield Claim(
            "weights-ignored",
            Severity.WARNING,
            f"the column {name!r} never reaches the loss: every token that has a label counts as 1",
            "build again without `weight` in the messages, or multiply the loss in a trainer of your own",
            found,
            source,
        )


def columns_ignored(facts: Facts, kept: Iterable[str], source: str) -> Iterator[Claim]:
    """Columns that are not looked at."""
    others = [name for name in facts.columns if name not in {*kept, *PROVENANCE}]
    if others:
        yield Claim(
            "columns-ignored",
            Severity.INFO,
            f"these columns are dropped: {', '.join(others)}",
            "",
            facts.all(),
            source,
        )


def untrained_turns(facts: Facts, honours: Iterable[str], source: str, fix: str) -> Iterator[Claim]:
    """Turns that are marked as not to be trained, in a way that the trainer does not read."""
    honoured = set(honours)
    for name, found in facts.untrained.items():
        if name not in honoured:
            yield Claim(
                "untrained-turns-trained",
                Severity.ERROR,
                f"{name!r} marks turns that are not to be trained, and nobody reads it: they are trained",
                fix,
                found,
                source,
            )
    if facts.n_turns_masked and not honoured and not facts.untrained:
        yield Claim(
            "untrained-turns-trained",
            Severity.ERROR,
            f"{facts.n_turns_masked:,} turns that are not to be trained have no mark in these files (manifest.json, "
            "n_turns_masked): they are trained",
            fix,
            Spotted(0, "manifest.json"),
            source,
        )


LOOKED_AT = ("qwen3", "qwen3_first_revision")
"""Families of which it is known what the templates of ms-swift and LLaMA-Factory print otherwise."""


def another_text(facts: Facts, *, think_blocks: bool, source: str, fix: str, tools_source: str) -> Iterator[Claim]:
    """Where a trainer's own template of Qwen3 prints another text than the model's.

    Seen for qwen3 by loading rows into ms-swift 4.6 and LLaMA-Factory 0.9.5 (2026-11-21); of other families nobody has
    looked.

    Args:
        think_blocks: whether it is set to write an empty one into each turn without reasoning.
        source, fix: where that stands, and what mends it.
        tools_source: where the text before the tools stands.
    """
    if facts.family not in LOOKED_AT:
        return
    if think_blocks and (found := facts.spotted(Trait.BARE_TURN)).n_rows:
        yield Claim(
            "think-blocks-added",
            Severity.ERROR,
            "an empty think block is put into every turn without reasoning; the model's template puts one only into a "
            "row's last turn",
            fix,
            found,
            source,
        )
    if (found := facts.spotted(Trait.TOOLS_ALONE)).n_rows:
        yield Claim(
            "system-prompt-differs",
            Severity.ERROR,
            "two newlines stand before '# Tools' where there is no system message; the model's template puts none",
            "give every row with tools a system message, in training and when it is served",
            found,
            tools_source,
        )


def length_unknown(facts: Facts, limit: int | None, option: str, source: str) -> Iterator[Claim]:
    """Conversations that nobody can measure."""
    if facts.converses and limit is not None and facts.lengths is None:
        yield Claim(
            "length-unknown",
            Severity.INFO,
            f"no model is known, so nobody can tell which rows are longer than {option}={limit:,}",
            "name the model with --model",
            facts.all(),
            source,
        )


def too_long(
    facts: Facts, setup: Setup, option: str, *, name: str, does: str, fix: str, source: str, measured: str = ""
) -> Iterator[Claim]:
    """Rows of more tokens than an option allows, or conversations of which nobody can tell; nothing without a limit.

    Args:
        option: the trainer's own name of it.
        name, does: what becomes of such rows, as the claim's name and in words.
        fix, source: what mends it, and where in the trainer's code it stands.
        measured: where the rows are measured, if that stands elsewhere.
    """
    limit = setup.limit(option)
    if limit is None:
        return
    yield from length_unknown(facts, limit, option, measured or source)
    found = facts.longer(limit)
    if found.n_rows:
        yield Claim(name, Severity.ERROR, f"longer than {setup.shown_limit(option)}: {does}", fix, found, source)


def masked_rows_stay(masked: Spotted, source: str) -> Claim:
    """Rows of which nothing is trained, and that nobody takes out."""
    return Claim(
        "masked-rows-stay",
        Severity.WARNING,
        "nothing is trained in them, and they stay: each takes its part of a batch for nothing",
        "take these rows out",
        masked,
        source,
    )


def packed_without_boundaries(found: Spotted, why: str, fix: str, source: str) -> Claim:
    """Packed rows of which the trainer does not know where each conversation begins."""
    return Claim(
        "packed-without-boundaries",
        Severity.ERROR,
        f"{why}: the conversations of a row see each other",
        fix,
        found,
        source,
    )


def text_arguments(facts: Facts, does: str, source: str) -> Iterator[Claim]:
    """Arguments of calls that are text, with what the trainer does with that."""
    if (found := facts.spotted(Trait.TEXT_ARGUMENTS)).n_rows:
        yield Claim(
            "arguments-as-text",
            Severity.ERROR,
            f"arguments of calls are text: {does}",
            "give them as objects: qwen-sft convert does",
            found,
            source,
        )


def nulls_taught(facts: Facts, fix: str, source: str) -> Iterator[Claim]:
    """Arguments that no call has, and that the template prints."""
    if (found := facts.spotted(Trait.NULLS)).n_rows:
        yield Claim(
            "nulls-taught",
            Severity.ERROR,
            "Arrow has filled calls with null for the arguments of other calls, and the template prints them",
            fix,
            found,
            source,
        )
