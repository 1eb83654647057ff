"""Qwen3.5-0.8B and 2B: Qwen3.5's template, whose prompt closes the think block before the model speaks."""

from qwen_sft.chatml import HEADER
from qwen_sft.family import Family
from qwen_sft.xmlfamily import ThinkingTemplate, as_python

TEMPLATE = ThinkingTemplate(printed=as_python, prefill="<think>\n\n</think>\n\n")

FAMILY = Family(
    name="qwen3_5_nothink",
    title="Qwen3.5 (0.8B, 2B): XML calls, does not think unless asked to",
    models=("Qwen/Qwen3.5-0.8B", "Qwen/Qwen3.5-2B"),
    template_sha256=("273d8e0e683b885071fb17e08d71e5f2a5ddfb5309756181681de4f5a1822d80",),
    vocabulary="qwen3_5",
    parser="qwen3_coder",
    generation_prompt=f"{HEADER}{TEMPLATE.prefill}",
    serialize=TEMPLATE.serialize,
    runs=TEMPLATE.runs,
)
