"""For programs: what `qwen_sft.validate`, `qwen_sft.build` and `qwen_sft.Encoder` are."""
