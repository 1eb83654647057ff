"""Rows on their way to a verdict: many of them as flat arrays, so that no Python runs for a token."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Broken(NamedTuple):
    """A row that cannot be judged.

    Attributes:
        line: its place in the file.
        fault: its name; "" where the row has nothing to judge, which is no fault.
        says: why, in words.
    """

    line: int
    fault: str
    says: str


@dataclass(slots=True)
class Batch:
    """Some rows of one file.

    Attributes:
        file: as messages call it.
        column: the one that says what is trained.
        lines: the place of each row in the file, from 1 (n rows).
        ids: the tokens of all rows, one row behind the other (n tokens).
        offsets: row i is [offsets[i], offsets[i + 1]) of them (n rows + 1).
        trained: whether each token is (n tokens).
        labels: the labels, where the column holds such (n tokens); None for a mask of 0 and 1.
        documents: where conversations begin, each row's start among them; None for rows that say nothing of it.
        broken: rows that are not among these.
    """

    file: str
    column: str
    lines: Ints
    ids: Ints
    offsets: Ints
    trained: Bools
    labels: Ints | None = None
    documents: Ints | None = None
    broken: list[Broken] = field(default_factory=list[Broken])

    @property
    def n_rows(self) -> int:
        """How many rows there are to judge."""
        return len(self.lines)

    @property
    def row_of(self) -> Ints:
        """The row of each token."""
        return np.repeat(np.arange(self.n_rows), np.diff(self.offsets))

    def chosen(self, rows: Ints, trained: Bools) -> "Batch":
        """The same with some of the rows only, and another mask.

        Args:
            rows: their numbers, ascending.
            trained: the mask, of this batch's length.
        """
        keep = np.zeros(self.n_rows, dtype=np.bool_)
        keep[rows] = True
        tokens = keep[self.row_of]
        sizes = np.diff(self.offsets)[rows]
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        documents = None
        if self.documents is not None:
            inside = self.documents[tokens[np.minimum(self.documents, len(tokens) - 1)]]
            documents = (np.cumsum(tokens) - 1)[inside]
        return Batch(
            self.file, self.column, self.lines[rows], self.ids[tokens], offsets, trained[tokens], None, documents
        )
