"""TRL's SFTTrainer: what its preparation does with rows, and that preparation itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwen_sft.errors import UsageError
from qwen_sft.finding import Severity
from qwen_sft.trainer import (
    Claim,
    Facts,
    Prepared,
    Request,
    Setup,
    Trainer,
    Trait,
    columns_ignored,
    damaged,
    length_unknown,
    masked_rows_stay,
    nulls_taught,
    packed_without_boundaries,
    text_arguments,
    untrained_turns,
    weights_ignored,
)

_FILE = "trl/trainer/sft_trainer.py"
_PREPARE = f"{_FILE} SFTTrainer._prepare_dataset"
_INIT = f"{_FILE} SFTTrainer.__init__"
_COLUMNS = f"{_FILE} SFTTrainer._set_signature_columns_if_needed"
_TEMPLATES = "trl/chat_template_utils.py get_training_chat_template"

_NEWLINE = "the newline behind each <|im_end|> is trained"
_KEPT = (
    "the text is not the one of inference: reasoning of earlier turns stays, and every turn gets a think block, an "
    "empty one where it has none"
)
_PREFILL = "what the prompt already holds of a think block is trained"

_TRAINING = {
    "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f": (
        "qwen2_5",
        ("the newline behind the header is trained", _NEWLINE),
    ),
    "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8": ("qwen3", (_KEPT, _NEWLINE)),
    "64f85b198065d0fba2a81f37e10ed68161ce2c19a754c7100e67e0ca2ee9c326": ("qwen3_instruct_2507", (_NEWLINE,)),
    "3636d0f0bd6bef02654cdffdc447b79cb2cef8ab02cc75267345946291a489e4": ("qwen3_vl", (_NEWLINE,)),
    "a4aee8afcf2e0711942cf848899be66016f8d14a889ff9ede07bca099c28f715": ("qwen3_5_think", (_KEPT, _PREFILL, _NEWLINE)),
    "273d8e0e683b885071fb17e08d71e5f2a5ddfb5309756181681de4f5a1822d80": (
        "qwen3_5_nothink",
        (_KEPT, _PREFILL, _NEWLINE),
    ),
    "e84f32a23fdda27689f868aa4a1a5621f41133e51a48d7f3efcbea2839574259": ("qwen3_6", (_KEPT, _PREFILL, _NEWLINE)),
    "c3cf9e34abf4f9e36c2d72165aa9c132d3e2a725b6c2586aaa3a8af9d7a81041": ("qwen3_8", (_KEPT, _PREFILL, _NEWLINE)),
}
"""Chat templates that it swaps for one of its own, by their sha256: that one's name, and what becomes of the rows."""

_TOKENIZED = "build with --writer parquet or hf, whose labels TRL keeps as they are"
_SKIP = "dataset_kwargs={'skip_prepare_dataset': True}"
_KEPT_COLUMNS = ("input_ids", "labels", "seq_lengths")

_STRING_ARGUMENTS = {
    "qwen2_5": "the template encodes it a second time, as a string in quotes",
    "qwen3": "the template prints it as it is",
    "qwen3_instruct_2507": "the template prints it as it is",
    "qwen3_thinking_2507": "the template prints it as it is",
}


def _skips(setup: Setup) -> bool:
    kwargs: Any = setup["dataset_kwargs"]
    return isinstance(kwargs, dict) and bool(kwargs.get("skip_prepare_dataset"))  # pyright: ignore


def claims(facts: Facts, setup: Setup) -> Iterator[Claim]:
    """What SFTTrainer will do with a folder."""
    yield from _setup(facts, setup)
    if facts.kind == "tokens":
        yield from _tokens(facts, setup)
    elif facts.kind == "text":
        yield Claim(
            "all-tokens-trained",
            Severity.ERROR,
            "rows of plain text: every token of it is trained, what users and tools say too",
            _TOKENIZED,
            facts.all(),
            _PREPARE,
        )
    elif facts.converses:
        yield from _conversations(facts, setup)
    else:
        yield Claim(
            "not-readable",
            Severity.ERROR,
            f"no column that it reads (columns: {', '.join(facts.columns) or 'none'}): it stops",
            "give input_ids and labels, messages, or prompt and completion",
            facts.all(),
            _PREPARE,
        )


