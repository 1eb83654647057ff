"""What the blocks of Bedrock's Converse are to a chat: each is named by its only field.

A tool's result is a block of a user's message, or of the assistant's own where Amazon ran the tool. Its content is
text, JSON or files. A `cachePoint` is a mark and no word.
"""

from typing import Any

from qwen_sft.reading.blocks import Block, written
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import call, text

_FILES = ("image", "document", "video", "audio")


def block(place: Path, given: Any, role: Any) -> Block:
    """What a block is to a chat."""
    if isinstance(given, str):
        return Block(place, "text", given)
    if not is_object(given):
        return Block(place, "part", given)
    words = _words(given)
    if words is not None:
        return Block(place, "text", words)
    used, returned, thought = given.get("toolUse"), given.get("toolResult"), given.get("reasoningContent")
    if is_object(used):
        return Block(place, "call", call(used.get("name"), used.get("input"), used.get("toolUseId")))
    if is_object(returned):
        return Block(place, "result", _result(returned))
    if is_object(thought):
        return _reasoning(place, thought)
    if "cachePoint" in given:
        return Block(place, "dropped", "a mark for the cache")
    if role != "assistant" or any(key in given for key in _FILES):
        return Block(place, "part", given)
    says = f"a block with {', '.join(sorted(given))} has no place in a chat"
    return Block(place, "dropped", says[:200], loses=True)


def _words(block: dict[str, Any]) -> str | None:
    """The text of a block, also one that a guardrail looks at, or that is cut up for its citations."""
    if isinstance(block.get("text"), str):
        return block["text"]
    guarded: Any = block.get("guardContent")
    guarded = guarded.get("text") if is_object(guarded) else None
    if is_object(guarded) and isinstance(guarded.get("text"), str):
        return guarded["text"]
    cited: Any = block.get("citationsContent")
    cited = cited.get("content") if is_object(cited) else None
    if is_list(cited) and all(is_object(piece) and isinstance(piece.get("text"), str) for piece in cited):
        return "".join(piece["text"] for piece in cited)
    return None


def _reasoning(place: Path, thought: dict[str, Any]) -> Block:
    shown: Any = thought.get("reasoningText")
    words: Any = shown.get("text") if is_object(shown) else None
    if isinstance(words, str) and words:
        return Block(place, "reasoning", words)
    return Block(place, "dropped", "reasoning that is encrypted or not shown", loses=True)


def _result(returned: dict[str, Any]) -> dict[str, Any]:
    content: Any = returned.get("content")
    if is_list(content):
        content = [{"text": written(p["json"])} if is_object(p) and "json" in p else p for p in content]
    made: dict[str, Any] = {"role": "tool", "content": text(content)}
    if returned.get("toolUseId") not in (None, ""):
        made["tool_call_id"] = returned["toolUseId"]
    return made
