"""What a chat template does with a message shape: what it drops, repeats, rewrites; whether prompts stay prefixes.

A template is asked, never read: each datum of a shape holds a word of its own, and the word is looked for in the text.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from typing import Any, Literal

from qwen_sft.errors import TemplateError
from qwen_sft.proving.battery import Shape
from qwen_sft.sample import Path, is_list, is_object, json_path, value_at

Render = Callable[[Sequence[Any], Sequence[Any], bool, Mapping[str, Any]], str]
"""messages, tools, add_generation_prompt and options to text; TemplateError where the template fails."""

Encode = Callable[[str], list[int]]
"""Text to ids."""


class Refused(TemplateError):
    """Our serializer does not say what the template would do: it crashes there, or prints what no one wants trained."""


Fate = Literal["drops", "prints twice", "prints as Python", "prints as a JSON string", "trims", "changes"]
"""What may befall a datum that is not printed once, as it was given."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What a template does with one shape.

    Attributes:
        shape: the shape.
        text: what it prints; None where it fails.
        failure: why it fails; None where it prints.
        refused: the failure is our serializer's, which stands in for the template and takes less than it.
        fates: places in the request (`messages[1].content`) by what befell them; empty if all is printed as given.
        turns: the assistant turns that have a prompt.
        unstable_text: those whose prompt is no prefix of the text.
        unstable_tokens: those whose prompt is no prefix of it in tokens; None without a tokenizer.
    """

    shape: Shape
    text: str | None
    failure: str | None = None
    refused: bool = False
    fates: Mapping[Fate, tuple[str, ...]] = field(default_factory=dict[Fate, tuple[str, ...]])
    turns: tuple[int, ...] = ()
    unstable_text: tuple[int, ...] = ()
    unstable_tokens: tuple[int, ...] | None = None

    @property
    def says(self) -> str:
        """One line: `rendered`, `crashes: ...`, `drops messages[1].content; trims ...`."""
        if self.failure is not None:
            return f"{'refused' if self.refused else 'crashes'}: {self.failure}"
        return "; ".join(f"{fate} {', '.join(places)}" for fate, places in self.fates.items()) or "rendered"


def probe(
    shape: Shape, render: Render, encode: Encode | None = None, options: Mapping[str, Any] | None = None
) -> Behaviour:
    """What a template does with a shape.

    Args:
        render: the template.
        encode: its tokenizer; None to leave tokens out.
        options: of every request; the shape's own win.
    """
    asked = {**(options or {}), **shape.options}
    request, words = marked(shape)
    messages, tools = request["messages"], request["tools"]
    try:
        text = render(messages, tools, False, asked)
    except TemplateError as error:
        return Behaviour(shape, None, str(error), isinstance(error, Refused))
    turns = tuple(i for i, message in enumerate(messages) if i and message["role"] == "assistant")
    prompts = {turn: _prompt(messages[:turn], tools, render, asked) for turn in turns}
    unstable = tuple(turn for turn, prompt in prompts.items() if prompt is None or not text.startswith(prompt))
    return Behaviour(
        shape=shape,
        text=text,
        fates=_fates(request, words, text, render, asked),
        turns=turns,
        unstable_text=unstable,
        unstable_tokens=None if encode is None else _unstable_tokens(text, prompts, unstable, encode),
    )


def _prompt(messages: list[Any], tools: list[Any], render: Render, options: Mapping[str, Any]) -> str | None:
    try:
        return render(messages, tools, True, options)
    except TemplateError:
        return None


def _unstable_tokens(
    text: str, prompts: Mapping[int, str | None], unstable_text: tuple[int, ...], encode: Encode
) -> tuple[int, ...]:
    ids = encode(text) if prompts else []
    found: list[int] = []
    for turn, prompt in prompts.items():
        head = [] if prompt is None or turn in unstable_text else encode(prompt)
        if not head or ids[: len(head)] != head:
            found.append(turn)
    return tuple(found)


SAME = "wsameq"
"""What `@1` stands for: in two places, so it may be printed twice."""


# -- words that occur nowhere else ------------------------------------------------------------------------------------


def marked(shape: Shape) -> tuple[dict[str, Any], dict[Path, list[str]]]:
    """The request with a word in the place of each `@`, and the words by their place."""
    request: dict[str, Any] = deepcopy({"messages": shape.messages, "tools": shape.tools})
    words: dict[Path, list[str]] = {}
    n_words = 0
    for path, value in list(leaves(request)):
        if isinstance(value, str) and value.startswith("@1"):
            words[path] = [SAME]
            put(request, path, SAME)
        elif isinstance(value, str) and "@" in value:
            first, n_words = n_words, n_words + value.count("@")
            words[path] = [f"w{n:03}q" for n in range(first, n_words)]
            put(request, path, "".join(chain.from_iterable(zip_longest(value.split("@"), words[path], fillvalue=""))))
        elif isinstance(value, int | float) and value >= 10_000:
            words[path] = [str(value)]
    return request, words


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Everything in a JSON value that is no container, with its place."""
    if is_object(value):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif is_list(value):
        for i, inner in enumerate(value):
            yield from leaves(inner, (*path, i))
    else:
        yield path, value


