"""vLLM's `qwen3_coder` up to 0.21: one type for each parameter, and "null" is null for every type."""

from collections.abc import Mapping
from typing import Any

from qwen_sft.parser import Parsed, ToolParser, Tools
from qwen_sft.serving.reasoning import behind, split_reasoning_to_0_23
from qwen_sft.serving.tools import mapping
from qwen_sft.serving.xml import by_type_name, read_vllm


def read(text: str, tools: Tools) -> Parsed:
    """As `read_vllm` cuts it."""
    return read_vllm(text, tools, _converted)


def _converted(value: str, key: str, schemas: Mapping[str, Any]) -> Any:
    """By `type`; with only an `anyOf` whatever JSON it is; else a string."""
    if value.lower() == "null":
        return None
    schema = mapping(schemas.get(key))
    if "type" in schema:
        return by_type_name(value, str(schema["type"]).strip().lower(), _number)
    return by_type_name(value, "object", _number) if "anyOf" in schema else value


def _number(text: str) -> int | float:
    number = float(text)
    return number if number != int(number) else int(number)


PARSER = ToolParser(
    name="vllm_qwen3_coder_to_0_21",
    server="vllm",
    flags=("qwen3_coder",),
    wire="qwen3_coder",
    since=(0, 19),
    before=(0, 22),
    read=behind(split_reasoning_to_0_23, read),
)
