"""Qwen3, the hybrid models: JSON calls; reasoning is printed only in turns after the last query of the user."""

from qwen_sft.family import Family
from qwen_sft.templating.history import EMPTY_REASONING
from qwen_sft.templating.reasoning import ReasoningTemplate

TEMPLATE = ReasoningTemplate()

FAMILY = Family(
    name="qwen3",
    title="Qwen3 hybrid (0.6B to 235B-A22B, current revision): JSON calls, reasoning kept only after the last query",
    models=("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-14B", "Qwen/Qwen3-32B"),
    template_sha256=("a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=TEMPLATE.serialize,
    generation_prompt=TEMPLATE.generation_prompt,
    plan=TEMPLATE.plan,
    reasoning_parser="qwen3",
    options=("enable_thinking",),
    empty_reasoning=EMPTY_REASONING,
    context=32_768,
)
