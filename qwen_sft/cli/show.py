"""`qwen-sft show`: samples as the model will see them, token by token."""

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen_sft.cli import options

if TYPE_CHECKING:
    from qwen_sft.cli.pick import PickedRow
    from qwen_sft.cli.progress import Progress
    from qwen_sft.finding import Diagnostic
    from qwen_sft.pipeline import Outcome, Pipeline
    from qwen_sft.sample import Sample
    from qwen_sft.showing.view import Token, View
    from qwen_sft.tokens import Tokens

EXAMPLES = """
Examples:

\b
  qwen-sft show runs.jsonl --model qwen3
  qwen-sft show runs.jsonl --model ./my-model --row 812
  qwen-sft show traces/ --model qwen3 --code TOL003 --tool get_weather
  qwen-sft show dataset --rows 10-20 --longer-than 4000
  qwen-sft show runs.jsonl --model qwen3_5 --thinking off --html row.html
"""

_LABEL = 12


@options.takes_settings(
    "verify",
    "seed",
    "fail_on",
    "select",
    "ignore",
    "near_duplicates",
    *options.OF_WORKERS,
    *options.OF_A_GATE,
    *options.OF_A_SET,
)
def show(
    paths: options.Paths,
    flags: dict[str, Any],
    row: Annotated[
        str | None,
        typer.Option(
            "--row",
            "--rows",
            metavar="N|N-M",
            help="Which records, counted from 1: 12, 10-20, 10- [default: the first, or all that fit].",
        ),
    ] = None,
    code: Annotated[
        list[str] | None,
        typer.Option("--code", metavar="CODES", help="Only records with such a finding: TOL003, TOL, a name."),
    ] = None,
    tool: Annotated[str | None, typer.Option("--tool", metavar="NAME", help="Only what calls this tool.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="PATTERN", help="Only what came from files named so: 'tau*.jsonl'."),
    ] = None,
    longer_than: Annotated[
        int | None, typer.Option("--longer-than", min=0, metavar="N", help="Only what has a row of more tokens.")
    ] = None,
    max_records: Annotated[
        int | None, typer.Option("--max-records", min=1, metavar="N", help="Show at most so many.")
    ] = None,
    pager: Annotated[
        bool, typer.Option("--pager/--no-pager", help="On a terminal, page with $PAGER (less) [default: yes].")
    ] = True,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Also write it as one self-contained page.")
    ] = None,
) -> None:
    """Show records as training rows: each token, its kind, whether it is trained, and the findings beside it.

    Of a built set, its rows.
    """
    from qwen_sft.cli.pick import outcomes_of, pick_of, rows_of
    from qwen_sft.cli.progress import Progress
    from qwen_sft.errors import InputError, UsageError
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.pipeline import Pipeline
    from qwen_sft.verifying.facts import inputs_of, manifest_of

    if html is not None and html.is_dir():  # as '' is, for a path
        raise UsageError(f"--html names the folder {str(html)!r}; name the file of the page")
    pick = pick_of(row, code or (), tool, source, longer_than)
    if html is not None and (pick.searches or pick.last != pick.first):
        raise UsageError("--html writes one record; name it with --row, and leave the filters out")
    manifest = manifest_of(Path(paths[0])) if len(paths) == 1 else {}
    set_at = Path(paths[0]) if "writer" in manifest else None
    n_shown = n_seen = 0
    rejected = False
    if set_at is not None:
        given = sorted(name for name, value in flags.items() if value is not None and name != "config")
        if given or html is not None:
            flag = given[0].replace("_", "-") if given else "html"
            raise UsageError(f"{paths[0]!r} is a built set, made with its own settings; leave --{flag} out")
        inputs = inputs_of(set_at, manifest)
        with Progress(inputs, what="rows") as progress, ExitStack() as stack:
            for file, n, picked in rows_of(set_at, manifest, inputs, pick):
                n_seen += n
                progress.count(n, file=file.name)
                if picked is not None:
                    _begin(progress, stack, pager, n_shown)
                    _write_row(picked)
                    n_shown += 1
                    if n_shown == max_records:
                        break
    else:
        settings = options.settings(flags, verify="all")
        if settings.model is None:
            raise UsageError("no model is named; name one with --model, see: qwen-sft models")
        pipeline = Pipeline(settings)
        inputs = expand(paths)
        with Progress(inputs) as progress, ExitStack() as stack:
            for outcome, fits in outcomes_of(inputs, pipeline, pick):
                n_seen += 1
                progress.advance(outcome)
                if fits:
                    _begin(progress, stack, pager, n_shown)
                    _write_record(outcome, pipeline, html)
                    rejected |= outcome.rejected
                    n_shown += 1
                    if n_shown == max_records:
                        break
    if n_shown:
        raise typer.Exit(int(rejected))
    if not pick.searches:
        raise InputError(f"there is no record {pick.first}; --row counts the records of all files from 1")
    what = "record" if set_at is None else "row"
    sys.stderr.write(f"qwen-sft: none of {n_seen:,} {what}s is such; ask for less\n")
    raise typer.Exit(3)


