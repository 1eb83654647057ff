"""What the audit knows of a model: its control tokens, the prompts that its template writes, and what history keeps."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from qwen_sft.asking.request import Options
from qwen_sft.encoding.model import Model
from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.sample import Message, Tool
from qwen_sft.settings import Thinking
from qwen_sft.templating.chatml import HEADER, START, STOP
from qwen_sft.tokenizing.tokenizer import Tokenizer

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

Block = Literal["none", "empty", "full"]
"""A turn's think block: it has none, one without reasoning, or one with."""
BLOCKS: tuple[Block, ...] = ("none", "empty", "full")
"""Their numbers in arrays."""

ROLES = ("other", "system", "user", "assistant", "tool")
"""Roles of turns; their numbers in arrays."""
SYSTEM, USER, ASSISTANT, TOOL = range(1, 5)
ROLE_OF: Mapping[str, int] = {**{name: number for number, name in enumerate(ROLES)}, "developer": SYSTEM}

NO_ID = -1
"""Stands for a control token that a vocabulary lacks: no row holds it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a server may send behind the header of an assistant's turn.

    Attributes:
        request: the template options that ask for it, as JSON.
        ids: the tokens behind the header's newline.
        longer: for each id whether its bytes begin with those of the last token here and go on (n ids): a text that
            was encoded whole may have such a token where the prompt ends.
    """

    request: str
    ids: tuple[int, ...]
    longer: Bools


@dataclass(frozen=True)
class Grammar:
    """How turns stand in the tokens of one model.

    Attributes:
        start, stop: `<|im_start|>`, `<|im_end|>`.
        newline: the id of a lone newline.
        opens, closes: the think tags, where they are tokens, else NO_ID.
        call, call_end: the tags of a tool call, likewise.
        result: the tokens that a result in a user's turn begins with.
        roles: for each id the number of the role that it spells (n ids), 0 for none.
        begins_line: for each id whether its bytes begin with a newline.
        blank: for each id whether its bytes are white space and nothing else.
        known: for each id whether the tokenizer has it.
        prompts: those that requests can have, the likeliest first.
        recent, old: the think blocks that the template prints in a turn that others follow: behind the user's last
            query, and before it; numbers of BLOCKS.
        needs_query: whether the template refuses a conversation in which no user has asked.
    """

    tokenizer: Tokenizer
    start: int
    stop: int
    newline: int
    opens: int
    closes: int
    call: int
    call_end: int
    result: tuple[int, ...]
    roles: npt.NDArray[np.int8]
    begins_line: Bools
    blank: Bools
    known: Bools
    prompts: tuple[Prompt, ...]
    recent: frozenset[int]
    old: frozenset[int]
    needs_query: bool

    @property
    def n_ids(self) -> int:
        """One more than the highest id."""
        return len(self.known)

    @property
    def drops_reasoning(self) -> bool:
        """True if a turn with reasoning loses it once the user has asked again."""
        return self.opens != NO_ID and BLOCKS.index("full") not in self.old


def grammar(model: Model, options: Options, thinking: Thinking) -> Grammar:
    """The grammar of a model.

    Args:
        options: template options of every request, as the model was loaded with.
        thinking: as in Settings; `auto` takes every prompt that the template knows.

    Raises:
        ModelError: its template does not write turns between `<|im_start|>` and `<|im_end|>`, or has no prompt.
    """
    tokenizer = model.tokenizer
    missing = [token for token in (START, STOP) if token not in tokenizer.added_tokens]
    if missing:
        raise ModelError(f"the tokenizer of {model.name} has no {missing[0]}; an audit reads turns between such tokens")
    requests = _requests(model, options, thinking)
    texts = _Texts(tokenizer)
    roles = np.zeros(texts.n_ids, dtype=np.int8)
    for name, number in ROLE_OF.items():
        ids = tokenizer.encode(name)
        if len(ids) == 1:
            roles[ids[0]] = number
    result = tuple(tokenizer.encode("<tool_response>").tolist())

    def control(token: str) -> int:
        added = tokenizer.added_tokens.get(token)
        return NO_ID if added is None else added.id

    reasons = model.family.reasoning_parser is not None
    return Grammar(
        tokenizer=tokenizer,
        start=control(START),
        stop=control(STOP),
        newline=texts.newline,
        opens=control("<think>") if reasons else NO_ID,
        closes=control("</think>") if reasons else NO_ID,
        call=control("<tool_call>"),
        call_end=control("</tool_call>"),
        result=result if len(result) == 1 else result[:-1],  # its last piece may melt into the newline behind it
        roles=roles,
        begins_line=texts.beginning(b"\n"),
        blank=texts.blank(),
        known=texts.lengths > 0,
        prompts=tuple(_prompts(model, requests, texts)),
        recent=_kept(model, requests, asked_again=False),
        old=_kept(model, requests, asked_again=True),
        needs_query=_needs_query(model, requests),
    )


