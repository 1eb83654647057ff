"""What rows of tokens say: the tools that they show, the calls that they hold, and a few of them whole.

Tools are read from the tokens of the kind TOOLS, as the templates of Qwen write them: JSON, a line each, or the tags of
Qwen3-Coder. Calls are read from runs of the kind CALL, by the parser of the server.
"""

from collections import Counter
from typing import Any

import numpy.typing as npt

from qwen_sft.encoding.model import Model
from qwen_sft.parser import ToolParser
from qwen_sft.surveying.gather import N_SAMPLES, Counted, pattern
from qwen_sft.tokens import Kind
from qwen_sft.viewing.row import BuiltRow, Reader, declared, row_sheet, runs, without_secrets
from qwen_sft.viewing.sheet import Sheet

_MOST_HELD = 2_000  # different lists of tools that are read once

Ints = npt.NDArray[Any]


class Spoken:
    """What was read in rows so far."""

    def __init__(self, model: Model, parser: ToolParser | None) -> None:
        self._model, self._tokenizer, self._parser = model, model.tokenizer, parser
        self._held: dict[bytes, list[Any]] = {}
        self._shown: list[tuple[bytes, Ints, Ints, Ints, str]] = []
        self.counted = Counted()
        self.patterns = Counter[str]()

    def see(self, ids: Ints, kinds: Ints, trained: Ints, depth: int, key: bytes, place: str) -> None:
        """Adds a row.

        Args:
            depth: the most turns with calls behind each other.
            key: a hash of the row: those with the smallest are shown.
        """
        tools = self._tools(ids[kinds == Kind.TOOLS])
        self.counted.declare([{"type": "function", "function": one} for one in tools])
        n_calls = widest = 0
        for start, end in runs(kinds == Kind.CALL):
            made = self._calls(self._tokenizer.decode(ids[start:end]), tools)
            n_calls, widest = n_calls + len(made), max(widest, len(made))
            for name, arguments in made:
                self.counted.call({"name": name, "arguments": arguments})
        self.patterns[pattern(bool(tools), n_calls, depth, widest)] += 1
        if len(self._shown) < N_SAMPLES or key < self._shown[-1][0]:
            self._shown.append((key, ids.copy(), kinds.copy(), trained.copy(), place))
            self._shown.sort(key=lambda one: one[0])
            del self._shown[N_SAMPLES:]

    def _calls(self, text: str, tools: list[Any]) -> tuple[tuple[str, Any], ...]:
        if self._parser is None:
            return ()
        return self._parser.read(text, [{"type": "function", "function": one} for one in tools], thinking=None).calls

    def _tools(self, ids: Ints) -> list[Any]:
        key = ids.tobytes()
        if key not in self._held:
            if len(self._held) >= _MOST_HELD:
                self._held.clear()
            self._held[key] = list(declared(self._tokenizer.decode(ids))) if len(ids) else []
        return self._held[key]

    def shown(self) -> list[Sheet]:
        """The rows that are shown, without secrets: pages are sent around."""
        return [self._row(ids, kinds, trained, place) for _, ids, kinds, trained, place in self._shown]

    def _row(self, ids: Ints, kinds: Ints, trained: Ints, place: str) -> Sheet:
        row = BuiltRow(place, [], ids, kinds, trained)
        return without_secrets(row_sheet(row, Reader(self._model, self._parser)), self._tokenizer.decode(ids))
