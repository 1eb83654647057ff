"""LLaMA-Factory: the preprocessing of its supervised fine-tuning, of the files that our writer for it makes.

Loading and aligning the rows is not timed; `SupervisedDatasetProcessor.preprocess_dataset`, in batches of 1,000 as its
loader calls it, is. It checks nothing of a trace, and nothing is written.
"""

import importlib.machinery
import os
import sys
import types
from pathlib import Path
from typing import Any

from serve import Ready, counted, serve


def load(_: Path, tokenizer: Path) -> Ready:
    """Its template for Qwen3, and the rows as its own dataset."""
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # for audio only, and often of another torch
    sys.modules["torchaudio"].__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    from llamafactory.data.loader import _load_single_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.processor import SupervisedDatasetProcessor
    from llamafactory.data.template import get_template_and_fix_tokenizer
    from llamafactory.hparams import DataArguments, ModelArguments
    from transformers import AutoTokenizer, Seq2SeqTrainingArguments

    folder = tokenizer.parent
    data = DataArguments(
        dataset="qwen_sft", dataset_dir=str(folder / "llama_factory/data"), template="qwen3", cutoff_len=10**6
    )
    model = ModelArguments(model_name_or_path=str(tokenizer), cache_dir=str(folder / "cache"))
    training = Seq2SeqTrainingArguments(output_dir=str(folder / "trainer"), use_cpu=True, report_to=[])
    (named,) = get_dataset_list(["qwen_sft"], data.dataset_dir)
    given: Any = _load_single_dataset(named, model, data, training)
    text: Any = AutoTokenizer.from_pretrained(tokenizer)
    template = get_template_and_fix_tokenizer(text, data)
    processor = SupervisedDatasetProcessor(template=template, tokenizer=text, processor=None, data_args=data)

    def run(_: str) -> list[Any]:
        return [processor.preprocess_dataset(given[k : k + 1000]) for k in range(0, len(given), 1000)]

    def count(made: list[Any]) -> tuple[int, int, int]:
        return counted(*([row for one in made for row in one[name]] for name in ("input_ids", "labels")))

    return Ready(run, count, ["llamafactory", "transformers"])


serve(load)
