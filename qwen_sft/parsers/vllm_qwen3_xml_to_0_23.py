"""vLLM's `qwen3_xml` in 0.23: an XML parser reads the calls, and lists are read as JSON, then as Python."""

import json
from typing import Any

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.expat import read_expat
from qwen_sft.serving.reasoning import behind, split_reasoning_to_0_23
from qwen_sft.serving.xml import python_literal


def read(text: str, tools: Tools) -> Parsed:
    """See `read_expat`."""
    return read_expat(text, tools, _json_or_python)


def _json_or_python(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return python_literal(text)


PARSER = ToolParser(
    name="vllm_qwen3_xml_to_0_23",
    server="vllm",
    flags=("qwen3_xml",),
    wire="qwen3_coder",
    since=(0, 23),
    before=(0, 24),
    read=behind(split_reasoning_to_0_23, read),
    recommended=False,
)
