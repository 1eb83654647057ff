"""What a server reads in the text that a model generated: content, tool calls, reasoning.

A rendered assistant turn is parsed here as the server that will host the model would parse it, and what comes out is
compared with the calls that the sample declares: whatever differs would be trained into the model and then misread.

The parsers follow vLLM 0.33 (`--tool-call-parser hermes` and `qwen3_coder`, `--reasoning-parser qwen3`), whole text at
once. They are written afresh and held to recorded outputs of the real ones.

Known differences, all of them in `qwen3_coder`. A call whose name is whitespace takes name and arguments from a JSON
body; here it is no call. Without a reasoning parser a `</think>` stays in the content; here it goes. JSON that is
nested past Python's recursion limit fails the request; here it stays text.
"""

import json
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from qwen_sft.parse_xml import kind, list_, mapping, read_arguments
from qwen_sft.sample import Path, json_path


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the server hands to its caller.

    Attributes:
        content: the text beside the calls; None where there is none.
        calls: (name, arguments) in the order read. `hermes` passes on arguments of any JSON type, `qwen3_coder` always
            reads a dict.
        reasoning: what was thought before; None without a reasoning parser, too.
    """

    content: str | None
    calls: tuple[tuple[str, Any], ...]
    reasoning: str | None = None


Tools = Sequence[Mapping[str, Any]]
"""Declared tools as the chat template gets them: `{"type": "function", "function": {...}}`."""


class Parser(Protocol):
    """Text and declared tools to what a server reads; `thinking` as in `parse_turn`."""

    def __call__(self, text: str, tools: Tools, /, *, thinking: bool | None = None) -> Parsed: ...


def parse_turn(text: str, tools: Tools, *, parser: str, thinking: bool | None = None) -> Parsed:
    """One generated turn, as a server that runs this tool parser reads it. Never raises on any text.

    Args:
        text: what comes after the generation prompt, up to the stop token, which is left out.
        parser: a key of `PARSERS`.
        thinking: None where the server runs no reasoning parser (Qwen2.5, Qwen3-Coder); else whether the request leaves
            thinking on, as `enable_thinking` does.

    Raises:
        KeyError: no such parser.
    """
    return PARSERS[parser](text, tools, thinking=thinking)


def split_reasoning(text: str, *, thinking: bool) -> tuple[str | None, str | None]:
    """What was thought and what is left for the tool parser, None where there is nothing of it.

    With thinking on, everything up to `</think>` is reasoning, whether or not a `<think>` opened it; `<tool_call>` ends
    it as well and stays in the content. Where neither comes, all of it is reasoning. What is left loses every further
    `</think>` and every special token, inside JSON strings too.

    Source: vLLM 0.33, reasoning parser `qwen3`.
    """
    if not thinking:
        return None, text
    end = _REASONING_END.search(text)
    if end is None:
        return _without("<think>", text) or None, None
    rest = text[end.start() :]
    return _without("<think>", text[: end.start()]) or None, _without("</think>", rest) or None


_REASONING_END = re.compile(r"</think>|<tool_call>")

# The tokens that a Qwen tokenizer calls special. vLLM drops them wherever its state machine meets them, in the value of
# an argument too. `<think>` and `<tool_call>` are no special tokens.
_SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>"),
    *("<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)


_WITHOUT = {tag: re.compile("|".join(map(re.escape, (tag, *_SPECIAL)))) for tag in ("<think>", "</think>")}


def _without(tag: str, text: str) -> str:
    return _WITHOUT[tag].sub("", text) if "<" in text else text


# -- hermes: JSON in <tool_call> --------------------------------------------------------------------------------------


def _hermes(text: str, _tools: Tools, /, *, thinking: bool | None = None) -> Parsed:
    """`<tool_call>{"name": ..., "arguments": ...}</tool_call>`, the last one open or closed.

    All or nothing: one block that is not such an object turns the whole text into content. What follows the first
    `<tool_call>` outside of the blocks is lost. The tools are not looked at.
    """
    reasoning, content = (None, text) if thinking is None else split_reasoning(text, thinking=thinking)
    start = content.find("<tool_call>") if content else -1
    if content is None or start < 0:
        return Parsed(content=content, calls=(), reasoning=reasoning)
    try:
        calls = tuple(_hermes_call(json.loads(block)) for block in _hermes_blocks(content, start))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Parsed(content=content, calls=(), reasoning=reasoning)
    return Parsed(content=content[:start] or None, calls=calls, reasoning=reasoning)


def _hermes_blocks(text: str, start: int) -> Iterator[str]:
    """What stands in each block. A `</tool_call>` ends it wherever it comes, in a JSON string too."""
    while start >= 0:
        start += len("<tool_call>")
        end = text.find("</tool_call>", start)
        if end < 0:
            yield text[start:]
            return
        yield text[start:end]
        start = text.find("<tool_call>", end)


def _hermes_call(block: Any) -> tuple[str, Any]:
    name, arguments = block["name"], block["arguments"]
    if not isinstance(name, str):
        raise TypeError(name)
    return name, arguments


# -- qwen3_coder: <function= and <parameter= --------------------------------------------------------------------------


class _In(Enum):
    """Where in a turn the reader is."""

    REASONING = auto()
    CONTENT = auto()
    BLOCK = auto()  # after <tool_call>, before <function=: text is lost
    NAME = auto()  # after <function=, before its >
    BODY = auto()  # after that >: the parameters
    AFTER_CALL = auto()  # after </function>: text is lost


# Every tag that is ever one unit. Those that mean nothing where they stand are text, but text as a whole: the > of a
# </parameter> does not close a function's name.
_TAG = re.compile(
    "|".join(
        re.escape(tag)
        for tag in (
            *("<think>", "</think>", "<tool_call>", "</tool_call>", "<function=", "</function>"),
            *("<parameter=", "</parameter>", ">", *_SPECIAL),
        )
    )
)

# Arriving in NAME starts a call.
_NEXT: Mapping[tuple[_In, str], _In] = {
    (_In.REASONING, "<think>"): _In.REASONING,
    (_In.REASONING, "</think>"): _In.CONTENT,
    (_In.REASONING, "<tool_call>"): _In.BLOCK,
    (_In.CONTENT, "</think>"): _In.CONTENT,
    (_In.CONTENT, "<tool_call>"): _In.BLOCK,
    (_In.CONTENT, "<function="): _In.NAME,
    (_In.BLOCK, "</tool_call>"): _In.CONTENT,
    (_In.BLOCK, "<function="): _In.NAME,
    (_In.NAME, ">"): _In.BODY,
    (_In.NAME, "</function>"): _In.AFTER_CALL,
    (_In.NAME, "</tool_call>"): _In.CONTENT,
    (_In.NAME, "<tool_call>"): _In.BLOCK,
    (_In.NAME, "<function="): _In.NAME,
    (_In.BODY, "</function>"): _In.AFTER_CALL,
    (_In.BODY, "<function="): _In.NAME,
    (_In.AFTER_CALL, "</tool_call>"): _In.CONTENT,
    (_In.AFTER_CALL, "<tool_call>"): _In.BLOCK,
    (_In.AFTER_CALL, "<function="): _In.NAME,
}


def _qwen3_coder(text: str, tools: Tools, /, *, thinking: bool | None = None) -> Parsed:
    """`<function=name><parameter=key>value</parameter></function>`, `<tool_call>` around it or not.

    Text after the first call is lost, text before it is stripped. A block in which no function is named is lost and the
    text around it kept. A name that no tool has is read all the same.
    """
    state = _In.REASONING if thinking else _In.CONTENT
    reasoning: list[str] = []
    before: list[str] = []  # text before the first <tool_call> or <function=
    after: list[str] = []  # text after it
    calls: list[tuple[list[str], list[str]]] = []  # name and body, in pieces
    opened = False
    for piece, is_tag in _pieces(text):
        target = _NEXT.get((state, piece)) if is_tag else None
        if target is not None:
            state = target
            opened = opened or state in (_In.BLOCK, _In.NAME)
            if state is _In.NAME:
                calls.append(([], []))
        elif is_tag and piece in _SPECIAL:
            continue
        elif state is _In.REASONING:
            reasoning.append(piece)
        elif state is _In.CONTENT:
            (after if opened else before).append(piece)
        elif state is _In.NAME:
            calls[-1][0].append(piece)
        elif state is _In.BODY:
            calls[-1][1].append(piece)

    bodies = [_with_name("".join(name), "".join(body)) for name, body in calls]
    content = "".join(before) if any(name for name, _ in bodies) else "".join(before + after)
    named = [(name.strip(), body) for name, body in bodies if name.strip()]
    read = tuple((name, read_arguments(body, _properties(name, tools))) for name, body in named)
    if read or (opened and not content.strip()):
        content = content.strip()
    return Parsed(content=content or None, calls=read, reasoning="".join(reasoning) or None)


def _with_name(name: str, body: str) -> tuple[str, str]:
    """Name and body; a call without a name is called what its body names, be it in a parameter's value."""
    named = None if name else _NAME_IN_BODY.search(body)
    return (named.group(1) if named else name), body


