"""vLLM's `qwen3_coder` in 0.24 and 0.25: as up to 0.29, but a value loses all white space around it."""

from qwen_sft.parser import ToolParser
from qwen_sft.serving.engine import machine

PARSER = ToolParser(
    name="vllm_qwen3_coder_to_0_25",
    server="vllm",
    flags=("qwen3_coder", "qwen3_xml"),
    wire="qwen3_coder",
    since=(0, 24),
    before=(0, 26),
    read=machine(trim=str.strip, keeps_think_tags=False, nested_calls=False, exact_numbers=False),
)
