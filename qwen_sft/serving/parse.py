"""What a server reads in the text that a model generated, against what the sample has.

A rendered assistant turn is parsed here as the server that will host the model would parse it, and what comes out is
compared with the calls that the sample declares: whatever differs would be trained into the model and then misread.
"""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qwen_sft.parser import Difference, Parsed, ToolParser, Tools
from qwen_sft.sample import Path, json_path
from qwen_sft.serving.reasoning import SPECIAL, behind, split_reasoning, split_reasoning_r1
from qwen_sft.serving.tools import kind, list_, mapping
from qwen_sft.serving.why import ABSENT, Why, why_call, why_value, why_words
from qwen_sft.text.exact import exactly


def parse_turn(
    text: str,
    tools: Tools,
    *,
    parser: ToolParser | None,
    thinking: bool | None = None,
    reasoning_parser: str | None = "qwen3",
) -> Parsed:
    """One generated turn, as a server that runs this tool parser reads it. Never raises on any text.

    Args:
        text: what comes after the generation prompt, up to the stop token, which is left out.
        parser: None where the server reads no calls.
        thinking: None where the server runs no reasoning parser (Qwen2.5, Qwen3-Coder); else whether the request leaves
            thinking on, as `enable_thinking` does.
        reasoning_parser: which one it runs, by vLLM's name: `qwen3`, or `deepseek_r1` (QwQ), which knows no thinking
            off; None is as `thinking` None.
    """
    read = parser.read if parser is not None else _READ_WORDS
    if reasoning_parser is None or thinking is None:
        return read(text, tools, thinking=None)
    if reasoning_parser != "deepseek_r1":
        return read(text, tools, thinking=thinking)
    reasoning, rest = split_reasoning_r1(text)
    parsed = Parsed(None, ()) if rest is None else read(rest, tools, thinking=None)
    return replace(parsed, reasoning=reasoning)


_READ_WORDS = behind(split_reasoning, lambda text, _: Parsed(text, ()))


def differences(
    declared: Sequence[tuple[str, Any]],
    parsed: Parsed,
    *,
    content: str | None = None,
    reasoning: str | None = None,
    tools: Tools = (),
    parser: ToolParser | None = None,
) -> list[Difference]:
    """Each way in which what was read differs from the declared (name, arguments) and the words beside them.

    Calls are counted from 1 and paired in order. Types count: 1 is neither True nor "1". 1.0 read as 1 is told apart as
    a difference of spelling. The order of keys does not count, nor does white space around the words.

    Args:
        content: the turn's declared words; None where they are not compared.
        reasoning: the turn's declared reasoning; None where it is not compared. Words are not compared where it is
            read otherwise: they can only be so, too.
        tools: as the parser had them; they say why a value was read otherwise.
        parser: who read; it says why a value was lost.
    """
    found: list[Difference] = []
    for n, ((name, arguments), (name_read, read)) in enumerate(zip(declared, parsed.calls, strict=False)):
        if name != name_read:
            says = f"call {n + 1}: written {_shown(name)}, but the server reads {_shown(name_read)}"
            found.append(_difference((n, "function", "name"), says, why_call(arguments, parser)))
        for path, says, left, right in _argument_differences(arguments, read):
            why = why_value(path, left, right, tools=tools, name=name, parser=parser)
            place = (n, "function", "arguments", *path)
            found.append(_difference(place, f"call {n + 1} {_shown(name)}: {says}", why))
    n_read = len(parsed.calls)
    for n, (name, arguments) in enumerate(declared[n_read:], n_read):
        says = f"call {n + 1} {_shown(name)} is lost: the server reads {_counted(n_read)}"
        found.append(_difference((n,), says, why_call(arguments, parser)))
    for n, (name, read) in enumerate(parsed.calls[len(declared) :], len(declared)):
        says = f"call {n + 1} is not written, but the server reads {_shown(name)} with {_shown(read)}"
        found.append(_difference((), says, why_call([each for _, each in declared], parser)))
    thought = list(_reasoning_differences(reasoning, parsed)) if reasoning is not None else []
    found += thought
    if isinstance(content, str) and n_read >= len(declared) and all(difference.spelling for difference in thought):
        found += _word_differences(content, parsed, parser)
    return found


