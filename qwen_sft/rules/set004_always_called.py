"""SET004 always-called."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET004", name="always-called", severity="warning", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """In nearly all samples that offer tools, one is called.

    What it catches: the share of samples that offer tools and make no call is below the threshold, 0.01, where 100
        samples or more offer tools (the threshold `samples`).

    Why it matters: nothing in the set shows that one can also just answer. The model learns to call a tool when it is
        greeted.

    Fix: add samples that offer the same tools and need none: small talk, questions whose answer is known, requests
        that no tool can serve.

    Bad (thresholds={"samples":1}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Good (thresholds={"samples":1,"SET006":0,"SET013":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Source: the Berkeley Function Calling Leaderboard measures it as "irrelevance"; xLAM and ToolACE add such samples.
    """
    least = census.threshold("SET004", 0.01)
    if census.is_enough(census.n_offered) and census.n_unused < least * census.n_offered:
        says = (
            f"{percent(census.n_unused, census.n_offered)} samples that offer tools make no call; less than {least:.3g}"
        )
        yield Finding((), says, "add samples that offer tools and need none")
