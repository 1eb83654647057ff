"""Writes docs/formats and docs/reference from the code: formats, families, writers, settings, commands.

Usage: make docs
"""

import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from rule_pages import escaped, prose
from typer.core import TyperGroup, TyperOption

from qwen_sft.api import apis
from qwen_sft.cli import app
from qwen_sft.cli.options import FLAGS
from qwen_sft.errors import UsageError
from qwen_sft.family import Family, families
from qwen_sft.format import Conversation, Format, Reading, formats
from qwen_sft.ingesting.ingest import expand, records
from qwen_sft.reading.gather import gathered
from qwen_sft.record import Record
from qwen_sft.sample import Path as Place
from qwen_sft.sample import json_pointer
from qwen_sft.serving.server import serving
from qwen_sft.settings import Settings
from qwen_sft.writer import Writer, writers

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples" / "formats"
WIDTH = 100
MOST_LINES = 48
MOST_EVENTS = 16
LONGEST_TEXT = 200

OF_AN_API = (
    "A request of this API, an answer, both together, a stream of its events, or a list of messages alone; also inside "
    "the fields in which proxies and gateways keep them."
)


def pages() -> dict[str, str]:
    """The text of each page, by its path below docs/."""
    made = {f"formats/{one.name}.md": _format(one) for one in formats().values()}
    return {
        **made,
        "formats/README.md": _formats(list(formats().values())),
        "reference/README.md": _index(),
        "reference/cli.md": _cli(),
        "reference/families.md": _families(list(families().values())),
        "reference/settings.md": _settings(),
        "reference/writers.md": _writers(list(writers().values())),
    }


def _index() -> str:
    return """# Reference

These pages are made from the code by `make docs`; a test fails where they have gone stale.

- [Commands](cli.md): every command with all its options.
- [Settings](settings.md): every key of `qwen-sft.toml`, its flag, its default.
- [Rules](../rules/README.md): what is checked, a page each.
- [Formats](../formats/README.md): what can be read, a page each.
- [Families](families.md): models, their templates and parsers, the flags to serve them with.
- [Writers](writers.md): the forms in which a set is written, with their columns.

The shapes of files and of machine-readable output are in [schemas](../../schemas), as JSON Schema.
"""


# -- formats -----------------------------------------------------------------------------------------------------------


def _formats(shelf: list[Format]) -> str:
    lines = [
        "# Formats",
        "",
        "A record is recognised by its shape, never by the name of its file. `--format NAME` reads all records as one.",
        "",
        "| name | what |",
        "|---|---|",
        *(f"| [{one.name}]({one.name}.md) | {escaped(one.title)} |" for one in shelf),
        "",
        "`qwen-sft formats --explain FILE` says as what a file is read, and why.",
    ]
    return "\n".join(lines) + "\n"


def _format(one: Format) -> str:
    module = importlib.import_module(f"qwen_sft.formats.{one.name}")
    about = [module, *([importlib.import_module(f"qwen_sft.apis.{one.name}")] if one.name in apis() else [])]
    words = [line for each in about for line in (*markdown(inspect.getdoc(each) or ""), "")]
    lines = [f"# {one.name}", "", *words, "## What it recognises", ""]
    lines += [prose(inspect.getdoc(one.recognises) or OF_AN_API), ""]
    if one.joins:
        lines += ["A record may stretch over several lines of a file.", ""]
    if one.generic:
        lines += ["Other formats refine this shape: it yields to any other that recognises the record.", ""]
    told = [doc for made in (one.events, one.read) if (doc := inspect.getdoc(made))]
    if told:
        lines += ["## Events and samples", ""]
        for text, title in zip(told, ("Events", "Samples"), strict=True):
            first, *rest = markdown(text)
            lines += [f"**{title}.** {first}", *rest, ""]
    lines += _example(one)
    source = f"../../qwen_sft/formats/{one.name}.py"
    lines += [
        f"This page is made from [the format's file]({source}) and its tested examples. [All formats](README.md)."
    ]
    return "\n".join(lines) + "\n"


