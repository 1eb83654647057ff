"""A tiny Qwen3 that a CPU can train: randomly initialised, with the real tokenizer, and rows of real ids.

Qwen's vocabulary has 151,669 tokens, of which some hundred stand in our rows: the output layer alone would cost more
than all the rest. So the model is trained on those tokens only. Each batch is renumbered on its way from TRL's own
collator into the model, and when training is over the embedding is put into one of full size. What is saved is an
ordinary Qwen3 with the official tokenizer and chat template, which any server loads.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qwen_sft.tokenizing.tokenizer import load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

N_IDS = 151_936
"""Rows of the embedding in every Qwen3: the tokenizer's ids, and some that no token has."""
PAD = "<|endoftext|>"
STOP = "<|im_end|>"
UNUSED = "<|fim_pad|>"
"""A token that is in no row: the model learns never to say it, so it stands for all that were left out."""
COPY_LENGTHS = (64, 128, 256)
"""Tokens of the sequences that copying is learned on: at first only the short ones."""
COPY_TOKENS = 1024
"""Of a step."""
COPY_RATE = 3e-3
SHARP = 2.0
"""What the norms of queries start at."""


class Trimmed:
    """The tokens that a model is trained on.

    Args:
        rows: ids of each row.

    Attributes:
        ids: real ids, ascending: all that are in the rows, and every control token.
        number: by real id, its place in `ids`; -1 where it was left out.
    """

    def __init__(self, rows: Iterable[Sequence[int]]) -> None:
        tokenizer = load_tokenizer(tokenizer_json("qwen3"))
        self.control = {content: token.id for content, token in tokenizer.added_tokens.items()}
        seen = {token for row in rows for token in row}
        if self.control[UNUSED] in seen:
            raise SystemExit(f"a row holds {UNUSED}, which has to stand for the tokens that are left out")
        self.ids = np.array(sorted(seen | set(self.control.values())), dtype=np.int64)
        self.number = np.full(N_IDS, -1, dtype=np.int64)
        self.number[self.ids] = np.arange(len(self.ids))

    def collator(self) -> Any:
        """TRL's collator, with its batches renumbered; labels that are not trained stay -100."""
        import torch
        from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

        pads = DataCollatorForLanguageModeling(pad_token_id=self.control[PAD])
        number = torch.from_numpy(self.number)

        def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
            batch = pads(rows)
            labels = batch["labels"]
            made = {"input_ids": number[batch["input_ids"]], "labels": labels.clone()}
            made["labels"][labels != -100] = number[labels[labels != -100]]
            if (made["input_ids"] < 0).any() or (made["labels"][labels != -100] < 0).any():
                raise SystemExit("a row holds a token that the trimmed vocabulary has not")
            return {**batch, **made}

        return collate

    def model(self, *, hidden: int, layers: int, heads: int, seed: int) -> "PreTrainedModel":
        """A Qwen3 of these sizes with random weights, whose ids are numbers of this vocabulary."""
        from transformers import Qwen3Config, Qwen3ForCausalLM, set_seed

        set_seed(seed)
        config = Qwen3Config(
            vocab_size=len(self.ids),
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            head_dim=hidden // heads,
            max_position_embeddings=4096,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            # The first layer sees a token and the one before it. Copying what stood behind an earlier mention needs
            # just that, and a random model takes many times as long to find it in all the text before.
            use_sliding_window=True,
            sliding_window=2,
            layer_types=["sliding_attention"] + ["full_attention"] * (layers - 1),
            bos_token_id=None,
            eos_token_id=int(self.number[self.control[STOP]]),
            pad_token_id=int(self.number[self.control[PAD]]),
        )
        model = Qwen3ForCausalLM(config)
        for layer in model.model.layers:
            # Qwen3 norms queries and keys, which bounds a score by the root of head_dim: too flat, where heads are
            # narrow, to pick one token of 400. Trained models have grown their way out of it.
            layer.self_attn.q_norm.weight.data.fill_(SHARP)
        return model

    def teach_copying(self, model: "PreTrainedModel", *, steps: int, seed: int) -> float:
        """Trains a model to go on with what stood behind an earlier mention, on random tokens that repeat.

        That much every base model can. A random one finds it out from our rows too, in many times as many steps: few of
        their trained tokens are copies.

        Returns:
            How many of the repeated tokens were the most likely ones, as a share, over the last tenth of the steps.
        """
        import torch
        from torch.nn.functional import cross_entropy

        draw = torch.Generator().manual_seed(seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=COPY_RATE, betas=(0.9, 0.95), weight_decay=0.01)
        warm = min(50, steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / warm, max(0.05, 1 - step / steps))
        )
        right: list[float] = []
        model.train()
        for step in range(steps):
            length = COPY_LENGTHS[0] if step < 0.6 * steps else COPY_LENGTHS[step % len(COPY_LENGTHS)]
            period = int(torch.randint(8, 32 if length == COPY_LENGTHS[0] else length // 2, (), generator=draw))
            once = torch.randint(len(self.ids), (COPY_TOKENS // length, period), generator=draw)
            ids = once.repeat(1, length // period + 1)[:, :length].to(model.device)
            told, wanted = model(input_ids=ids).logits[:, period - 1 : -1], ids[:, period:]
            cross_entropy(told.flatten(0, 1), wanted.flatten()).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            right.append((told.argmax(-1) == wanted).float().mean().item())
        last = right[-max(1, steps // 10) :]
        return sum(last) / len(last) if last else 0.0

    def save(self, model: "PreTrainedModel", folder: Path) -> None:
        """Writes the model with its full vocabulary, and the official tokenizer and chat template beside it."""
        import torch
        from transformers import Qwen3Config, Qwen3ForCausalLM

        given = model.config.to_dict()
        stop, pad = self.control[STOP], self.control[PAD]
        whole = Qwen3ForCausalLM(
            Qwen3Config.from_dict({**given, "vocab_size": N_IDS, "eos_token_id": stop, "pad_token_id": pad})
        )
        weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
        small = weights["model.embed_tokens.weight"]
        wide = small[self.number[self.control[UNUSED]]].repeat(N_IDS, 1)
        wide[torch.from_numpy(self.ids)] = small
        weights["model.embed_tokens.weight"] = weights["lm_head.weight"] = wide
        whole.load_state_dict(weights)
        whole.save_pretrained(folder)
        save_tokenizer(folder)


def save_tokenizer(folder: Path) -> None:
    """Puts the official tokenizer of Qwen3 into a folder, and the chat template, which TRL ships byte for byte."""
    import trl

    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(tokenizer_json("qwen3"), folder / "tokenizer.json")
    shutil.copy(Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja", folder / "chat_template.jinja")
    config = {"tokenizer_class": "Qwen2Tokenizer", "eos_token": STOP, "pad_token": PAD, "model_max_length": 4096}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
