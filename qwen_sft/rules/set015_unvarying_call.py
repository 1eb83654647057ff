"""SET015 unvarying-call."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_MOST = 5


@rule(code="SET015", name="unvarying-call", severity="info", since="0.1.0", stage="set", heuristic=True)
def check(census: Census) -> Iterator[Finding]:
    """A tool is always called with the same arguments.

    What it catches: tools that are called 20 times or more (the threshold), with arguments, which are the same each
        time.

    Why it matters: the model learns the call as a phrase, arguments and all, whatever the user asks. Often the samples
        come from one template, or are copies of each other.

    Fix: add samples that call the tool with other arguments; if it has only one use, declare it without parameters.

    Bad (thresholds={"SET015":2}):
        {"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."},
          {"role": "user", "content": "And now?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "5 degrees"}, {"role": "assistant", "content": "5 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Good (thresholds={"SET015":2}):
        {"messages": [{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."},
          {"role": "user", "content": "And in Rome?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "content": "18 degrees"}, {"role": "assistant", "content": "18 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Source: Liu et al., ToolACE (2024): diversity of calls is what its data are made for.
    """
    least = census.threshold("SET015", 20)
    often = [name for name in sorted(census.usage) if census.usage[name].given and census.called[name] >= least]
    same = [name for name in often if census.usage[name].arguments]
    if same:
        more = f" and {len(same) - _MOST:,} more" if len(same) > _MOST else ""
        listed = ", ".join(f"{quoted(name)} ({census.called[name]:,} calls)" for name in same[:_MOST])
        says = (
            f"{percent(len(same), len(often))} tools that are called {least:.3g} times or more, with arguments, always "
            f"get the same ones: {listed}{more}"
        )
        yield Finding((), says, "add samples that call them with other arguments")
