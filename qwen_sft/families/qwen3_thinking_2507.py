"""Qwen3-Thinking-2507: Qwen3's template, but for its prompt, which opens the think block that the model then fills."""

from qwen_sft.family import Family
from qwen_sft.templating.history import OPEN_REASONING
from qwen_sft.templating.reasoning import ReasoningTemplate

TEMPLATE = ReasoningTemplate(prefill=lambda _: OPEN_REASONING)

FAMILY = Family(
    name="qwen3_thinking_2507",
    title="Qwen3-Thinking-2507: JSON calls, every turn reasons, its reasoning kept only after the last query",
    models=("Qwen/Qwen3-4B-Thinking-2507", "Qwen/Qwen3-30B-A3B-Thinking-2507"),
    template_sha256=("3802169b2a02b81e6adb7ab4f64f91ff02db753c8c3a64a01c35192d3a61d8d7",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=TEMPLATE.serialize,
    generation_prompt=TEMPLATE.generation_prompt,
    plan=TEMPLATE.plan,
    reasoning_parser="qwen3",
    context=262_144,
)
