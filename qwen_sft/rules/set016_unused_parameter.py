"""SET016 unused-parameter."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_MOST = 5


@rule(code="SET016", name="unused-parameter", severity="info", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Tools have parameters that no call gives.

    What it catches: of the tools that are called 100 times or more (the threshold `samples`), the declared parameters
        that no call of the set gives. The threshold is the share of their parameters that may be so: 0.

    Why it matters: of such a parameter the model learns one thing: that it is left out.

    Fix: add samples that need the parameter, or take it out of the declaration.

    Bad (thresholds={"samples":1,"SET004":0,"SET006":0,"SET013":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
           "required": ["city"]}}}]}

    Good (thresholds={"samples":1,"SET004":0,"SET006":0,"SET013":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo on Monday?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo",
          "day": "Monday"}}}]}, {"role": "tool", "content": "4 degrees"},
          {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "string"}},
           "required": ["city"]}}}]}

    Source: as SET003, for the parameters of a tool.
    """
    often = [name for name in sorted(census.parameters) if census.is_enough(census.called[name])]
    unused = [f"{name}.{one}" for name in often for one in sorted(census.parameters[name] - census.usage[name].given)]
    n_all = sum(len(census.parameters[name]) for name in often)
    if len(unused) > census.threshold("SET016", 0) * n_all:
        more = f" and {len(unused) - _MOST:,} more" if len(unused) > _MOST else ""
        listed = ", ".join(quoted(one) for one in unused[:_MOST])
        says = (
            f"{percent(len(unused), n_all)} parameters of tools that are called often are never given: {listed}{more}"
        )
        yield Finding((), says, "add samples that need them, or take them out of the declarations")
