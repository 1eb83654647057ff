"""vLLM's `qwen3_xml` up to 0.22: an XML parser reads the calls, and lists are read as Python."""

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.expat import read_expat
from qwen_sft.serving.reasoning import behind, split_reasoning_to_0_23
from qwen_sft.serving.xml import python_literal


def read(text: str, tools: Tools) -> Parsed:
    """See `read_expat`. `[true]` is no Python, so such a list is one string."""
    return read_expat(text, tools, python_literal)


PARSER = ToolParser(
    name="vllm_qwen3_xml_to_0_22",
    server="vllm",
    flags=("qwen3_xml",),
    wire="qwen3_coder",
    since=(0, 19),
    before=(0, 23),
    read=behind(split_reasoning_to_0_23, read),
    recommended=False,
)
