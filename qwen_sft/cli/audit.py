"""`qwen-sft audit`: what the rows that any tool has tokenized train, against what they should."""

import sys
from typing import Annotated, Any

import typer

from qwen_sft.cli import options

EXAMPLES = """
Examples:

\b
  qwen-sft audit dataset --model qwen3
  qwen-sft audit prepared/ --model ./my-model --allow trailing-newline-trained
  qwen-sft audit rows.jsonl --model qwen3_5 --thinking off --output-format json
"""

_FLAGS = ("model", "chat_template_kwargs", "thinking", "tokenizer_backend", "config")


@options.takes_settings(*(name for name in options.FLAGS if name not in _FLAGS))
def audit(
    paths: options.Paths,
    flags: dict[str, Any],
    mask: Annotated[
        str | None,
        typer.Option(
            "--mask", metavar="COLUMN", help="What says which tokens are trained [default: labels, or else a mask]."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="FAULTS", help="Faults that pass, by name: untrained-answer; they are told."),
    ] = None,
    max_rows: Annotated[
        int, typer.Option("--max-rows", min=0, max=24, metavar="N", help="How many of the worst rows are shown.")
    ] = 3,
    output_format: Annotated[str, typer.Option("--output-format", metavar="full|json", help="How to print.")] = "full",
) -> None:
    """Audit tokenized rows: recover the turns from the tokens alone, and judge by them which are trained.

    Rows of any tool: Parquet, Arrow, JSON Lines and folders that `datasets` saved, with input_ids and labels or a mask.
    """
    import json
    from collections import Counter

    from qwen_sft.auditing.audit import audit as judged
    from qwen_sft.auditing.parts import NUMBER
    from qwen_sft.auditing.report import json_report, text_report
    from qwen_sft.cli.progress import reading_rows
    from qwen_sft.encoding.model import load_model
    from qwen_sft.errors import UsageError
    from qwen_sft.family import families
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.text.terminal import columns, fitted, in_colour

    if output_format not in ("full", "json"):
        raise UsageError(f"no output format {output_format!r}; it can be full, json")
    allowed = frozenset(name for part in allow or () for each in part.split(",") if (name := each.strip()))
    unknown = sorted(allowed - set(NUMBER))
    if unknown:
        raise UsageError(f"no fault {unknown[0]!r} to allow; there are {', '.join(NUMBER)}")
    settings = options.settings(flags)
    if settings.model is None:
        raise UsageError("no model is named; name one with --model, see: qwen-sft models")
    skipped = Counter[str]()
    sources = expand(paths, skipped=skipped)
    model = load_model(
        settings.model,
        families(),
        settings.tokenizer_backend,
        options=settings.chat_template_kwargs,
        thinking=settings.thinking,
    )
    with reading_rows(sources) as each:
        result = judged(
            *(sources, model, settings.chat_template_kwargs, settings.thinking), mask=mask, allowed=allowed, each=each
        )
    options.tell_skipped(skipped)
    if output_format == "json":
        sys.stdout.write(json.dumps(json_report(result, max_rows), ensure_ascii=True, indent=2) + "\n")
    else:
        for line in text_report(result, max_rows, in_colour(sys.stdout), columns(sys.stdout)):
            sys.stdout.write(fitted(f"{line}\n", sys.stdout))
    if result.exit_code == 3:
        sys.stderr.write(
            "qwen-sft: no row could be judged; rows need input_ids and labels, or a mask named by --mask\n"
        )
    raise typer.Exit(result.exit_code)


audit.__doc__ = (audit.__doc__ or "") + "\n" + EXAMPLES
