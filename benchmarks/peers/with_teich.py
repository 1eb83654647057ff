"""teich: `prepare_data` of a Dataset of messages and tools, then `mask_data`, which encodes and labels it.

The Dataset is made before, and nothing is written. It checks that the template renders and audits the labels of the
result, and asks nothing else of a trace.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from serve import Ready, counted, rows, serve


def load(path: Path, tokenizer: Path) -> Ready:
    """The tokenizer of transformers, and the rows as a Dataset whose messages keep their keys."""
    import datasets
    from teich.formatter import mask_data
    from teich.prepare import prepare_data
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    datasets.disable_caching()
    text: Any = AutoTokenizer.from_pretrained(tokenizer)
    text.model_max_length = 10**9
    features = datasets.Features({"messages": datasets.List(datasets.Json()), "tools": datasets.List(datasets.Json())})
    given = datasets.Dataset.from_list(rows(path), features=features)

    def run(_: str) -> Any:
        prepared = prepare_data(given, text, verbose=False)
        trainer = SimpleNamespace(train_dataset=prepared, processing_class=text)
        return mask_data(trainer, verbose=False).train_dataset

    return Ready(run, lambda made: counted(made["input_ids"], made["labels"]), ["teich", "transformers", "datasets"])


serve(load)
