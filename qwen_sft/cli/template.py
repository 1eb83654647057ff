"""`qwen-sft template show|diff|check|lock`: what a chat template does, and whether a server has the same one."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen_sft.cli import options

if TYPE_CHECKING:
    from qwen_sft.proving.lock import Lock
    from qwen_sft.proving.probe import Behaviour
    from qwen_sft.proving.served import Served
    from qwen_sft.settings import Settings

EXAMPLES = """
Examples:

\b
  qwen-sft template show ./my-model
  qwen-sft template diff qwen3 ./my-model
  qwen-sft template check ./trained --against ./served
  qwen-sft template check ./served --lock dataset/qwen-sft.lock.json
  qwen-sft template lock ./my-model --out dataset
"""

app = typer.Typer(
    help=f"Show, compare, check and lock chat templates.\n{EXAMPLES}",
    short_help="Show, compare, check and lock chat templates.",
    epilog="Exit codes: 0 the same, or no error; 1 differences or errors; 2 could not run.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_What = Annotated[
    str, typer.Argument(metavar="MODEL", help="Family, folder, hub id, or a .jinja file.", show_default=False)
]
_Format = Annotated[str, typer.Option("--output-format", metavar="full|json", help="How to print on stdout.")]

_FLAGS = ("chat_template_kwargs", "config")


def _takes(*flags: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command these of the shared flags."""
    return options.takes_settings(*(name for name in options.FLAGS if name not in flags))


@app.command(short_help="What a template does with each of the message shapes.")
@_takes(*_FLAGS)
def show(
    model: _What,
    flags: dict[str, Any],
    output_format: _Format = "full",
) -> None:
    """Show a template: its facts, then what it drops, repeats or rewrites in each message shape."""
    from qwen_sft.proving.battery import BATTERY
    from qwen_sft.proving.checklist import facts_of
    from qwen_sft.proving.probe import probe

    _known(output_format)
    settings = options.settings(flags)
    served = _load_asked(model, settings)
    asked = settings.chat_template_kwargs
    seen = [probe(shape, served.render, served.encode, asked) for shape in BATTERY]
    lock = _lock(served, settings)
    facts = facts_of(served, asked)
    if output_format == "json":
        about = {
            "model": served.name,
            "template": {"sha256": lock.template.sha256, "official": lock.template.family},
            "options": list(facts.options),
            "generation_prompt": facts.prompt,
            "stop_token": facts.stop,
            "special_tokens": lock.special_tokens,
            "added_tokens": {token.content: token.id for token in lock.added_tokens},
            "shapes": [_behaviour_json(one) for one in seen],
        }
        _write_json(about)
        return
    tokens = {token.content: token.id for token in lock.added_tokens}
    special = [(role.removesuffix("_token"), token) for role, token in (lock.special_tokens or {}).items()]
    official = f"official template of {lock.template.family}" if lock.template.family else "nobody's official template"
    _write_facts(
        {
            "template": f"sha256 {lock.template.sha256}, {official}",
            "options": ", ".join(facts.options) or "none",
            "prompt": repr(facts.prompt),
            "stop token": _with_id(facts.stop, tokens),
            "special tokens": ", ".join(f"{role} {_with_id(token, tokens)}" for role, token in special) or "not known",
            "added tokens": ", ".join(f"{content} {token_id}" for content, token_id in tokens.items()) or "not known",
        }
    )
    _write_shapes(seen)


@app.command(short_help="What two templates do differently.")
@_takes(*_FLAGS)
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="Family, folder, hub id, or a .jinja file.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The other one.")],
    flags: dict[str, Any],
    output_format: _Format = "full",
) -> None:
    """Compare two templates: their text after one final newline, their tokenizers, and what they print."""
    import difflib

    from qwen_sft.proving.battery import BATTERY
    from qwen_sft.proving.lock import tokenizer_differences
    from qwen_sft.proving.probe import probe

    _known(output_format)
    settings = options.settings(flags)
    a, b = _load(first), _load(second)
    locks = _lock(a, settings), _lock(b, settings)
    lines: list[str] = []
    if a.template is not None and b.template is not None:
        before, after = (each.source.removesuffix("\n").split("\n") for each in (a.template, b.template))
        lines = list(difflib.unified_diff(before, after, first, second, lineterm=""))
    same_text = not lines and locks[0].template.sha256 == locks[1].template.sha256
    untold = [each.name for each in (a, b) if each.tokenizer_file is None]
    tokens = [] if untold else list(tokenizer_differences(*locks))
    real = [one for one in tokens if one.severity == "error"]
    pairs = [[probe(shape, each.render, None, settings.chat_template_kwargs) for each in (a, b)] for shape in BATTERY]
    apart = [(x, y) for x, y in pairs if x.text != y.text and not x.refused and not y.refused]
    if output_format == "json":
        _write_json(
            {
                "a": first,
                "b": second,
                "same_template": same_text,
                "diff": lines,
                "tokenizer": None if untold else [_difference_json(one) for one in tokens],
                "shapes": [
                    {"name": x.shape.name, **dict(zip(("a", "b"), _parting(x, y), strict=True))} for x, y in apart
                ],
            }
        )
    else:
        _write_lines(lines or [f"templates: {'the same' if same_text else _untold(a, b)}"])
        says = f"not compared: {' and '.join(untold)} has no tokenizer.json" if untold else "the same"
        _write_lines(["", f"tokenizers: {f'{len(tokens)} differences' if tokens else says}"])
        _write_lines(f"  {one.severity:<6} {one}" for one in tokens)
        _write_lines(["", f"shapes: {len(apart)} of {len(pairs)} are printed differently"])
        for x, y in apart:
            _write_lines([f"  {x.shape.name}", *(f"    {s} {t}" for s, t in zip("-+", _parting(x, y), strict=True))])
    raise typer.Exit(int(not same_text or bool(real) or bool(apart)))


