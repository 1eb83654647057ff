"""What rows of tokens say: the tools that they show, the calls that they hold, and a few of them whole.

Tools are read from the tokens of the kind TOOLS, as the templates of Qwen write them: JSON, a line each, or the tags of
Qwen3-Coder. Calls are read from runs of the kind CALL, by the parser of the server.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_sft.format import Conversation
from qwen_sft.model import Model
from qwen_sft.parser import ToolParser
from qwen_sft.redact import redacted
from qwen_sft.sample import Message, is_list, is_object
from qwen_sft.surveying.gather import N_SAMPLES, Counted, pattern
from qwen_sft.surveying.numbers import Shown, Turn
from qwen_sft.tokens import Kind

_MOST_HELD = 2_000  # different lists of tools that are read once
_MOST_TEXT = 2_000
_MOST_RUNS = 200
_FUNCTION = re.compile(r"^<function>\n<name>(.*?)</name>$(.*?)(?=^<function>$|\Z)", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"^<parameter>\n<name>(.*?)</name>$", re.MULTILINE)
_REQUIRED = re.compile(r"^<required>(\[.*?\])</required>$", re.MULTILINE)

Ints = npt.NDArray[Any]


class Spoken:
    """What was read in rows so far."""

    def __init__(self, model: Model, parser: ToolParser | None) -> None:
        self._tokenizer, self._parser = model.tokenizer, parser
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

    def shown(self) -> list[Shown]:
        """The rows that are shown: their text by kind."""
        return [self._row(ids, kinds, trained, place) for _, ids, kinds, trained, place in self._shown]

    def _row(self, ids: Ints, kinds: Ints, trained: Ints, place: str) -> Shown:
        both = kinds.astype(np.int64) * 2 + trained
        edges = [0, *(np.flatnonzero(np.diff(both)) + 1).tolist(), len(ids)]
        pieces = list(islice(pairwise(edges), _MOST_RUNS))
        texts = _without_secrets([self._tokenizer.decode(ids[start:end]) for start, end in pieces])
        turns: list[Turn] = []
        for (start, _), text in zip(pieces, texts, strict=True):
            cut = f"{len(text):,} characters, {_MOST_TEXT:,} are shown" if len(text) > _MOST_TEXT else ""
            name = Kind(int(kinds[start])).name.lower() + (", trained" if trained[start] else "")
            shown = text[:_MOST_TEXT].replace("\n", "⏎\n")
            turns.append(Turn(name, shown, cut=cut, trained=bool(trained[start])))
        left = len(edges) - 1 - len(turns)
        return Shown(place, tuple(turns), f"{left:,} more pieces are not shown" if left > 0 else "")


def _without_secrets(texts: list[str]) -> list[str]:
    """The pieces of a row without its secrets: pages are sent around."""
    messages: list[Message] = [{"role": "user", "content": text} for text in texts]
    hushed = redacted(Conversation({"messages": messages}, [() for _ in texts])).sample
    return [str(one.get("content", "")) for one in hushed.get("messages", [])]


def runs(mask: Ints) -> Iterator[tuple[int, int]]:
    """Where runs of True begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def declared(text: str) -> Iterator[dict[str, Any]]:
    """The functions that a text declares."""
    if text.lstrip().startswith("<function>"):
        for name, rest in _FUNCTION.findall(text):
            needed = _REQUIRED.findall(rest)
            properties: dict[str, Any] = dict.fromkeys(_PARAMETER.findall(rest))
            schema = {"properties": properties, "required": _json(needed[-1]) if needed else []}
            yield {"name": name, "parameters": schema}
        return
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
            continue
        function: Any = value.get("function", value) if is_object(value) else None
        if is_object(function) and isinstance(function.get("name"), str):
            yield function


def _json(text: str) -> list[Any]:
    try:
        value: Any = json.loads(text)
    except ValueError:
        return []
    return value if is_list(value) else []