_NAME_IN_BODY = re.compile(r'"name"\s*:\s*"([^"]*)"')


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """The text cut at its tags: each piece, and whether it is a tag."""
    at = 0
    for tag in _TAG.finditer(text):
        if at < tag.start():
            yield text[at : tag.start()], False
        yield tag.group(), True
        at = tag.end()
    if at < len(text):
        yield text[at:], False


def _properties(name: str, tools: Tools) -> Mapping[str, Any]:
    """What the first tool of this name declares; nothing where no tool has it."""
    for tool in tools:
        function = mapping(mapping(tool).get("function"))
        if function.get("name") == name:
            return mapping(mapping(function.get("parameters")).get("properties"))
    return {}


PARSERS: Mapping[str, Parser] = {"hermes": _hermes, "qwen3_coder": _qwen3_coder}
"""By the name that `vllm serve --tool-call-parser` knows them by."""


# -- what was declared against what is read ---------------------------------------------------------------------------


def differences(declared: Sequence[tuple[str, Any]], parsed: Parsed) -> list[str]:
    """One sentence for each way in which the calls that were read differ from the declared (name, arguments).

    Calls are counted from 1 and paired in order. Types count (1 is neither True nor "1"), but 1.0 and 1 are one JSON
    number, which the tool receives either way; the order of keys does not count.
    """
    says: list[str] = []
    for n, ((name, arguments), (name_read, read)) in enumerate(zip(declared, parsed.calls, strict=False), 1):
        if name != name_read:
            says.append(f"call {n}: declared {_shown(name)}, but the server reads {_shown(name_read)}")
        says += [f"call {n} {_shown(name)}: {each}" for each in _argument_differences(arguments, read)]
    n_read = len(parsed.calls)
    for n, (name, _) in enumerate(declared[n_read:], n_read + 1):
        says.append(f"call {n} {_shown(name)} is lost: the server reads {_counted(n_read)}")
    for n, (name, read) in enumerate(parsed.calls[len(declared) :], len(declared) + 1):
        says.append(f"call {n} is not declared, but the server reads {_shown(name)} with {_shown(read)}")
    return says


