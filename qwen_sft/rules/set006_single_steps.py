"""SET006 single-steps."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET006", name="single-steps", severity="warning", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Nearly no sample goes on calling after it has seen a result.

    What it catches: of the samples that make calls, the share in which a turn with calls follows another one, with no
        user's turn between, is below the threshold, 0.05, where 100 samples or more make calls (the threshold
        `samples`).

    Why it matters: an agent that has only seen single steps stops after the first, and makes up the rest.

    Fix: add samples in which a call needs what an earlier one gave. If the model is to make single calls only, ignore
        this rule.

    Bad (thresholds={"samples":1}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Good (thresholds={"samples":1,"SET013":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Olso"}}}]},
          {"role": "tool", "content": "no such city"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Source: the multi-turn and multi-step parts of the Berkeley Function Calling Leaderboard.
    """
    least = census.threshold("SET006", 0.05)
    if census.is_enough(census.n_calling) and census.n_chained < least * census.n_calling:
        share = percent(census.n_chained, census.n_calling)
        says = f"{share} samples with calls make one behind another; less than {least:.3g}"
        yield Finding((), says, "add samples in which a call needs what an earlier one gave")
