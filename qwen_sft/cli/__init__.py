"""The command line: the app, and one thin module per command."""

import gc
import io
import os
import sys
from typing import Annotated

import typer

from qwen_sft import __version__
from qwen_sft.cli.audit import audit
from qwen_sft.cli.build import build
from qwen_sft.cli.convert import convert
from qwen_sft.cli.fix import fix
from qwen_sft.cli.formats import formats
from qwen_sft.cli.models import models
from qwen_sft.cli.probe import probe
from qwen_sft.cli.report import report
from qwen_sft.cli.rule import rule
from qwen_sft.cli.show import show
from qwen_sft.cli.stats import stats
from qwen_sft.cli.template import app as template
from qwen_sft.cli.validate import validate
from qwen_sft.cli.verify import verify
from qwen_sft.cli.view import view
from qwen_sft.errors import QwenSftError
from qwen_sft.text.terminal import one_line, printable

COLLECTOR = (50_000, 20, 50)
"""Thresholds of Python's garbage collector: records are many small lists and dicts without cycles, and the default
thresholds scan them again and again."""

app = typer.Typer(
    name="qwen-sft",
    help="Raw agent traces in, a proven training set for Qwen models out, and a gate that stops a bad one.",
    epilog="Exit codes: 0 clean, 1 findings, 2 could not run, 3 nothing was checked or written.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich's boxes cut flags short and swallow [brackets] in help texts
)
for command in (validate, convert, fix, build, show, view, stats, report, audit, verify, rule, formats, models, probe):
    app.command(short_help=(command.__doc__ or "").partition("\n")[0])(command)
app.add_typer(template, name="template")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"qwen-sft {__version__}")
        raise typer.Exit


@app.callback()
def _options(  # pyright: ignore[reportUnusedFunction]  # typer calls it
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs the command line. What stops us, a crash included, exits with 2: Python's own 1 would read as bad data."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot print a character gets its escape, no crash
            stream.reconfigure(errors="backslashreplace")
    gc.set_threshold(*COLLECTOR)
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; what was asked for was not all delivered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(2)


def _run() -> None:
    try:
        app(prog_name="qwen-sft")
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # typer makes it an exit with 1
            raise stop.__context__ from None
        raise
    except QwenSftError as error:
        sys.stderr.write(f"qwen-sft: {printable(str(error))}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        raise
    except BaseException as error:  # a panic of a Rust library is no Exception
        import traceback

        sys.stderr.write(printable(traceback.format_exc()))
        place = "".join(f" ({one_line(note)})" for note in getattr(error, "__notes__", ()))
        sys.stderr.write(
            f"qwen-sft: this is a fault of qwen-sft, not of your data{place}; please report it with the lines above\n"
        )
        sys.exit(2)