def put(holder: Any, path: Path, value: Any) -> None:
    """Replaces what stands at a place of a JSON value."""
    value_at(holder, path[:-1])[path[-1]] = value


# -- what became of them ----------------------------------------------------------------------------------------------


def _fates(
    request: dict[str, Any], words: dict[Path, list[str]], text: str, render: Render, options: Mapping[str, Any]
) -> dict[Fate, tuple[str, ...]]:
    fates: dict[Path, Fate] = dict.fromkeys(_pythonic_containers(request, text), "prints as Python")
    outer = list(fates)
    for path, own in words.items():
        fate = _fate(value_at(request, path), own, text, whole=path[-1] == "arguments")
        if fate is not None and (fate == "drops" or not any(path[: len(one)] == one for one in outer)):
            fates[path] = fate
    for path, value in list(leaves(request)):
        if value is None or isinstance(value, bool):
            fate = _literal_fate(request, path, text, render, options)
            if fate is not None:
                fates[path] = fate
    found: dict[Fate, list[str]] = {}
    for path, fate in fates.items():
        found.setdefault(fate, []).append(json_path(path)[2:])
    return {fate: tuple(places) for fate, places in found.items()}


def _fate(value: Any, words: list[str], text: str, *, whole: bool) -> Fate | None:
    """What became of one string or number; None if it is printed once, as it was given."""
    counts = [text.count(word) for word in words]
    if min(counts) == 0:
        return "drops"
    if max(counts) > (2 if words == [SAME] else 1):
        return "prints twice"
    if not isinstance(value, str) or value in text:
        return None
    inside = json.dumps(value, ensure_ascii=False)
    if whole and _is_json_object(value) and inside in text:
        return "prints as a JSON string"
    if inside[1:-1] in text:
        return None
    return "trims" if value.strip() in text else "changes"


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _pythonic_containers(request: dict[str, Any], text: str) -> list[Path]:
    """The outermost objects and lists that are printed as Python writes them: `{'a': 1}`."""
    found: list[Path] = []
    for path, value in containers(request):
        printed = repr(value)
        if len(path) <= 2 or not value or any(path[: len(outer)] == outer for outer in found):
            continue
        if printed in text and printed != json.dumps(value, ensure_ascii=False):
            found.append(path)
    return found


def _literal_fate(
    request: dict[str, Any], path: Path, text: str, render: Render, options: Mapping[str, Any]
) -> Fate | None:
    """What became of a null, true or false, which no word can stand for: told by putting a word in its place."""
    other = deepcopy(request)
    put(other, path, _LITERAL)
    try:
        with_word = render(other["messages"], other["tools"], False, options)
    except TemplateError:
        return None
    literal = re.compile(rf"\b{value_at(request, path)!r}\b")
    if len(literal.findall(text)) > len(literal.findall(with_word)):
        return "prints as Python"
    told = path[0] == "tools" or "arguments" in path
    return "drops" if told and _LITERAL not in with_word else None


_LITERAL = "wliteralq"


def containers(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every object and list in a JSON value, the outer ones first, with its place."""
    if is_object(value) or is_list(value):
        yield path, value
        items = value.items() if is_object(value) else enumerate(value)
        for key, inner in items:
            yield from containers(inner, (*path, key))