@app.command(short_help="The checklist before training, and training against serving.")
@_takes(*_FLAGS, "serve")
def check(
    model: _What,
    flags: dict[str, Any],
    against: Annotated[
        str | None, typer.Option("--against", metavar="DIR|MODEL", help="What is served: compare with it.")
    ] = None,
    lock: Annotated[
        Path | None, typer.Option("--lock", metavar="FILE", help="The lock of a dataset to hold to.")
    ] = None,
    output_format: _Format = "full",
) -> None:
    """Check a template: identity, special-token ids, role order, call ids, parser round trip, prefixes, prompt.

    With --against or --lock also whether training and serving have the same fingerprints. Give the
    --chat-template-kwargs that the server is started with: they are compared with those of the lock.
    """
    from dataclasses import replace

    from qwen_sft.family import families
    from qwen_sft.proving.checklist import Row, checklist
    from qwen_sft.proving.lock import differences, read_lock

    _known(output_format)
    settings = options.settings(flags)
    locked = None if lock is None else read_lock(lock)
    if locked is not None:  # how turns were prompted for training is no property of what is served
        settings = replace(settings, thinking=locked.options.thinking)
    served = _load_asked(model, settings)
    found = {model: _lock(served, settings)}
    if against is not None:
        found[against] = _lock(_load(against), settings)
    wanted = {str(lock): locked} if locked is not None else {model: found.pop(model)}
    rows = checklist(served, families(), settings)
    compared: list[Any] = []
    for reference, expected in wanted.items():
        for name, have in found.items():
            differ = differences(expected, have)
            compared += [{"locked_by": reference, "found_in": name, **_difference_json(one)} for one in differ]
            title = f"{name} against {reference}"
            rows += [Row(title, "error" if one.severity == "error" else "ok", str(one)) for one in differ]
            if not any(one.severity == "error" for one in differ):
                rows.append(Row(title, "ok", "no fingerprint differs" if not differ else "nothing else differs"))
    if output_format == "json":
        _write_json(
            {
                "model": model,
                "rows": [{"name": row.name, "status": row.status, "says": row.says} for row in rows],
                "differences": compared,
            }
        )
    else:
        _write_rows([(row.name, row.status, row.says) for row in rows])
    raise typer.Exit(int(any(row.status == "error" for row in rows)))


@app.command(short_help="Write qwen-sft.lock.json.")
@_takes(*_FLAGS, "thinking")
def lock(
    model: _What,
    flags: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", metavar="FILE|DIR", help="Where to write it.")] = Path(
        "qwen-sft.lock.json"
    ),
) -> None:
    """Write the fingerprints of a model's template, tokenizer, tokens and options, to hold a server to."""
    from qwen_sft.errors import ModelError
    from qwen_sft.proving.lock import write_lock
    from qwen_sft.text.terminal import printable

    settings = options.settings(flags)
    served = _load_asked(model, settings)
    if served.tokenizer_file is None:
        raise ModelError(f"{model} has no tokenizer.json, and a lock holds a template and its tokenizer")
    file = write_lock(_lock(served, settings), out)
    sys.stdout.write(f"{printable(str(file))}\n")


# -- what is given ----------------------------------------------------------------------------------------------------


def _known(output_format: str) -> None:
    from qwen_sft.errors import UsageError

    if output_format not in ("full", "json"):
        raise UsageError(f"no output format {output_format!r}; it can be full, json")


def _load(name: str) -> "Served":
    from qwen_sft.family import families
    from qwen_sft.proving.served import load_served

    return load_served(name, families())


