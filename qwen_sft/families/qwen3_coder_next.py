"""Qwen3-Coder-Next: calls and tool declarations in XML, no reasoning."""

from qwen_sft.family import Family
from qwen_sft.templating.xmlfamily import CoderTemplate, as_json

TEMPLATE = CoderTemplate(printed=as_json)

FAMILY = Family(
    name="qwen3_coder_next",
    title="Qwen3-Coder-Next: XML calls, no reasoning",
    models=("Qwen/Qwen3-Coder-Next", "Qwen/Qwen3-Coder-Next-FP8"),
    template_sha256=("c79a833039a43602150cce0902403d6e376c50930c1b2a139b2964e1f0c322a0",),
    vocabulary="qwen3",
    parser="qwen3_coder",
    serialize=TEMPLATE.serialize,
    context=262_144,
)