def _setup(facts: Facts, setup: Setup) -> Iterator[Claim]:
    limit = setup.limit("max_length")
    if setup["packing"] and limit is None:
        yield _stops("packing with max_length=None", "set max_length", facts, _PREPARE)
    if setup["padding_free"] and not setup["packing"] and limit is not None:
        yield _stops(
            "padding_free=True without packing, and a max_length: it would not be kept to",
            "set max_length=None, or packing=True",
            facts,
            _INIT,
        )
    pictures = [name for name in ("image", "images") if name in facts.columns]
    if pictures:
        yield _stops(
            f"the column {pictures[0]!r} makes it take the rows for pictures, and a text model for the wrong one",
            f"take the column {pictures[0]!r} out",
            facts,
            _INIT,
        )


def _stops(says: str, fix: str, facts: Facts, source: str) -> Claim:
    return Claim("stops", Severity.ERROR, f"{says}: it stops", fix, facts.all(), source)


# -- tokenized rows ----------------------------------------------------------------------------------------------------


def _tokens(facts: Facts, setup: Setup) -> Iterator[Claim]:
    skips = _skips(setup)
    talks = [name for name in ("messages", "prompt", "completion") if name in facts.columns]
    if setup["assistant_only_loss"]:
        if not talks:
            yield _stops(
                "assistant_only_loss=True with rows that are tokenized",
                "leave assistant_only_loss out: the labels say what is trained",
                facts,
                _INIT,
            )
        else:
            yield Claim(
                "mask-not-applied",
                Severity.WARNING,
                f"{talks[0]!r} beside input_ids lets assistant_only_loss=True pass, and then nothing is masked by it: "
                "rows with input_ids are never rendered",
                f"take {', '.join(talks)} out, and leave assistant_only_loss out",
                facts.all(),
                _INIT,
            )
    elif talks:
        yield Claim(
            "messages-beside-ids",
            Severity.WARNING,
            f"{', '.join(talks)} beside input_ids: they change how the rows are taken (assistant_only_loss, "
            "completion_only_loss), and are dropped",
            f"take {', '.join(talks)} out",
            facts.all(),
            _INIT,
        )
    yield from _labels(facts, setup, skips)
    yield from damaged(facts, f"{_FILE} DataCollatorForLanguageModeling")
    yield from _cut(facts, setup, skips)
    yield from _packed(facts, setup, skips)
    yield from weights_ignored(facts, _COLUMNS)
    kept = {*_KEPT_COLUMNS, *talks, *(("weights",) if Trait.WEIGHTED in facts.traits else ())}
    yield from columns_ignored(facts, kept, _COLUMNS)


def _labels(facts: Facts, setup: Setup, skips: bool) -> Iterator[Claim]:
    columns = facts.columns
    if "labels" in columns:
        advice = "" if skips else f"set {_SKIP}: then nothing is cut or dropped either"
        yield Claim("labels-kept", Severity.INFO, "labels are used as they are", advice, facts.all(), _PREPARE)
        return
    masks = [name for name in ("assistant_masks", "completion_mask") if name in columns]
    if skips and masks:
        yield _stops(
            f"{masks[0]} without labels, and skip_prepare_dataset",
            "give labels, -100 where a token is not trained",
            facts,
            f"{_FILE} SFTTrainer._reject_skip_prepare_without_labels",
        )
        return
    by_prompt = "prompt" in columns and "completion" in columns
    by_completion = by_prompt if setup["completion_only_loss"] is None else bool(setup["completion_only_loss"])
    applied = [name for name in masks if name == "assistant_masks" or by_completion]
    if applied and not skips:
        yield Claim(
            "labels-rebuilt",
            Severity.INFO,
            f"labels are made of {' and '.join(applied)}",
            "",
            facts.all(),
            _PREPARE,
        )
        return
    has = f"; {facts.mask} is not looked at" if facts.mask else ""
    fix = "give labels, -100 where a token is not trained"
    if "completion_mask" in masks:
        fix += "; or set completion_only_loss=True"
    yield Claim(
        "all-tokens-trained",
        Severity.ERROR,
        f"input_ids without labels{has}: every token is trained, what users and tools say too",
        fix,
        facts.all(),
        _PREPARE,
    )


