"""What a writer is: one way to put training rows, or the conversations that they were made of, on disk."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from qwen_sft.asking.request import Options
from qwen_sft.errors import UsageError
from qwen_sft.record import Where
from qwen_sft.sample import Sample
from qwen_sft.shelf import shelf

if TYPE_CHECKING:
    from qwen_sft.tokens import Tokens

TRAIN = "train"
"""The split of every row that nothing else puts elsewhere."""


@dataclass(frozen=True, slots=True)
class Row:
    """A training row with its provenance.

    Attributes:
        where: the record that it came from.
        sample_id: the trace's own name for the sample; "" if it has none.
        sample: index of the sample within the record.
        conversation: the sample as it was rendered: `tokens.turns` are indices into its messages. None where a program
            made the row itself; then it can be written as tokens only.
        options: what the template was given for the row's last turn, such as `enable_thinking`.
        split: which split it belongs to.
        copy: which of several that a weight makes of it, from 0.
        pieces: the rows that were packed into this one, in order; empty for the row of one sample.
        counted: what `calls` says, where the conversation was left behind in another process; else None.
    """

    tokens: "Tokens"
    where: Where
    sample_id: str
    sample: int
    conversation: Sample | None = None
    options: Options = field(default_factory=dict[str, Any])
    split: str = TRAIN
    copy: int = 0
    pieces: tuple["Row", ...] = ()
    counted: tuple[int, int] | None = None

    @property
    def calls(self) -> tuple[int, int]:
        """How many calls it shows, and how deep they are chained: calling turns with no user's turn between them.

        Of a packed row, all calls and the deepest chain.
        """
        if self.counted is not None:
            return self.counted
        if self.pieces:
            each = [piece.calls for piece in self.pieces]
            return sum(n_calls for n_calls, _ in each), max(depth for _, depth in each)
        n_calls = chain = depth = 0
        messages = self.conversation.get("messages", []) if self.conversation else []
        for message in messages[: self.tokens.n_messages]:
            if message.get("role") == "user":
                chain = 0
            elif calls := message.get("tool_calls"):
                n_calls += len(calls)
                chain += 1
                depth = max(depth, chain)
        return n_calls, depth


@dataclass(frozen=True, slots=True)
class Talk:
    """A sample that is written as a conversation, with what its training rows say of it.

    Attributes:
        sample: the conversation, as it was rendered.
        shown: the same up to the last turn that is trained, as its longest training row has it.
        trained: the messages that are trained in any of its rows, ascending.
        rows: its training rows; at least one.
    """

    sample: Sample
    shown: Sample
    trained: tuple[int, ...]
    rows: tuple[Row, ...]

    @property
    def options(self) -> Options:
        """What the template was given for its last trained turn."""
        return self.rows[-1].options


def talks(rows: Iterable[Row]) -> Iterator[Talk]:
    """The conversations of some rows, in their order; all rows of one sample must stand together."""
    for _, group in groupby(rows, key=lambda row: (row.where, row.sample, row.split, row.copy)):
        found = tuple(group)
        conversation = found[0].conversation
        if conversation is None:
            raise ValueError("a row without its conversation cannot be written as one")
        trained = sorted({turn for row in found for turn in row.tokens.turns})
        yield Talk(conversation, shown(conversation, [row.tokens for row in found]), tuple(trained), found)


def shown(sample: Sample, rows: "Iterable[Tokens]") -> Sample:
    """A sample up to the last message that any of its training rows shows: its last trained turn."""
    messages = sample.get("messages", [])
    end = max((row.n_messages for row in rows), default=len(messages))
    return sample if end >= len(messages) else {**sample, "messages": messages[:end]}


@dataclass(frozen=True, slots=True)
class Part:
    """A file that a writer made, under a name that it has until the build is done.

    Attributes:
        path: where it was written; the name begins with a dot and ends in `.part`.
        name: what it is to be called, relative to the writer's folder, with slashes.
        split: the split whose rows it holds; None for a file that holds none.
        n_rows: how many.
        n_bytes: its size.
        sha256: of its bytes, hex.
    """

    path: Path
    name: str
    split: str | None
    n_rows: int
    n_bytes: int
    sha256: str


class OpenWriter(Protocol):
    """A writer at work.

    Attributes:
        has_rolled: whether the last `write` has made shards whole: then there is a `state`.
    """

    has_rolled: bool

    def state(self) -> dict[str, list[Any]]:
        """The files that are whole, and what was written behind them, for a writer that goes on with `restore`."""
        ...

    def restore(self, state: Mapping[str, Sequence[Any]]) -> None:
        """Goes on behind what another one had written, in the same folder; comes before the first `write`."""
        ...

    def leave(self) -> None:
        """Stops, and leaves the files as they are."""
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Appends rows, in order; all rows of one sample in one call."""
        ...

    def finish(self) -> list[Part]:
        """Ends the files and says what they are to be called: those of the rows in their order, then any others."""
        ...

    def abort(self) -> None:
        """Takes away what was written."""
        ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column, for the card and the manifest: its name, its type and what it holds."""

    name: str
    type: str
    what: str


Trains = Literal["tokens", "turns", "all"]
"""What of our masks a consumer of the files keeps: each token's, whole turns', or nothing: it trains every turn of the
assistant that it finds."""


@dataclass(frozen=True, slots=True)
class Packing:
    """How a writer writes rows that are packed (see `qwen_sft.curating.pack`): what it opens then, and the columns."""

    open: Callable[[Path, int], OpenWriter]
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class Writer:
    """One file format.

    Attributes:
        name: the file's name on the shelf.
        title: one line for help.
        writes: `tokens`, a row for each training row; `conversations`, a row for each sample or each of its turns.
        open: starts writing into a folder, with shards of about that many bytes of row data.
        read: the rows of a folder that this writer wrote, as column name to Python value, to prove the round trip.
        columns: what a row has.
        trains: what of our masks a consumer keeps.
        masks: the same in words for the card, with who decides what.
        load: Python or YAML for the card: how the rows are read. FOLDER in it stands for the build's folder.
        language: what `load` is written in.
        data_files: for `load_dataset`: the files of a split, relative to the build's folder; {split} is its name.
        packing: how it writes rows that are packed; None where it cannot.
        refuses: why a sample, as `shown`, cannot be written so, for rule TOK012; None if it can.
    """

    name: str
    title: str
    writes: Literal["tokens", "conversations"]
    open: Callable[[Path, int], OpenWriter]
    read: Callable[[Path], list[dict[str, Any]]]
    columns: Sequence[Column]
    trains: Trains
    masks: str
    load: str
    language: str = "python"
    data_files: str = "data/{split}-*.parquet"
    packing: Packing | None = None
    refuses: Callable[[Sample], str | None] = field(default=lambda _: None)


DEFAULT = "parquet"
"""The writer of who names none: it refuses nothing."""


def writers() -> dict[str, Writer]:
    """The shelf `writers/`, by name."""
    return shelf("writers", Writer, lambda thing: thing.name)


def writer_named(name: str) -> Writer:
    """The writer of that name.

    Raises:
        UsageError: there is none.
    """
    found: Mapping[str, Writer] = writers()
    if name not in found:
        raise UsageError(f"no writer {name!r}; writers are {', '.join(found)}")
    return found[name]
