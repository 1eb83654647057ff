"""Traces to samples, one a line: what `qwen-sft convert` writes, and every later step reads as it would the traces."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen_sft.format import Conversation
from qwen_sft.ingesting.ingest import Input
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.pipeline import Outcome, Pipeline, outcomes, tally
from qwen_sft.reporter import Totals
from qwen_sft.running.outfile import STDOUT, json_line, opened, refuse_inputs
from qwen_sft.running.rejects import rejected
from qwen_sft.settings import Settings
from qwen_sft.shaping.shape import shaped


def convert(
    inputs: Sequence[Input],
    settings: Settings,
    out: str,
    rejects: Path | None = None,
    *,
    each: Callable[[Outcome], None] = lambda _: None,
) -> Totals:
    """Writes the samples of some inputs, and beside them the records that gave none; `n_samples` is what was written.

    Results come into the order of their calls and tool schemas become JSON Schema, as for training; where that changes
    the tools, the trace's own are kept in the metadata as `tools_original`.

    Args:
        out: the file to write, compressed if its name ends in .gz or .zst; "-" for stdout.
        rejects: where rejected records go; by default beside `out`, and nowhere if that is stdout.
        each: is told of every record, in order.

    Raises:
        OutputError: a file cannot be written, or is one of the inputs.
        InputError, UsageError: nothing was left behind.
    """
    pipeline = Pipeline(settings)
    aside = rejects if rejects is not None or out == STDOUT else Path(f"{out}.rejects.jsonl")
    targets = [path for path in (None if out == STDOUT else Path(out), aside) if path is not None]
    refuse_inputs(inputs, targets)
    totals, n_written = Totals(n_files=len(inputs)), 0
    with opened(out) as samples, opened(str(aside)) if aside is not None else nullcontext() as refused:
        for outcome in outcomes(inputs, pipeline):
            if not outcome.rejected:
                _shape(outcome, settings)
                for conversation in outcome.conversations:
                    samples.write(json_line(conversation.sample))
                n_written += len(outcome.conversations)
            elif refused is not None:
                refused.write(rejected(outcome))
            tally(totals, outcome)
            each(outcome)
    totals.n_samples = n_written
    if aside is not None and not totals.n_rejected:
        aside.unlink(missing_ok=True)
    return totals


def _shape(outcome: Outcome, settings: Settings) -> None:
    made: list[Conversation] = []
    for conversation in outcome.conversations:
        done, dropped = shaped(conversation, Transcript(conversation.sample, settings), settings)
        given: Any = conversation.sample.get("tools")
        if given != done.sample.get("tools"):
            labels = {**done.sample.get("metadata", {}), "tools_original": given}
            done = replace(done, sample={**done.sample, "metadata": labels})
        made.append(done)
        outcome.aside += dropped
    outcome.conversations = made
