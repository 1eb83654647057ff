"""`qwen-sft verify`: what a trainer will do with the files of a folder."""

import sys
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """
Examples:

\b
  qwen-sft verify dataset --trainer trl --max-length 32768
  qwen-sft verify dataset --trainer trl --set assistant_only_loss=true --run
  qwen-sft verify dataset --trainer axolotl --config axolotl.yaml
  qwen-sft verify rows/ --trainer llamafactory --model qwen3 --output-format json
"""


def verify(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="What `build` wrote, or any folder of rows.")],
    trainer: Annotated[
        str, typer.Option("--trainer", metavar="NAME", help="Whose: trl, for one; an unknown name lists all.")
    ],
    version: Annotated[
        str | None, typer.Option("--version", metavar="V", help="Of the trainer [default: the newest that was read].")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Family, folder or hub id [default: the one of the build]."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", min=1, metavar="N", help="The trainer's limit [default: the trainer's own]."),
    ] = None,
    packing: Annotated[
        bool | None, typer.Option("--packing/--no-packing", help="The trainer packs rows [default: its own].")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="The trainer's own config, YAML or JSON.")
    ] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another option of the trainer: assistant_only_loss=true."),
    ] = None,
    run: Annotated[
        bool,
        typer.Option(
            "--run", help="Run the trainer's own preparation and compare the labels (trl; slow, needs torch)."
        ),
    ] = False,
    run_rows: Annotated[
        int, typer.Option("--run-rows", min=1, metavar="N", help="On how many rows, from the first.")
    ] = 1000,
    output_format: Annotated[str, typer.Option("--output-format", metavar="full|json", help="How to print.")] = "full",
) -> None:
    """Tell what a trainer will do with the files of a folder: labels, columns, lengths, packing, chat template.

    Errors: it trains something else than what was proven, or stops. Warnings: it loses or adds something.
    """
    import json

    from qwen_sft.cli.progress import reading_rows
    from qwen_sft.errors import UsageError
    from qwen_sft.ingesting.remote import is_url, masked
    from qwen_sft.text.terminal import fitted, in_colour
    from qwen_sft.trainer import trainer_named
    from qwen_sft.verifying.report import json_report, text_report
    from qwen_sft.verifying.verify import parsed
    from qwen_sft.verifying.verify import verify as verified

    if is_url(folder):
        raise UsageError(f"{masked(folder)!r} is on another machine; copy it to this one, and name that folder")
    if output_format not in ("full", "json"):
        raise UsageError(f"no output format {output_format!r}; it can be full, json")
    named = trainer_named(trainer)
    told = parsed(options or ())
    if max_length is not None:
        told[named.length] = max_length
    if packing is not None:
        if named.packing is None:
            raise UsageError(f"{named.name} packs no rows; leave --packing out")
        told[named.packing] = packing
    result = verified(
        *(Path(folder), named),
        asked=version,
        config=config,
        told=told,
        model=model,
        run=run,
        n_rows=run_rows,
        watched=reading_rows,
    )
    if output_format == "json":
        sys.stdout.write(json.dumps(json_report(result), ensure_ascii=True, indent=2, default=str) + "\n")
    else:
        for line in text_report(result, in_colour(sys.stdout)):
            sys.stdout.write(fitted(f"{line}\n", sys.stdout))
    if result.exit_code == 3:
        sys.stderr.write("qwen-sft: no row could be read; name a folder with Parquet, Arrow or JSON Lines\n")
    raise typer.Exit(result.exit_code)


verify.__doc__ = (verify.__doc__ or "") + "\n" + EXAMPLES
