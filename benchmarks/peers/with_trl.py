"""TRL's own preparation of the same rows, with its own training template and no step of ours.

A Dataset of messages and tools goes in; a Dataset with `input_ids` and `labels` comes out, as `SFTTrainer` does it in
its constructor (`_prepare_dataset`), for assistant-only loss. Only that call is timed: reading the file, loading model
and tokenizer, and writing a result that can be kept are not. A variant is `dataset_num_proc`.
"""

import logging
import warnings
from pathlib import Path
from typing import Any

from serve import Ready, counted, rows, serve


def load(path: Path, tokenizer: Path) -> Ready:
    """An SFTTrainer with a tiny, randomly initialised Qwen3."""
    import datasets
    import transformers
    import trl

    warnings.filterwarnings("ignore")
    for name in ("trl", "transformers", "accelerate", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    datasets.disable_caching()  # each round has to do the work again
    text: Any = transformers.AutoTokenizer.from_pretrained(tokenizer)
    config = transformers.Qwen3Config(
        vocab_size=len(text), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1, num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    arguments = trl.SFTConfig(
        output_dir=str(tokenizer.parent / "trainer"), assistant_only_loss=True, max_length=None,
        report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,
    )  # fmt: skip
    one = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}]
    trainer: Any = trl.SFTTrainer(
        model=transformers.Qwen3ForCausalLM(config),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(one),
        processing_class=text,
    )
    # Without the Json feature Arrow gives every call the arguments of all calls, as nulls, and TRL renders them.
    features = datasets.Features({"messages": datasets.List(datasets.Json()), "tools": datasets.List(datasets.Json())})
    given = datasets.Dataset.from_list(rows(path), features=features)

    def run(n_processes: str) -> Any:
        trainer.args.dataset_num_proc = int(n_processes) if n_processes else None
        return trainer._prepare_dataset(given, trainer.processing_class, trainer.args, False, None, "train")

    return Ready(
        run, lambda made: counted(made["input_ids"], made["labels"]), ["trl", "transformers", "datasets", "torch"]
    )


serve(load)
