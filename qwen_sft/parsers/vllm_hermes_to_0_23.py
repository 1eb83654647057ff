"""vLLM's `hermes` up to 0.23: as later, behind the reasoning parser of that time."""

from qwen_sft.parser import ToolParser
from qwen_sft.serving.json import read_hermes
from qwen_sft.serving.reasoning import behind, split_reasoning_to_0_23

PARSER = ToolParser(
    name="vllm_hermes_to_0_23",
    server="vllm",
    flags=("hermes",),
    wire="hermes",
    since=(0, 19),
    before=(0, 24),
    read=behind(split_reasoning_to_0_23, read_hermes),
)
