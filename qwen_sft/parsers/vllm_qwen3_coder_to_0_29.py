"""vLLM's `qwen3_coder` from 0.26 to 0.29: as up to 0.32, but it always drops a `</think>`."""

from qwen_sft.parser import ToolParser
from qwen_sft.serving.engine import machine, one_newline

PARSER = ToolParser(
    name="vllm_qwen3_coder_to_0_29",
    server="vllm",
    flags=("qwen3_coder", "qwen3_xml"),
    wire="qwen3_coder",
    since=(0, 26),
    before=(0, 30),
    read=machine(trim=one_newline, keeps_think_tags=False, nested_calls=False, exact_numbers=False),
)
