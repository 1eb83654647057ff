"""Qwen3-VL-Instruct, its text: JSON calls, no reasoning; system messages further down are left out."""

from collections.abc import Sequence

from qwen_sft.asking.request import NO_OPTIONS, Options
from qwen_sft.family import Family
from qwen_sft.sample import Message, Tool
from qwen_sft.templating.chatml import conversation, json_system, json_turn
from qwen_sft.tokens import Span


def serialize(messages: Sequence[Message], tools: Sequence[Tool], _options: Options = NO_OPTIONS, /) -> list[Span]:
    """The official template's text, as spans.

    Content in parts, images among them, is refused: only the template's branch for text is reproduced.
    """
    return json_system(messages, tools) + conversation(messages, json_turn, late_system=False)


FAMILY = Family(
    name="qwen3_vl",
    title="Qwen3-VL-Instruct, text only: JSON calls, no reasoning",
    models=("Qwen/Qwen3-VL-*-Instruct",),
    template_sha256=("3636d0f0bd6bef02654cdffdc447b79cb2cef8ab02cc75267345946291a489e4",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=serialize,
    context=262_144,
)
