"""What the blocks of Anthropic's messages are to a chat.

Tools that Anthropic runs (`server_tool_use`, `mcp_tool_use`) have their result in the assistant's own message: such a
call and its result become a call and a tool's turn where both stand in one body and can be read. What a web search
found is encrypted, so the search is dropped as lost. A `tool_use` with a `caller` other than "direct" was made by code
that the server ran: no model said it or saw its result.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.reading.blocks import Block, written
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import call, text

RESTARTED = "restarted_answer"
"""The type of a block that stands for what a stream had said before it began its answer again."""

_SERVER_CALLS = ("server_tool_use", "mcp_tool_use")


class Known:
    """What the blocks of one body say about each other.

    Attributes:
        lifted: ids of the calls to tools that Anthropic runs whose result stands there too and can be read.
        coded: ids of calls that code made.
        declared: names of the declared tools.
    """

    def __init__(self, blocks: Sequence[Any], tools: Any) -> None:
        objects = [block for block in blocks if is_object(block)]
        results = {_id(block, "tool_use_id") for block in objects if _is_server_result(block) and _can_be_read(block)}
        calls = {_id(block, "id") for block in objects if block.get("type") in _SERVER_CALLS}
        self.lifted = results & calls - {""}
        self.coded = {_id(block, "id") for block in objects if _is_coded(block)} - {""}
        named = tools if is_list(tools) else []
        self.declared = {tool["name"] for tool in named if is_object(tool) and isinstance(tool.get("name"), str)}

    def read(self, place: Path, block: Any, role: Any) -> Block:
        """What a block is to a chat."""
        if isinstance(block, str):
            return Block(place, "text", block)
        kind: Any = block.get("type") if is_object(block) else None
        if kind == "text" and isinstance(block.get("text"), str):
            return Block(place, "text", block["text"])
        if kind == "tool_use":
            if _is_coded(block):
                return Block(place, "dropped", "a call by code that the server ran, which no model said")
            return Block(place, "call", call(block.get("name"), block.get("input"), block.get("id")))
        if kind == "tool_result":
            if _id(block, "tool_use_id") in self.coded:
                return Block(place, "dropped", "the result of a call by code, which no model saw")
            return Block(place, "result", _result(block, text(block.get("content"))))
        if role == "assistant":
            return self._said(place, block, kind)
        if kind == "tool_addition":
            return self._added(place, block)
        return Block(place, "part", block)

    def _said(self, place: Path, block: Any, kind: Any) -> Block:
        """What any other block of an assistant is."""
        if kind == "thinking" and isinstance(block.get("thinking"), str):
            thought: str = block["thinking"]
            hidden = Block(place, "dropped", "thinking that is not shown", loses=bool(block.get("signature")))
            return Block(place, "reasoning", thought) if thought else hidden
        if kind == "redacted_thinking":
            return Block(place, "dropped", "thinking that is encrypted", loses=True)
        if kind in _SERVER_CALLS and _id(block, "id") in self.lifted:
            return Block(place, "call", call(block.get("name"), block.get("input"), block["id"]))
        if is_object(block) and _is_server_result(block) and _id(block, "tool_use_id") in self.lifted:
            content: Any = text(block.get("content"))
            return Block(place, "result", _result(block, written(content)))
        if kind in _SERVER_CALLS or (is_object(block) and _is_server_result(block)):
            return Block(place, "dropped", f"{kind!r}: its call or its result is missing or unreadable", loses=True)
        if kind == "compaction":
            return Block(place, "dropped", "a summary that took the place of the turns before it", loses=True)
        if kind == RESTARTED:
            return Block(place, "dropped", "the beginning of an answer that the stream began again", loses=True)
        return Block(place, "dropped", f"a block of type {kind!r} has no place in a chat", loses=True)

    def _added(self, place: Path, block: dict[str, Any]) -> Block:
        tool: Any = block.get("tool")
        name: Any = tool.get("name") if is_object(tool) else None
        known = isinstance(name, str) and name in self.declared
        return Block(place, "dropped", f"adds the tool {name!r}"[:100], loses=not known)


def _id(block: dict[str, Any], key: str) -> str:
    """An id that is text; "" for none."""
    value: Any = block.get(key)
    return value if isinstance(value, str) else ""


def _is_server_result(block: dict[str, Any]) -> bool:
    kind: Any = block.get("type")
    return isinstance(kind, str) and (kind.endswith("_tool_result") or kind == "mcp_tool_result")


def _is_coded(block: dict[str, Any]) -> bool:
    caller: Any = block.get("caller")
    return block.get("type") == "tool_use" and is_object(caller) and caller.get("type") not in (None, "direct")


def _can_be_read(block: dict[str, Any]) -> bool:
    """True if nothing of a result is encrypted, or a file's bytes."""
    left: list[Any] = [block.get("content")]
    while left:
        value = left.pop()
        if is_list(value):
            left += value
        elif is_object(value):
            if value.get("type") == "base64" or any(key.startswith("encrypted") for key in value):
                return False
            left += value.values()
    return True


def _result(block: dict[str, Any], content: Any) -> Any:
    made: dict[str, Any] = {"role": "tool", "content": content}
    if block.get("tool_use_id") not in (None, ""):
        made["tool_call_id"] = block["tool_use_id"]
    return made
