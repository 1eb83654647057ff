"""SRC009 filtered-out."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule


@rule(code="SRC009", name="filtered-out", severity="info", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """A sample is left out because the settings say so.

    What it catches: a sample whose metadata does not satisfy `--where`, or a run that failed, with `--skip-failed`. A
        run has failed if the trace says that it had no success, or no reward above 0, as true or false, number or text;
        if it says nothing, it has not. One that the trace calls both is left out too, with that as the reason. When a
        set is built also what `--dedup`, `--sample` and `--mix` leave out; of a duplicate it names the earlier twin.

    Why it matters: a filter that keeps too little, or names a field that no trace has, looks like a small data set.
        Each sample that it leaves out is counted, and its record is among the rejects.

    Fix: none is needed if that is meant; else change the condition.

    Bad (where=reward > 0):
        {"reward": 0, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Bad (skip_failed=true):
        {"success": false, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Good (where=reward > 0):
        {"reward": 1, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: `qwen_sft.asking.where` says what a condition can be.
    """
    for reason in source.filtered:
        yield Finding((), f"left out: {reason}", "none is needed if that is meant")
