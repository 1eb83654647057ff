"""SET012 single-system-prompt."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET012", name="single-system-prompt", severity="info", since="0.1.0", stage="set")
def check(census: Census) -> Iterator[Finding]:
    """All samples have the same system prompt.

    What it catches: one system prompt stands in more than 0.99 (the threshold) of the samples, where there are 100 or
        more (the threshold `samples`). A set without system prompts is none of these.

    Why it matters: what the set teaches is tied to that prompt: with another one, or none, the model may do as it did
        before, and it learns not to read what stands there.

    Fix: if the model is for one agent with that prompt, move the threshold: `thresholds = {SET012 = 1}`. If not, vary
        the prompt, and leave it out of some samples.

    Bad (thresholds={"samples":2}):
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "Hi."}]}
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"},
          {"role": "assistant", "content": "Hello."}]}

    Good (thresholds={"samples":2}):
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
          {"role": "assistant", "content": "Hi."}]}
        {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello."}]}

    Source: Mukherjee et al., Orca (2023): system prompts are varied so that the model learns to follow them.
    """
    most = census.threshold("SET012", 0.99)
    n = census.largest("system")
    if census.is_enough(census.n_samples) and n > most * census.n_samples:
        says = f"{percent(n, census.n_samples)} samples have the same system prompt; more than {most:.3g}"
        yield Finding((), says, "vary the system prompt, or move the threshold of SET012")
