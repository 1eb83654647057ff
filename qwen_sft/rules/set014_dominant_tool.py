"""SET014 dominant-tool."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_LEAST_TOOLS = 3


@rule(code="SET014", name="dominant-tool", severity="info", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Nearly all calls are of one tool, though there are others.

    What it catches: one tool has more than 0.9 (the threshold) of all calls, where there are 100 calls or more (the
        threshold `samples`) and three tools or more are offered or called.

    Why it matters: which tool to call is a choice that the model learns from the set; if it is nearly always the same,
        that one is what it calls when another is right.

    Fix: add samples that need the other tools, or weigh those that there are more.

    Bad (thresholds={"samples":2,"SET006":0,"SET013":0}, ignore=SET003):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "Shall I look for Rome too?"},
          {"role": "user", "content": "Yes"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "content": "18 degrees"}, {"role": "assistant", "content": "18 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}, {"type": "function",
           "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}}},
           {"type": "function", "function": {"name": "today", "description": "The date.",
           "parameters": {"type": "object"}}}]}

    Good (thresholds={"samples":2}, ignore=SET003):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."},
          {"role": "user", "content": "What time is it?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "now", "arguments": {}}}]},
          {"role": "tool", "content": "12:04"}, {"role": "assistant", "content": "Four minutes past twelve."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}, {"type": "function",
           "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}}},
           {"type": "function", "function": {"name": "today", "description": "The date.",
           "parameters": {"type": "object"}}}]}

    Source: Johnson and Khoshgoftaar, Survey on deep learning with class imbalance (2019).
    """
    most = census.threshold("SET014", 0.9)
    n_tools = len(census.declared.keys() | census.called.keys())
    n_calls = sum(census.called.values())
    name, n = max(census.called.items(), key=lambda item: (item[1], item[0]), default=("", 0))
    if census.is_enough(n_calls) and n_tools >= _LEAST_TOOLS and n > most * n_calls:
        says = f"{percent(n, n_calls)} calls are of {quoted(name)}, one of {n_tools:,} tools; more than {most:.3g}"
        yield Finding((), says, "add samples that need the other tools")
