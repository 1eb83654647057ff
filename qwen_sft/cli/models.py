"""`qwen-sft models`: the families whose template, tokenizer and parser we know."""

import sys


def models() -> None:
    """List the model families: their hub ids, template hashes and tool-call parsers."""
    from qwen_sft.family import families

    for one in families().values():
        sys.stdout.write(f"{one.name:<20} {one.title}\n")
        sys.stdout.write(f"{'':<20} models: {', '.join(one.models)}\n")
        sys.stdout.write(f"{'':<20} parser: {one.parser}; vocabulary: {one.vocabulary}; ")
        sys.stdout.write(f"template sha256: {', '.join(sha[:16] for sha in one.template_sha256)}\n")
