"""Qwen3.8: every turn keeps its think block, and the system turn says how hard to think."""

from qwen_sft.chatml import HEADER
from qwen_sft.family import Family
from qwen_sft.xmlfamily import ThinkingTemplate, as_json

# What the default, xhigh, says.
EFFORT = (
    "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
    "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
)
TEMPLATE = ThinkingTemplate(printed=as_json, prefill="<think>\n", effort=EFFORT, keeps_reasoning=True)

FAMILY = Family(
    name="qwen3_8",
    title="Qwen3.8: XML calls, thinks first, reasoning kept in every turn",
    models=("Qwen/Qwen3.8-27B", "Qwen/Qwen3.8-27B-FP8"),
    template_sha256=("c3cf9e34abf4f9e36c2d72165aa9c132d3e2a725b6c2586aaa3a8af9d7a81041",),
    vocabulary="qwen3_8",
    parser="qwen3_coder",
    generation_prompt=f"{HEADER}{TEMPLATE.prefill}",
    serialize=TEMPLATE.serialize,
    runs=TEMPLATE.runs,
)
