"""LLaMA-Factory: the entry in dataset_info.json, the pairs that it wants, and its own templates."""

import json
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
    another_text,
    columns_ignored,
    damaged,
    packed_without_boundaries,
    text_arguments,
    too_long,
    untrained_turns,
)

_CONVERTER = "llamafactory/data/converter.py"
_LOADER = "llamafactory/data/loader.py get_dataset"
_SUPERVISED = "llamafactory/data/processor/supervised.py SupervisedDatasetProcessor"
_COLLATOR = "llamafactory/hparams/parser.py remove_unused_columns=False"
_FORMATTER = "llamafactory/data/formatter.py FunctionFormatter"
_WRITER = "build with --writer llama_factory"
_TENSORS = ("input_ids", "attention_mask", "labels", "images", "videos", "audios")


def claims(facts: Facts, setup: Setup) -> Iterator[Claim]:
    """What LLaMA-Factory's sft stage will do with a folder."""
    if facts.kind == "tokens":
        yield from _tokens(facts, setup)
    elif facts.kind in ("messages", "sharegpt"):
        yield from _conversations(facts, setup)
    else:
        yield Claim(
            "not-readable",
            Severity.ERROR,
            f"neither turns nor tokens (columns: {', '.join(facts.columns) or 'none'})",
            _WRITER,
            facts.all(),
            _CONVERTER,
        )


def _tokens(facts: Facts, setup: Setup) -> Iterator[Claim]:
    if not setup["tokenized_path"]:
        yield Claim(
            "not-readable",
            Severity.ERROR,
            "token ids are only read by tokenized_path, from a folder that save_to_disk made; as a data set of "
            "dataset_info.json they have no turns, and it stops",
            f"{_WRITER}; or build with --writer hf, keep input_ids and labels only, and set tokenized_path",
            facts.all(),
            _LOADER,
        )
        return
    if any(not name.endswith(".arrow") for name, _ in facts.files):
        yield Claim(
            "stops",
            Severity.ERROR,
            "tokenized_path is read by load_from_disk, and these files are of another kind: it stops",
            "build with --writer hf",
            facts.all(),
            _LOADER,
        )
    ragged = ("string", "list", "struct", "json")
    extra = [name for name, kind in facts.columns.items() if name not in _TENSORS and kind.startswith(ragged)]
    if extra:
        yield Claim(
            "stops",
            Severity.ERROR,
            f"all columns reach the collator, which cannot make tensors of {', '.join(extra)}: it stops",
            "keep input_ids, attention_mask and labels only, with select_columns",
            facts.all(),
            _COLLATOR,
        )
    yield from damaged(facts, _LOADER)
    if "cutoff_len" in setup.told and (limit := setup.limit("cutoff_len")) and (found := facts.longer(limit)).n_rows:
        yield Claim(
            "cutoff-not-kept",
            Severity.WARNING,
            f"longer than cutoff_len={limit:,}, which tokenized_path does not look at: they stay as they are",
            "build with --max-length",
            found,
            _LOADER,
        )
    if (found := facts.spotted(Trait.PACKED)).n_rows:
        why = "seq_lengths and position_ids of its own it makes only while it packs"
        yield packed_without_boundaries(found, why, "build without --pack", _LOADER)