def _load_asked(name: str, settings: "Settings") -> "Served":
    """The same, and its template knows the options that it will be asked with."""
    from qwen_sft.errors import UsageError
    from qwen_sft.proving.checklist import option_names

    served = _load(name)
    known = option_names(served)
    for option in settings.chat_template_kwargs:
        if option not in known:
            raise UsageError(
                f"the chat template of {name} has no option {option!r}: it knows {', '.join(known) or 'none'}"
            )
    return served


def _lock(served: "Served", settings: "Settings") -> "Lock":
    from qwen_sft.proving.fingerprint import locked_template
    from qwen_sft.proving.lock import make_lock

    return make_lock(
        name=served.name,
        template=locked_template(served.template.source if served.template else None, served.family),
        tokenizer_file=served.tokenizer_file,
        special_tokens=served.special_tokens,
        settings=settings,
    )


# -- what is printed --------------------------------------------------------------------------------------------------


def _with_id(token: str | None, ids: Mapping[str, int]) -> str:
    return "none" if token is None else f"{token} ({ids.get(token, 'no id')})"


def _stable(turns: Sequence[int] | None, one: "Behaviour") -> str:
    """Whether prompts are prefixes: yes, the turns where not, or a dash where no turn has a prompt."""
    if turns is None or not one.turns:
        return "-"
    return f"no: {', '.join(map(str, turns))}" if turns else "yes"


def _write_facts(facts: Mapping[str, str]) -> None:
    _write_lines(f"{name:<16}{says}" for name, says in facts.items())


def _write_shapes(seen: "Sequence[Behaviour]") -> None:
    from qwen_sft.text.terminal import in_colour, one_line, styled

    colour = in_colour(sys.stdout)
    width = max(len(one.shape.name) for one in seen) + 2
    head = f"{'':<{width}}{'prefix':<10}{'in tokens':<10} what becomes of it"
    sys.stdout.write(f"\n{head}\n")
    for one in seen:
        style = "error" if one.text is None else "warning" if one.fates else "ok"
        prefix, tokens = _stable(one.unstable_text, one), _stable(one.unstable_tokens, one)
        says = styled(one_line(one.says), style, colour)
        sys.stdout.write(f"{one.shape.name:<{width}}{prefix:<10}{tokens:<10} {says}\n")
    n_failed = sum(one.text is None for one in seen)
    n_lossy = sum(bool(one.fates) for one in seen)
    unstable = sum(bool(one.unstable_text) for one in seen)
    in_tokens = sum(bool(one.unstable_tokens) for one in seen)
    _write_lines(
        [
            "",
            f"{len(seen)} shapes: {len(seen) - n_failed - n_lossy} printed whole, {n_lossy} with something lost or "
            f"rewritten, {n_failed} not printed; prefixes break in text in {unstable}, in tokens in {in_tokens}",
        ]
    )


def _write_rows(rows: Sequence[tuple[str, str, str]]) -> None:
    from qwen_sft.text.terminal import in_colour, one_line, styled

    colour = in_colour(sys.stdout)
    for name, status, says in rows:
        sys.stdout.write(f"{styled(f'{status:<8}', status, colour)} {one_line(name)}\n         {one_line(says)}\n")


def _write_lines(lines: Iterable[str]) -> None:
    from qwen_sft.text.terminal import printable

    for line in lines:
        sys.stdout.write(f"{printable(line)}\n")


def _untold(a: "Served", b: "Served") -> str:
    """Why two templates differ though no line of them does."""
    families = [each.name for each in (a, b) if each.template is None]
    return f"not the same ({' and '.join(families)} is a family's name, so there is no text to compare)"


def _parting(x: "Behaviour", y: "Behaviour", most: int = 60) -> list[str]:
    """Both texts from a little before they part, quoted; for a failure what it says."""
    if x.text is None or y.text is None:
        return [one.says if one.text is None else "rendered" for one in (x, y)]
    at = next((i for i, (a, b) in enumerate(zip(x.text, y.text, strict=False)) if a != b), None)
    at = min(len(x.text), len(y.text)) if at is None else at
    start = max(0, at - 20)
    return [repr(one[start : start + most]) for one in (x.text, y.text)]


def _behaviour_json(one: "Behaviour") -> dict[str, Any]:
    return {
        "group": one.shape.group,
        "name": one.shape.name,
        "outcome": "rendered" if one.text is not None else "refused" if one.refused else "crashes",
        "failure": one.failure,
        "fates": {fate: list(places) for fate, places in one.fates.items()},
        "turns": list(one.turns),
        "unstable_in_text": list(one.unstable_text),
        "unstable_in_tokens": None if one.unstable_tokens is None else list(one.unstable_tokens),
    }


def _difference_json(one: Any) -> dict[str, Any]:
    return {
        "field": one.field,
        "locked": one.locked,
        "found": one.found,
        "severity": one.severity,
        "says": one.says,
    }


def _write_json(value: Any) -> None:
    import json

    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2) + "\n")
