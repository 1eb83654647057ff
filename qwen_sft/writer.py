"""What a writer is: one way to put training rows on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from qwen_sft.record import Where
from qwen_sft.shelf import shelf

if TYPE_CHECKING:
    from qwen_sft.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Row:
    """A training row with its provenance.

    Attributes:
        where: the record that it came from.
        sample_id: the trace's own name for the sample; "" if it has none.
        sample: index of the sample within the record.
    """

    tokens: "Tokens"
    where: Where
    sample_id: str
    sample: int


class OpenWriter(Protocol):
    """A writer at work."""

    def write(self, rows: list[Row]) -> None:
        """Appends rows, in order."""
        ...

    def close(self) -> list[Path]:
        """Finishes and names the files that were written, in the order of their rows."""
        ...

    def abort(self) -> None:
        """Takes away what was written."""
        ...


@dataclass(frozen=True, slots=True)
class Writer:
    """One file format for rows.

    Attributes:
        name: the file's name on the shelf.
        title: one line for help.
        open: starts writing into a folder, with shards of about that many bytes.
        read: the rows of a folder that this writer wrote, as column name to Python value, to prove the round trip.
    """

    name: str
    title: str
    open: Callable[[Path, int], OpenWriter]
    read: Callable[[Path], list[dict[str, Any]]]


def writers() -> dict[str, Writer]:
    """The shelf `writers/`, by name."""
    return shelf("writers", Writer, lambda thing: thing.name)
