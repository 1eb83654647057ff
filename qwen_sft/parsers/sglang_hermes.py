"""SGLang's `hermes`: JSON in `<tool_call>`, all or nothing, only calls to declared tools."""

import json

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.json import blocks, declared_calls
from qwen_sft.serving.reasoning import behind, split_reasoning_sglang


def read(text: str, tools: Tools) -> Parsed:
    """Each block, the last one open or closed; empty ones are passed over.

    One block that is no call turns the whole text into content; a call to a tool that nobody declared is lost. Content
    is what stands before the first block, stripped.
    """
    start = text.find("<tool_call>")
    if start < 0:
        return Parsed(content=text, calls=())
    try:
        calls = [call for block in blocks(text) if block for call in declared_calls(json.loads(block), tools)]
    except (ValueError, TypeError, RecursionError):
        return Parsed(content=text, calls=())
    return Parsed(content=text[:start].strip(), calls=tuple(calls))


PARSER = ToolParser(
    name="sglang_hermes",
    server="sglang",
    flags=("hermes",),
    wire="hermes",
    since=(0, 5, 20),
    before=None,
    read=behind(split_reasoning_sglang, read),
    recommended=False,
)
