"""renderers: one rendering of a conversation with an owner for each token, and a mask of what the model would produce.

Parsed rows go in, ids and a mask for each come out. It checks nothing of a trace, reads no calls back, asks no second
computation, and writes nothing.
"""

from pathlib import Path
from typing import Any

from serve import Ready, rows, serve


def load(path: Path, tokenizer: Path) -> Ready:
    """Its Qwen3 renderer, with the tokenizer that it loads itself."""
    from renderers.base import build_training_sample, create_renderer, load_tokenizer
    from renderers.configs import Qwen3RendererConfig

    renderer = create_renderer(load_tokenizer(str(tokenizer)), Qwen3RendererConfig())
    given = rows(path)

    def run(_: str) -> list[Any]:
        return [build_training_sample(renderer, row["messages"], tools=row["tools"]) for row in given]

    def count(made: list[Any]) -> tuple[int, int, int]:
        return len(made), sum(len(one.token_ids) for one in made), sum(sum(one.loss_mask) for one in made)

    return Ready(run, count, ["renderers", "transformers", "tokenizers"])


serve(load)
