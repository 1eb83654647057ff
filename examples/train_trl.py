"""Fine-tunes a model with TRL on what `qwen-sft build` wrote.

    pip install "trl>=1.16"
    python examples/train_trl.py DATASET --model Qwen/Qwen3-0.6B --out checkpoint

Build the dataset for the model that you train: its tokenizer and its chat template are in the rows.
"""

import argparse

from datasets import Dataset, load_dataset


def load_rows(folder: str, max_length: int | None = None) -> tuple[Dataset, int]:
    """The rows of a folder with the two columns that TRL uses, and the length to train with.

    TRL's own limit is 1,024 tokens, and it cuts longer rows without a word. A row that is too long stops us here.
    """
    rows = load_dataset(folder, split="train")
    longest = max(rows["n_tokens"], default=0)
    if not longest:
        raise SystemExit(f"{folder} has no rows")
    if max_length is not None and longest > max_length:
        raise SystemExit(f"a row has {longest} tokens; build again with: qwen-sft build ... --max-length {max_length}")
    return rows.select_columns(["input_ids", "labels"]), max_length or longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="the folder that `qwen-sft build` wrote")
    parser.add_argument("--model", required=True, help="hub id or folder of the model")
    parser.add_argument("--out", required=True, help="folder for checkpoints")
    parser.add_argument("--max-length", type=int, help="most tokens in a row; default: the longest row's")
    parser.add_argument("--max-steps", type=int, default=-1, help="stop after so many steps; default: three epochs")
    arguments = parser.parse_args()
    rows, max_length = load_rows(arguments.dataset, arguments.max_length)

    import torch
    from trl import SFTConfig, SFTTrainer

    config = SFTConfig(
        output_dir=arguments.out,
        max_steps=arguments.max_steps,
        max_length=max_length,
        packing=False,  # packed rows see each other unless the attention is told where each one begins
        assistant_only_loss=False,  # the labels say what is trained; TRL would look for its own mask
        dataset_kwargs={"skip_prepare_dataset": True},  # the rows are ready: no template, no tokenizer, no cutting
        per_device_train_batch_size=1,
        gradient_accumulation_steps=8,
        logging_steps=1,
        report_to="none",
        use_cpu=not torch.cuda.is_available(),
    )
    SFTTrainer(model=arguments.model, args=config, train_dataset=rows).train()


if __name__ == "__main__":
    main()
