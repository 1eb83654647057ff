"""axolotl: its chat-template strategy, row by row, on the files that our writer for it makes.

Loading the rows is not timed, nor is writing them; its `tokenize_prompt` of every row, which finds the trained turns in
the rendered conversation, is. It checks nothing of a trace.
"""

from pathlib import Path
from typing import Any

from serve import Ready, counted, serve


def load(_: Path, tokenizer: Path) -> Ready:
    """The strategy that the settings beside the files ask for."""
    import yaml
    from axolotl.prompt_strategies.chat_template import load as strategy_of
    from axolotl.utils.data.shared import load_dataset_with_config
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    folder = tokenizer.parent / "axolotl"
    told = (folder / "data/axolotl.yaml").read_text().replace("PATH/TO/THIS/FOLDER", str(folder))
    named = DictDefault(yaml.safe_load(told)["datasets"][0])
    given: Any = load_dataset_with_config(named, False)
    settings = DictDefault({"sequence_len": 10**6, "train_on_inputs": False, "eot_tokens": None})
    strategy: Any = strategy_of(AutoTokenizer.from_pretrained(tokenizer), settings, ds_cfg=dict(named))

    def run(_: str) -> list[Any]:
        return [strategy.tokenize_prompt(dict(row)) for row in given]

    def count(made: list[Any]) -> tuple[int, int, int]:
        return counted([one["input_ids"] for one in made], [one["labels"] for one in made])

    return Ready(run, count, ["axolotl", "transformers"])


serve(load)
