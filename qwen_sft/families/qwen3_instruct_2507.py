"""Qwen3-Instruct-2507: JSON calls, no reasoning, nothing added where there is no system message."""

from collections.abc import Sequence

from qwen_sft.asking.request import NO_OPTIONS, Options
from qwen_sft.family import Family
from qwen_sft.sample import Message, Tool
from qwen_sft.templating.chatml import conversation, json_system, json_turn
from qwen_sft.tokens import Span


def serialize(messages: Sequence[Message], tools: Sequence[Tool], _options: Options = NO_OPTIONS, /) -> list[Span]:
    """The official template's text, as spans."""
    return json_system(messages, tools) + conversation(messages, json_turn)


FAMILY = Family(
    name="qwen3_instruct_2507",
    title="Qwen3-Instruct-2507: JSON calls, no reasoning",
    models=("Qwen/Qwen3-4B-Instruct-2507", "Qwen/Qwen3-30B-A3B-Instruct-2507"),
    template_sha256=("64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326",),
    vocabulary="qwen3",
    parser="hermes",
    serialize=serialize,
    context=262_144,
)
