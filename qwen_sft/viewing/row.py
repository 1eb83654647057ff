"""A row of a built set as a sheet: what can be told from its tokens, their kinds and their labels."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qwen_sft.encoding.model import Model
from qwen_sft.format import Conversation
from qwen_sft.parser import ToolParser
from qwen_sft.sample import Message, is_list, is_object
from qwen_sft.shaping.redact import redacted
from qwen_sft.showing.view import View, view
from qwen_sft.tokens import GENERATED, Kind, Tokens
from qwen_sft.viewing.json_text import spelled
from qwen_sft.viewing.sheet import Called, Said, Sheet, Talk

_ROLES = {
    Kind.SYSTEM: "system",
    Kind.TOOLS: "system",
    Kind.USER: "user",
    Kind.RESULT: "tool",
    Kind.HEADER: "assistant",
    Kind.PREFILL: "assistant",
    Kind.REASONING: "assistant",
    Kind.CONTENT: "assistant",
    Kind.CALL: "assistant",
    Kind.STOP: "assistant",
    Kind.AFTER: "assistant",
}
_BEGINS = frozenset({Kind.SYSTEM, Kind.USER, Kind.RESULT, Kind.HEADER})
_FUNCTION = re.compile(r"^<function>\n<name>(.*?)</name>$(.*?)(?=^<function>$|\Z)", re.MULTILINE | re.DOTALL)
_PARAMETER = re.compile(r"^<parameter>\n<name>(.*?)</name>$", re.MULTILINE)
_REQUIRED = re.compile(r"^<required>(\[.*?\])</required>$", re.MULTILINE)

Ints = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """What reads the tokens of a set: its model, and the parser of its server.

    Attributes:
        request: the template options of its requests, as JSON, where they are the same for all rows; else "{}".
    """

    model: Model
    parser: ToolParser | None
    request: str = "{}"


@dataclass(frozen=True, slots=True)
class BuiltRow:
    """A row of a set of tokens, with the columns that are shown.

    Attributes:
        title: where it came from, or its number.
        facts: further facts.
        weights: of each token; None where the set has no such column.
        turns: the messages that it trains; None where the set does not say.
    """

    title: str
    facts: list[str]
    ids: Ints
    kinds: Ints
    trained: Ints
    weights: Ints | None = None
    turns: Sequence[int] | None = None


def row_sheet(row: BuiltRow, reader: Reader) -> Sheet:
    """What is shown of a row of tokens."""
    tokens = _tokens(row)
    tools_text = reader.model.tokenizer.decode(row.ids[row.kinds == Kind.TOOLS])
    tools = list(declared(tools_text))
    offered: list[Any] = [{"type": "function", "function": one} for one in tools]
    seen = view(
        tokens,
        [reader.request] * len(tokens.turns),
        offered,
        reader.model,
        reader.parser,
    )
    facts = [
        f"{len(row.ids):,} tokens",
        f"{tokens.n_trained_tokens:,} trained",
        *row.facts,
    ]
    return Sheet(row.title, facts, [Talk(_said(seen, reader, tools), tools, [seen])])


def _tokens(row: BuiltRow) -> Tokens:
    """The row as it was before it was written: which message each token belongs to is counted again."""
    messages = _messages(row)
    regions: list[tuple[int, int]] = []
    turns: list[int] = []
    generated = np.isin(row.kinds, [int(kind) for kind in GENERATED])
    for start, end in runs(generated):
        if row.trained[start:end].any():
            regions.append((start, end))
            turns.append(int(messages[start]))
    return Tokens(
        row.ids.astype(np.int32),
        row.trained.astype(np.bool_),
        row.kinds.astype(np.int8),
        messages,
        tuple(turns),
        int(messages.max(initial=-1)) + 1,
        tuple(regions),
        weights=None if row.weights is None else row.weights.astype(np.float32),
    )


def _messages(row: BuiltRow) -> npt.NDArray[np.int32]:
    """For each token its message; counted by the kinds, and held to the turns that the row names.

    A message that left no token of its own (an empty result) is not seen: then what the row says of its turns wins, and
    messages in between are numbered from the turn before them.
    """
    messages = np.full(len(row.ids), -1, dtype=np.int32)
    left = list(row.turns or ())
    generated = {int(kind) for kind in GENERATED}
    number, held = -1, -1
    last = -1
    for start, end, kind in pieces(row.kinds):
        known = Kind(kind)
        if known in _BEGINS and not (known is Kind.SYSTEM and last == Kind.SYSTEM):
            number += 1
            held = number
        if kind in generated and row.trained[start:end].any() and last not in generated and left:
            following = left.pop(0)
            if following != number:
                messages[messages == number] = following
                number = held = following
        if known in _ROLES and known is not Kind.TOOLS:
            messages[start:end] = held
        last = kind
    return messages


def pieces(kinds: Ints) -> list[tuple[int, int, int]]:
    """Runs of one kind: start, end, kind."""
    edges = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist(), len(kinds)]
    return [(start, end, int(kinds[start])) for start, end in pairwise(edges) if end > start]


def runs(mask: Ints) -> list[tuple[int, int]]:
    """Where runs of True begin and end."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _said(seen: View, reader: Reader, tools: Sequence[Any]) -> list[Said]:
    """The messages that the tokens tell."""
    row = seen.row
    made: list[Said] = []
    decode = reader.model.tokenizer.decode
    for message in range(row.n_messages):
        mine = row.messages == message
        kinds = {Kind(int(kind)) for kind in np.unique(row.kinds[mine])}
        if not kinds:
            continue
        texts = {kind: decode(row.input_ids[mine & (row.kinds == kind)]) for kind in kinds}
        role = next(_ROLES[kind] for kind in sorted(kinds) if kind in _ROLES)
        text = next((texts[kind] for kind in (Kind.SYSTEM, Kind.USER, Kind.RESULT) if kind in texts), None)
        calls: tuple[Called, ...] = ()
        said = texts.get(Kind.CONTENT, "") if text is None else text
        if Kind.CALL in texts:
            calls = _calls(texts[Kind.CALL], reader, tools)
            said += "" if calls else texts[Kind.CALL]
        thought = texts.get(Kind.REASONING, "").strip().removeprefix("<think>").removesuffix("</think>").strip()
        made.append(Said(role, message, f"$.messages[{message}]", said.strip("\n"), thought, calls))
    return made


