"""vLLM's `qwen3_coder` from 0.33 on: tags and schema types; `qwen3_xml` is the same parser."""

from qwen_sft.parser import ToolParser
from qwen_sft.serving.engine import machine, one_newline

PARSER = ToolParser(
    name="vllm_qwen3_coder",
    server="vllm",
    flags=("qwen3_coder", "qwen3_xml"),
    wire="qwen3_coder",
    since=(0, 33),
    before=None,
    read=machine(trim=one_newline, keeps_think_tags=True, nested_calls=True, exact_numbers=True),
)
