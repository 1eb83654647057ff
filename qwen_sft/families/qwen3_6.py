"""Qwen3.6: as Qwen3.5, and every value of a call that is no string is JSON."""

from qwen_sft.asking.request import Options
from qwen_sft.family import Family
from qwen_sft.templating.xmlfamily import ThinkingTemplate, as_json


def keeps_all(options: Options) -> bool:
    """A turn loses its think block once the user has asked again, unless the request preserves it."""
    return options.get("preserve_thinking") is True


TEMPLATE = ThinkingTemplate(printed=as_json, keeps_all=keeps_all)

FAMILY = Family(
    name="qwen3_6",
    title="Qwen3.6: XML calls, thinks first, reasoning kept only after the last query",
    models=("Qwen/Qwen3.6-27B", "Qwen/Qwen3.6-27B-FP8", "Qwen/Qwen3.6-35B-A3B", "Qwen/Qwen3.6-35B-A3B-FP8"),
    template_sha256=("e84f32a23fdda27689f868aa4a1a5621f41133e51a48d7f3efcbea2839574259",),
    vocabulary="qwen3_5",
    parser="qwen3_coder",
    serialize=TEMPLATE.serialize,
    generation_prompt=TEMPLATE.generation_prompt,
    plan=TEMPLATE.plan,
    reasoning_parser="qwen3",
    options=("enable_thinking", "preserve_thinking"),
    context=262_144,
)