def _cut(facts: Facts, setup: Setup, skips: bool) -> Iterator[Claim]:
    limit = setup.limit("max_length")
    packing = bool(setup["packing"])
    if not skips and limit is not None:
        yield from _too_long(facts, setup, limit, packing)
    cuts = None if skips or packing else limit
    masked = facts.untrained_up_to(cuts)
    if not masked.n_rows:
        return
    if cuts is not None:
        yield Claim(
            "rows-dropped",
            Severity.WARNING,
            f"nothing is trained in their first {cuts:,} tokens: they are dropped, and nobody says how many",
            "take these rows out, or raise max_length to what they need",
            masked,
            _PREPARE,
        )
    else:
        yield masked_rows_stay(masked, _PREPARE)


def _too_long(facts: Facts, setup: Setup, limit: int, packing: bool) -> Iterator[Claim]:
    found = facts.longer(limit)
    if not found.n_rows:
        return
    longest = facts.longest
    shown = setup.shown_limit("max_length")
    lost = ""
    if facts.last_trained is not None:
        n_lost = int((facts.last_trained >= limit).sum())
        lost = f"; {n_lost:,} of them lose trained tokens"
    strategy = setup["packing_strategy"] if packing else None
    name, says = {
        None: ("rows-cut", f"cut to their first {limit:,} tokens ({shown}){lost}"),
        "bfd": ("rows-cut", f"packing cuts them to {limit:,} tokens ({shown}){lost}"),
        "bfd_split": ("rows-split", f"packing splits them behind {limit:,} tokens: a part begins without its context"),
        "wrapped": ("rows-split", f"packing cuts all rows where {limit:,} tokens are full, in the middle of turns"),
    }.get(strategy, ("rows-cut", f"cut to {limit:,} tokens{lost}"))
    fix = f"set max_length={longest} (the longest row has {longest:,} tokens), or build with --max-length {limit}"
    skip = "" if packing or facts.kind != "tokens" else f"; {_SKIP} cuts nothing"
    yield Claim(name, Severity.ERROR, says, fix + skip, found, _PREPARE)


def _packed(facts: Facts, setup: Setup, skips: bool) -> Iterator[Claim]:
    found = facts.spotted(Trait.PACKED)
    if found.n_rows:
        told = "seq_lengths" in facts.columns
        free = bool(setup["padding_free"]) or (bool(setup["packing"]) and setup["packing_strategy"] != "wrapped")
        again = bool(setup["packing"]) and not skips
        if not told or not free or again:
            why = (
                "packing=True packs the rows again and forgets seq_lengths"
                if again and told
                else "seq_lengths is only read with padding_free=True"
                if told
                else "position_ids and attention_mask are dropped, and there is no seq_lengths"
            )
            yield packed_without_boundaries(
                found,
                why,
                f"build without --pack and let TRL pack, or set padding_free=True, max_length=None and {_SKIP}",
                f"{_FILE} DataCollatorForLanguageModeling",
            )
    if setup["packing"] and not skips and setup["packing_strategy"] == "wrapped":
        yield Claim(
            "packing-without-boundaries",
            Severity.ERROR,
            "packing_strategy='wrapped' puts rows together without telling where each begins",
            "set packing_strategy='bfd'",
            facts.all(),
            "trl/data_utils.py pack_dataset",
        )


# -- conversations -----------------------------------------------------------------------------------------------------


def _conversations(facts: Facts, setup: Setup) -> Iterator[Claim]:
    if _skips(setup):
        yield _stops("skip_prepare_dataset with rows that are not tokenized", "leave it out", facts, _PREPARE)
        return
    yield from _shape(facts)
    if facts.spotted(Trait.TEXT_MESSAGES).n_rows:
        return
    if facts.kind == "sharegpt" and setup["assistant_only_loss"]:
        yield _stops(
            "assistant_only_loss=True with 'conversations' of {from, value}, which it takes for no conversation yet",
            "name the column messages and give role and content: qwen-sft convert does",
            facts,
            _INIT,
        )
        return
    yield from _loss(facts, setup)
    limit = setup.limit("max_length")
    if limit is not None:
        yield from length_unknown(facts, limit, "max_length", _PREPARE)
        yield from _too_long(facts, setup, limit, bool(setup["packing"]))
    if facts.kind != "prompt-completion":
        yield from untrained_turns(facts, (), _PREPARE, _TOKENIZED)
    read = {"messages", "prompt", "completion", "conversations", "tools", "chat_template_kwargs"}
    yield from columns_ignored(facts, {*read, *facts.untrained}, _PREPARE)


