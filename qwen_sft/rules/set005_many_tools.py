"""SET005 many-tools."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET005", name="many-tools", severity="info", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Samples offer more tools than a model tells apart well.

    What it catches: samples with more declared tools than the threshold, 20.

    Why it matters: declarations stand in front of every prompt: they cost tokens, and the more there are, the more
        often models call a wrong one. If the agent is to choose from so many, that is what the set must show; if not,
        they are noise.

    Fix: offer what the task could need, as the agent will; or move the threshold: `thresholds = {SET005 = 128}`.

    Bad (thresholds={"SET005":1}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}, {"type": "function",
           "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}}}]}

    Good (thresholds={"SET005":1}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Source: OpenAI's guide to function calling: aim for fewer than 20 functions at a time.
    """
    most = census.threshold("SET005", 20)
    n = sum(times for n_tools, times in census.tools.items() if n_tools > most)
    if n:
        says = (
            f"{percent(n, census.n_samples)} samples offer more than {most:.3g} tools, the most {max(census.tools):,}"
        )
        yield Finding((), says, "offer what the task could need, or move the threshold of SET005")
