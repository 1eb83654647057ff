"""Qwen3.5 from 4B on: XML calls; it thinks in every turn, and turns before the last query lose their reasoning."""

from qwen_sft.family import Family
from qwen_sft.templating.xmlfamily import ThinkingTemplate, as_python

TEMPLATE = ThinkingTemplate(printed=as_python)

FAMILY = Family(
    name="qwen3_5",
    title="Qwen3.5 (4B and larger): XML calls, thinks first, reasoning kept only after the last query",
    models=("Qwen/Qwen3.5-4B",),
    template_sha256=("a4aee8afcf2e0711942cf848899be66016f8d14a889ff9ede07bca099c28f715",),
    vocabulary="qwen3_5",
    parser="qwen3_coder",
    serialize=TEMPLATE.serialize,
    generation_prompt=TEMPLATE.generation_prompt,
    plan=TEMPLATE.plan,
    reasoning_parser="qwen3",
    options=("enable_thinking",),
    context=262_144,
)
