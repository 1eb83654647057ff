"""Qwen3.5-0.8B and 2B: Qwen3.5's template, whose prompt closes the think block before the model speaks."""

from qwen_sft.asking.request import Options
from qwen_sft.family import Family
from qwen_sft.templating.history import EMPTY_REASONING, OPEN_REASONING
from qwen_sft.templating.xmlfamily import ThinkingTemplate, as_python


def prefill(options: Options) -> str:
    """The prompt closes the think block, unless the request turns thinking on."""
    return OPEN_REASONING if options.get("enable_thinking") is True else EMPTY_REASONING


TEMPLATE = ThinkingTemplate(printed=as_python, prefill=prefill)

FAMILY = Family(
    name="qwen3_5_nothink",
    title="Qwen3.5 (0.8B, 2B): XML calls, does not think unless asked to",
    models=("Qwen/Qwen3.5-0.8B", "Qwen/Qwen3.5-2B"),
    template_sha256=("273d8e0e683b885071fb17e08d71e5f2a5ddfb5309756181681de4f5a1822d80",),
    vocabulary="qwen3_5",
    parser="qwen3_coder",
    serialize=TEMPLATE.serialize,
    generation_prompt=TEMPLATE.generation_prompt,
    plan=TEMPLATE.plan,
    reasoning_parser="qwen3",
    options=("enable_thinking",),
    context=262_144,
)