def _shape(facts: Facts) -> Iterator[Claim]:
    if (found := facts.spotted(Trait.TEXT_MESSAGES)).n_rows:
        yield Claim(
            "messages-as-text",
            Severity.ERROR,
            "messages as JSON text are no conversation for it: it looks for a column 'text', and stops",
            "build with --writer trl, or read the text first",
            found,
            "trl/data_utils.py is_conversational",
        )
    strange = {role: rows for role, rows in facts.roles.items() if role not in ("system", "user", "assistant", "tool")}
    for role, found in strange.items():
        yield Claim(
            "role-not-printed",
            Severity.ERROR,
            f"the role {role!r} is handed to the template as it is, and no template of Qwen prints such a turn",
            "name the roles system, user, assistant and tool: qwen-sft convert does",
            found,
            "trl/data_utils.py maybe_convert_to_chatml",
        )
    does = _STRING_ARGUMENTS.get(facts.family, "the template prints it as it is, encodes it twice, or stops")
    if facts.family and facts.family not in _STRING_ARGUMENTS:
        does = "the template wants a mapping, and stops"
    yield from text_arguments(facts, does, f"{_PREPARE} tokenize_fn")
    yield from _nulls(facts)
    if (found := facts.spotted(Trait.NO_OPTIONS)).n_rows:
        yield Claim(
            "options-null",
            Severity.ERROR,
            "chat_template_kwargs is null: it is unpacked as it is, and stops",
            "give {} where there are no options",
            found,
            f"{_PREPARE} tokenize_fn",
        )


def _nulls(facts: Facts) -> Iterator[Claim]:
    yield from nulls_taught(
        facts,
        "mend them with qwen-sft fix, and write messages as a list of JSON (--writer trl)",
        f"{_PREPARE} tokenize_fn",
    )
    if (found := facts.spotted(Trait.UNEVEN)).n_rows:
        yield Claim(
            "nulls-before-datasets-4.7",
            Severity.WARNING,
            "calls have arguments of different names: datasets before 4.7 gives each of them those of all, as null",
            "use datasets 4.7 or later, or build with --writer trl",
            found,
            "datasets/packaged_modules/json",
        )


def _loss(facts: Facts, setup: Setup) -> Iterator[Claim]:
    if facts.kind == "prompt-completion" and not setup["assistant_only_loss"]:
        if setup["completion_only_loss"] is False:
            yield Claim(
                "all-tokens-trained",
                Severity.ERROR,
                "completion_only_loss=False trains the prompt too, what users and tools say",
                "leave completion_only_loss out",
                facts.all(),
                _PREPARE,
            )
            return
        yield Claim(
            "labels-rebuilt",
            Severity.WARNING,
            "what the completion adds to the rendered prompt is trained: "
            "the turn, its stop token and the newline behind it, which nobody has to produce",
            f"leave it so, or {_TOKENIZED}",
            facts.all(),
            _PREPARE,
        )
        return
    if not setup["assistant_only_loss"]:
        yield Claim(
            "all-tokens-trained",
            Severity.ERROR,
            "without assistant_only_loss every token is trained, what users and tools say too",
            f"{_TOKENIZED}; or set assistant_only_loss=True",
            facts.all(),
            _PREPARE,
        )
        return
    if (found := facts.spotted(Trait.NO_ANSWER)).n_rows:
        yield Claim(
            "stops",
            Severity.ERROR,
            "no turn of the assistant, with assistant_only_loss=True: it stops",
            "take these rows out",
            found,
            _PREPARE,
        )
    yield from _template(facts)


def _template(facts: Facts) -> Iterator[Claim]:
    """What assistant_only_loss=True does to the chat template."""
    if not facts.template_sha256:
        yield Claim(
            "template-unknown",
            Severity.WARNING,
            "assistant_only_loss=True swaps some chat templates for edited ones and refuses the others",
            "name the model with --model",
            facts.all(),
            _TEMPLATES,
        )
        return
    known = _TRAINING.get(facts.template_sha256)
    if known is None:
        yield Claim(
            "no-training-template",
            Severity.ERROR,
            f"it has no edition of this chat template ({facts.model}) that marks the assistant's turns, unless the "
            "template has {% generation %} itself: it stops",
            _TOKENIZED,
            facts.all(),
            _TEMPLATES,
        )
        return
    name, effects = known
    severity = Severity.WARNING if effects == (_NEWLINE,) else Severity.ERROR
    yield Claim(
        "labels-rebuilt",
        severity,
        f"the chat template is swapped for {name}_training.jinja: {'; '.join(effects)}",
        _TOKENIZED,
        facts.all(),
        _TEMPLATES,
    )


