"""Rows of `qwen-sft build` into the real SFTTrainer, and the trained model as a speaker in the loop."""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from driving import Run, Said
from tiny import Trimmed, save_tokenizer

if TYPE_CHECKING:
    from datasets import Dataset

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "train_trl.py"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is trained; the same for the proof and its control.

    Attributes:
        model: hub id or folder of a model to start from; None for a tiny one, made here.
        hidden: of the tiny one: width.
        layers: of the tiny one.
        heads: of each of its layers.
        copying: steps in which it learns to copy random tokens, before it sees a row.
        steps: of the optimizer.
        batch: rows in a step.
        rate: the highest learning rate: it rises to it, then falls to nothing.
        seed: of weights and order.
        most: tokens of a generated turn after which it is cut.
        device: cpu or cuda.
        threads: of torch, on the CPU.
    """

    model: str | None
    hidden: int
    layers: int
    heads: int
    copying: int
    steps: int
    batch: int
    rate: float
    seed: int
    most: int
    device: str
    threads: int


@dataclass(frozen=True, slots=True)
class Trained:
    """What came out of a training.

    Attributes:
        n_parameters: of the model while it was trained.
        n_ids: how many tokens it knew then.
        copies: share of repeated random tokens that it foretold before it saw a row; None for a given model.
        loss: mean over the last steps that were logged.
        accuracy: share of the trained tokens that were the most likely ones, over the same steps.
    """

    n_parameters: int
    n_ids: int
    copies: float | None
    loss: float
    accuracy: float


def load_rows(dataset: Path) -> "tuple[Dataset, int]":
    """The rows as the example hands them to TRL, and the length of the longest."""
    spec = importlib.util.spec_from_file_location("train_trl", EXAMPLE)
    assert spec is not None and spec.loader is not None
    example: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.load_rows(str(dataset))


def train(dataset: Path, out: Path, recipe: Recipe) -> Trained:
    """Trains a model on the rows of a folder, unchanged, and saves it with its tokenizer for any server to load."""
    quiet()
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    on_cpu = recipe.device == "cpu"
    if on_cpu:
        torch.set_num_threads(recipe.threads)
    rows, longest = load_rows(dataset)
    trimmed, copies = None, None
    if recipe.model is None:
        trimmed = Trimmed(rows["input_ids"])
        model: Any = trimmed.model(hidden=recipe.hidden, layers=recipe.layers, heads=recipe.heads, seed=recipe.seed)
        model.to(recipe.device)
        copies = trimmed.teach_copying(model, steps=recipe.copying, seed=recipe.seed)
        save_tokenizer(out)
        tokenizer = AutoTokenizer.from_pretrained(out)
    else:
        dtype = torch.float32 if on_cpu else torch.bfloat16
        model = AutoModelForCausalLM.from_pretrained(recipe.model, dtype=dtype)
        tokenizer = AutoTokenizer.from_pretrained(recipe.model)
    config = SFTConfig(
        output_dir=str(out),
        max_steps=recipe.steps,
        max_length=longest,
        packing=False,
        assistant_only_loss=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.rate,
        lr_scheduler_type="linear",
        warmup_steps=min(50, recipe.steps // 10),
        adam_beta2=0.95,
        max_grad_norm=1.0,
        gradient_checkpointing=recipe.model is not None,
        bf16=not on_cpu,
        use_cpu=on_cpu,
        logging_steps=max(1, recipe.steps // 20),
        save_strategy="no",
        report_to="none",
        seed=recipe.seed,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=trimmed.collator() if trimmed else None,
    )
    trainer.train()
    last = next(entry for entry in reversed(trainer.state.log_history) if "mean_token_accuracy" in entry)
    if trimmed:
        trimmed.save(model, out)
    else:
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
    n_ids = int(model.get_input_embeddings().weight.shape[0])
    return Trained(model.num_parameters(), n_ids, copies, float(last["loss"]), float(last["mean_token_accuracy"]))


def quiet() -> None:
    """Keeps libraries from asking a hub what we have, and from writing what nobody reads."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()


class Speaker:
    """A saved model as the other end of the loop: loaded, prompted and read as a server does it, greedily.

    Args:
        folder: model, tokenizer and chat template.
        recipe: where it runs, and how much it may say.
    """

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        quiet()
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        dtype = torch.float32 if recipe.device == "cpu" else torch.bfloat16
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(recipe.device).eval()
        self.stop: int = self.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.most = recipe.most

    def __call__(self, runs: Sequence[Run]) -> list[Said]:
        """The next turn of each run."""
        import torch

        prompts = [
            self.tokenizer.apply_chat_template(
                run.messages, tools=list(run.task.tools), add_generation_prompt=True, tokenize=False
            )
            for run in runs
        ]
        given = self.tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            whole = self.model.generate(
                **given.to(self.model.device), max_new_tokens=self.most, do_sample=False, eos_token_id=self.stop
            )
        return [self._said(ids) for ids in whole[:, given["input_ids"].shape[1] :].tolist()]

    def _said(self, ids: list[int]) -> Said:
        stopped = self.stop in ids
        return Said(self.tokenizer.decode(ids[: ids.index(self.stop)] if stopped else ids), stopped)