def _example(one: Format) -> list[str]:
    record, reading = _shown(one)
    file = f"examples/formats/{one.name}/{Path(record.where.file).name}"
    conversation = reading.conversations[0]
    lines = ["## Example", ""]
    lines += [f"From [{file}](../../{file}); long texts and long records are cut at `…`.", ""]
    lines += ["```text", *cut(laid_out(shortened(record.data))), "```", ""]
    n_samples = len(reading.conversations)
    several = "" if n_samples == 1 else f" The record gives {n_samples} samples; this is the first."
    lines += [f"The sample that is made of it.{several}", ""]
    lines += ["```text", *cut(laid_out(shortened(dict(conversation.sample)))), "```", ""]
    lines += ["What becomes of its events (`qwen-sft convert --trace-events`):", ""]
    lines += ["| event | fate | |", "|---|---|---|"]
    fates = list(_fates(one, record, reading))
    for place, fate, why in fates[:MOST_EVENTS]:
        event = f"`{json_pointer(place)}`" if place else "the record"
        lines += [f"| {event} | {fate} | {escaped(why)} |"]
    if len(fates) > MOST_EVENTS:
        lines += ["", f"{len(fates) - MOST_EVENTS} more events are not shown."]
    return [*lines, ""]


def _shown(one: Format) -> tuple[Record, Reading]:
    """The shortest of a format's examples in which a tool answers, else the shortest that gives a sample."""
    joining = [one] if one.joins else []
    found: list[tuple[bool, int, Record, Reading]] = []
    for file in expand([str(path) for path in sorted((EXAMPLES / one.name).glob("raw*"))]):
        for record in gathered(records(file), joining):
            reading = one.read(record.data)
            if reading.conversations:
                silent = not any(role == "tool" for c in reading.conversations for _, role in _roles(c))
                found.append((silent, len(repr(record.data)), record, reading))
    return min(found, key=lambda each: each[:2])[2:]


def _fates(one: Format, record: Record, reading: Reading) -> Iterator[tuple[Place, str, str]]:
    told: dict[Place, list[tuple[str, str]]] = {event.path: [(event.fate, event.reason)] for event in reading.aside}
    for k, conversation in enumerate(reading.conversations):
        for i, (place, role) in enumerate(_roles(conversation)):
            told.setdefault(place, []).append(("kept", f"sample {k}, message {i} ({role})"))
    for place in one.events(record.data):
        for fate, why in told[place]:
            yield place, fate, why


def _roles(conversation: Conversation) -> Iterator[tuple[Place, str]]:
    """The place and the role of each message."""
    for place, message in zip(conversation.origins, conversation.sample["messages"], strict=True):
        yield place, message["role"]


