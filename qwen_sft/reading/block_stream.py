"""A streamed answer of blocks, put together from its pieces, each of which names its block by an index."""

from typing import Any

from qwen_sft.sample import is_list, is_object


class Pieces:
    """The blocks of one answer while their pieces arrive; true once there is one.

    Args:
        content: blocks that the answer begins with.

    Attributes:
        fault: what only the pieces of several answers can come to, where they do.
        ended_twice: True if a block did, which some proxies' do.
    """

    def __init__(self, content: Any = None) -> None:
        begun: list[Any] = content if is_list(content) else []
        self._starts: dict[int, Any] = dict(enumerate(begun))
        self._said: dict[int, dict[str, list[str]]] = {}
        self._begun: set[int] = set()
        self._ended: set[int] = set()
        self.fault: str | None = None
        self.ended_twice = False

    def __bool__(self) -> bool:
        return bool(self._starts)

    def begin(self, index: Any, block: Any) -> None:
        """A block begins, with what it says at once."""
        if not isinstance(index, int):
            return
        if index in self._begun or index in self._said:
            self.fault = self.fault or f"block {index} begins twice: the stream holds pieces of several answers"
        self._begun.add(index)
        self._starts[index] = block

    def end(self, index: Any) -> None:
        """A block ends."""
        if isinstance(index, int):
            self.ended_twice = self.ended_twice or index in self._ended
            self._ended.add(index)

    def add(self, index: Any, start: dict[str, Any] | None, key: str, piece: Any) -> None:
        """A field of a block goes on; `start` is the block where none has begun, None if the piece cannot begin one."""
        if not isinstance(index, int) or not isinstance(piece, str):
            return
        if index in self._ended and piece:
            self.fault = (
                self.fault or f"block {index} goes on behind its end: the stream holds pieces of several answers"
            )
        if index not in self._starts and start is not None:
            self._starts[index] = start
        if index in self._starts:
            self._said.setdefault(index, {}).setdefault(key, []).append(piece)

    def blocks(self) -> list[Any]:
        """The whole blocks, by index; a field that begins as text goes on from it."""
        return [self._whole(index, self._starts[index]) for index in sorted(self._starts)]

    def _whole(self, index: int, start: Any) -> Any:
        if not is_object(start):
            return start
        made: dict[str, Any] = dict(start)
        for key, pieces in self._said.get(index, {}).items():
            said = "".join(pieces)
            if said:
                first: Any = made.get(key)
                made[key] = (first if isinstance(first, str) else "") + said
        return made
