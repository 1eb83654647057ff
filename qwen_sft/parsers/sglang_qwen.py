"""SGLang's `qwen`, once `qwen25`: JSON between `<tool_call>` and `</tool_call>` on lines of their own."""

import json

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.json import between, declared_calls
from qwen_sft.serving.reasoning import behind, split_reasoning_sglang


def read(text: str, tools: Tools) -> Parsed:
    """The blocks that are JSON; a block that is none, or is not closed, is lost, and so is a call to another tool.

    Content is what stands before the first block, stripped. A block that is JSON but no call turns the whole text into
    content, since the server then keeps what it had.
    """
    start = text.find("<tool_call>\n")
    if start < 0:
        return Parsed(content=text, calls=())
    calls: list[tuple[str, object]] = []
    for block in between(text, "<tool_call>\n", "\n</tool_call>"):
        try:
            value = json.loads(block.strip())
        except json.JSONDecodeError:
            continue
        except (ValueError, RecursionError):
            return Parsed(content=text, calls=())
        try:
            calls += declared_calls(value, tools)
        except TypeError:
            return Parsed(content=text, calls=())
    return Parsed(content=text[:start].strip(), calls=tuple(calls))


PARSER = ToolParser(
    name="sglang_qwen",
    server="sglang",
    flags=("qwen", "qwen25"),
    wire="hermes",
    since=(0, 5, 20),
    before=None,
    read=behind(split_reasoning_sglang, read),
)
