"""`--sample N|SHARE`: as many samples, or such a share of them, drawn by the hash of each."""

from heapq import heappush, heapreplace

from qwen_sft.inspecting.keys import chance


class Draw:
    """Draws samples: a share at once; a number after seeing them all, so it wants to see them twice.

    A number are those whose hashes are the lowest, so two draws of 100 and 200 have 100 in common.

    Args:
        wanted: an integer is a number of samples, another number a share.

    Attributes:
        n_taken: how many were drawn.
    """

    def __init__(self, wanted: float, seed: int) -> None:
        self._wanted, self._seed = wanted, seed
        self._lowest: list[tuple[float, int]] = []  # a heap of the lowest, negated: the highest comes first
        self._n_seen = self.n_taken = 0

    @property
    def is_number(self) -> bool:
        """True if a number is wanted: then `see` comes before `takes`, for the same samples in the same order."""
        return isinstance(self._wanted, int)

    def state(self) -> tuple[list[tuple[float, int]], int, int]:
        """All that it knows, for `restore`."""
        return self._lowest, self._n_seen, self.n_taken

    def restore(self, state: tuple[list[tuple[float, int]], int, int]) -> None:
        """Goes on where another one was."""
        self._lowest, self._n_seen, self.n_taken = state

    def see(self, content: bytes) -> None:
        """Looks at one sample."""
        one = (-chance("sample", self._seed, content), -self._n_seen)
        self._n_seen += 1
        if len(self._lowest) < self._wanted:
            heappush(self._lowest, one)
        elif one > self._lowest[0]:
            heapreplace(self._lowest, one)

    def rewind(self) -> None:
        """All were seen, and come again from the first one on."""
        self._n_seen = 0

    def takes(self, content: bytes) -> bool:
        """Whether the next sample is drawn."""
        taken = self._takes(content)
        self.n_taken += taken
        return taken

    def _takes(self, content: bytes) -> bool:
        drawn = chance("sample", self._seed, content)
        if not self.is_number:
            return drawn < self._wanted
        one = (-drawn, -self._n_seen)
        self._n_seen += 1
        return bool(self._lowest) and one >= self._lowest[0]
