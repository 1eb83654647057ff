"""vLLM's state machine for `<function=` and `<parameter=` tags, which reads reasoning, content and calls in one pass.

It came with 0.24. The parsers of the versions since are this machine with other options.

Known differences: A call whose name is whitespace takes name and arguments from a JSON body; here it is no call. JSON
that is nested past Python's recursion limit fails the request; here it stays text. Where all blocks are lost, servers
before 0.30 put the text behind the first in front of the text before it; here it stays in order. 0.24 drops only the
special tokens that end a text.

Source: vLLM 0.25, 0.26 and 0.33.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import Enum, auto
from typing import Any

from qwen_sft.parser import Parsed, Read, Tools
from qwen_sft.serving.reasoning import SPECIAL
from qwen_sft.serving.schema import as_schema_says
from qwen_sft.serving.tools import properties_of

Trim = Callable[[str], str]
"""What is taken off the two ends of a value's text."""


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
            *("<parameter=", "</parameter>", ">", *SPECIAL),
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
    (_In.BODY, "</function>"): _In.AFTER_CALL,
    (_In.AFTER_CALL, "</tool_call>"): _In.CONTENT,
    (_In.AFTER_CALL, "<tool_call>"): _In.BLOCK,
    (_In.AFTER_CALL, "<function="): _In.NAME,
}

# What 0.33 added: a call that is not closed ends where the next begins, instead of taking it for its own text.
_NEXT_SINCE_0_33: Mapping[tuple[_In, str], _In] = {
    **_NEXT,
    (_In.NAME, "</tool_call>"): _In.CONTENT,
    (_In.NAME, "<tool_call>"): _In.BLOCK,
    (_In.NAME, "<function="): _In.NAME,
    (_In.BODY, "<function="): _In.NAME,
}


def machine(*, trim: Trim, keeps_think_tags: bool, nested_calls: bool, exact_numbers: bool) -> Read:
    """The parser of a version.

    Args:
        trim: see Trim.
        keeps_think_tags: where no reasoning parser runs, a `</think>` stays in the content, as from 0.30 on; else it is
            dropped there too.
        nested_calls: a `<function=` inside of a call begins the next, as from 0.33 on; else it is text.
        exact_numbers: see `as_schema_says`.
    """
    steps = _NEXT_SINCE_0_33 if nested_calls else _NEXT
    alone = {at: to for at, to in steps.items() if at != (_In.CONTENT, "</think>")} if keeps_think_tags else steps

    def read(text: str, tools: Tools, /, *, thinking: bool | None = None) -> Parsed:
        """`<function=name><parameter=key>value</parameter></function>`, `<tool_call>` around it or not.

        Text after the first call is lost, text before it is stripped. A block in which no function is named is lost and
        the text around it kept. A name that no tool has is read all the same.
        """

        def arguments(name: str, body: str) -> dict[str, Any]:
            schemas = properties_of(name, tools)
            given = _parameters(body, trim)
            return {
                key: as_schema_says(value, schemas[key], exact=exact_numbers)
                if isinstance(schemas.get(key), Mapping)
                else value
                for key, value in given
            }

        return _read(text, alone if thinking is None else steps, arguments, thinking=bool(thinking))

    return read


def _read(
    text: str,
    steps: Mapping[tuple[_In, str], _In],
    arguments: Callable[[str, str], dict[str, Any]],
    *,
    thinking: bool,
) -> Parsed:
    state = _In.REASONING if thinking else _In.CONTENT
    reasoning: list[str] = []
    before: list[str] = []  # text before the first <tool_call> or <function=
    after: list[str] = []  # text after it
    calls: list[tuple[list[str], list[str]]] = []  # name and body, in pieces
    opened = False
    for piece, is_tag in _pieces(text):
        target = steps.get((state, piece)) if is_tag else None
        if target is not None:
            state = target
            opened = opened or state in (_In.BLOCK, _In.NAME)
            if state is _In.NAME:
                calls.append(([], []))
        elif is_tag and piece in SPECIAL:
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
    read = tuple((name.strip(), arguments(name.strip(), body)) for name, body in bodies if name.strip())
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


_PARAMETER = re.compile(r"<\s*parameter\s*=\s*")
_PARAMETER_END = re.compile(r"(<\s*/\s*parameter\s*>)|<\s*parameter\s*=")


def _parameters(body: str, trim: Trim) -> Iterator[tuple[str, str]]:
    """Each parameter's name and the text of its value.

    A value ends at its `</parameter>` or at the next `<parameter=`; one that ends at neither is lost.

    Cut by hand: one regular expression for a whole parameter takes quadratic time on 200 kB of `<parameter=`.
    """
    start = _PARAMETER.search(body)
    while start is not None:
        name_end = body.find(">", start.end())
        end = _PARAMETER_END.search(body, name_end + 1) if name_end >= 0 else None
        if end is None:
            return
        yield body[start.end() : name_end], trim(body[name_end + 1 : end.start()])
        start = _PARAMETER.search(body, end.end() if end.group(1) else end.start())


def one_newline(value: str) -> str:
    """The value without one newline on each side, as the templates write around it."""
    return value.removeprefix("\n").removesuffix("\n")
