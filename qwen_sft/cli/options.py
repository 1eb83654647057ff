"""The flags that commands share, and how they become settings."""

from pathlib import Path
from typing import Annotated, Any

import typer

from qwen_sft.settings import Settings, load_settings

Paths = Annotated[
    list[str],
    typer.Argument(
        help="Files, directories, globs, or - for stdin: .json, .jsonl, also .gz and .zst; .parquet.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="Read every record as this format [default: by its shape]."),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|DIR|HUB_ID", help="Family, folder or hub id; see: qwen-sft models."),
]
FailOn = Annotated[
    str | None,
    typer.Option("--fail-on", metavar="error|warning|info|never", help="Lowest severity that fails [default: error]."),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select", metavar="CODES", help="Run only these rules (TOL, TOL003, a name); SRC and SCH always run."
    ),
]
Ignore = Annotated[
    list[str] | None, typer.Option("--ignore", metavar="CODES", help="Do not run these rules (TOL, TOL003, a name).")
]
TrailingCalls = Annotated[
    str | None,
    typer.Option(
        "--trailing-calls",
        metavar="error|drop-turn|keep",
        help="A last turn whose calls have no results [default: error].",
    ),
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=1, metavar="N", help="Most tokens in a row [default: no limit].")
]
OnTooLong = Annotated[
    str | None,
    typer.Option("--on-too-long", metavar="reject|drop-turns", help="What to do with longer rows [default: reject]."),
]
Verify = Annotated[
    str | None,
    typer.Option("--verify", metavar="all|sample|none", help="Samples shown to the oracle [default: sample]."),
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="N", help="Chooses the samples that are verified [default: 0].")
]
Backend = Annotated[
    str | None,
    typer.Option("--tokenizer-backend", metavar="auto|fastokens|tokenizers", help="Who encodes [default: auto]."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="Settings file [default: qwen-sft.toml, or [tool.qwen-sft] in pyproject.toml]."
    ),
]


def settings(config: Path | None, **flags: Any) -> Settings:
    """The settings of a command: its flags, then the settings file, then the defaults."""
    for key in ("select", "ignore"):
        if flags.get(key) is not None:
            flags[key] = tuple(code for part in flags[key] for code in part.split(",") if code)
    return load_settings(flags, file=config)


def size(text: str) -> int:
    """Bytes of a size such as 500MB, 2GiB or 1000000.

    Raises:
        UsageError: it is none.
    """
    from qwen_sft.errors import UsageError

    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    number = text.rstrip("BKMGIbkmgi ")
    unit = text[len(number) :].strip().upper()
    try:
        return int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise UsageError(f"{text!r} is no size; write for example 500MB, 2GiB or 1000000") from None
