"""Control tokens that stand in data: kept apart from those that the template writes, and encoded as ordinary text.

A tokenizer makes `<|im_end|>` a control token wherever it reads it, in a web page too. Before a sample is rendered,
such a text gets a mark behind its first character; what is still whole in the rendering is the template's. The text
between the control tokens is then encoded without its marks and without looking for control tokens.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

import numpy as np

from qwen_sft.errors import TemplateError
from qwen_sft.sample import Message, Tool, is_list, is_object
from qwen_sft.tokenizing.tokenizer import Ids, Offsets, Tokenizer

MARK = "\ufdd0"
"""Stands behind the first character of a control token that is data: a noncharacter, which no text may hold."""

_THINK = ("<think>", "</think>")

_T = TypeVar("_T")


def is_marked(text: str) -> bool:
    """True if a rendered text holds control tokens that are data."""
    return MARK in text


def unmarked(text: str) -> str:
    """The text as it is read."""
    return text.replace(MARK, "") if MARK in text else text


def marked(
    messages: Sequence[Message], tools: Sequence[Tool], tokenizer: Tokenizer
) -> tuple[Sequence[Message], Sequence[Tool]]:
    """The sample with a mark in every control token; as it is if it holds none.

    Think tags in an assistant's content stay what they are: templates read them as its reasoning.

    Raises:
        TemplateError: the sample holds the mark itself.
    """
    pattern = _pattern(tuple(tokenizer.added_tokens))
    spoken = _pattern(tuple(token for token in tokenizer.added_tokens if token not in _THINK))
    made = [_message(one, pattern, spoken) for one in messages]
    made_tools = [_changed(tool, pattern) for tool in tools]
    same = all(new is old for new, old in zip(made, messages, strict=True))
    if same and all(new is old for new, old in zip(made_tools, tools, strict=True)):
        return messages, tools
    return made, made_tools


def _message(message: Message, pattern: re.Pattern[str], spoken: re.Pattern[str]) -> Message:
    assistant = message.get("role") == "assistant"
    changed: dict[str, Any] = {}
    for key, value in message.items():
        new = _changed(value, spoken if assistant and key == "content" else pattern)
        if new is not value:
            changed[key] = new
    return cast("Message", {**message, **changed}) if changed else message  # the same keys, of the same types


def _changed(value: _T, pattern: re.Pattern[str]) -> _T:
    """A JSON value with marks in its strings and keys; the same object if there is nothing to mark."""
    made: Any = value
    if isinstance(value, str):
        if MARK in value:
            raise TemplateError(f"a text holds U+{ord(MARK):04X}, which is no character: take it out")
        text, n_marks = pattern.subn(_mark, value)
        made = text if n_marks else value
    elif is_object(value):
        pairs = [(key, item, _changed(key, pattern), _changed(item, pattern)) for key, item in value.items()]
        if any(new_key is not key or new is not item for key, item, new_key, new in pairs):
            made = {new_key: new for _, _, new_key, new in pairs}
    elif is_list(value):
        items = [_changed(item, pattern) for item in value]
        if any(new is not old for new, old in zip(items, value, strict=True)):
            made = items
    return made


def _mark(found: re.Match[str]) -> str:
    return found[0][0] + MARK + found[0][1:]


@lru_cache(maxsize=16)
def _pattern(tokens: tuple[str, ...]) -> re.Pattern[str]:
    """Any of some tokens, the longest first; a tokenizer without any matches nothing."""
    longest = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest)) or r"(?!)")


def encode_batch(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[Ids, Offsets]:
    """The ids of many rendered texts, as `Tokenizer.encode_batch` gives them, with what is marked as ordinary text."""
    if not any(map(is_marked, texts)):
        return tokenizer.encode_batch(texts)
    ids, offsets = tokenizer.encode_batch([text for text in texts if not is_marked(text)])
    whole = iter(np.split(ids, offsets[1:-1]) if len(offsets) > 1 else [])
    rows = [_encode(text, tokenizer) if is_marked(text) else next(whole) for text in texts]
    ends = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=ends[1:])
    return np.concatenate(rows), ends


def _encode(text: str, tokenizer: Tokenizer) -> Ids:
    """A marked text: its whole control tokens by their ids, what lies between as if there were none."""
    pattern = _pattern(tuple(tokenizer.added_tokens))
    controls = [tokenizer.added_tokens[found[0]].id for found in pattern.finditer(text)]
    ids, offsets = tokenizer.encode_plain_batch([unmarked(between) for between in pattern.split(text)])
    parts = np.split(ids, offsets[1:-1])
    joined: list[Ids] = [parts[0]]
    for control, part in zip(controls, parts[1:], strict=True):
        joined += [np.array([control], dtype=np.int32), part]
    return np.concatenate(joined)
