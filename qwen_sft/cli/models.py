"""`qwen-sft models`: the families whose template, tokenizer and parser we know, and how to serve them."""

import sys


def models() -> None:
    """List the model families: their hub ids, template hashes, tool-call parsers and the flags to serve them with."""
    from qwen_sft.family import families
    from qwen_sft.serving.server import serving

    vllm, sglang = serving("vllm"), serving("sglang")
    for one in families().values():
        lines = [
            f"models: {', '.join(one.models)}",
            f"parser: {one.parser}; vocabulary: {one.vocabulary}; "
            f"template sha256: {', '.join(sha[:16] for sha in one.template_sha256)}",
        ]
        if one.parser is not None:
            lines.append(f"vllm serve MODEL {vllm.flags(one.parser, one.reasoning_parser)}")
            flags = sglang.flags(one.parser, one.reasoning_parser)
            lines.append(f"python -m sglang.launch_server --model-path MODEL {flags}")
        sys.stdout.write(f"{one.name:<20} {one.title}\n")
        sys.stdout.write("".join(f"{'':<20} {line}\n" for line in lines))
