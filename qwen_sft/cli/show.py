"""`qwen-sft show`: one sample as the model will see it, token by token."""

import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from qwen_sft.cli import options

if TYPE_CHECKING:
    from qwen_sft.finding import Diagnostic
    from qwen_sft.sample import Sample
    from qwen_sft.tokenizer import Tokenizer
    from qwen_sft.tokens import Tokens

EXAMPLES = """
Examples:

\b
  qwen-sft show runs.jsonl --model qwen3
  qwen-sft show runs.jsonl --model ./my-model --row 812
"""

_LABEL = 12


def show(
    paths: options.Paths,
    model: options.Model = None,
    row: Annotated[int, typer.Option("--row", min=1, metavar="N", help="Which record, counted from 1.")] = 1,
    format: options.Format = None,
    trailing_calls: options.TrailingCalls = None,
    max_length: options.MaxLength = None,
    on_too_long: options.OnTooLong = None,
    tokenizer_backend: options.Backend = None,
    config: options.Config = None,
) -> None:
    """Show one record as training rows: each token, its kind, whether it is trained, and the findings beside it."""
    from itertools import islice

    from qwen_sft.errors import InputError, UsageError
    from qwen_sft.ingest import expand, records
    from qwen_sft.pipeline import Pipeline
    from qwen_sft.reporter import Totals, reporters
    from qwen_sft.terminal import in_colour, one_line

    settings = options.settings(
        config,
        model=model,
        format=format,
        trailing_calls=trailing_calls,
        max_length=max_length,
        on_too_long=on_too_long,
        tokenizer_backend=tokenizer_backend,
        verify="all",
    )
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    pipeline = Pipeline(settings)
    every = (record for source in expand(paths) for record in records(source))
    record = next(islice(every, row - 1, None), None)
    if record is None:
        raise InputError(f"there is no record {row}; --row counts the records of all files from 1")
    (outcome,) = pipeline.process([record])
    colour = in_colour(sys.stdout)
    place = f"{one_line(record.where.file)}:{record.where.line}"
    sys.stdout.write(f"{place}: {outcome.format or 'no format'}, {len(outcome.rows)} training rows\n")
    shown: set[int] = set()
    for number, one in enumerate(outcome.rows, start=1):
        tokens = one.tokens
        sys.stdout.write(
            f"\nrow {number}: {len(tokens.input_ids):,} tokens, {tokens.n_trained_tokens:,} trained, "
            f"turns {', '.join(map(str, tokens.turns))}\n"
        )
        _write(tokens, pipeline.encoder.model.tokenizer, outcome.diagnostics, shown, colour)
    if not outcome.rows:
        for conversation in outcome.conversations:
            _write_messages(conversation.sample, outcome.diagnostics, shown, colour)
    rest = [d for i, d in enumerate(outcome.diagnostics) if i not in shown]
    if rest:
        sys.stdout.write("\n")
        totals = Totals(n_files=1, n_records=1, n_rejected=int(outcome.rejected), n_clean=int(not outcome.rejected))
        reporters()["full"].report(rest, totals, sys.stdout, None)
    raise typer.Exit(int(outcome.rejected))


def _write(
    tokens: "Tokens", tokenizer: "Tokenizer", findings: "list[Diagnostic]", shown: set[int], colour: bool
) -> None:
    """Groups of tokens of one kind, a line or more each: gutter (T: trained), kind, tokens between bars."""
    from qwen_sft.terminal import styled
    from qwen_sft.tokens import Kind

    width = max(40, shutil.get_terminal_size((100, 24)).columns) - _LABEL - 4
    start = 0
    n = len(tokens.input_ids)
    while start < n:
        end = start + 1
        same = (tokens.kinds[start], tokens.loss_mask[start], tokens.messages[start])
        while end < n and (tokens.kinds[end], tokens.loss_mask[end], tokens.messages[end]) == same:
            end += 1
        trained = bool(tokens.loss_mask[start])
        label = Kind(int(tokens.kinds[start])).name.lower()
        style = "ok" if trained else "dim"
        for line in _lines([_token(tokenizer, tokens.input_ids[i : i + 1]) for i in range(start, end)], width):
            gutter = "T" if trained else " "
            sys.stdout.write(f"{styled(gutter, 'ok', colour)} {label:<{_LABEL}} {styled(line, style, colour)}\n")
            label = ""
        message = int(tokens.messages[start])
        if end == n or int(tokens.messages[end]) != message:
            _write_findings(message, findings, shown, colour)
        start = end


def _write_findings(message: int, findings: "list[Diagnostic]", shown: set[int], colour: bool) -> None:
    from qwen_sft.terminal import printable, styled

    for i, found in enumerate(findings):
        if i not in shown and found.sample_path[:2] == ("messages", message):
            shown.add(i)
            says = styled(f"{found.severity.value} {found.code}", found.severity.value, colour)
            sys.stdout.write(f"! {'':<{_LABEL}} {says} {printable(found.says)}; {printable(found.fix)}\n")


def _write_messages(sample: "Sample", findings: "list[Diagnostic]", shown: set[int], colour: bool) -> None:
    """A sample that has no rows: its messages, each with its findings."""
    from qwen_sft.chatml import tojson
    from qwen_sft.terminal import printable, styled

    sys.stdout.write("\n")
    for index, message in enumerate(sample.get("messages", [])):
        rest = {key: value for key, value in message.items() if key not in ("role", "content")}
        text = message.get("content", "")
        text = text if isinstance(text, str) else tojson(text)
        lines = (text.splitlines() if text else []) + [f"{key}: {tojson(value)}" for key, value in rest.items()]
        label = printable(str(message.get("role")))
        for line in lines or [""]:
            sys.stdout.write(f"  {label:<{_LABEL}} {styled(printable(line), 'dim', colour)}\n")
            label = ""
        _write_findings(index, findings, shown, colour)


def _token(tokenizer: "Tokenizer", ids: object) -> str:
    """One token as text: a newline is written ⏎, bytes that are no whole character as <0xNN>."""
    from qwen_sft.terminal import printable

    data = tokenizer.decode_bytes(ids)  # pyright: ignore[reportArgumentType]  # a slice of input_ids
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in data)
    return printable(text).replace("\n", "⏎").replace("\t", "⇥")


def _lines(tokens: list[str], width: int) -> list[str]:
    """Tokens between bars, broken behind newlines and at the width."""
    lines: list[str] = []
    line = ""
    for token in tokens:
        piece = f"{token}│"
        if line and len(line) + len(piece) > width:
            lines.append(line)
            line = ""
        line += piece
        if "⏎" in token:
            lines.append(line)
            line = ""
    return [*lines, line] if line else lines


show.__doc__ = (show.__doc__ or "") + "\n" + EXAMPLES
