"""vLLM's `qwen3_coder` from 0.26 to 0.32: a `<function=` in a value is text, whole numbers go through a float."""

from qwen_sft.parse_engine import machine, one_newline
from qwen_sft.parser import ToolParser

PARSER = ToolParser(
    name="vllm_qwen3_coder_to_0_32",
    server="vllm",
    flags=("qwen3_coder", "qwen3_xml"),
    wire="qwen3_coder",
    since=(0, 26),
    before=(0, 33),
    read=machine(trim=one_newline, nested_calls=False, exact_numbers=False),
)