def _conversations(facts: Facts, setup: Setup) -> Iterator[Claim]:
    formatting = setup["formatting"]
    if formatting is None:
        yield Claim(
            "no-entry",
            Severity.ERROR,
            "no entry in a dataset_info.json beside the rows: without one the format is alpaca, and it stops",
            f"{_WRITER}, which writes the entry; or --set formatting=openai for your own",
            facts.all(),
            "llamafactory/data/parser.py DatasetAttr",
        )
        formatting = "sharegpt" if facts.kind == "sharegpt" else "openai"
    yield Claim(
        "labels-rebuilt",
        Severity.WARNING,
        "it renders by a template of its own (template: qwen3 and the like), not the model's, and masks anew: all "
        "turns of the assistant are trained, and the newline behind each <|im_end|> too",
        "compare with qwen-sft audit on what `tokenized_path` writes",
        facts.all(),
        f"{_SUPERVISED}._encode_data_example",
    )
    yield from another_text(
        facts,
        think_blocks=setup["template"] != "qwen3_nothink",
        source="llamafactory/data/template.py ReasoningTemplate.encode_multiturn",
        fix="set template: qwen3_nothink, if no turn has reasoning, or train tokenized rows elsewhere",
        tools_source="llamafactory/data/tool_utils.py QWEN_TOOL_PROMPT",
    )
    if (found := facts.spotted(Trait.OUT_OF_TURN)).n_rows:
        yield Claim(
            "rows-dropped",
            Severity.ERROR,
            "turns must come in pairs, what the model reads and what it says: other rows are skipped, with a line in "
            "the log",
            "end each row with the assistant's turn, and put users' turns behind each other into one: "
            "qwen-sft build --merge-user --writer llama_factory",
            found,
            f"{_CONVERTER} SharegptDatasetConverter",
        )
    if setup["train_on_prompt"]:
        yield Claim(
            "all-tokens-trained",
            Severity.ERROR,
            "train_on_prompt trains what users and tools say too",
            "leave train_on_prompt out",
            facts.all(),
            _SUPERVISED,
        )
    if setup["mask_history"]:
        yield Claim(
            "turns-not-trained",
            Severity.ERROR,
            "mask_history trains only the last turn of a row",
            "leave mask_history out",
            facts.all(),
            _SUPERVISED,
        )
    if formatting == "openai":
        yield from _openai(facts)
    yield from text_arguments(facts, "they are encoded a second time, as a string in quotes", _FORMATTER)
    if (found := facts.spotted(Trait.LISTED_TOOLS)).n_rows:
        yield Claim(
            "stops",
            Severity.ERROR,
            "tools are a list, and it parses them as JSON text: it stops",
            _WRITER,
            found,
            "llamafactory/data/formatter.py ToolFormatter",
        )
    yield from untrained_turns(facts, (), _SUPERVISED, "leave such turns out of the rows, or train tokenized rows")
    yield from too_long(
        facts,
        setup,
        "cutoff_len",
        name="rows-cut",
        does="cut in the middle of turns, prompts and answers by shares",
        fix="raise cutoff_len, or build with --max-length",
        source="llamafactory/data/processor/processor_utils.py infer_seqlen",
        measured=_SUPERVISED,
    )
    if setup["packing"] and not setup["neat_packing"]:
        yield Claim(
            "packing-without-boundaries",
            Severity.ERROR,
            "packing without neat_packing lets the conversations of a row see each other",
            "set neat_packing: true",
            facts.all(),
            "llamafactory/data/processor/supervised.py PackedSupervisedDatasetProcessor",
        )
    yield from columns_ignored(facts, ("messages", "conversations", "system", "tools"), _CONVERTER)


def _openai(facts: Facts) -> Iterator[Claim]:
    if (found := facts.spotted(Trait.REASONING)).n_rows:
        yield Claim(
            "reasoning-lost",
            Severity.ERROR,
            "of a message only role, content and tool_calls are read: reasoning_content is not",
            _WRITER,
            found,
            f"{_CONVERTER} OpenAIDatasetConverter",
        )
    if (found := facts.spotted(Trait.WORDS_BESIDE_CALLS)).n_rows:
        yield Claim(
            "words-lost",
            Severity.ERROR,
            "calls take the place of the content: words beside them are lost",
            _WRITER,
            found,
            f"{_CONVERTER} OpenAIDatasetConverter",
        )


def beside(folder: Path) -> Mapping[str, Any]:
    """What the first entry of a dataset_info.json beside the rows says of their format."""
    for file in (folder / "dataset_info.json", folder / "data" / "dataset_info.json"):
        try:
            told: Any = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError):
            continue
        for entry in told.values() if is_object(told) else ():
            if is_object(entry) and "file_name" in entry:
                return {"formatting": entry.get("formatting", "alpaca")}
    return {}


TRAINER = Trainer(
    name="llamafactory",
    title="LLaMA-Factory's sft stage",
    package="llamafactory",
    versions=("0.9.5",),
    options={
        "cutoff_len": 2048,
        "packing": False,
        "neat_packing": False,
        "mask_history": False,
        "train_on_prompt": False,
        "tokenized_path": None,
        "formatting": None,
        "template": None,
    },
    length="cutoff_len",
    packing="packing",
    claims=claims,
    beside=beside,
)