def without_secrets(sheet: Sheet, text: str) -> Sheet:
    """A row's sheet without secrets, for pages that are sent around; where it holds some, without its tokens.

    Args:
        text: all that its tokens say.
    """
    said = [one for talk in sheet.talks for one in talk.said]
    texts = [text]
    for one in said:
        texts += [one.text, one.reasoning, *(spelled(call.arguments) for call in one.calls)]
    messages: list[Message] = [{"role": "user", "content": one} for one in texts]
    quiet = redacted(Conversation({"messages": messages}, [() for _ in texts])).sample.get("messages", [])
    made = iter([str(one.get("content", "")) for one in quiet])
    if [str(one.get("content", "")) for one in quiet] == texts:
        return sheet
    next(made)
    hushed = [
        replace(
            one,
            text=next(made),
            reasoning=next(made),
            calls=tuple([replace(call, arguments=next(made)) for call in one.calls]),
        )
        for one in said
    ]
    return replace(sheet, talks=[Talk(hushed)], note="It holds what --redact would take out; its tokens are not shown.")


def _calls(text: str, reader: Reader, tools: Sequence[Any]) -> tuple[Called, ...]:
    if reader.parser is None:
        return ()
    declaring = [{"type": "function", "function": one} for one in tools]
    return tuple(Called(name, given) for name, given in reader.parser.read(text, declaring, thinking=None).calls)


def declared(text: str) -> Iterator[dict[str, Any]]:
    """The functions that a text of the kind TOOLS declares, as the templates of Qwen write them.

    JSON, a line each, or the tags of Qwen3-Coder.
    """
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
