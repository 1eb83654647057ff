"""The command line: the app, and one thin module per command."""

import os
import sys
from typing import Annotated, Any

import typer

from qwen_sft import __version__
from qwen_sft.cli.build import build
from qwen_sft.cli.formats import formats
from qwen_sft.cli.models import models
from qwen_sft.cli.rule import rule
from qwen_sft.cli.show import show
from qwen_sft.cli.validate import validate
from qwen_sft.errors import QwenSftError
from qwen_sft.terminal import printable

app = typer.Typer(
    name="qwen-sft",
    help="Raw agent traces in, a proven training set for Qwen models out, and a gate that stops a bad one.",
    epilog="Exit codes: 0 clean, 1 findings, 2 could not run, 3 nothing was checked.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (validate, build, show, rule, formats, models):
    app.command()(command)


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


def main() -> Any:
    """Runs the command line. What stops us, a crash included, exits with 2: Python's own 1 would read as bad data."""
    try:
        app()
    except QwenSftError as error:
        sys.stderr.write(f"qwen-sft: {printable(str(error))}\n")
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; what was asked for was not all delivered.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except Exception:
        import traceback

        traceback.print_exc()
        sys.stderr.write(
            "qwen-sft: this is a fault of qwen-sft, not of your data; please report it with the lines above\n"
        )
        sys.exit(2)
