"""SET009 past-context."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.census import Census, percent
from qwen_sft.rule import rule


@rule(code="SET009", name="past-context", severity="warning", since="0.1.0", stage="set", needs="model")
def check(census: Census) -> Iterator[Finding]:
    """Samples are longer than the model's context.

    What it catches: with `--model`, samples whose longest row has more tokens than the model holds: as config.json in
        its folder says, with YaRN if that is on; else what its family was made for, such as 32,768 for Qwen3 and
        Qwen2.5, and 262,144 for the models from Qwen3-2507 on. `thresholds = {context = 131072}` says otherwise. The
        threshold is the share of samples that may be so: 0.

    Why it matters: at positions that it has never seen a model writes nonsense, and training it there unlearns what
        it can; trainers cut such rows without a word, and servers refuse such requests.

    Fix: set `--max-length` to what you will train and serve with, and choose what becomes of longer rows.

    Bad (model=qwen3, thresholds={"context":8}):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi. How are you?"}]}

    Good (model=qwen3):
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi. How are you?"}]}

    Source: the model cards of Qwen3 ("Context Length: 32,768 natively and 131,072 tokens with YaRN") and others.
    """
    context = census.context
    if context is None:
        return
    found = census.past(context)
    if found.n > census.threshold("SET009", 0) * census.n_samples:
        says = (
            f"{percent(found.n, census.n_samples)} samples have more tokens than the {context:,} of the model's "
            f"context, the most {found.second:,}: {census.place(found.first)}; of all samples "
            f"{census.spread('longest', '{:,}'.format)}"
        )
        yield Finding((), says, "set --max-length, or give the model's folder with its config.json")
