"""The fingerprints of the official tokenizers, by the sha256 of their file: reading them off takes 0.2 s a build.

A test computes them anew from the files.
"""

from collections.abc import Mapping

_QWEN2_5 = {
    "vocabulary": "63f0750bbb0450872bc24822f4c68baa4e85cf4c4c122186f3b68befa1f1a611",
    "merges": "24fa2ae2a398e50784a1fff678482094af4f63e6783d35686726abacda8dc371",
    "model": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "normalizer": "5628358406a1a2864e0f9e853618fc4d47d359acf10253558d0c18886de3f06e",
    "pre_tokenizer": "af6df28abf83f8688a93a6f1dc085892461ebc18392751bfd11c02541724c09e",
    "post_processor": "4461a059ea4d2aa2e91971f0b6e94b67bd1a43f245cfbb1e6d22b7b5b17e8979",
    "decoder": "4461a059ea4d2aa2e91971f0b6e94b67bd1a43f245cfbb1e6d22b7b5b17e8979",
}
_QWEN3_5 = {
    "vocabulary": "3ac7f220c877539129cad8bccd0382e91cf89947d0dfa3492ae4efcaea0019d1",
    "merges": "7e299304d9ad9dc312acdbcb1f6ccf0dce1256bf1aa986d651f13814dfd27e7b",
    "model": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    "normalizer": "5628358406a1a2864e0f9e853618fc4d47d359acf10253558d0c18886de3f06e",
    "pre_tokenizer": "5ba1e53958523c9853ac45f68ca208c23e7e5e21ef008be161f1aed036b76841",
    "post_processor": "4461a059ea4d2aa2e91971f0b6e94b67bd1a43f245cfbb1e6d22b7b5b17e8979",
    "decoder": "4461a059ea4d2aa2e91971f0b6e94b67bd1a43f245cfbb1e6d22b7b5b17e8979",
}

OFFICIAL: Mapping[str, Mapping[str, str]] = {
    "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539": {  # qwen2_5
        **_QWEN2_5,
        "added_tokens": "c6e5b541e7ecc6c51b7c1d26bce99512ce6fa3325b84534ca62d57fdaed80845",
    },
    "aeb13307a71acd8fe81861d94ad54ab689df773318809eed3cbe794b4492dae4": {  # qwen3
        **_QWEN2_5,
        "added_tokens": "47a219fced2499495b88a79b5edf55d70ca9cf4670f4ce8d5fbec288b50a2dc9",
    },
    "5f9e4d4901a92b997e463c1f46055088b6cca5ca61a6522d1b9f64c4bb81cb42": {  # qwen3_5
        **_QWEN3_5,
        "added_tokens": "5e2221cdc81f821fad562fdce9fc01e6ffb084e59396c6b3b1f9a2ed5fe72348",
    },
    "0997f410c57a1f4e53b09e4be8f4a172d90edd9564368fb0847030937229b9f3": {  # qwen3_8
        **_QWEN3_5,
        "added_tokens": "818385ee008aa2c2602b57ddb9a29009f09e5bb318c94be72069a2d69636f085",
    },
}
"""By part, as `LockedTokenizer.structure` has them."""
