"""Qwen3-Coder, current revision: as Coder-Next, but scalars in Python's words and a newline behind each result."""

from qwen_sft.family import Family
from qwen_sft.templating.xmlfamily import CoderTemplate, as_python

TEMPLATE = CoderTemplate(printed=as_python, newline_after_result=True)

FAMILY = Family(
    name="qwen3_coder",
    title="Qwen3-Coder (30B-A3B, current revision): XML calls, no reasoning",
    models=("Qwen/Qwen3-Coder-30B-A3B-Instruct",),
    template_sha256=("5a38bfa05833266240066aedc497decc9b00cc0d3e3b8cceea98cf530196ab06",),
    vocabulary="qwen3",
    parser="qwen3_coder",
    serialize=TEMPLATE.serialize,
    context=262_144,
)
