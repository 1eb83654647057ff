"""ms-swift: which rows it deletes, which fields of a message it reads, and what it trains."""

from collections.abc import Iterator

from qwen_sft.finding import Severity
from qwen_sft.trainer import (
    LOOKED_AT,
    Claim,
    Facts,
    Setup,
    Trainer,
    Trait,
    another_text,
    columns_ignored,
    too_long,
    untrained_turns,
)

_CORE = "swift/dataset/preprocessor/core.py"
_CHECK = f"{_CORE} RowPreprocessor._check_messages"
_ENCODE = "swift/template/base.py Template.encode"
_LOSS = "swift/loss_scale/base.py LossScale"
_ROLES = frozenset(
    {
        *("system", "user", "assistant", "tool", "tool_call", "tool_response"),
        *("human", "gpt", "bot", "function_call", "function_response", "observation", "observations"),
    }
)
_COLUMNS = ("messages", "conversations", "tools", "chat_template_kwargs", "images", "videos", "audios", "system")
_WRITER = "build with --writer ms_swift"


def claims(facts: Facts, setup: Setup) -> Iterator[Claim]:
    """What `swift sft` will do with a folder."""
    if facts.kind not in ("messages", "sharegpt"):
        what = "token ids are not read" if facts.kind == "tokens" else "there are no messages"
        yield Claim(
            "rows-deleted",
            Severity.ERROR,
            f"{what}: a row without messages is deleted, with a line in the log (strict: false)",
            _WRITER,
            facts.all(),
            _CHECK,
        )
        return
    yield Claim(
        "labels-rebuilt",
        Severity.WARNING,
        "it renders by a template of its own and masks anew: whole turns are trained, and the newline behind each "
        "<|im_end|> too",
        "compare with qwen-sft audit on the cache that `swift export --to_cached_dataset` writes",
        facts.all(),
        "swift/template/base.py Template._encode_context_list",
    )
    yield from another_text(
        facts,
        think_blocks=bool(setup["add_non_thinking_prefix"]),
        source="swift/template/base.py Template._add_non_thinking_prefix",
        fix="set add_non_thinking_prefix false, or train tokenized rows elsewhere",
        tools_source="swift/agent_template/hermes.py HermesAgentTemplate._format_tools",
    )
    if (found := facts.spotted(Trait.WORDS_BESIDE_CALLS)).n_rows and facts.family in LOOKED_AT:
        yield Claim(
            "words-joined-to-calls",
            Severity.ERROR,
            "nothing stands between words and the call behind them (agent_template hermes); the model's template puts "
            "a newline there",
            "train tokenized rows elsewhere",
            found,
            "swift/agent_template/hermes.py",
        )
    for role, found in facts.roles.items():
        if role not in _ROLES:
            yield Claim(
                "rows-deleted",
                Severity.ERROR,
                f"the role {role!r} is none that it knows: the row is deleted, with a line in the log",
                _WRITER,
                found,
                _CHECK,
            )
    if (found := facts.spotted(Trait.NO_CONTENT)).n_rows:
        yield Claim(
            "rows-deleted",
            Severity.ERROR,
            "a message's content is null: the row is deleted, with a line in the log",
            'give "" where nothing is said',
            found,
            _CHECK,
        )
    if (found := facts.spotted(Trait.REASONING)).n_rows:
        yield Claim(
            "reasoning-lost",
            Severity.ERROR,
            "of a message only role, content, loss and loss_scale are kept: reasoning_content is taken out",
            f"{_WRITER}, which puts it into the content between <think> and </think>",
            found,
            _CHECK,
        )
    old = facts.spotted(Trait.OLD_REASONING)
    inline = not facts.spotted(Trait.REASONING).n_rows
    if inline and old.n_rows and facts.rewrites is not False and setup["preserve_thinking"] is not False:
        yield Claim(
            "history-kept",
            Severity.WARNING,
            "reasoning of turns before the user's last message stays in the text while it trains; a server whose "
            "template drops it sends another history",
            "train tokenized rows elsewhere: their rows show each turn as the server does",
            old,
            "swift/template/base.py Template._get_preserve_thinking",
        )
    yield from untrained_turns(facts, ("loss",), _LOSS, f"{_WRITER}, which marks them with `loss`")
    if setup["loss_scale"] == "all":
        yield Claim(
            "all-tokens-trained",
            Severity.ERROR,
            "loss_scale all trains every token, what users and tools say too",
            "leave loss_scale out",
            facts.all(),
            _LOSS,
        )
    elif setup["loss_scale"] == "last_round":
        yield Claim(
            "turns-not-trained",
            Severity.ERROR,
            "loss_scale last_round trains only what is behind the user's last message",
            "leave loss_scale out",
            facts.all(),
            _LOSS,
        )
    yield from _too_long(facts, setup)
    yield from columns_ignored(facts, _COLUMNS, f"{_CORE} RowPreprocessor.standard_keys")


def _too_long(facts: Facts, setup: Setup) -> Iterator[Claim]:
    strategy = str(setup["truncation_strategy"] or "delete")
    name, does = {
        "left": ("rows-cut", "cut at their beginning"),
        "right": ("rows-cut", "cut at their end"),
        "split": ("rows-split", "split: a part begins without its context"),
    }.get(strategy, ("rows-deleted", "deleted"))
    yield from too_long(
        facts,
        setup,
        "max_length",
        name=name,
        does=f"{does} (truncation_strategy {strategy})",
        fix="raise max_length, or build with --max-length",
        source=_ENCODE,
    )


TRAINER = Trainer(
    name="ms-swift",
    title="ms-swift's swift sft",
    package="ms-swift",
    versions=("4.6",),
    options={
        "max_length": None,
        "truncation_strategy": "delete",
        "loss_scale": "default",
        "preserve_thinking": None,
        "add_non_thinking_prefix": True,
        "packing": False,
    },
    length="max_length",
    packing="packing",
    claims=claims,
)
