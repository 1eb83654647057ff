"""TRL's own preparation of the same rows, with its own training template and no step of ours.

A Dataset of messages and tools goes in; a Dataset with `input_ids` and `labels` comes out, as `SFTTrainer` does it in
its constructor (`_prepare_dataset`). Only that call is timed. What favours TRL: reading the file into the Dataset,
loading model and tokenizer, and writing the result to a file that can be kept are not counted; ours counts all of that.
"""

import json
import logging
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ours import OFFICIAL

from qwen_sft.vocabulary import tokenizer_json

if TYPE_CHECKING:
    from datasets import Dataset


class Missing(Exception):
    """TRL or what it needs is not installed; says which."""


class Peer:
    """An SFTTrainer for assistant-only loss on a tiny, randomly initialised Qwen3.

    Args:
        folder: where the tokenizer is put together and the trainer may write.

    Raises:
        Missing: a package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            import datasets
            import torch
            import transformers
            import trl
        except ImportError as error:
            raise Missing(f"{error.name} is not installed") from error
        warnings.filterwarnings("ignore")
        for name in ("trl", "transformers", "accelerate", "datasets"):
            logging.getLogger(name).setLevel(logging.ERROR)
        datasets.disable_progress_bars()
        datasets.disable_caching()  # each round has to do the work again
        self.versions = {module.__name__: module.__version__ for module in (trl, transformers, datasets, torch)}
        self.template = _tokenizer_folder(folder / "tokenizer")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
        config = transformers.Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=1, num_key_value_heads=1, head_dim=8,
        )  # fmt: skip
        arguments = trl.SFTConfig(
            output_dir=str(folder / "trainer"), assistant_only_loss=True, max_length=None,
            report_to="none", use_cpu=True, bf16=False, disable_tqdm=True,
        )  # fmt: skip
        one = [{"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}]
        self.trainer = trl.SFTTrainer(
            model=transformers.Qwen3ForCausalLM(config),
            args=arguments,
            train_dataset=datasets.Dataset.from_list(one),
            processing_class=tokenizer,
        )

    def read(self, rows: Path) -> "Dataset":
        """The rows as a Dataset whose messages keep exactly the keys that they have in the file.

        Without the Json feature Arrow gives every call the arguments of all calls, as nulls, and TRL renders them.
        """
        from datasets import Dataset, Features, Json, List

        def lines() -> Any:
            with rows.open("rb") as file:
                yield from map(json.loads, file)

        return Dataset.from_list(list(lines()), features=Features({"messages": List(Json()), "tools": List(Json())}))

    def prepare(self, dataset: "Dataset", n_processes: int | None = None) -> "Dataset":
        """The trainer's own preparation; `n_processes` is `dataset_num_proc`."""
        trainer: Any = self.trainer
        trainer.args.dataset_num_proc = n_processes
        return trainer._prepare_dataset(dataset, trainer.processing_class, trainer.args, False, None, "train")


def _tokenizer_folder(folder: Path) -> str:
    """Puts a tokenizer folder together without a hub; returns which chat template went in."""
    folder.mkdir(parents=True)
    if OFFICIAL.exists():
        says, template = "the official qwen3 chat template", json.loads(OFFICIAL.read_text())["chat_template"]
    else:
        import trl

        shipped = Path(trl.__file__).parent / "chat_templates/qwen3.jinja"
        says, template = "the qwen3 chat template that TRL ships", shipped.read_text()
    (folder / "tokenizer.json").symlink_to(tokenizer_json("qwen3"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "chat_template": template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return says