def _requests(model: Model, options: Options, thinking: Thinking) -> list[Options]:
    """The template options that a turn may have been asked for with, the likeliest first."""
    found: list[Options] = [model.bare, model.reasoned]
    if thinking == "auto" and "enable_thinking" in model.family.options and "enable_thinking" not in options:
        found += [{**options, "enable_thinking": value} for value in (True, False)]
    return found


def _prompts(model: Model, requests: Sequence[Options], texts: "_Texts") -> Iterator[Prompt]:
    head = model.tokenizer.encode(HEADER).tolist()
    seen: set[str] = set()
    for request in requests:
        try:
            text = model.family.generation_prompt([{"role": "user", "content": "Hi"}], [], request)
        except TemplateError as error:
            raise ModelError(f"the chat template of {model.name} prints no prompt: {error}") from error
        ids = model.tokenizer.encode(text).tolist()
        if ids[: len(head)] != head:
            raise ModelError(
                f"the prompt of {model.name} is {text[:60]!r}; an audit reads turns that begin with {HEADER!r}"
            )
        if text not in seen:
            seen.add(text)
            rest = ids[len(head) :]
            last = texts.of(rest[-1]) if rest else b"\n"
            yield Prompt(json.dumps(dict(request)), tuple(rest), texts.beginning(last) & (texts.lengths > len(last)))


# -- what a template keeps of a turn's think block ---------------------------------------------------------------------

_CALL: Any = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {}}}
_TOOLS: list[Tool] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def _kept(model: Model, requests: Sequence[Options], *, asked_again: bool) -> frozenset[int]:
    """The think blocks that a turn may have as history: the template prints one with reasoning and one without.

    Args:
        asked_again: whether the user asks once more behind it; else only its call's result follows.
    """
    found: set[int] = set()
    for request in requests:
        for reasoning in ("", "because"):
            said: Message = {"role": "assistant", "content": "" if not asked_again else "Well."}
            if reasoning and model.family.inline_reasoning:
                said["content"] = f"<think>\n{reasoning}\n</think>\n\n{said['content']}"
            elif reasoning:
                said["reasoning_content"] = reasoning
            follows: list[Message] = [{"role": "user", "content": "And?"}]
            if not asked_again:
                said["tool_calls"] = [_CALL]
                follows = [{"role": "tool", "tool_call_id": "c1", "content": "42"}]
            messages: list[Message] = [{"role": "user", "content": "Hi"}, said, *follows]
            try:
                spans = model.family.serialize(messages, _TOOLS, request)
            except TemplateError:
                continue
            text = "".join([span.text for span in spans])
            found.add(BLOCKS.index(_block(text.rpartition(HEADER)[2])))
    return frozenset(found)


def _needs_query(model: Model, requests: Sequence[Options]) -> bool:
    """True if the template refuses what a tool says where no user has said anything."""
    called: Message = {"role": "assistant", "content": "", "tool_calls": [_CALL]}
    for request in requests:
        try:
            model.family.serialize([called, {"role": "tool", "tool_call_id": "c1", "content": "42"}], _TOOLS, request)
        except TemplateError:
            continue
        return False
    return True


def _block(turn: str) -> Block:
    if not turn.startswith("<think>"):
        return "none"
    return "full" if turn.removeprefix("<think>").partition("</think>")[0].strip() else "empty"


# -- bytes -------------------------------------------------------------------------------------------------------------


class _Texts:
    """The bytes of every id."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.n_ids = tokenizer.n_ids
        self.lengths: npt.NDArray[np.int64] = tokenizer.byte_lengths.astype(np.int64)
        self._bytes = np.frombuffer(tokenizer.decode_bytes(np.flatnonzero(self.lengths).astype(np.int32)), np.uint8)
        self._starts = np.cumsum(self.lengths) - self.lengths
        self.newline = int(tokenizer.encode("\n")[0])

    def of(self, token: int) -> bytes:
        """The bytes of an id."""
        start = int(self._starts[token])
        return self._bytes[start : start + int(self.lengths[token])].tobytes()

    def beginning(self, piece: bytes) -> Bools:
        """For each id whether its bytes begin so."""
        found = self.lengths >= len(piece)
        for place, byte in enumerate(piece):
            at = np.minimum(self._starts + place, len(self._bytes) - 1)
            found &= self._bytes[at] == byte
        return found

    def blank(self) -> Bools:
        """For each id whether it is ASCII white space and nothing else."""
        dark = np.concatenate([[0], np.cumsum(~np.isin(self._bytes, list(b" \t\n\r\v\f")))])
        return (self.lengths > 0) & (dark[self._starts + self.lengths] == dark[self._starts])
