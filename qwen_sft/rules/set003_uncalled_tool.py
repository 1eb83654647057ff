"""SET003 uncalled-tool."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_MOST = 5


@rule(code="SET003", name="uncalled-tool", severity="info", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Tools are offered in the set, and no sample calls them.

    What it catches: names of tools that samples declare and none calls, where 100 samples or more declare tools (the
        threshold `samples`). The threshold is the share of all declared tools that may be so: 0.

    Why it matters: of such a tool the model learns one thing: that it is not called.

    Fix: add samples that need the tool, or take its declaration out.

    Bad (thresholds={"samples":1}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}, {"type": "function",
           "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}}}]}

    Good (thresholds={"samples":1,"SET006":0,"SET013":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Source: Liu et al., ToolACE (2024): coverage of tools is what its data are made for.
    """
    unused = sorted(name for name in census.declared if name not in census.called)
    n_all = len(census.declared)
    if census.is_enough(census.n_offered) and len(unused) > census.threshold("SET003", 0) * n_all:
        more = f" and {len(unused) - _MOST:,} more" if len(unused) > _MOST else ""
        listed = ", ".join(quoted(name) for name in unused[:_MOST])
        says = f"{percent(len(unused), n_all)} declared tools are never called: {listed}{more}"
        yield Finding((), says, "add samples that need them, or take their declarations out")