def _counted(n_calls: int) -> str:
    return {0: "no call", 1: "only 1 call"}.get(n_calls, f"only {n_calls} calls")


def _argument_differences(declared: Any, read: Any) -> Iterator[str]:
    """Walks both at once and says where they part, at the deepest place."""
    waiting: list[tuple[Path, Any, Any]] = [((), declared, read)]
    while waiting:
        path, left, right = waiting.pop()
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            lefts, rights = mapping(left), mapping(right)
            yield from (f"{_named((*path, key))} {_shown(lefts[key])} is lost" for key in lefts if key not in rights)
            yield from (
                f"{_named((*path, key))} is not declared, but the server reads {_shown(rights[key])}"
                for key in rights
                if key not in lefts
            )
            both = [key for key in lefts if key in rights]
            waiting += [((*path, key), lefts[key], rights[key]) for key in reversed(both)]
        elif isinstance(left, list) and isinstance(right, list) and len(list_(left)) == len(list_(right)):
            pairs = list(zip(list_(left), list_(right), strict=True))
            waiting += [((*path, i), *pairs[i]) for i in reversed(range(len(pairs)))]
        elif not _same(left, right):
            yield f"{_named(path)}: {_parting(left, right)}"


def _same(left: Any, right: Any) -> bool:
    """Equal and of one JSON type, integers being numbers; a NaN is the same as another."""
    kinds = {kind(left), kind(right)}
    return (len(kinds) == 1 or kinds == {"integer", "number"}) and (left == right or (left != left and right != right))


def _named(path: Path) -> str:
    return f"argument {json_path(path)[1:].removeprefix('.')}" if path else "the arguments"


def _parting(left: Any, right: Any) -> str:
    """Both values; from the first character that differs on, where the part shown would look the same."""
    left_kind, right_kind = kind(left), kind(right)
    if left_kind != right_kind:
        return f"declared {_shown(left)} ({left_kind}), but the server reads {_shown(right)} ({right_kind})"
    if isinstance(left, list) and isinstance(right, list):
        lengths = f"declared {len(list_(left))} items, but the server reads {len(list_(right))}"
        return f"{lengths}: {_shown(left)} against {_shown(right)}"
    if isinstance(left, str) and isinstance(right, str) and _shown(left) == _shown(right):
        at = next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
        return f"from character {at} on declared {_shown(left[at:])}, but the server reads {_shown(right[at:])}"
    return f"declared {_shown(left)}, but the server reads {_shown(right)}"


_SHORT = reprlib.Repr()
_SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 80, 80, 60
_shown = _SHORT.repr
