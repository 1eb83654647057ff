"""`--pack LENGTH`: rows put together into longer ones, so that a trainer pads less.

Best fit: a row goes into the fullest of the open packs that has room for it. So many packs are open at once, and no
more, so memory does not grow with the set; the fullest is closed when one too many is open.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qwen_sft.writer import Row

if TYPE_CHECKING:
    from qwen_sft.tokens import Tokens

MOST_OPEN = 64
"""Packs that are open at once in each split; they hold at most so many times LENGTH tokens."""


class _Pack:
    """Rows that will be one, and how many tokens they are."""

    def __init__(self, row: Row) -> None:
        self.rows = [row]
        self.n_tokens = len(row.tokens.input_ids)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.n_tokens += len(row.tokens.input_ids)


class Packer:
    """Packs rows, of each split apart.

    Args:
        length: most tokens in a pack; no row may be longer.
        most_open: packs that are open at once.

    Attributes:
        n_packs, n_rows, n_tokens: of what it has given.
    """

    def __init__(self, length: int, most_open: int = MOST_OPEN) -> None:
        self._length, self._most_open = length, most_open
        self.n_packs = self.n_rows = self.n_tokens = 0
        self._open: dict[str, list[_Pack]] = {}

    def state(self) -> tuple[tuple[int, int, int], dict[str, list[list[Row]]]]:
        """All that it holds, for `restore`: its counts, and the rows of the packs that are open, by split."""
        held = {split: [pack.rows for pack in packs] for split, packs in self._open.items()}
        return (self.n_packs, self.n_rows, self.n_tokens), held

    def restore(self, state: tuple[tuple[int, int, int], Mapping[str, Sequence[Sequence[Row]]]]) -> None:
        """Goes on where another one was."""
        (self.n_packs, self.n_rows, self.n_tokens), held = state
        for split, packs in held.items():
            self._open[split] = [_Pack(rows[0]) for rows in packs]
            for pack, rows in zip(self._open[split], packs, strict=True):
                for row in rows[1:]:
                    pack.add(row)

    def add(self, rows: Sequence[Row]) -> list[Row]:
        """Takes rows, and gives the packs that they close, in the order in which these were closed.

        Raises:
            ValueError: a row is longer than a pack.
        """
        done: list[Row] = []
        for row in rows:
            n_tokens = len(row.tokens.input_ids)
            if n_tokens > self._length:
                raise ValueError(f"a row of {n_tokens} tokens fits into no pack of {self._length}")
            packs = self._open.setdefault(row.split, [])
            fitting = [pack for pack in packs if pack.n_tokens + n_tokens <= self._length]
            if fitting:
                best = max(fitting, key=_size)
                best.add(row)
                if best.n_tokens == self._length:
                    packs.remove(best)
                    done.append(self._closed(best))
                continue
            if len(packs) == self._most_open:
                fullest = max(packs, key=_size)
                packs.remove(fullest)
                done.append(self._closed(fullest))
            packs.append(_Pack(row))
        return done

    def close(self) -> list[Row]:
        """The packs that are still open, in the order in which they were opened."""
        done = [self._closed(pack) for packs in self._open.values() for pack in packs]
        self._open.clear()
        return done

    def _closed(self, pack: _Pack) -> Row:
        self.n_packs += 1
        self.n_rows += len(pack.rows)
        self.n_tokens += pack.n_tokens
        return packed(pack.rows)

    def account(self) -> dict[str, Any]:
        """What was counted, for the manifest; `filled` is the share of the packs' length that holds tokens."""
        filled = self.n_tokens / (self.n_packs * self._length) if self.n_packs else 0.0
        return {"length": self._length, "n_packs": self.n_packs, "n_rows": self.n_rows, "filled": round(filled, 4)}


_size: Callable[[_Pack], int] = lambda pack: pack.n_tokens  # noqa: E731


def packed(rows: Sequence[Row]) -> Row:
    """Rows of one split as one row; its place is that of the first of them, and `pieces` holds them all."""
    first = rows[0]
    return Row(_joined([row.tokens for row in rows]), first.where, "", 0, split=first.split, pieces=tuple(rows))


def _joined(pieces: "Sequence[Tokens]") -> "Tokens":
    """Rows behind each other. No token is trained that begins a row: what stands before it belongs to another."""
    import numpy as np  # what curation does without tokens needs none

    from qwen_sft.tokens import Tokens

    masks = [piece.loss_mask.copy() for piece in pieces]
    for mask in masks:
        mask[:1] = False
    starts = np.cumsum([0, *(len(piece.input_ids) for piece in pieces)]).tolist()
    weights: Any = None
    if any(piece.weights is not None for piece in pieces):
        each = [mask if piece.weights is None else piece.weights for piece, mask in zip(pieces, masks, strict=True)]
        weights = np.where(np.concatenate(masks), np.concatenate(each), 0).astype(np.float32)
    return Tokens(
        np.concatenate([piece.input_ids for piece in pieces]),
        np.concatenate(masks),
        np.concatenate([piece.kinds for piece in pieces]),
        np.concatenate([piece.messages for piece in pieces]),
        tuple(turn for piece in pieces for turn in piece.turns),
        pieces[-1].n_messages,
        tuple((a + s, b + s) for piece, s in zip(pieces, starts, strict=False) for a, b in piece.regions),
        max(pieces, key=lambda piece: piece.boundary != "clean").boundary,
        tuple(turn for piece in pieces for turn in piece.straddling),
        weights,
    )