def _begin(progress: "Progress", stack: ExitStack, pager: bool, n_shown: int) -> None:
    """Makes room for what is found: no bar from the first on, a line between two."""
    from qwen_sft.cli.paging import paged

    if n_shown:
        sys.stdout.write("\n")
    else:
        progress.stop()
        stack.enter_context(paged(pager))


def _write_row(picked: "PickedRow") -> None:
    from qwen_sft.text.terminal import in_colour, one_line

    tokens = picked.view.row
    source = f", from {one_line(picked.source)}" if picked.source else ""
    sys.stdout.write(f"row {picked.number:,}: {one_line(picked.place)}{source}\n")
    _write_head(tokens)
    _write(picked.view, [], set(), in_colour(sys.stdout))


def _write_head(tokens: "Tokens") -> None:
    sys.stdout.write(
        f"{len(tokens.input_ids):,} tokens, {tokens.n_trained_tokens:,} trained, "
        f"turns {', '.join(map(str, tokens.turns))}\n"
    )


def _write_record(outcome: "Outcome", pipeline: "Pipeline", html: Path | None) -> None:
    from qwen_sft.reporter import Totals, reporters
    from qwen_sft.text.terminal import in_colour, one_line
    from qwen_sft.viewing.page import page
    from qwen_sft.viewing.record import sheet_of, views_of

    record = outcome.record
    colour = in_colour(sys.stdout)
    place = f"{one_line(record.where.file)}:{record.where.line}"
    views = [one for encoded in outcome.encoded or () for one in views_of(encoded, pipeline)]
    if html is not None:
        _save(html, page(sheet_of(outcome, pipeline)))
    sys.stdout.write(f"{place}: {outcome.format or 'no format'}, {len(outcome.rows)} training rows\n")
    shown: set[int] = set()
    for number, one in enumerate(views, start=1):
        sys.stdout.write(f"\nrow {number}: ")
        _write_head(one.row)
        _write(one, outcome.diagnostics, shown, colour)
    if not outcome.rows:
        for conversation in outcome.conversations:
            _write_messages(conversation.sample, outcome.diagnostics, shown, colour)
    rest = [d for i, d in enumerate(outcome.diagnostics) if i not in shown]
    if rest:
        sys.stdout.write("\n")
        totals = Totals(n_files=1, n_records=1, n_rejected=int(outcome.rejected), n_clean=int(not outcome.rejected))
        reporters()["full"].report(rest, totals, sys.stdout, None)


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
    from qwen_sft.showing.view import prompt_line, read_lines
    from qwen_sft.text.terminal import columns, styled
    from qwen_sft.tokens import GENERATED, Kind

    width = columns(sys.stdout) - _LABEL - 4
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
    from qwen_sft.text.terminal import fitted, printable, styled

    line = f"{gutter} {label:<{_LABEL}} {styled(printable(text), 'dim', colour)}\n"
    sys.stdout.write(fitted(line, sys.stdout))


def _write_findings(message: int, findings: "list[Diagnostic]", shown: set[int], colour: bool) -> None:
    from qwen_sft.text.terminal import fitted, printable, styled

    for i, found in enumerate(findings):
        if i not in shown and found.sample_path[:2] == ("messages", message):
            shown.add(i)
            says = styled(f"{found.severity.value} {found.code}", found.severity.value, colour)
            line = f"! {'':<{_LABEL}} {says} {printable(found.says)}; {printable(found.fix)}\n"
            sys.stdout.write(fitted(line, sys.stdout))


def _write_messages(sample: "Sample", findings: "list[Diagnostic]", shown: set[int], colour: bool) -> None:
    """A sample that has no rows: its messages, each with its findings."""
    from qwen_sft.templating.chatml import tojson
    from qwen_sft.text.terminal import fitted, printable, styled

    sys.stdout.write("\n")
    for index, message in enumerate(sample.get("messages", [])):
        rest = {key: value for key, value in message.items() if key not in ("role", "content")}
        text = message.get("content", "")
        text = text if isinstance(text, str) else tojson(text)
        lines = (text.splitlines() if text else []) + [f"{key}: {tojson(value)}" for key, value in rest.items()]
        label = printable(str(message.get("role")))
        for line in lines or [""]:
            shown_line = f"  {label:<{_LABEL}} {styled(printable(line), 'dim', colour)}\n"
            sys.stdout.write(fitted(shown_line, sys.stdout))
            label = ""
        _write_findings(index, findings, shown, colour)


def _shown(token: "Token") -> str:
    """One token as text: a newline is written ⏎, a tab ⇥."""
    from qwen_sft.text.terminal import printable

    return printable(token.text).replace("\n", "⏎").replace("\t", "⇥")


def _lines(tokens: list[str], width: int) -> list[str]:
    """Tokens between bars, broken behind newlines and at the width."""
    from qwen_sft.text.terminal import cells

    lines: list[str] = []
    line, n = "", 0
    for token in tokens:
        piece = f"{token}│"
        if line and n + cells(piece) > width:
            lines.append(line)
            line, n = "", 0
        line, n = line + piece, n + cells(piece)
        if "⏎" in token:
            lines.append(line)
            line, n = "", 0
    return [*lines, line] if line else lines


show.__doc__ = (show.__doc__ or "") + "\n" + EXAMPLES