# -- its own preparation -----------------------------------------------------------------------------------------------

_ROW = "qwen_sft_row"


def prepare(request: Request) -> Iterator[Prepared]:
    """The rows as an SFTTrainer on a tiny random model has prepared and collated them.

    Raises:
        UsageError: trl or torch is not installed, the settings pack rows, or the trainer stops.
    """
    setup = request.setup
    if setup["packing"]:
        raise UsageError("packed rows cannot be told apart; leave packing out to run the preparation")
    import os

    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # all that it needs is here
    try:
        import trl  # pyright: ignore
        from torch import nn as _  # noqa: F401  # pyright: ignore
    except ImportError as error:
        raise UsageError(f'{error.name} is not installed; --run needs: pip install "trl>=1.16" torch') from error
    import json
    import logging
    import shutil
    import warnings

    import datasets  # pyright: ignore
    import transformers  # pyright: ignore

    for name in ("trl", "transformers", "accelerate", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning)
    folder = request.scratch / "tokenizer"
    folder.mkdir()
    shutil.copy(request.tokenizer, folder / "tokenizer.json")
    config: dict[str, Any] = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    template = request.template or _shipped(Path(str(trl.__file__)).parent, request.template_sha256)
    if template is not None:
        config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    data: Any = _dataset(datasets, request)
    tokens = "input_ids" in data.column_names
    if template is None and not tokens:
        raise UsageError("the model's chat template is not known; name a folder with --model")
    data = data.add_column(_ROW, list(range(len(data))))
    made: Any = transformers
    tokenizer = made.AutoTokenizer.from_pretrained(folder)
    size = max(len(tokenizer), 1 + max((max(ids, default=0) for ids in data["input_ids"]), default=0) if tokens else 0)
    tiny = made.Qwen3Config(
        vocab_size=size, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    peer: Any = trl
    values = {name: setup[name] for name in TRAINER.options}
    try:
        arguments = peer.SFTConfig(
            output_dir=str(request.scratch / "trainer"), report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,
            per_device_train_batch_size=1, **values,
        )  # fmt: skip
        trainer = peer.SFTTrainer(
            model=made.Qwen3ForCausalLM(tiny), args=arguments, train_dataset=data, processing_class=tokenizer
        )
        kept = [name for name in _KEPT_COLUMNS if name in trainer.train_dataset.column_names]
        for row in trainer.train_dataset:
            collated = trainer.data_collator([{name: row[name] for name in kept}])
            yield Prepared(row[_ROW], collated["input_ids"][0].tolist(), collated["labels"][0].tolist())
    except Exception as error:  # whatever it raises, it is what this run has to tell
        raise UsageError(f"SFTTrainer stops: {type(error).__name__}: {error}") from error


def _dataset(datasets: Any, request: Request) -> Any:
    """The first rows, as `datasets` reads them for a trainer; nothing goes into its cache."""
    suffix = request.files[0].suffix
    names = [str(path) for path in request.files]
    datasets.disable_progress_bars()
    if suffix == ".arrow":
        data = datasets.concatenate_datasets([datasets.Dataset.from_file(name) for name in names])
    else:
        kind = "parquet" if suffix == ".parquet" else "json"
        data = datasets.load_dataset(kind, data_files=names, split="train", cache_dir=str(request.scratch / "cache"))
    return data.select(range(min(request.n_rows, len(data))))


def _shipped(package: Path, sha256: str) -> str | None:
    """The official template of that hash, which TRL carries to compare with; None if it has none."""
    import hashlib

    for path in sorted((package / "chat_templates").glob("qwen*.jinja")):
        text = path.read_text(encoding="utf-8")
        if hashlib.sha256(text.encode()).hexdigest() == sha256:
            return text
    return None


TRAINER = Trainer(
    name="trl",
    title="TRL's SFTTrainer",
    package="trl",
    versions=("1.16",),
    options={
        "max_length": 1024,
        "packing": False,
        "packing_strategy": "bfd",
        "padding_free": False,
        "assistant_only_loss": False,
        "completion_only_loss": None,
        "dataset_kwargs": None,
    },
    length="max_length",
    packing="packing",
    claims=claims,
    prepare=prepare,
)
