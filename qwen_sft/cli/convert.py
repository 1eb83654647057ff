"""`qwen-sft convert`: traces of any format to samples, and what became of each event."""

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen_sft.cli import options
from qwen_sft.cli.progress import Progress

if TYPE_CHECKING:
    from qwen_sft.pipeline import Outcome

EXAMPLES = """
Examples:

\b
  qwen-sft convert runs/ --out samples.jsonl
  qwen-sft convert session.jsonl --out samples.jsonl --trace-events
  qwen-sft convert http_log.jsonl --out - --dedup-prefixes --where 'reward > 0' | gzip > samples.jsonl.gz
"""


@options.takes_settings(
    *options.OF_A_MODEL,
    *options.OF_A_SET,
    *options.OF_A_GATE,
    "near_duplicates",
    *options.OF_WORKERS,
    "control_tokens",
    "select",
    "ignore",
)
def convert(
    paths: options.Paths,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="File to write, one sample a line; - for stdout.")],
    flags: dict[str, Any],
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", metavar="FILE", help="Where rejected records go [default: FILE.rejects.jsonl]."),
    ] = None,
    trace_events: Annotated[
        bool, typer.Option("--trace-events", help="Print what became of each event, with its JSON pointer.")
    ] = False,
) -> None:
    """Read traces of any format into samples, without checking them further."""
    from qwen_sft.errors import UsageError
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.reporter import exit_code, summary
    from qwen_sft.running.convert import convert as run
    from qwen_sft.text.terminal import fitted

    if not out:
        raise UsageError("--out is empty; name a file, or - for stdout")
    settings = options.settings(flags, select=("SRC", "SCH"), overrides=())
    skipped = Counter[str]()
    inputs = expand(paths, skipped=skipped)

    def each(outcome: "Outcome") -> None:
        progress.advance(outcome)
        for line in traced(outcome) if trace_events else ():
            (sys.stderr if out == "-" else sys.stdout).write(line + "\n")
        for found in outcome.diagnostics:
            sys.stderr.write(fitted(options.said(found) + "\n", sys.stderr))

    with Progress(inputs) as progress:
        totals = run(inputs, settings, out, rejects, each=each)
    sys.stderr.write(fitted(f"{totals.n_samples:,} samples\n{summary(totals)}", sys.stderr))
    for source in inputs:
        skipped.update(source.skipped)
    options.tell_skipped(skipped)
    code = exit_code(totals, settings.fail_on)
    raise typer.Exit(code or (0 if totals.n_samples else 3))


def traced(outcome: "Outcome") -> Iterator[str]:
    """A line for each event: place, JSON pointer, fate, and the message it became or the reason; parted by tabs."""
    from qwen_sft.sample import json_pointer
    from qwen_sft.text.terminal import one_line

    record = outcome.record
    if not outcome.n_events:
        yield f"{record.where.file}:{record.where.line}\t\trejected\tno sample could be made of the record"
        return
    told: dict[Any, list[tuple[str, str]]] = {event.path: [(event.fate, event.reason)] for event in outcome.aside}
    read = outcome.conversations or (outcome.reading.conversations if outcome.reading and not outcome.left_out else [])
    for k, conversation in enumerate(read):
        for i, (place, message) in enumerate(
            zip(conversation.origins, conversation.sample.get("messages", []), strict=True)
        ):
            told.setdefault(place, []).append(("kept", f"sample {k}, message {i} ({message.get('role')})"))
    for place in outcome.events:
        where = record.where
        inside = place if where.item is None else (where.item, *place)  # one of a file that is a list
        if record.parts and place and isinstance(place[0], int):
            where, inside = record.parts[place[0]], place[1:]
        for fate in told.get(place, ()):
            yield "\t".join(one_line(part) for part in (f"{where.file}:{where.line}", json_pointer(inside), *fate))


convert.__doc__ = (convert.__doc__ or "") + "\n" + EXAMPLES
