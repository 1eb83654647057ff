"""vLLM's `qwen3_coder` in 0.22 and 0.23: cut as before, values read as every type that the schema allows."""

from collections.abc import Mapping
from typing import Any

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.reasoning import behind, split_reasoning_to_0_23
from qwen_sft.serving.schema import as_schema_says
from qwen_sft.serving.xml import read_vllm


def read(text: str, tools: Tools) -> Parsed:
    """As `read_vllm` cuts it."""
    return read_vllm(text, tools, _converted)


def _converted(value: str, key: str, schemas: Mapping[str, Any]) -> Any:
    return as_schema_says(value, schemas.get(key), finite=False, exact=False)


PARSER = ToolParser(
    name="vllm_qwen3_coder_to_0_23",
    server="vllm",
    flags=("qwen3_coder",),
    wire="qwen3_coder",
    since=(0, 22),
    before=(0, 24),
    read=behind(split_reasoning_to_0_23, read),
)
