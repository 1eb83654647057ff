"""SET013 never-parallel."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET013", name="never-parallel", severity="info", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """Nearly no sample makes several calls in one turn.

    What it catches: of the samples that make calls, the share in which some turn makes several of them is below the
        threshold, 0.01, where 100 samples or more make calls (the threshold `samples`). The contrary, that none goes
        on calling after a result, is SET006.

    Why it matters: a model that has only seen one call a turn asks for three cities in three rounds, each with the
        whole prompt again. If the agent allows one call a turn, that is as it should be.

    Fix: add samples in which calls that do not need each other's results stand in one turn; if the agent allows one
        only, set `thresholds = {SET013 = 0}`.

    Bad (thresholds={"samples":1,"SET006":0,"SET004":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo?"}, {"role": "assistant", "content": "",
          "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "content": "4 degrees"}, {"role": "assistant", "content": "4 degrees."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Good (thresholds={"samples":1,"SET006":0,"SET004":0}):
        {"messages": [{"role": "user", "content": "Weather in Oslo and Rome?"}, {"role": "assistant", "content": "",
          "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}},
            {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees"},
          {"role": "tool", "tool_call_id": "c2", "content": "18 degrees"},
          {"role": "assistant", "content": "4 degrees in Oslo, 18 in Rome."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]}

    Source: the "parallel" and "parallel multiple" parts of the Berkeley Function Calling Leaderboard.
    """
    least = census.threshold("SET013", 0.01)
    if census.is_enough(census.n_calling) and census.n_parallel < least * census.n_calling:
        share = percent(census.n_parallel, census.n_calling)
        says = f"{share} samples with calls make several in one turn; less than {least:.3g}"
        yield Finding((), says, "add samples with several calls in one turn, if the agent allows them")
