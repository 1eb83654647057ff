"""Hermes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`, results in `<tool_response>`."""

from qwen_sft.dialect import Dialect
from qwen_sft.text.markup import lift_calls, lift_results

DIALECT = Dialect(
    name="hermes",
    title='<tool_call>{"name": ..., "arguments": ...}</tool_call>',
    marks=("<tool_call>",),
    calls=lambda text, _tools: lift_calls(text),
    results=lift_results,
)