def shortened(value: Any) -> Any:
    """A JSON value with its long texts cut."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST_TEXT else value[: LONGEST_TEXT - 20] + "…"
    if isinstance(value, Mapping):
        return {key: shortened(part) for key, part in value.items()}
    return [shortened(part) for part in value] if isinstance(value, list) else value


def laid_out(value: Any, indent: int = 0, before: str = "") -> list[str]:
    """JSON in lines: what fits into one stands in one."""
    flat = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value or indent + len(before) + len(flat) <= WIDTH:
        return [" " * indent + before + flat]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    items = value.items() if isinstance(value, dict) else ((None, part) for part in value)
    parts = [laid_out(part, indent + 2, "" if key is None else f"{json.dumps(key)}: ") for key, part in items]
    for part in parts[:-1]:
        part[-1] += ","
    return [" " * indent + before + opening, *(line for part in parts for line in part), " " * indent + closing]


def cut(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    if len(lines) <= MOST_LINES:
        return list(lines)
    return [*lines[:MOST_LINES], f"… {len(lines) - MOST_LINES} more lines"]


# -- families ----------------------------------------------------------------------------------------------------------

TALK: list[Any] = [
    {"role": "system", "content": "You know the weather."},
    {"role": "user", "content": "Rain in Lyon?"},
    {
        "role": "assistant",
        "content": "",
        "reasoning_content": "I have to look.",
        "tool_calls": [{"type": "function", "function": {"name": "rain", "arguments": {"city": "Lyon", "days": 2}}}],
    },
    {"role": "tool", "content": '{"mm": 0}'},
    {"role": "assistant", "content": "No.", "reasoning_content": "None."},
]


def _families(shelf: list[Family]) -> str:
    lines = ["# Families", "", "Models that share a chat template. `--model` takes these names, a folder or a hub id."]
    lines += ["`qwen-sft models` prints the same in the terminal."]
    for one in shelf:
        lines += ["", f"## {one.name}", "", f"{escaped(one.title)}.", ""]
        lines += [f"- Models: {', '.join(f'`{model}`' for model in one.models)}"]
        if one.context:
            lines += [f"- Context: {one.context:,} tokens at least, without YaRN"]
        lines += [f"- Template, sha256: {', '.join(f'`{sha[:16]}`' for sha in one.template_sha256)}"]
        if one.options:
            lines += [f"- Options of the template: {', '.join(f'`{name}`' for name in one.options)}"]
        lines += [f"- Vocabulary: `{one.vocabulary}`"]
        if one.inline_reasoning:
            lines += ["- Reasoning must stand in the content of a turn, as the model wrote it"]
        if one.parser is not None:
            for server, command in (
                ("vllm", "vllm serve MODEL"),
                ("sglang", "python -m sglang.launch_server --model-path MODEL"),
            ):
                flags = _flags(server, one.parser, one.reasoning_parser)
                lines += [f"- {flags[1]}" if flags[0] else f"- `{command} {flags[1]}`"]
        prompt = one.generation_prompt(TALK[:2], [], {})
        text = "".join(span.text or "" for span in one.serialize(_given(one), []))
        lines += ["", f"A prompt ends with `{json.dumps(prompt)}`. A call, its result and the answer are written so:"]
        lines += ["", "```text", text.rstrip("\n"), "```"]
    return "\n".join([*lines, ""])


def _flags(server: str, parser: str, reasoning: str | None) -> tuple[bool, str]:
    """Whether there are none, and the flags or why not."""
    try:
        return False, serving(server).flags(parser, reasoning)
    except UsageError as error:
        return True, escaped(str(error))


def _given(one: Family) -> list[Any]:
    if not one.inline_reasoning:
        return TALK
    return [
        {**message, "content": f"<think>\n{message['reasoning_content']}\n</think>\n\n{message['content']}"}
        if "reasoning_content" in message
        else message
        for message in TALK
    ]


# -- writers -----------------------------------------------------------------------------------------------------------

KEEPS = {"tokens": "each token's", "turns": "whole turns", "all": "nothing"}


def _writers(shelf: list[Writer]) -> str:
    lines = ["# Writers", "", "The forms of `--writer`. [The guide](../writers.md) says which to take for a trainer."]
    for one in shelf:
        lines += ["", f"## {one.name}", "", f"{escaped(one.title)}.", ""]
        lines += [f"Of our masks the trainer keeps: {KEEPS[one.trains]}. {prose(one.masks)}", ""]
        lines += ["| column | type | what |", "|---|---|---|"]
        lines += [f"| `{column.name}` | {escaped(column.type)} | {escaped(column.what)} |" for column in one.columns]
        lines += ["", "How the files are loaded:", "", "```text", one.load.rstrip("\n"), "```"]
        if one.packing:
            lines += ["", "It can write packed rows (`--pack`)."]
    return "\n".join([*lines, ""])


# -- settings ----------------------------------------------------------------------------------------------------------


def _settings() -> str:
    told, flags, kinds = attributes(Settings), _flags_of_settings(), get_type_hints(Settings)
    lines = [
        "# Settings",
        "",
        "Keys of `qwen-sft.toml`, or of `[tool.qwen-sft]` in `pyproject.toml`, by the alphabet. A flag wins over the",
        "file, the file over the default. An unknown key is an error. In Python the names have underscores, and `None`",
        "stands for what is not set. The [README](../../README.md#settings) has all of them in one block to copy.",
    ]
    for one in sorted(fields(Settings), key=lambda one: one.name):
        key = one.name.replace("_", "-")
        default = one.default_factory() if one.default_factory is not MISSING else one.default
        lines += ["", f"## {key}", "", linked(prose(told[one.name])), ""]
        if get_origin(kinds[one.name]) is Literal:
            lines += [f"- One of {', '.join(f'`{json.dumps(choice)}`' for choice in get_args(kinds[one.name]))}"]
        lines += [f"- Default: {_default(default)}"]
        if one.name in flags:
            lines += [f"- Flag: `{flags[one.name]}`"]
    return "\n".join([*lines, ""])


def _default(value: Any) -> str:
    if value is None:
        return "none"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`"


def _flags_of_settings() -> dict[str, str]:
    """How each setting is spelled as a flag, with what it takes, by the attribute name."""
    commands = _commands(typer.main.get_command(app), "")
    options = (one for _, command in commands for one in command.params if isinstance(one, TyperOption))
    known = {one.name for one in fields(Settings)}
    return {one.name: _spelled(one) for one in options if one.name in known}


def attributes(kind: type) -> dict[str, str]:
    """What a docstring says under "Attributes:", by name, each as one line."""
    _, _, told = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    found = re.findall(r"^    (\w+): (.+(?:\n {5,}.+)*)", told, flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


# -- commands ----------------------------------------------------------------------------------------------------------


def _cli() -> str:
    group = typer.main.get_command(app)
    lines = ["# Commands", "", f"{escaped(group.help or '')}", "", f"{escaped(group.epilog or '')}", ""]
    lines += [
        "Options that say how a run works are [settings](settings.md); each command lists those that it takes. "
        "`--config FILE` names the file of settings."
    ]
    for path, command in _commands(group, "qwen-sft"):
        lines += ["", f"## {path}", ""]
        summary, _, examples = inspect.cleandoc(command.help or "").replace("\b", "").partition("Examples:")
        lines += [*markdown(summary.strip())]
        if command.epilog:
            lines += ["", escaped(command.epilog)]
        if examples.strip():
            lines += ["", "```text", inspect.cleandoc(examples).strip(), "```"]
        shared = [one for one in command.params if one.name in FLAGS and isinstance(one, TyperOption)]
        own = [one for one in command.params if one not in shared and one.name != "help"]
        if own:
            lines += [""]
        for one in own:
            lines += [f"- {_said(one)}"]
        if shared:
            links = [_linked(one) for one in shared if one.name != "config"]
            lines += ["", f"Settings: {', '.join(links)}"]
    return "\n".join([*lines, ""])


def _commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    yield path, command
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{path} {name}")


def _linked(option: Any) -> str:
    return f"[`{option.opts[0]}`](settings.md#{option.name.replace('_', '-')})"


def _said(one: Any) -> str:
    """An argument or option of a command's own, in a line."""
    if not isinstance(one, TyperOption):
        named = f"`{one.metavar or one.name.upper()}`"
        return f"{named}: {escaped(' '.join((one.help or '').split()))}"
    default = ""
    if one.show_default and one.default not in (None, False) and "[default" not in (one.help or ""):
        default = f" Default: `{one.opts[0] if one.default is True else one.default}`."
    required = " Required." if one.required else ""
    return f"`{_spelled(one)}`: {escaped(' '.join((one.help or '').split()))}{required}{default}"