def _word_differences(content: str, parsed: Parsed, parser: ToolParser | None) -> Iterator[Difference]:
    declared, read = content.strip(), (parsed.content or "").strip()
    if declared.startswith("<think>") and "</think>" in declared and not read.startswith("<think>"):
        declared = declared.partition("</think>")[2].strip()  # a think block in the words is reasoning
    if declared != read:
        says = f"content: {_parting(declared, read)}"
        yield replace(_difference((), says, why_words(declared, read, parser)), path=("content",))


def _reasoning_differences(reasoning: str, parsed: Parsed) -> Iterator[Difference]:
    declared, read = reasoning.strip(), (parsed.reasoning or "").strip()
    if declared == read:
        return
    marks = [mark for mark in _ENDS_REASONING if mark in declared]
    fix = f"take {marks[0]!r} out of the reasoning" if marks else "give it as reasoning_content, not inside the content"
    says = f"reasoning: {_parting(declared, read)}"
    yield Difference(("reasoning_content",), says, fix, spelling=_untagged(declared) == _untagged(read))


_ENDS_REASONING = ("</think>", "<tool_call>", "<think>", *SPECIAL)


def _untagged(text: str) -> str:
    """A text without what a server takes out of it, and without white space."""
    for tag in ("<think>", "</think>", *SPECIAL):
        text = text.replace(tag, "")
    return "".join(text.split())


def _difference(path: Path, says: str, why: Why) -> Difference:
    reason = f", {why.says}" if why.says else ""
    return Difference(("tool_calls", *path), f"{says}{reason}", why.fix, spelling=why.spelling)


def _counted(n_calls: int) -> str:
    return {0: "no call", 1: "only 1 call"}.get(n_calls, f"only {n_calls} calls")


def _argument_differences(declared: Any, read: Any) -> Iterator[tuple[Path, str, Any, Any]]:
    """Walks both at once and says where they part, at the deepest place: the place, the words, both values."""
    written = exactly(declared)
    if written is not None and written == exactly(read):
        return
    waiting: list[tuple[Path, Any, Any]] = [((), declared, read)]
    while waiting:
        path, left, right = waiting.pop()
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            lefts, rights = mapping(left), mapping(right)
            for key in (key for key in lefts if key not in rights):
                yield (*path, key), f"{_named((*path, key))} {_shown(lefts[key])} is lost", lefts[key], ABSENT
            for key in (key for key in rights if key not in lefts):
                says = f"{_named((*path, key))} is not written, but the server reads {_shown(rights[key])}"
                yield path, says, left, ABSENT
            both = [key for key in lefts if key in rights]
            waiting += [((*path, key), lefts[key], rights[key]) for key in reversed(both)]
        elif isinstance(left, list) and isinstance(right, list) and len(list_(left)) == len(list_(right)):
            pairs = list(zip(list_(left), list_(right), strict=True))
            waiting += [((*path, i), *pairs[i]) for i in reversed(range(len(pairs)))]
        elif not _same(left, right):
            yield path, f"{_named(path)}: {_parting(left, right)}", left, right


def _same(left: Any, right: Any) -> bool:
    """Equal and of one JSON type; a NaN is the same as another."""
    return kind(left) == kind(right) and (left == right or (left != left and right != right))


def _named(path: Path) -> str:
    return f"argument {json_path(path)[1:].removeprefix('.')}" if path else "the arguments"


def _parting(left: Any, right: Any) -> str:
    """Both values; from the first character that differs on, where the part shown would look the same."""
    left_kind, right_kind = kind(left), kind(right)
    if left_kind != right_kind:
        return f"written {_shown(left)} ({left_kind}), but the server reads {_shown(right)} ({right_kind})"
    if isinstance(left, list) and isinstance(right, list):
        lengths = f"written {len(list_(left))} items, but the server reads {len(list_(right))}"
        return f"{lengths}: {_shown(left)} against {_shown(right)}"
    if isinstance(left, str) and isinstance(right, str) and _shown(left) == _shown(right):
        at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        return f"from character {at} on written {_shown(left[at:])}, but the server reads {_shown(right[at:])}"
    return f"written {_shown(left)}, but the server reads {_shown(right)}"


_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 80, 80, 60
_shown = _SHORT.repr
