"""The flags that commands share, and how they become settings."""

import inspect
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from qwen_sft.errors import UsageError
from qwen_sft.settings import Settings, load_settings

if TYPE_CHECKING:
    from qwen_sft.finding import Diagnostic

Paths = Annotated[
    list[str],
    typer.Argument(
        help="Files, directories, globs, URLs (hf://, s3://, https://) or - for stdin: .json, .jsonl, event streams, "
        "also .gz and .zst; .zip, .eval, .tar; .parquet, .arrow.",
        show_default=False,
    ),
]
SomePaths = Annotated[
    list[str] | None,
    typer.Argument(
        help="Files, directories, globs, URLs or - for stdin, as for validate; not needed with --mix.",
        show_default=False,
    ),
]
# One for each setting, in the order of `--help`.
FLAGS: dict[str, Any] = {
    "model": Annotated[
        str | None,
        typer.Option("--model", metavar="NAME|DIR|HUB_ID", help="Family, folder or hub id; see: qwen-sft models."),
    ],
    "format": Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="Read every record as this format [default: by its shape]."),
    ],
    "where": Annotated[
        str | None,
        typer.Option("--where", metavar="CONDITION", help="Keep samples whose metadata satisfy it: 'reward > 0'."),
    ],
    "skip_failed": Annotated[
        bool | None,
        typer.Option("--skip-failed/--no-skip-failed", help="Leave runs out that the trace says failed [default: no]."),
    ],
    "dedup_prefixes": Annotated[
        bool | None,
        typer.Option(
            "--dedup-prefixes/--no-dedup-prefixes",
            help="Leave conversations out that a later record of the file repeats [default: no].",
        ),
    ],
    "tools": Annotated[
        str | None, typer.Option("--tools", metavar="FILE", help="Tools for samples that do not declare them, as JSON.")
    ],
    "infer_tools": Annotated[
        bool | None,
        typer.Option("--infer-tools/--no-infer-tools", help="Derive undeclared tools from the calls [default: no]."),
    ],
    "lift_calls": Annotated[
        str | None,
        typer.Option(
            "--lift-calls",
            metavar="auto|never",
            help="Make real calls of those that stand as text, where tools are declared [default: auto].",
        ),
    ],
    "merge_user": Annotated[
        bool | None,
        typer.Option("--merge-user/--no-merge-user", help="Make one turn of a user's consecutive ones [default: no]."),
    ],
    "regenerate_ids": Annotated[
        bool | None,
        typer.Option("--regenerate-ids/--no-regenerate-ids", help="Give calls ids of their own [default: no]."),
    ],
    "redact": Annotated[
        bool | None,
        typer.Option("--redact/--no-redact", help="Put placeholders for secrets and personal data [default: no]."),
    ],
    "media": Annotated[
        str | None,
        typer.Option(
            "--media", metavar="error|placeholder|drop", help="Images, audio, video, files in turns [default: error]."
        ),
    ],
    "trailing_calls": Annotated[
        str | None,
        typer.Option(
            "--trailing-calls",
            metavar="error|drop-turn|keep",
            help="A last turn whose calls have no results [default: error].",
        ),
    ],
    "control_tokens": Annotated[
        str | None,
        typer.Option(
            "--control-tokens",
            metavar="error|as-text|keep",
            help="A text that holds a control token: reject it, encode it as ordinary text, or let it be one "
            "[default: error].",
        ),
    ],
    "chat_template_kwargs": Annotated[
        str | None,
        typer.Option(
            "--chat-template-kwargs", metavar="JSON", help="Options of the chat template, as servers take them."
        ),
    ],
    "thinking": Annotated[
        str | None,
        typer.Option(
            "--thinking",
            metavar="auto|on|off|as-is",
            help="How turns are prompted; auto: without thinking where they have no reasoning [default: auto].",
        ),
    ],
    "train": Annotated[
        list[str] | None,
        typer.Option(
            "--train",
            metavar="SELECTORS",
            help="assistant, last-turn, last-run, calls, final-answers; none-of:KINDS, only:KINDS with KINDS of "
            "reasoning+content+call+stop [default: assistant].",
        ),
    ],
    "train_eot": Annotated[
        str | None,
        typer.Option("--train-eot", metavar="turn|last|none", help="Whose stop tokens are trained [default: turn]."),
    ],
    "train_newline": Annotated[
        bool | None,
        typer.Option(
            "--train-newline/--no-train-newline", help="Train the newline behind stop tokens too [default: no]."
        ),
    ],
    "rewritten_history": Annotated[
        str | None,
        typer.Option(
            "--rewritten-history",
            metavar="expand|last|error",
            help="A sample that needs several rows: write all, only the last, or reject it [default: expand].",
        ),
    ],
    "boundary": Annotated[
        str | None,
        typer.Option(
            "--boundary",
            metavar="inference|text",
            help="Encode prompt and answer apart where a token would straddle them, or not [default: inference].",
        ),
    ],
    "max_length": Annotated[
        int | None, typer.Option("--max-length", min=1, metavar="N", help="Most tokens in a row [default: no limit].")
    ],
    "on_too_long": Annotated[
        str | None,
        typer.Option(
            "--on-too-long",
            metavar="reject|drop-turns|drop-oldest-results|split-at-user",
            help="What to do with longer rows [default: reject].",
        ),
    ],
    "mix": Annotated[
        str | None,
        typer.Option("--mix", metavar="FILE", help="Sources with weights, as TOML: [sources.NAME] paths, weight."),
    ],
    "dedup": Annotated[
        str | None,
        typer.Option(
            "--dedup", metavar="none|exact|near", help="Leave samples out that repeat an earlier one [default: none]."
        ),
    ],
    "sample": Annotated[
        str | None,
        typer.Option("--sample", metavar="N|SHARE", help="Draw so many samples, or such a share [default: all]."),
    ],
    "split": Annotated[
        str | None,
        typer.Option(
            "--split", metavar="NAME=SHARE,…", help="Part samples by task: train=0.98,eval=0.02 [default: train]."
        ),
    ],
    "pack": Annotated[
        int | None,
        typer.Option("--pack", min=1, metavar="N", help="Put rows together, up to N tokens [default: no]."),
    ],
    "serve": Annotated[
        str | None,
        typer.Option(
            "--serve", metavar="vllm|sglang[:VERSION][/PARSER]", help="Whose parsers read calls back [default: vllm]."
        ),
    ],
    "writer": Annotated[
        str | None,
        typer.Option("--writer", metavar="NAME", help="Format of the set that is built [default: parquet]."),
    ],
    "verify": Annotated[
        str | None,
        typer.Option("--verify", metavar="all|sample|none", help="Samples shown to the oracle [default: sample]."),
    ],
    "seed": Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Chooses the samples that are verified, drawn, split [default: 0]."),
    ],
    "fail_on": Annotated[
        str | None,
        typer.Option(
            "--fail-on", metavar="error|warning|info|never", help="Lowest severity that fails [default: error]."
        ),
    ],
    "select": Annotated[
        list[str] | None,
        typer.Option(
            "--select", metavar="CODES", help="Run only these rules (TOL, TOL003, a name); SRC and SCH always run."
        ),
    ],
    "ignore": Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="CODES", help="Do not run these rules (TOL, TOL003, a name)."),
    ],
    "near_duplicates": Annotated[
        bool | None,
        typer.Option(
            "--near-duplicates/--no-near-duplicates",
            help="Look for samples that nearly repeat another (SET007, SET008) [default: no].",
        ),
    ],
    "inline_ignore": Annotated[
        bool | None,
        typer.Option(
            "--inline-ignore/--no-inline-ignore",
            help="Let records say which rules they are not held to [default: yes].",
        ),
    ],
    "limit": Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            metavar="RULES=N",
            help="Fail these rules only if more than N records have such findings: TOL=0/10000 (N in M), SET201<0.05.",
        ),
    ],
    "baseline": Annotated[
        str | None,
        typer.Option("--baseline", metavar="FILE", help="Known findings, which pass; write it with --write-baseline."),
    ],
    "tokenizer_backend": Annotated[
        str | None,
        typer.Option("--tokenizer-backend", metavar="auto|fastokens|tokenizers", help="Who encodes [default: auto]."),
    ],
    "jobs": Annotated[
        str | None,
        typer.Option("--jobs", metavar="N|auto", help="Processes that work at the same time [default: auto]."),
    ],
    "engine": Annotated[
        str | None,
        typer.Option("--engine", metavar="local|ray", help="Who starts them: this process, or Ray [default: local]."),
    ],
    "address": Annotated[
        str | None,
        typer.Option(
            "--address", metavar="auto|HOST:PORT", help="Of a running Ray cluster [default: start one of this machine]."
        ),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Settings file [default: qwen-sft.toml, or [tool.qwen-sft] in pyproject.toml].",
        ),
    ],
}


