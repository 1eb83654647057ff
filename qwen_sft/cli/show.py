"""`qwen-sft show`: one sample as the model will see it, token by token."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen_sft.cli import options

if TYPE_CHECKING:
    from qwen_sft.finding import Diagnostic
    from qwen_sft.sample import Sample
    from qwen_sft.view import Token, View

EXAMPLES = """
Examples:

\b
  qwen-sft show runs.jsonl --model qwen3
  qwen-sft show runs.jsonl --model ./my-model --row 812
  qwen-sft show runs.jsonl --model qwen3_5 --thinking off --html row.html
"""

_LABEL = 12


@options.takes_settings(
    "verify", "seed", "fail_on", "select", "ignore", "near_duplicates", "jobs", *options.OF_A_GATE, *options.OF_A_SET
)
def show(
    paths: options.Paths,
    flags: dict[str, Any],
    row: Annotated[int, typer.Option("--row", min=1, metavar="N", help="Which record, counted from 1.")] = 1,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write it as one self-contained page.")
    ] = None,
) -> None:
    """Show one record as training rows: each token, its kind, whether it is trained, and the findings beside it."""
    from itertools import islice

    from qwen_sft.errors import InputError, UsageError
    from qwen_sft.ingest import expand, records
    from qwen_sft.pipeline import Pipeline
    from qwen_sft.reporter import Totals, reporters
    from qwen_sft.terminal import in_colour, one_line
    from qwen_sft.viewing.page import page
    from qwen_sft.viewing.record import sheet_of, views_of

    if html is not None and html.is_dir():  # as '' is, for a path
        raise UsageError(f"--html names the folder {str(html)!r}; name the file of the page")
    settings = options.settings(flags, verify="all")
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    pipeline = Pipeline(settings)
    every = (record for source in expand(paths) for record in pipeline.whole(records(source)))
    record = next(islice(every, row - 1, None), None)
    if record is None:
        raise InputError(f"there is no record {row}; --row counts the records of all files from 1")
    (outcome,) = pipeline.process([record])
    colour = in_colour(sys.stdout)
    place = f"{one_line(record.where.file)}:{record.where.line}"
    views = [one for encoded in outcome.encoded or () for one in views_of(encoded, pipeline)]
    if html is not None:
        _save(html, page(sheet_of(outcome, pipeline)))
    sys.stdout.write(f"{place}: {outcome.format or 'no format'}, {len(outcome.rows)} training rows\n")
    shown: set[int] = set()
    for number, one in enumerate(views, start=1):
        tokens = one.row
        sys.stdout.write(
            f"\nrow {number}: {len(tokens.input_ids):,} tokens, {tokens.n_trained_tokens:,} trained, "
            f"turns {', '.join(map(str, tokens.turns))}\n"
        )
        _write(one, outcome.diagnostics, shown, colour)
    if not outcome.rows:
        for conversation in outcome.conversations:
            _write_messages(conversation.sample, outcome.diagnostics, shown, colour)
    rest = [d for i, d in enumerate(outcome.diagnostics) if i not in shown]
    if rest:
        sys.stdout.write("\n")
        totals = Totals(n_files=1, n_records=1, n_rejected=int(outcome.rejected), n_clean=int(not outcome.rejected))
        reporters()["full"].report(rest, totals, sys.stdout, None)
    raise typer.Exit(int(outcome.rejected))


def _save(file: Path, text: str) -> None:
    from qwen_sft.errors import OutputError

    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {str(file)!r}: {error.strerror}; name another with --html") from error


def _write(one: "View", findings: "list[Diagnostic]", shown: set[int], colour: bool) -> None:
    """The stretches of a row, a line or more each: gutter, kind, tokens between bars.

    In the gutter: T for trained, > where a prompt ends, < what the server reads in the answer, ! a finding.
    """
    from qwen_sft.terminal import styled
    from qwen_sft.tokens import GENERATED, Kind
    from qwen_sft.view import prompt_line, read_lines

    width = max(40, shutil.get_terminal_size((100, 24)).columns) - _LABEL - 4
    begun: set[int] = set()
    for i, stretch in enumerate(one.stretches):
        turn = one.turns.get(stretch.message)
        if turn and stretch.kind in GENERATED and stretch.message not in begun:
            begun.add(stretch.message)
            _line(">", "prompt", prompt_line(turn), colour)
        label = stretch.kind.name.lower()
        gutter, style = ("T", "ok") if stretch.weight else (" ", "dim")
        for line in _lines([_shown(token) for token in stretch.tokens], width):
            sys.stdout.write(f"{styled(gutter, 'ok', colour)} {label:<{_LABEL}} {styled(line, style, colour)}\n")
            label = ""
        following = one.stretches[i + 1] if i + 1 < len(one.stretches) else None
        if turn and stretch.kind is Kind.STOP and turn.read is not None:
            for line in read_lines(turn.read):
                _line("<", "read back", line, colour)
        if following is None or following.message != stretch.message:
            _write_findings(stretch.message, findings, shown, colour)


def _line(gutter: str, label: str, text: str, colour: bool) -> None:
    from qwen_sft.terminal import printable, styled

    sys.stdout.write(f"{gutter} {label:<{_LABEL}} {styled(printable(text), 'dim', colour)}\n")


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


def _shown(token: "Token") -> str:
    """One token as text: a newline is written ⏎, a tab ⇥."""
    from qwen_sft.terminal import printable

    return printable(token.text).replace("\n", "⏎").replace("\t", "⇥")


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
