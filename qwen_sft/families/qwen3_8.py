"""Qwen3.8: every turn keeps its think block, and the system turn says how hard to think."""

from qwen_sft.asking.request import Options
from qwen_sft.errors import TemplateError
from qwen_sft.family import Family
from qwen_sft.templating.xmlfamily import ThinkingTemplate, as_json

EFFORTS = {
    "xhigh": (
        "Reasoning effort is set to xhigh. Please think carefully through the task, validate key assumptions, consider "
        "plausible alternatives, and prioritize correctness, consistency, and clarity in the final answer."
    ),
    "medium": "",
    "low": (
        "Reasoning effort is set to low. Keep your thinking brief and focused, moving directly to the conclusion "
        "without unnecessary elaboration."
    ),
}


def effort(options: Options) -> str:
    """What the system turn says of reasoning effort; nothing where the request does not turn thinking on.

    Raises:
        TemplateError: as the template does, for an effort that it does not know.
    """
    if options.get("enable_thinking", True) is not True:
        return ""
    asked = options.get("reasoning_effort", "xhigh")
    if not isinstance(asked, str) or asked not in EFFORTS:
        raise TemplateError(f"reasoning_effort is {asked!r}; this template knows {', '.join(EFFORTS)}")
    return EFFORTS[asked]


def keeps_all(options: Options) -> bool:
    """Every turn keeps its think block, unless the request says otherwise."""
    return options.get("preserve_thinking", True) is True


TEMPLATE = ThinkingTemplate(printed=as_json, keeps_all=keeps_all, effort=effort, reads_tags=False)

FAMILY = Family(
    name="qwen3_8",
    title="Qwen3.8: XML calls, thinks first, reasoning kept in every turn",
    models=("Qwen/Qwen3.8-27B", "Qwen/Qwen3.8-27B-FP8"),
    template_sha256=("c3cf9e34abf4f9e36c2d72165aa9c132d3e2a725b6c2586aaa3a8af9d7a81041",),
    vocabulary="qwen3_8",
    parser="qwen3_coder",
    serialize=TEMPLATE.serialize,
    generation_prompt=TEMPLATE.generation_prompt,
    plan=TEMPLATE.plan,
    reasoning_parser="qwen3",
    options=("enable_thinking", "preserve_thinking", "reasoning_effort"),
    context=262_144,
)
