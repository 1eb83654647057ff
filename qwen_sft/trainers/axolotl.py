"""axolotl: rows that it takes as tokenized, and what its chat_template strategy makes of conversations."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qwen_sft.finding import Severity
from qwen_sft.sample import is_list, is_object
from qwen_sft.trainer import (
    Claim,
    Facts,
    Setup,
    Trainer,
    Trait,
    columns_ignored,
    damaged,
    masked_rows_stay,
    packed_without_boundaries,
    too_long,
    untrained_turns,
    weights_ignored,
)

_WRAPPERS = "axolotl/utils/data/wrappers.py"
_TOKENIZED = f"{_WRAPPERS} _is_dataset_already_tokenized"
_LONG = "axolotl/utils/data/utils.py handle_long_seq_in_dataset"
_PACKING = "axolotl/utils/trainer.py process_datasets_for_packing"
_STRATEGY = "axolotl/prompt_strategies/chat_template.py ChatTemplateStrategy"
_NEEDED = ("input_ids", "attention_mask", "labels")


def claims(facts: Facts, setup: Setup) -> Iterator[Claim]:
    """What axolotl will do with a folder."""
    if facts.kind == "tokens":
        yield from _tokens(facts, setup)
    elif facts.converses:
        yield from _conversations(facts, setup)
    else:
        yield Claim(
            "not-readable",
            Severity.ERROR,
            f"no column of tokens or messages (columns: {', '.join(facts.columns) or 'none'})",
            "build with --writer axolotl_tokenized or axolotl",
            facts.all(),
            _TOKENIZED,
        )


def _tokens(facts: Facts, setup: Setup) -> Iterator[Claim]:
    missing = [name for name in _NEEDED if name not in facts.columns]
    if missing:
        yield Claim(
            "not-seen-as-tokenized",
            Severity.ERROR,
            f"rows are only taken as tokenized with input_ids, attention_mask and labels, and there is no "
            f"{' and no '.join(missing)}: it looks for a prompt strategy, and stops",
            "build with --writer axolotl_tokenized",
            facts.all(),
            _TOKENIZED,
        )
        return
    yield Claim("labels-kept", Severity.INFO, "labels are used as they are", "", facts.all(), _TOKENIZED)
    yield from damaged(facts, _TOKENIZED)
    yield from _too_long(facts, setup)
    masked = facts.untrained_up_to(None)
    if masked.n_rows and setup["sample_packing"]:
        yield Claim(
            "rows-dropped",
            Severity.WARNING,
            "nothing is trained in them: sample_packing drops them, with a line in the log",
            "take these rows out",
            masked,
            _PACKING,
        )
    elif masked.n_rows:
        yield masked_rows_stay(masked, _PACKING)
    if (found := facts.spotted(Trait.PACKED)).n_rows:
        why = (
            "sample_packing numbers the positions of each row anew"
            if setup["sample_packing"]
            else "seq_lengths is not read, and an attention mask of ones covers the whole row"
        )
        yield packed_without_boundaries(
            found,
            why,
            "build without --pack, and set sample_packing: true",
            "axolotl/utils/trainer.py add_position_ids",
        )
    yield from weights_ignored(facts, _WRAPPERS)
    yield from columns_ignored(facts, (*_NEEDED, "position_ids"), "axolotl/core/trainers/base.py _get_dataloader")


def _too_long(facts: Facts, setup: Setup) -> Iterator[Claim]:
    strategy = str(setup["excess_length_strategy"] or "drop").lower()
    name, does = {
        "truncate": ("rows-cut", "cut to it"),
        "raise": ("stops", "reason to stop"),
    }.get(strategy, ("rows-dropped", "dropped, with a line in the log"))
    limit, longest = setup.limit("sequence_len"), facts.longest
    yield from too_long(
        facts,
        setup,
        "sequence_len",
        name=name,
        does=f"{does} (excess_length_strategy: {strategy})",
        fix=f"set sequence_len: {longest} (the longest row has {longest:,} tokens), or build with --max-length {limit}",
        source=_LONG,
    )


def _conversations(facts: Facts, setup: Setup) -> Iterator[Claim]:
    kind = setup["type"]
    if kind != "chat_template":
        yield Claim(
            "strategy-not-read",
            Severity.WARNING,
            f"type: {kind} was not read; here is what chat_template does",
            "set type: chat_template",
            facts.all(),
            _WRAPPERS,
        )
    column = setup["field_messages"]
    if column not in facts.columns:
        there = next((name for name in ("messages", "conversations") if name in facts.columns), None)
        fix = f"set field_messages: {there}" if there else "build with --writer axolotl"
        yield Claim(
            "not-readable",
            Severity.ERROR,
            f"no column {column!r} (field_messages): it stops",
            fix,
            facts.all(),
            f"{_STRATEGY}._get_messages",
        )
        return
    if facts.kind == "sharegpt":
        yield Claim(
            "role-not-read",
            Severity.ERROR,
            "turns of {from, value} have neither role nor content for it, unless message_property_mappings says so",
            "set message_property_mappings: {role: from, content: value}, or build with --writer axolotl",
            facts.all(),
            f"{_STRATEGY}.transform_message",
        )
    yield Claim(
        "labels-rebuilt",
        Severity.WARNING,
        "it renders by the chat template and looks for each turn again: the stop token is trained and the newline "
        "behind it not, and what the template prints around any answer, such as an empty think block, is not trained",
        "build with --writer axolotl_tokenized, whose labels it keeps",
        facts.all(),
        f"{_STRATEGY}.find_turn",
    )
    field = setup["message_field_training"]
    yield from untrained_turns(
        facts,
        (field,) if field else (),
        f"{_STRATEGY}._tokenize_single_prompt",
        "set message_field_training: training, and build with --writer axolotl",
    )
    if (found := facts.spotted(Trait.OLD_REASONING)).n_rows and facts.rewrites is not False:
        yield Claim(
            "history-rewritten",
            Severity.ERROR,
            "turns before the user's last message carry reasoning: one rendering serves all turns of a row, so a "
            "template that drops the reasoning of earlier turns trains them without it",
            "build with --writer axolotl_tokenized: its rows show each turn as the server does",
            found,
            f"{_STRATEGY}._tokenize_single_prompt",
        )
    if (found := facts.spotted(Trait.NULLS)).n_rows:
        yield Claim(
            "nulls-filled",
            Severity.WARNING,
            "Arrow has filled calls with null for the arguments of other calls",
            "mend them with qwen-sft fix, and build with --writer axolotl, whose messages are JSON text",
            found,
            f"{_STRATEGY}.tokenize_prompt",
        )
    yield from _too_long(facts, setup)
    yield from columns_ignored(facts, (column, setup["field_tools"]), _STRATEGY)


def config(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options of an axolotl config: those at its top, and those of its first data set."""
    listed: Any = given.get("datasets")
    first: Any = listed[0] if is_list(listed) and listed else None
    entry = {key: value for key, value in first.items() if key in _ENTRY and value} if is_object(first) else {}
    top = {key: value for key, value in given.items() if key not in _ENTRY}
    return {**top, **entry}


def beside(folder: Path) -> Mapping[str, Any]:
    """What the axolotl.yaml says that our writers leave beside the rows."""
    file = folder / "data" / "axolotl.yaml"
    if not file.is_file():
        return {}
    import yaml  # pyright: ignore[reportMissingModuleSource]

    try:
        told: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return {}
    return config(told) if is_object(told) else {}


_ENTRY = ("type", "field_messages", "field_tools", "message_field_training")

TRAINER = Trainer(
    name="axolotl",
    title="axolotl, of tokenized rows or with type: chat_template",
    package="axolotl",
    versions=("0.19",),
    options={
        "sequence_len": 512,
        "excess_length_strategy": "drop",
        "sample_packing": False,
        "type": "chat_template",
        "field_messages": "messages",
        "field_tools": "tools",
        "message_field_training": None,
    },
    length="sequence_len",
    packing="sample_packing",
    claims=claims,
    config=config,
    beside=beside,
)
