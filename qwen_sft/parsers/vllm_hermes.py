"""vLLM's `hermes` from 0.24 on: JSON in `<tool_call>`, all or nothing."""

from qwen_sft.parser import ToolParser
from qwen_sft.serving.json import read_hermes
from qwen_sft.serving.reasoning import behind, split_reasoning

PARSER = ToolParser(
    name="vllm_hermes",
    server="vllm",
    flags=("hermes",),
    wire="hermes",
    since=(0, 24),
    before=None,
    read=behind(split_reasoning, read_hermes),
)
