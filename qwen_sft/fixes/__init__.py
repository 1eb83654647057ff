"""One file for each fix; see `qwen_sft.fix`."""