OF_A_MODEL = (
    "model",
    "chat_template_kwargs",
    "thinking",
    "train",
    "train_eot",
    "train_newline",
    "rewritten_history",
    "boundary",
    "max_length",
    "on_too_long",
    "serve",
    "writer",
    "verify",
    "seed",
    "tokenizer_backend",
)
"""Flags for commands that render; the others leave them out."""

OF_A_SET = ("mix", "dedup", "sample", "split", "pack")
"""Flags for commands that write a training set; the others leave them out."""

OF_WORKERS = ("jobs", "engine", "address")
"""Flags for commands whose work several processes do; the others leave them out."""

OF_A_GATE = ("inline_ignore", "limit", "baseline")
"""Flags for commands whose exit code is a gate's; the others leave them out."""


def takes_settings(*without: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command all flags of FLAGS but some; it gets their values as one dict, `flags`, for `settings`.

    typer reads a command's flags from its signature, so the signature is what this makes.
    """

    def made(command: Callable[..., None]) -> Callable[..., None]:
        own = [one for one in inspect.signature(command).parameters.values() if one.name != "flags"]
        names = [name for name in FLAGS if name not in without]

        def run(**given: Any) -> None:
            command(flags={name: given.pop(name) for name in names}, **given)

        shared = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=FLAGS[name])
            for name in names
        ]
        parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own] + shared
        run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return made


def settings(flags: dict[str, Any], **more: Any) -> Settings:
    """The settings of a command: its flags, then the settings file, then the defaults.

    Args:
        flags: as `takes_settings` gives them.
        more: settings that the command knows itself.

    Raises:
        UsageError: a value that a setting cannot take.
    """
    given = {**flags, **more}
    config = given.pop("config")
    for key in ("select", "ignore", "train", "limit"):
        if given.get(key) is not None:
            given[key] = tuple(code for part in given[key] for each in part.split(",") if (code := each.strip()))
    if given.get("select") == ():
        raise UsageError("--select names no rule; name some, or leave it out to run all, see: qwen-sft rule")
    if given.get("split") is not None:
        given["split"] = _shares(given["split"])
    if given.get("sample") is not None:
        given["sample"] = _number(given["sample"])
    if given.get("jobs") is not None:
        given["jobs"] = int(given["jobs"]) if given["jobs"].isdecimal() else given["jobs"]
    options = given.get("chat_template_kwargs")
    if options is not None:
        given["chat_template_kwargs"] = _object(options)
    loaded = load_settings(given, file=config)
    if given.get("address") is not None and loaded.engine != "ray":
        raise UsageError(f"--address {given['address']} names a Ray cluster; join it with --engine ray")
    if loaded.serve != Settings().serve:
        from qwen_sft.serving.server import serving  # the shelf of parsers: 0.1 s that the default need not pay

        serving(loaded.serve)
    return loaded


def tell_skipped(skipped: Counter[str]) -> None:
    """Says on stderr which files of directories and archives were left out."""
    from qwen_sft.ingesting.ingest import told_skipped
    from qwen_sft.text.terminal import one_line

    n_files = skipped.total()
    if n_files:
        what = "1 file was" if n_files == 1 else f"{n_files:,} files were"
        says = f"{what} left out, as not holding records: {told_skipped(skipped)}"
        sys.stderr.write(f"qwen-sft: {one_line(says)}; name a file outright to read it\n")


def said(found: "Diagnostic") -> str:
    """A finding in one line, for stderr."""
    from qwen_sft.text.terminal import one_line

    place = f"{found.where.file}:{found.where.line}"
    return one_line(f"{place}: {found.severity.value} {found.code} {found.json_path} {found.says}")


def _object(text: str) -> dict[str, Any]:
    """The value of --chat-template-kwargs.

    Raises:
        UsageError: it is no JSON object, or names a key twice.
    """
    from qwen_sft.text.quote import quoted

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise UsageError(f"--chat-template-kwargs name {quoted(twice)} twice; give it one value")
        return made

    said = f"--chat-template-kwargs {quoted(text, 200)}"
    try:
        parsed: Any = json.loads(text, object_pairs_hook=unique)
    except RecursionError as error:
        raise UsageError(f"{said} nests a value too deep to be read") from error
    except ValueError as error:
        raise UsageError(f"{said} is no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise UsageError(f"{said} is no object; write '{{\"enable_thinking\": false}}'")
    return cast("dict[str, Any]", parsed)  # JSON keys are strings


def _shares(text: str) -> dict[str, float]:
    """The value of --split.

    Raises:
        UsageError: it is none, or names a split twice.
    """
    shares: dict[str, float] = {}
    for one in text.split(","):
        name, _, share = (part.strip() for part in one.partition("="))
        try:
            number = float(share)
        except ValueError:
            raise UsageError(f"--split {text!r} gives no share in {one!r}; write train=0.98,eval=0.02") from None
        if name in shares:
            raise UsageError(f"--split {text!r} names {name!r} twice; give it one share")
        shares[name] = number
    return shares


def _number(text: str) -> float:
    """The value of --sample: a whole number, or another.

    Raises:
        UsageError: it is none.
    """
    try:
        return int(text) if text.strip().isdecimal() else float(text)
    except ValueError:
        raise UsageError(f"--sample {text!r} is no number; write 1000 for so many, or 0.1 for a share") from None


def size(text: str) -> int:
    """Bytes of a size such as 500MB, 2GiB or 1000000.

    Raises:
        UsageError: it is none.
    """
    units = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
    number = text.rstrip("BKMGIbkmgi ")
    unit = text[len(number) :].strip().upper()
    try:
        return int(float(number) * units[unit])
    except (ValueError, KeyError, OverflowError):
        raise UsageError(f"{text!r} is no size; write for example 500MB, 2GiB or 1000000") from None
