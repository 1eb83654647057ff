"""Qwen3, the hybrid models as first published: on text, their template prints what the later one does."""

from qwen_sft.family import Family
from qwen_sft.templating.history import EMPTY_REASONING
from qwen_sft.templating.reasoning import ReasoningTemplate

TEMPLATE = ReasoningTemplate()

FAMILY = Family(
    name="qwen3_first_revision",
    title="Qwen3 hybrid with the template of its first revision: JSON calls, reasoning kept only after the last query",
    models=("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B", "Qwen/Qwen3-14B", "Qwen/Qwen3-32B"),
    template_sha256=("87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5",),
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
