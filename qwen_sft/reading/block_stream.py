"""A streamed answer of blocks, put together from its pieces, each of which names its block by an index."""

from typing import Any

from qwen_sft.sample import is_list, is_object


class Pieces:
    """The blocks of one answer while their pieces arrive; true once there is one.

    Args:
        content: blocks that the answer begins with.
    """

    def __init__(self, content: Any = None) -> None:
        begun: list[Any] = content if is_list(content) else []
        self._starts: dict[int, Any] = dict(enumerate(begun))
        self._said: dict[int, dict[str, list[str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._starts)

    def begin(self, index: Any, block: Any) -> None:
        """A block begins, with what it says at once."""
        if isinstance(index, int):
            self._starts[index] = block

    def add(self, index: Any, start: dict[str, Any] | None, key: str, piece: Any) -> None:
        """A field of a block goes on; `start` is the block where none has begun, None if the piece cannot begin one."""
        if not isinstance(index, int) or not isinstance(piece, str):
            return
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
