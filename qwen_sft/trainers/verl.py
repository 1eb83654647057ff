"""verl: what its multi-turn SFT data set reads, and where its pieces do not add up."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qwen_sft.finding import Severity
from qwen_sft.sample import is_object
from qwen_sft.trainer import (
    Claim,
    Facts,
    Setup,
    Trainer,
    Trait,
    columns_ignored,
    nulls_taught,
    too_long,
    untrained_turns,
)

_DATASET = "verl/utils/dataset/multiturn_sft_dataset.py MultiTurnSFTDataset"
_READ = f"{_DATASET}._read_files_and_process"
_ITEM = f"{_DATASET}.__getitem__"
_WRITER = "build with --writer verl"
_LOADER = "JsonSFTDataset"


def claims(facts: Facts, setup: Setup) -> Iterator[Claim]:
    """What verl's SFT trainer will do with a folder."""
    column = setup["messages_key"]
    if column not in facts.columns:
        what = "token ids are not read" if facts.kind == "tokens" else f"there is no column {column!r}"
        yield Claim("stops", Severity.ERROR, f"{what}: it stops", _WRITER, facts.all(), _READ)
        return
    others = [name for name, _ in facts.files if not name.endswith(".parquet")]
    if others:
        yield Claim(
            "stops",
            Severity.ERROR,
            f"only Parquet is read, and {others[0]} is none: it stops",
            _WRITER,
            facts.all(),
            _READ,
        )
    own = bool(setup["custom_cls"])
    if own and not isinstance(setup["custom_cls"], str):
        own = is_object(setup["custom_cls"]) and bool(setup["custom_cls"].get("path"))
    yield from _form(facts, own)
    yield Claim(
        "labels-rebuilt",
        Severity.WARNING,
        "each message is rendered by itself, and all behind the assistant's header is trained, the newline behind "
        "each <|im_end|> too; where the pieces are not what the template prints of the whole it stops, or trains the "
        "pieces with ignore_input_ids_mismatch",
        "compare with qwen-sft audit, or train tokenized rows elsewhere",
        facts.all(),
        f"{_DATASET}._process_single_message",
    )
    found = facts.spotted(Trait.SEVERAL_RESULTS if facts.lengths is None else Trait.PIECES)
    if found.n_rows:
        does = "another text than the server's is trained" if setup["ignore_input_ids_mismatch"] else "it stops"
        why = (
            "the results behind one turn are one block in Qwen's templates, and several one by one"
            if facts.lengths is None
            else f"the template of {facts.model} prints messages otherwise one by one than together: think blocks, "
            "results of several calls"
        )
        yield Claim(
            "pieces-do-not-add-up",
            Severity.ERROR,
            f"{why}: {does}",
            "train tokenized rows elsewhere, or set ignore_input_ids_mismatch and serve what it trains",
            found,
            f"{_DATASET}.sanity_check",
        )
    yield from untrained_turns(
        facts, (), f"{_DATASET}._process_single_message", "leave such turns out of the rows, or train tokenized rows"
    )
    cut = setup["truncation"] in ("left", "right")
    yield from too_long(
        facts,
        setup,
        "max_length",
        name="rows-cut" if cut else "stops",
        does="they are cut" if cut else "it stops (truncation: error)",
        fix="raise data.max_length, or build with --max-length",
        source=_ITEM,
    )
    yield from columns_ignored(facts, (column, setup["tools_key"], "enable_thinking"), _READ)


def _form(facts: Facts, own: bool) -> Iterator[Claim]:
    """Whether it can read messages, tools and the mode as they are written."""
    if own:
        yield Claim(
            "own-class",
            Severity.INFO,
            "the rows are read by a class of their own, not by verl's",
            f"set data.custom_cls.path to data/verl_dataset.py and data.custom_cls.name to {_LOADER}",
            facts.all(),
            "data/verl_dataset.py",
        )
        return
    loader = f"{_WRITER}, and set data.custom_cls.path and .name to its data/verl_dataset.py and {_LOADER}"
    if (found := facts.spotted(Trait.TEXT_MESSAGES)).n_rows:
        yield Claim("stops", Severity.ERROR, "messages are JSON text, not a list: it stops", loader, found, _READ)
    if (found := facts.spotted(Trait.TEXT_TOOLS)).n_rows:
        yield Claim(
            "tools-as-text",
            Severity.ERROR,
            "tools are JSON text, and are handed to the template as such",
            loader,
            found,
            _ITEM,
        )
    yield from nulls_taught(facts, loader, _READ)
    if (found := facts.spotted(Trait.NO_MODE)).n_rows:
        yield Claim(
            "stops",
            Severity.ERROR,
            "enable_thinking is null, which pandas has as NA, and that is neither true nor false: it stops",
            loader,
            found,
            _ITEM,
        )


def config(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of a verl config: those under `data`."""
    data: Any = given.get("data", given)
    return data if is_object(data) else {}


def beside(folder: Path) -> Mapping[str, Any]:
    """The class that our writer leaves beside the rows, which its README says to set."""
    file = folder / "data" / "verl_dataset.py"
    return {"custom_cls": "data/verl_dataset.py"} if file.is_file() else {}


TRAINER = Trainer(
    name="verl",
    title="verl's SFT trainer with its multi-turn data set",
    package="verl",
    versions=("0.9.1",),
    options={
        "max_length": 1024,
        "truncation": "error",
        "messages_key": "messages",
        "tools_key": "tools",
        "ignore_input_ids_mismatch": False,
        "custom_cls": None,
    },
    length="max_length",
    packing=None,
    claims=claims,
    config=config,
    beside=beside,
    costly=frozenset({Trait.PIECES}),
)
