"""vLLM's `qwen3_coder` from 0.30 to 0.32: a `<function=` in a value is text, whole numbers go through a float."""

from qwen_sft.parser import ToolParser
from qwen_sft.serving.engine import machine, one_newline

PARSER = ToolParser(
    name="vllm_qwen3_coder_to_0_32",
    server="vllm",
    flags=("qwen3_coder", "qwen3_xml"),
    wire="qwen3_coder",
    since=(0, 30),
    before=(0, 33),
    read=machine(trim=one_newline, keeps_think_tags=True, nested_calls=False, exact_numbers=False),
)
