"""Messages made of blocks, as Anthropic, Gemini and Bedrock send them: which blocks become which turns.

An API names what each of its blocks is (a Block); what becomes of a message's blocks is the same for all of them.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from qwen_sft.api import Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.story import JOINED, Story
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import text, with_reasoning

ASKED = "part of the turn that begins before it"
_SILENT = "text of the assistant that is empty"


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a message, and what it is to a chat.

    Attributes:
        place: where it stands in the body.
        kind: `text` and `reasoning` hold a string, `call` a tool call, `result` a tool's message, `part` the block
            itself, which no text says. A `dropped` one holds the reason.
        loses: of a dropped one: a model saw it or said it.
    """

    place: Path
    kind: Literal["text", "reasoning", "call", "result", "part", "dropped"]
    value: Any
    loses: bool = False


def listed(place: Path, key: str, message: dict[str, Any]) -> list[tuple[Path, Any]]:
    """The blocks of a message, which stand in a list under a key; content that is no list is one block at its place."""
    content: Any = message.get(key)
    if is_list(content) and content:
        return [((*place, key, i), block) for i, block in enumerate(content)]
    return [(place, "" if content in (None, []) else content)]


def places(root: Path, key: str, messages: Any) -> list[Path]:
    """The place of each block of some messages; that of the message where its content is no list of blocks."""
    made: list[Path] = []
    for i, message in enumerate(messages if is_list(messages) else []):
        content: Any = message.get(key) if is_object(message) else None
        n_blocks = len(content) if is_list(content) else 0
        made += [(*root, i, key, j) for j in range(n_blocks)] or [(*root, i)]
    return made


def system_places(system: Any) -> list[Path]:
    """The place of each block of a request's system prompt; its own where it is one text."""
    if is_list(system):
        return [("system", i) for i in range(len(system))]
    return [("system",)] if system not in (None, "") else []


def tell(story: Story, role: Any, blocks: Sequence[Block]) -> None:
    """Puts a message into the story.

    A model's blocks keep their order: reasoning, text and calls are one turn as far as one turn can hold them, a result
    is a turn of its own. Texts of a model that stand side by side are one text, which an API cuts where a citation
    begins; an empty one is left out, unless it is all that the message has. In anyone else's message the results come
    first, and all that is left is one turn behind them.
    """
    for block in blocks:
        if block.kind == "dropped":
            story.drop(block.place, block.value, loses=block.loses)
    if role == "assistant":
        if all(block.kind == "text" and not block.value for block in blocks):
            story.join(blocks[0].place, {"role": "assistant", "content": ""})
            for block in blocks[1:]:
                story.merge(block.place, JOINED)
            return
        for is_text, run in groupby(blocks, lambda block: block.kind == "text"):
            _speak(story, list(run), is_text=is_text)
        return
    for block in blocks:
        if block.kind == "result":
            story.keep(block.place, block.value)
    rest = [block for block in blocks if block.kind in ("text", "part")]
    if rest:
        parts = [{"type": "text", "text": block.value} if block.kind == "text" else block.value for block in rest]
        story.keep(rest[0].place, {"role": role, "content": text(parts)})
    for block in rest[1:]:
        story.merge(block.place, ASKED)
    for block in blocks:
        if block.kind in ("call", "reasoning"):
            story.keep(block.place, {**_piece(block), "role": role})


def _speak(story: Story, run: list[Block], *, is_text: bool) -> None:
    if not is_text:
        for block in run:
            if block.kind == "result":
                story.keep(block.place, block.value)
            elif block.kind != "dropped":
                story.join(block.place, _piece(block))
        return
    words = "".join(block.value for block in run)
    if words:
        story.join(run[0].place, {"role": "assistant", "content": words})
    for block in run[1:] if words else run:
        if words:
            story.merge(block.place, JOINED)
        else:
            story.drop(block.place, _SILENT)


def _piece(block: Block) -> Message:
    """The assistant's turn that one block would be."""
    if block.kind == "call":
        return {"role": "assistant", "content": "", "tool_calls": [block.value]}
    if block.kind == "reasoning":
        return with_reasoning({"role": "assistant", "content": ""}, block.value)
    return {"role": "assistant", "content": [block.value]}


def turns(story: Story, tools: Any = None, metadata: dict[str, Any] | None = None) -> Turns:
    """What an API's body says, once it is told."""
    return Turns(story.messages, story.origins, story.aside, tools, metadata or {})


def refusal(place: Path, says: str, fix: str) -> Turns:
    """The reading of a body that nothing can be read from, and why, in one sentence."""
    return Turns(refusal=Finding(place, says, fix))


def no_object(place: Path, message: Any) -> Turns:
    """The refusal of a message that is no object."""
    return refusal(place, f"a turn is {type(message).__name__}, not an object", "write {role, content}")


def empty_answer(place: Path, finish_reason: Any) -> Turns:
    """The refusal of an answer without a block, which the provider may have blocked."""
    why = f", its finish_reason is {finish_reason!r}"[:100] if finish_reason else ""
    return refusal(place, f"the answer is empty{why}", "leave requests without an answer out")


def written(value: Any) -> str:
    """A tool's result that is JSON as the text that stands for it; a text stands for itself, nothing for "" ."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def function(declared: dict[str, Any], parameters: Any) -> dict[str, Any]:
    """A declared tool in OpenAI's form; its parameters are those of the trace, whatever their dialect."""
    made: dict[str, Any] = {"name": declared.get("name")}
    if declared.get("description") is not None:
        made["description"] = declared["description"]
    if parameters is not None:
        made["parameters"] = parameters
    return {"type": "function", "function": made}


def builtin(names: Iterable[Any]) -> dict[str, Any]:
    """The label for tools that the provider runs itself, which have no schema in the trace; empty without any."""
    listed_names = [name for name in names if isinstance(name, str)]
    return {"builtin_tools": listed_names} if listed_names else {}