def _spelled(one: Any) -> str:
    names = ", ".join([*one.opts, *one.secondary_opts])
    return f"{names} {one.metavar}" if one.metavar and not one.is_flag else names


# -- docstrings --------------------------------------------------------------------------------------------------------


def markdown(text: str) -> list[str]:
    """A docstring as lines of Markdown: its paragraphs as they are, what is indented as a block of code."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(text)):
        own = paragraph.splitlines()
        if all(line.startswith("    ") for line in own):
            lines += ["```text", *(line[4:] for line in own), "```", ""]
        elif all(line.startswith(("- ", "  ")) for line in own):
            lines += [*map(escaped, own), ""]
        else:
            lines += [prose(" ".join(line.strip() for line in own)), ""]
    return [linked(line) for line in lines[:-1]]


def linked(text: str) -> str:
    """Names of our modules as links to their files, from a page one folder below docs/."""

    def link(found: re.Match[str]) -> str:
        name = found[1].replace("\\", "").removeprefix("qwen_sft.")
        path = f"qwen_sft/{name.replace('.', '/')}.py"
        return f"[`{name}`](../../{path})" if (DOCS.parent / path).is_file() else found[0]

    return re.sub(r"`?\b((?:qwen\\?_sft\.|reading\.)[\w.\\]*\w)`?", link, text)


def main() -> None:
    """Writes the pages, and takes away those of what is no more."""
    made = pages()
    for folder in ("formats", "reference"):
        (DOCS / folder).mkdir(exist_ok=True)
        for path in (DOCS / folder).iterdir():
            if f"{folder}/{path.name}" not in made:
                path.unlink()
    for name, text in made.items():
        (DOCS / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
